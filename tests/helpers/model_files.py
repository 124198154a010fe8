"""Writes small GGUF models for the tests of the Python API."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import gguf
import numpy as np

import pyembed

MakeVocabulary = Callable[..., pyembed.Vocabulary]
TOKEN_TABLE = "token_embd.weight"


def write_model(
    path: Path,
    *,
    architecture: str = "llama",
    model: str | None = None,
    pre: str | None = None,
    tokens: Sequence[str | bytes] | None = None,
    scores: Sequence[float] | None = None,
    types: Sequence[int] | None = None,
    tensors: Mapping[str, np.ndarray] | None = None,
    add: Callable[[gguf.GGUFWriter], None] | None = None,
) -> Path:
    """Write a model with gguf-py; `add` may add more metadata."""
    writer = gguf.GGUFWriter(path, architecture)
    if model is not None:
        writer.add_tokenizer_model(model)
    if pre is not None:
        writer.add_tokenizer_pre(pre)
    if tokens is not None:
        writer.add_token_list(tokens)  # type: ignore[arg-type]
    if scores is not None:
        writer.add_token_scores(list(scores))
    if types is not None:
        writer.add_token_types(list(types))
    if add is not None:
        add(writer)
    for name, array in (tensors or {}).items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def rows_of_floats(n_rows: int = 10, n_columns: int = 8, *, seed: int = 0) -> np.ndarray:
    """Return random rows as float32."""
    return np.random.default_rng(seed).standard_normal((n_rows, n_columns)).astype(np.float32)
