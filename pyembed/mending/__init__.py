"""From what validation finds to a model without it: a plan that one can read, and its result, proven.

``plan`` has `repair` and the plan; ``draft`` is the vocabulary and the rows that a model is to have. Mendings
come from the file alone (``by_law``, ``by_scores``, ``names``), from a reference (``from_reference``), or
from rows (``row_places``, ``row_mendings``). ``trial`` validates what a mending would lead to, ``proof`` what
was written; ``repaired`` is what it came to. Imports: ``editing``, ``validation``, ``loader`` and all below
them.
"""
