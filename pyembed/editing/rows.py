"""Rows on their way from one table to another: as they are stored, or computed and stored anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.dtypes import OUTPUT_TYPES, TensorType, round_to, tensor_type
from ..core.handle import Source
from ..core.records import TensorInfo
from ..errors import FormatError
from ..files.byte_ranges import FileRange, tensor_range
from ..files.copying import Piece
from ..safe_text import quote

Ids = npt.NDArray[np.int64]
Rows = npt.NDArray[np.float32]
Gather = Callable[[Ids], Rows]

_CHUNK = 4 << 20
#: Runs of rows that are as long as this on average are copied by the kernel, one by one.
_LONG_RUN = 1 << 20
_PLAIN = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
#: Words of the blocks that gguf-py writes: offsets and bytes of those that a big-endian file has reversed.
_WORDS: dict[str, tuple[tuple[int, int], ...]] = {
    "Q4_0": ((0, 2),),
    "Q4_1": ((0, 2), (2, 2)),
    "Q5_0": ((0, 2), (2, 4)),
    "Q5_1": ((0, 2), (2, 2), (4, 4)),
    "Q8_0": ((0, 2),),
    "TQ1_0": ((52, 2),),
    "TQ2_0": ((64, 2),),
    "MXFP4": (),
}


def n_rows_of(info: TensorInfo) -> int:
    """Return how many rows a tensor has; of one dimension each number is a row."""
    return info.shape[0] if len(info.shape) <= 2 else 0


def is_big_endian(source: Source, info: TensorInfo) -> bool:
    """Return the byte order of the file that holds a tensor."""
    return next(shard.big_endian for shard in source.shards() if shard.path == info.path)


def row_bytes_of(info: TensorInfo) -> int:
    """Return the bytes of a row of a tensor of one or two dimensions."""
    n_bytes = tensor_type(info.type).n_bytes(1, info.shape[1] if len(info.shape) == 2 else 1)
    if n_bytes is None or len(info.shape) not in (1, 2):
        raise ValueError(f"{quote(info.name)} of shape {info.shape} has no row for each token")
    return n_bytes


def stored_rows(info: TensorInfo, ids: Ids) -> list[Piece]:
    """Return rows of a tensor in the order of `ids`, as they are stored."""
    width, whole = row_bytes_of(info), tensor_range(info)
    if not len(ids):
        return []
    assert ids.min() >= 0
    assert int(ids.max()) < n_rows_of(info)
    starts, lengths = _runs(ids)
    if len(ids) * width >= _LONG_RUN * len(starts) or len(starts) == 1:
        return [
            FileRange(whole.path, whole.offset + first * width, n * width)
            for first, n in zip(starts.tolist(), lengths.tolist(), strict=True)
        ]
    return [RowRuns(whole.path, whole.offset, width, starts, lengths)]


def _runs(ids: Ids) -> tuple[Ids, Ids]:
    """Return the first rows and the lengths of the runs of consecutive rows that some ids are."""
    begins = np.flatnonzero(np.diff(ids, prepend=ids[0] - 2) != 1)
    return ids[begins], np.diff(begins, append=len(ids))


@dataclass(frozen=True)
class RowRuns:
    """Runs of rows of a file.

    Attributes
    ----------
    path : str
    offset : int
        Of row 0.
    row_bytes : int
    starts, lengths : ndarray of int64
        The first row of each run, and how many follow each other.
    """

    path: str
    offset: int
    row_bytes: int
    starts: Ids
    lengths: Ids

    @property
    def n_bytes(self) -> int:
        """How many bytes they are in all."""
        return int(self.lengths.sum()) * self.row_bytes

    def chunks(self) -> Iterator[memoryview]:
        """Yield the bytes in order, at most 4 MiB at a time; each is overwritten by the next.

        Raises
        ------
        OSError
            If the file cannot be read.
        FormatError
            If it became shorter.
        """
        buffer, filled = memoryview(bytearray(min(_CHUNK, self.n_bytes))), 0
        with open(self.path, "rb", buffering=0) as file:
            for first, length in zip(self.starts.tolist(), self.lengths.tolist(), strict=True):
                position, left = self.offset + first * self.row_bytes, length * self.row_bytes
                file.seek(position)
                while left:
                    n = file.readinto(buffer[filled : filled + left])
                    if not n:
                        raise FormatError(f"{self.path}: the file became shorter", self.path, position)
                    filled, position, left = filled + n, position + n, left - n
                    if filled == len(buffer):
                        yield buffer
                        filled = 0
        if filled:
            yield buffer[:filled]


@dataclass(frozen=True)
class RepeatedRow:
    """The same row `n` times."""

    row: bytes
    n: int

    @property
    def n_bytes(self) -> int:
        """How many bytes they are in all."""
        return len(self.row) * self.n

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes, some rows at a time."""
        at_once = max(1, _CHUNK // max(1, len(self.row)))
        block = self.row * min(at_once, self.n)
        for first in range(0, self.n, at_once):
            yield block[: min(at_once, self.n - first) * len(self.row)]


@dataclass(frozen=True)
class EncodedRows:
    """Rows of a table, stored as another type.

    Attributes
    ----------
    gather : callable
        Returns rows as float32.
    n_rows, n_columns : int
    kind : TensorType
    big_endian : bool
        Of the file that they are written to.
    """

    gather: Gather
    n_rows: int
    n_columns: int
    kind: TensorType
    big_endian: bool

    @property
    def n_bytes(self) -> int:
        """How many bytes they are in all."""
        return self.kind.n_bytes(self.n_rows, self.n_columns) or 0

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes, some rows at a time."""
        at_once = max(1, _CHUNK // (4 * max(1, self.n_columns)))
        for first in range(0, self.n_rows, at_once):
            ids = np.arange(first, min(first + at_once, self.n_rows), dtype=np.int64)
            yield encoded(self.gather(ids), self.kind, big_endian=self.big_endian)


def can_encode(kind: TensorType) -> bool:
    """Return whether `encoded` writes a type."""
    return kind.name in _PLAIN or kind.name in _WORDS


def encodable_types() -> tuple[str, ...]:
    """Return the names of the types that `encoded` writes."""
    return (*_PLAIN, *_WORDS)


def encoded(rows: npt.NDArray[Any], kind: TensorType, *, big_endian: bool) -> bytes:
    """Return float32 rows as a file stores them.

    Raises
    ------
    ImportError
        If the type needs gguf-py, and that is not installed.
    ValueError
        For a type that is not written, or rows that do not divide into its blocks.
    """
    if rows.shape[1] % kind.block_weights:
        raise ValueError(f"rows of {rows.shape[1]} weights do not divide into blocks of {kind.name}")
    if kind.name in _PLAIN:
        values = round_to(rows, OUTPUT_TYPES[_PLAIN[kind.name]])
        return values.astype(values.dtype.newbyteorder(">" if big_endian else "<"), copy=False).tobytes()
    if kind.name not in _WORDS:
        known = ", ".join(encodable_types())
        raise ValueError(f"rows of type {kind.name} are not written here; those that are: {known}")
    try:
        from gguf import GGMLQuantizationType, quants
    except ImportError:
        raise ImportError("quantising rows needs gguf-py: pip install 'pyembed-gguf[repair]'") from None
    blocks = quants.quantize(np.ascontiguousarray(rows, np.float32), GGMLQuantizationType[kind.name])
    data: npt.NDArray[np.uint8] = np.ascontiguousarray(blocks).view(np.uint8).reshape(-1, kind.block_bytes)
    if big_endian:
        data = data.copy()
        for first, width in _WORDS[kind.name]:
            data[:, first : first + width] = data[:, first : first + width][:, ::-1]
    return data.tobytes()


def mean_row(gather: Gather, n_rows: int, n_columns: int) -> Rows:
    """Return the mean of a table's rows but those that are zero or not finite; zeros where none is left.

    Returns
    -------
    ndarray of float32, shape (1, n_columns)
    """
    total, n = np.zeros(n_columns, np.float64), 0
    at_once = max(1, _CHUNK // (4 * max(1, n_columns)))
    for first in range(0, n_rows, at_once):
        rows = gather(np.arange(first, min(first + at_once, n_rows), dtype=np.int64))
        kept = rows[np.isfinite(rows).all(axis=1) & rows.any(axis=1)]
        total += kept.sum(axis=0, dtype=np.float64)
        n += len(kept)
    mean: Rows = (total / max(1, n)).astype(np.float32)[None]
    return mean
