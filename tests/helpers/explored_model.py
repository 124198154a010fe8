"""Writes a table as large as Gemma's around a real vocabulary: rows that look learned, in Q8_0."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np

import pyembed
from pyembed.analysis.untrained import known_unused
from tests.helpers.complete_models import _copy_vocabulary
from tests.helpers.learned_rows import LearnedRows

_CHUNK = 4096


def write_explored_model(path: Path, vocabulary: Path, *, n_columns: int = 640, n_rows: int = 0) -> Path:
    """Write a model of one table; rows of unused tokens are short and alike, as untrained ones are."""
    with pyembed.load_model(vocabulary, vocab_only=True, validate="off") as source:
        writer = gguf.GGUFWriter(path, source.architecture or "llama")
        _copy_vocabulary(writer, source)
        n_tokens = len(source.vocabulary)
        texts = [token.bytes for token in source.vocabulary]
        texts += [b""] * max(0, n_rows - n_tokens)
        unused = known_unused(source.vocabulary, len(texts))
    writer.add_embedding_length(n_columns)
    rows = LearnedRows(texts, n_columns)
    blocks = np.concatenate(list(_quantized(rows, unused)))
    writer.add_tensor("token_embd.weight", blocks, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _quantized(rows: LearnedRows, unused: np.ndarray) -> Iterator[np.ndarray]:
    n = rows.shape[0]
    for first in range(0, n, _CHUNK):
        ids = np.arange(first, min(n, first + _CHUNK))
        values = rows.gather(ids)
        untrained = unused[ids]
        # A few that are not named so look alike, too.
        untrained |= ids % 20011 == 777
        values[untrained] = 0.05 * values[untrained] + np.float32(0.01)
        yield gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
