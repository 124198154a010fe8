"""Corpora: the columns of many rows to vectors, in one process, in many, on a cluster.

``vectors`` turns texts and ids into vectors by one model. ``columns`` reads those from Arrow and puts vectors
back; with it `Encode` is the one function object for batches of all kinds. `encode_corpus` reads files
(``sources``; those without types are in ``lines``), cuts what they hold into ``blocks``, and writes
parts (``sinks``) that ``manifest`` accounts for, so that a run can be resumed.
"""

from .batches import Encode
from .run import CorpusResult, encode_corpus

__all__ = ["CorpusResult", "Encode", "encode_corpus"]
