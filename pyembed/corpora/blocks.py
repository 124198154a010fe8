"""Rows in blocks: what is encoded at once, and written as one row group.

Where a block ends follows from the rows of the block alone, not from how a file came to be read. So a run
that begins at the start of a block has the blocks of a run that began at the start.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .arrow import pyarrow
from .columns import text_sizes
from .pieces import Piece
from .sources import Source


class Position(NamedTuple):
    """Where rows begin: the number of the file, and of the row in it."""

    file: int
    row: int


class Fault(NamedTuple):
    """A row that failed: the number of its file, its own in the file, and why."""

    file: int
    row: int
    reason: str


class Block(NamedTuple):
    """Rows that are encoded at once.

    Attributes
    ----------
    table : pyarrow.Table
        The columns that are kept.
    files, rows : ndarray of int64
        The file of each row, and its number there.
    faults : list of Fault
        Of rows that could not be read.
    n_read : int
        How many rows it stands for, those that could not be read too.
    next : Position
        Where the next block begins.
    share : float
        How much of that file had been read, 0 to 1.
    """

    table: Any
    files: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    faults: list[Fault]
    n_read: int
    next: Position
    share: float

    def places(self) -> npt.NDArray[np.int64]:
        """Return the place of each row among those that were read, from 0."""
        found = np.arange(len(self.rows))
        for fault in self.faults:
            behind = (self.files > fault.file) | ((self.files == fault.file) & (self.rows > fault.row))
            found += behind
        return found


class Limits(NamedTuple):
    """How large a block may be: rows, and bytes of texts or ids, which the last row may pass."""

    rows: int
    n_bytes: int


def blocks(
    sources: list[Source], schema: Any, column: str, limits: Limits, start: Position
) -> Generator[Block, None, None]:
    """Yield the rows of files from a position on."""
    building = _Building(schema, column, limits)
    for number in range(start.file, len(sources)):
        first = start.row if number == start.file else 0
        for piece in sources[number].pieces(schema, first):
            rest: Piece | None = piece
            while rest is not None:
                rest = building.take(number, rest)
                if building.is_full:
                    yield building.block()
    if building.n_read:
        yield building.block()


class _Building:
    """A block that grows."""

    def __init__(self, schema: Any, column: str, limits: Limits) -> None:
        self._schema, self._column, self._limits = schema, column, limits
        self._clear()

    def _clear(self) -> None:
        self._parts: list[tuple[int, Any, npt.NDArray[np.int64]]] = []
        self._faults: list[Fault] = []
        self._n_bytes = 0
        self.n_read = 0
        self.is_full = False

    def take(self, file: int, piece: Piece) -> Piece | None:
        """Take the rows of a piece that fit, and return the others."""
        at, end = self._cut(piece)
        if at:
            self._parts.append((file, piece.table.slice(0, at), piece.rows[:at]))
        taken = [row for row in piece.faults if row < end]
        self._faults += [Fault(file, row, piece.faults[row]) for row in taken]
        self.n_read += at + len(taken)
        self._next, self._share = Position(file, end), piece.share
        if end == piece.end:
            return None
        faults = {row: why for row, why in piece.faults.items() if row >= end}
        return piece._replace(table=piece.table.slice(at), rows=piece.rows[at:], faults=faults, first=end)

    def _cut(self, piece: Piece) -> tuple[int, int]:
        """Return how many of a piece's readable rows fit, and the number behind the last that is taken."""
        numbers = np.sort(np.concatenate([piece.rows, np.fromiter(piece.faults, np.int64)]))
        sizes = np.cumsum(text_sizes(piece.table.column(self._column)))
        left = self._limits.n_bytes - self._n_bytes
        by_bytes = int(np.searchsorted(sizes, left)) + 1  # with the row that reaches the limit
        end = piece.end
        if by_bytes <= sizes.size:
            end = int(piece.rows[by_bytes - 1]) + 1
        room = self._limits.rows - self.n_read
        if numbers.size >= room:
            end = min(end, int(numbers[room - 1]) + 1)
        at = int(np.searchsorted(piece.rows, end))
        if at:
            self._n_bytes += int(sizes[at - 1])
        n_taken = int(np.searchsorted(numbers, end))
        self.is_full = self._n_bytes >= self._limits.n_bytes or self.n_read + n_taken >= self._limits.rows
        return at, end

    def block(self) -> Block:
        """Return what was taken, and begin anew."""
        tables = [table for _, table, _ in self._parts]
        files = [np.full(len(rows), file, np.int64) for file, _, rows in self._parts]
        none = np.empty(0, np.int64)
        block = Block(
            _joined(tables, self._schema),
            np.concatenate([none, *files]),
            np.concatenate([none, *(rows for _, _, rows in self._parts)]),
            self._faults,
            self.n_read,
            self._next,
            self._share,
        )
        self._clear()
        return block


def rows_of(table: Any, kept: npt.NDArray[np.bool_]) -> Any:
    """Return the rows of a table that are kept, by their runs: Arrow picks no single rows of all types."""
    ends = np.flatnonzero(np.diff(kept, prepend=False, append=False)).reshape(-1, 2)
    return _joined([table.slice(begin, end - begin) for begin, end in ends.tolist()], table.schema)


def _joined(tables: list[Any], schema: Any) -> Any:
    """Return tables as one whose columns are in one piece each: Parquet's pages end where pieces do."""
    return pyarrow.concat_tables(tables).combine_chunks() if tables else schema.empty_table()
