"""Names of hashed rows: which rows of a conditional memory (n-gram tables) a token looks up.

``constants`` says what a model's names are computed from; ``gguf_keys`` and ``hugging_face`` find it in files
and folders, ``derived`` and ``token_map`` make what a folder leaves to be made; ``names`` computes names,
``gathering`` reads the rows; ``history`` is what a sequence remembers between calls. Imports: ``core``,
``files``, ``tables``, ``tokens``, ``inputs``.
"""

from .constants import Constants, Scheme
from .gathering import Ngram
from .history import History
from .names import LayerTables

__all__ = ["Constants", "History", "LayerTables", "Ngram", "Scheme"]
