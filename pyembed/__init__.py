"""Embedding tables of model files, from bytes on disk to rows of floats."""

from ._native import ffi as _ffi
from ._native import lib as _lib
from .analysis.similarity import Baseline, Geometry, Neighbour
from .core.records import Change, ChangeKind, Stats, TensorInfo
from .errors import (
    FormatError,
    GGUFError,
    LoadCancelledError,
    LockError,
    NotFoundError,
    NpyError,
    PyembedError,
    RecipeError,
    SafetensorsError,
    UnsupportedTypeError,
    VocabularyError,
)
from .files.metadata import Metadata, StringArray, Tensors
from .inputs.batching import PaddedRows
from .inputs.recipes import InputRecipe
from .loader import demo_model, load_model, open_table, validate
from .lock import check_lock, make_lock
from .model import Model
from .tables.scan import Top
from .tables.table import EmbeddingTable
from .tokens.token_text import TokenType
from .tokens.vocabulary import Token, Vocabulary
from .validation import Finding, Report, Severity

__version__ = _ffi.string(_lib.pye_version()).decode("ascii")

__all__ = [
    "Baseline",
    "Change",
    "ChangeKind",
    "EmbeddingTable",
    "Finding",
    "FormatError",
    "GGUFError",
    "Geometry",
    "InputRecipe",
    "LoadCancelledError",
    "LockError",
    "Metadata",
    "Model",
    "Neighbour",
    "NotFoundError",
    "NpyError",
    "PaddedRows",
    "PyembedError",
    "RecipeError",
    "Report",
    "SafetensorsError",
    "Severity",
    "Stats",
    "StringArray",
    "TensorInfo",
    "Tensors",
    "Token",
    "TokenType",
    "Top",
    "UnsupportedTypeError",
    "Vocabulary",
    "VocabularyError",
    "__version__",
    "check_lock",
    "demo_model",
    "load_model",
    "make_lock",
    "open_table",
    "validate",
]
