"""Embedding tables of model files, from bytes on disk to rows of floats."""

from ._native import ffi as _ffi
from ._native import lib as _lib
from .errors import (
    FormatError,
    GGUFError,
    LoadCancelledError,
    NotFoundError,
    NpyError,
    PyembedError,
    SafetensorsError,
    UnsupportedTypeError,
    VocabularyError,
)
from .gguf import Metadata, StringArray, Tensors
from .loader import demo_model, load_model, open_table
from .model import Model
from .source import Change, ChangeKind, TensorInfo
from .spelling import TokenType
from .table import EmbeddingTable
from .vocabulary import Token, Vocabulary

__version__ = _ffi.string(_lib.pye_version()).decode("ascii")

__all__ = [
    "Change",
    "ChangeKind",
    "EmbeddingTable",
    "FormatError",
    "GGUFError",
    "LoadCancelledError",
    "Metadata",
    "Model",
    "NotFoundError",
    "NpyError",
    "PyembedError",
    "SafetensorsError",
    "StringArray",
    "TensorInfo",
    "Tensors",
    "Token",
    "TokenType",
    "UnsupportedTypeError",
    "Vocabulary",
    "VocabularyError",
    "__version__",
    "demo_model",
    "load_model",
    "open_table",
]
