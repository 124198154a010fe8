"""Models that corpora are encoded with, texts, and what a run wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.helpers.encoders import save_model2vec, word_tokenizer

WIDTH = 16
WORDS = ("the", "cat", "dog", "house", "a", "unbelievable", "12", "zzz", "")


def texts(n: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(0, 12))) for _ in range(n)]


def save_model(folder: Path, seed: int = 0, **config: Any) -> Path:
    tokenizer = word_tokenizer()
    n = tokenizer.get_vocab_size(with_added_tokens=True)
    table = np.random.default_rng(seed).standard_normal((n, WIDTH)).astype(np.float32)
    folder.mkdir(exist_ok=True)
    save_model2vec(folder, table, tokenizer, {"normalize": True, **config})
    return folder


def written(out: Path) -> Any:
    import pyarrow.parquet

    parts = sorted(out.glob("part-*.parquet"))
    return pyarrow.concat_tables([pyarrow.parquet.read_table(part) for part in parts])


def matrix(column: Any) -> np.ndarray[Any, Any]:
    flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(column), -1)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
