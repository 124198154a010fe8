"""A corpus of short documents to vectors: here, killed and resumed, beside peers, on a cluster of two nodes.

``python -m tools.bench.corpora --help``. Every run is a process of its own, on the processors it is given: a
function that `processes.child` names.
"""
