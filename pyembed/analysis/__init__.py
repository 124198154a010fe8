"""What rows mean: similarity, neighbours, analogies, logits; and near duplicates.

``similarity`` has `Geometry`; ``near_duplicates`` clusters rows that are alike. Imports: ``tables``,
``tokens``.
"""
