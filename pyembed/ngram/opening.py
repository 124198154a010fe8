"""Opening the names of hashed rows by themselves: of a GGUF file, or of a folder of Hugging Face."""

from __future__ import annotations

import os
from collections.abc import Callable

from ..core.handle import Source
from ..core.paths import Path
from ..errors import NotFoundError
from ..files.metadata import Metadata, Tensors
from ..tables.table import EmbeddingTable
from . import gguf_keys, hugging_face
from .constants import Constants
from .gathering import Ngram

_INDEX = "model.safetensors.index.json"


def open_names(path: Path, open_table: Callable[[str], EmbeddingTable]) -> Ngram:
    """Return the names of hashed rows of a file or a folder; see `pyembed.open_ngram`."""
    name = os.fsdecode(path)
    if os.path.isdir(name):
        constants = _of_folder(name)
    else:
        source = Source(path, format="gguf")
        try:
            constants = gguf_keys.find_constants(source, Metadata(source), Tensors(source))
        finally:
            source.close()
    if constants is None:
        raise NotFoundError(f"{name}: nothing in it says that rows are hashed; the model has no n-gram table")
    return Ngram(constants, open_table)


def _of_folder(folder: str) -> Constants | None:
    source = Source(folder, format="safetensors") if _has_tensors(folder) else None
    try:
        return hugging_face.find_constants(folder, source)
    finally:
        if source is not None:
            source.close()


def _has_tensors(folder: str) -> bool:
    return any(name == _INDEX or name.endswith(".safetensors") for name in os.listdir(folder))
