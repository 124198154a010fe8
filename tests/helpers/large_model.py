"""Writes a model of many pages, for tests that take some of them away."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.helpers.gguf_bytes import ARRAY, F32, I32, STRING, Array, GGUFBytes

ROWS, COLUMNS = 4096, 64


def write_model(path: Path, *, n_tokens: int = 4000) -> Path:
    """Write a model whose vocabulary and table both span many pages."""
    tokens = [f"token number {i}" for i in range(n_tokens)]
    builder = GGUFBytes().add("general.architecture", STRING, "llama")
    builder.add("tokenizer.ggml.model", STRING, "gpt2")
    builder.add("tokenizer.ggml.tokens", ARRAY, Array(STRING, tokens))
    builder.add("tokenizer.ggml.scores", ARRAY, Array(F32, [0.5] * n_tokens))
    builder.add("tokenizer.ggml.token_type", ARRAY, Array(I32, [1] * n_tokens))
    merges = [f"{number} {n_tokens + number}" for number in range(n_tokens)]
    builder.add("tokenizer.ggml.merges", ARRAY, Array(STRING, merges))
    builder.add("nested", ARRAY, Array(ARRAY, [Array(I32, [1, 2, 3])]))
    rows = np.ones((ROWS, COLUMNS), np.float32)
    builder.tensor("token_embd.weight", rows.shape, 0, rows.tobytes())
    builder.tensor("output.weight", rows.shape, 0, rows.tobytes())
    path.write_bytes(bytes(builder))
    return path
