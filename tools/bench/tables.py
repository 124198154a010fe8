"""Tables to measure with: GGUF files of random but finite blocks, every page of them really there."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

import pyembed
from tests.helpers import gguf_bytes
from tests.helpers.oracles.blocks import TYPES, U8, finite_blocks

I64 = npt.NDArray[np.int64]

__all__ = [
    "I64",
    "PLAIN",
    "QUANTISED",
    "TYPES",
    "U8",
    "TableFile",
    "fresh_ids",
    "row_bytes",
    "table_file",
    "vocabulary_file",
]

PLAIN = ("F32", "F16", "BF16", "F64", "I8", "I16", "I32", "I64")
QUANTISED = tuple(name for name in TYPES if name not in PLAIN)

_POOL_BYTES = 16 << 20


@dataclass(frozen=True)
class TableFile:
    """A file with one table, ``token_embd.weight``."""

    path: Path
    type: str
    n_rows: int
    n_columns: int
    offset: int

    @property
    def row_bytes(self) -> int:
        """Bytes of a stored row."""
        return row_bytes(self.type, self.n_columns)

    @cached_property
    def bytes(self) -> U8:
        """The stored rows, mapped: uint8 ``[n_rows, row_bytes]``."""
        shape = (self.n_rows, self.row_bytes)
        return np.asarray(np.memmap(self.path, np.uint8, "r", self.offset, shape))

    def open(self) -> pyembed.EmbeddingTable:
        """Open the table with the library and bring all its pages in."""
        table = pyembed.open_table(self.path)
        at_once = max(1, min(self.n_rows, (32 << 20) // (2 * self.n_columns)))
        out = np.empty((at_once, self.n_columns), np.float16)
        for first in range(0, self.n_rows, at_once):
            ids = np.arange(first, min(first + at_once, self.n_rows))
            table.gather(ids, out=out[: len(ids)], dtype="float16")
        return table


def row_bytes(type_name: str, n_columns: int) -> int:
    """Return the bytes of a stored row."""
    _, weights, block_bytes = TYPES[type_name]
    return n_columns // weights * block_bytes


def scratch_folder(n_bytes: int) -> Path | None:
    """Return a folder in memory if that has room for `n_bytes` and as much again, else a temporary one.

    None if neither has room.
    """
    for folder in (Path("/dev/shm"), Path(tempfile.gettempdir())):
        if not (folder.is_dir() and os.access(folder, os.W_OK)):
            continue
        if shutil.disk_usage(folder).free > n_bytes and _memory_available() > 2 * n_bytes + (1 << 30):
            return folder
    return None


def _memory_available() -> int:
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return 8 << 30
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))


@contextmanager
def scratch(n_bytes: int) -> Iterator[Path | None]:
    """Make a folder with room for `n_bytes`, in memory where possible; None if there is no room."""
    parent = scratch_folder(n_bytes)
    if parent is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="pyembed-bench-", dir=parent) as folder:
        yield Path(folder)


@contextmanager
def table_file(type_name: str, n_rows: int, n_columns: int) -> Iterator[TableFile | None]:
    """Write a table for the time of a ``with`` block; None if there is no room for it."""
    n_bytes = n_rows * row_bytes(type_name, n_columns)
    with scratch(n_bytes) as folder:
        yield None if folder is None else _write_table(folder / "table.gguf", type_name, n_rows, n_columns)


def _write_table(path: Path, type_name: str, n_rows: int, n_columns: int) -> TableFile:
    type_id, weights, _ = TYPES[type_name]
    width = row_bytes(type_name, n_columns)
    pool_rows = max(1, min(n_rows, _POOL_BYTES // width))
    blocks = finite_blocks(type_name, pool_rows * (n_columns // weights), np.random.default_rng(7))
    builder = gguf_bytes.GGUFBytes().add("general.architecture", gguf_bytes.STRING, "bench")
    header = bytes(builder.tensor("token_embd.weight", (n_rows, n_columns), type_id))
    pool = blocks.tobytes()
    with path.open("wb") as file:
        file.write(header)
        left = n_rows * width
        while left > 0:
            left -= file.write(pool[: min(left, len(pool))])
    return TableFile(path, type_name, n_rows, n_columns, len(header))


def vocabulary_file(path: Path, n_tokens: int) -> Path:
    """Write a vocabulary of made-up tokens, as large as real ones of that many are."""
    rng = np.random.default_rng(3)
    lengths = rng.integers(1, 12, n_tokens)
    letters = rng.integers(ord("a"), ord("z") + 1, int(lengths.sum()), dtype=np.uint8).tobytes()
    ends = np.cumsum(lengths)
    texts = [
        letters[end - n : end] + str(i).encode()
        for i, (end, n) in enumerate(zip(ends.tolist(), lengths.tolist(), strict=True))
    ]
    g = gguf_bytes
    builder = g.GGUFBytes()
    builder.add("general.architecture", g.STRING, "llama")
    builder.add("tokenizer.ggml.model", g.STRING, "llama")
    builder.add("tokenizer.ggml.tokens", g.ARRAY, g.Array(g.STRING, texts))
    builder.add("tokenizer.ggml.scores", g.ARRAY, g.Array(g.F32, [-float(i) for i in range(n_tokens)]))
    builder.add("tokenizer.ggml.token_type", g.ARRAY, g.Array(g.I32, [1] * n_tokens))
    path.write_bytes(bytes(builder))
    return path


def fresh_ids(n_rows: int, n: int, start: float = 0.0, seed: int = 11) -> Callable[[], I64]:
    """Return a call that gives `n` random ids, others each time, until the whole table was visited.

    Rivals that start at different fractions of the round find no row in the cache that another left there.
    """
    order = np.random.default_rng(seed).permutation(n_rows)
    count = max(1, min(n_rows // n, 1 << 15))
    if n > n_rows:
        order = np.random.default_rng(seed).integers(0, n_rows, n)
    parts = [np.ascontiguousarray(order[i * n : (i + 1) * n]) for i in range(count)]
    first = int(start * count)
    return itertools.cycle(parts[first:] + parts[:first]).__next__
