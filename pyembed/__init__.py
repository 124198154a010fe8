"""Embedding tables of model files, from bytes on disk to rows of floats."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

if sys.argv[:1] == ["-m"]:  # Python will run a module, and perhaps this package's, once all below is there
    from _pyembed_command.importing import begin_for_module

    begin_for_module()

try:
    from ._native import ffi as _ffi
    from ._native import lib as _lib
except ModuleNotFoundError as _missing:
    if _missing.name != f"{__name__}._native":
        raise
    # In a clone Python finds this folder before what is installed: sources alone, nothing compiled.
    raise ImportError(
        f"{__path__[0]} holds the sources of pyembed without their compiled module: run Python in another "
        "folder to import the pyembed that is installed, or run `pip install -e .` beside it"
    ) from None
from .analysis.similarity import Baseline, Geometry, Neighbour, Neighbours
from .core.layouts import TableLayout
from .core.records import Change, ChangeKind, Stats, TensorInfo
from .errors import (
    ClosedError,
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
from .inputs.batching import PaddedRows, runs_of
from .inputs.recipes import InputRecipe
from .loader import demo_model, load_model, open_ngram, open_table
from .model import Model
from .model_handle import ModelHandle
from .ngram import History, Ngram
from .tables.checking import RowFault
from .tables.scan import Top
from .tables.table import EmbeddingTable
from .tokens.cutting.cutter import Piece, TokenizedTexts
from .tokens.listed import Token
from .tokens.token_text import TokenType
from .tokens.vocabulary import Vocabulary
from .validating import validate, validate_all

if TYPE_CHECKING:
    from . import export, extract, health
    from .corpora import CorpusResult, Encode, encode_corpus
    from .editing.model_edit import ModelEdit, edit
    from .encoders import Encoder, EngineChoice, load_encoder
    from .lock import check_lock, make_lock
    from .mending.plan import RepairPlan, repair
    from .mending.proof import RepairError
    from .validation import Failure, Finding, Report, Reports, Severity
    from .validation.comparison import Comparison, compare

__version__ = _ffi.string(_lib.pye_version()).decode("ascii")

# What is loaded when it is first asked for, and where from; "" for a module itself.
_LATER = {
    "Comparison": "validation.comparison",
    "CorpusResult": "corpora",
    "Encode": "corpora",
    "Encoder": "encoders",
    "EngineChoice": "encoders",
    "Failure": "validation",
    "Finding": "validation",
    "ModelEdit": "editing.model_edit",
    "RepairError": "mending.proof",
    "RepairPlan": "mending.plan",
    "Report": "validation",
    "Reports": "validation",
    "Severity": "validation",
    "check_lock": "lock",
    "compare": "validation.comparison",
    "edit": "editing.model_edit",
    "encode_corpus": "corpora",
    "export": "",
    "extract": "",
    "health": "",
    "load_encoder": "encoders",
    "make_lock": "lock",
    "repair": "mending.plan",
}

__all__ = [
    "Baseline",
    "Change",
    "ChangeKind",
    "ClosedError",
    "Comparison",
    "CorpusResult",
    "EmbeddingTable",
    "Encode",
    "Encoder",
    "EngineChoice",
    "Failure",
    "Finding",
    "FormatError",
    "GGUFError",
    "Geometry",
    "History",
    "InputRecipe",
    "LoadCancelledError",
    "LockError",
    "Metadata",
    "Model",
    "ModelEdit",
    "ModelHandle",
    "Neighbour",
    "Neighbours",
    "Ngram",
    "NotFoundError",
    "NpyError",
    "PaddedRows",
    "Piece",
    "PyembedError",
    "RecipeError",
    "RepairError",
    "RepairPlan",
    "Report",
    "Reports",
    "RowFault",
    "SafetensorsError",
    "Severity",
    "Stats",
    "StringArray",
    "TableLayout",
    "TensorInfo",
    "Tensors",
    "Token",
    "TokenType",
    "TokenizedTexts",
    "Top",
    "UnsupportedTypeError",
    "Vocabulary",
    "VocabularyError",
    "__version__",
    "check_lock",
    "compare",
    "demo_model",
    "edit",
    "encode_corpus",
    "export",
    "extract",
    "health",
    "load_encoder",
    "load_model",
    "make_lock",
    "open_ngram",
    "open_table",
    "repair",
    "runs_of",
    "validate",
    "validate_all",
]


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f".{_LATER[name] or name}", __name__)
    value = getattr(module, name) if _LATER[name] else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, "__doc__", "__file__", "__name__", "__path__"})
