"""What the tests of files other than GGUF share: making them, and taking all rows of one."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pyembed

Array = npt.NDArray[Any]
DATA_16 = np.arange(4, dtype="<f4").tobytes()


def random_array(dtype: str, shape: tuple[int, ...], seed: int = 0) -> Array:
    """Return every kind of finite value that the dtype has, by drawing its bits."""
    kind = np.dtype(dtype)
    bits = np.random.default_rng(seed).bytes(int(np.prod(shape)) * kind.itemsize)
    array = np.frombuffer(bits, kind).reshape(shape)
    return np.where(np.isfinite(array), array, 0).astype(kind) if kind.kind == "f" else array


def as_float32(array: Array) -> Array:
    with np.errstate(over="ignore", under="ignore"):
        return array.astype(np.float32).reshape(-1, array.shape[-1])


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def rows_of(path: Path, tensor: str | None = None, **options: Any) -> Array:
    """Open a table, gather all its rows, and close it."""
    table = pyembed.open_table(path, tensor=tensor, **options)
    try:
        rows: Array = table.gather(np.arange(table.shape[0]))
        return rows
    finally:
        table.close()


def assert_same_bits(actual: Array, expected: Array) -> None:
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype == np.float32
    np.testing.assert_array_equal(actual.view(np.uint32), expected.view(np.uint32))


def check_every_prefix(path: Path, data: bytes, tensor: str | None) -> None:
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(pyembed.FormatError) as caught:
            pyembed.open_table(path, tensor=tensor)
        assert caught.value.path == str(path)


def check_mutations(path: Path, data: bytes, tensor: str | None) -> None:
    """Change bytes at random: whatever comes of it, it is rows or one of the documented exceptions."""
    rng = np.random.default_rng(0)
    for _ in range(2000):
        mutated = bytearray(data)
        for at in rng.integers(0, len(data), rng.integers(1, 4)):
            mutated[at] = rng.choice(
                np.frombuffer(b"{}[]\":,\\0919\x00\x80\xff'()<>|fiu" + bytes(rng.bytes(1)), np.uint8)
            )
        path.write_bytes(mutated)
        with contextlib.suppress(pyembed.FormatError, KeyError):
            rows_of(path, tensor)
