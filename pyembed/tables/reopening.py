"""What pickles of models and tables carry, and how it becomes an open file again in another process.

A pickle holds no rows: it names the file, by its absolute path, and says enough of its content to notice that
another file has its name. Device, inode and times are left out, since they differ between machines that share
a file system.
"""

from __future__ import annotations

from typing import NamedTuple

from ..core.handle import Source
from ..core.records import OpenOptions
from ..errors import FormatError
from .table import EmbeddingTable

_SAMPLED_ROWS = 512


class FileMark(NamedTuple):
    """A file, how it was opened, and the bytes of each of its parts."""

    options: OpenOptions
    n_bytes: tuple[int, ...]


class TableMark(NamedTuple):
    """A table, and the digest of every `step`-th of its rows."""

    name: str
    shape: tuple[int, int]
    type: str
    step: int
    digest: str


def mark_file(source: Source) -> FileMark:
    """Return the mark of an open file."""
    return FileMark(source.options, tuple(shard.n_bytes for shard in source.shards()))


def mark_table(table: EmbeddingTable) -> TableMark:
    """Return the mark of a table, for which about 512 rows are read."""
    step = max(1, len(table) // _SAMPLED_ROWS)
    return TableMark(table.name, table.shape, table.type, step, table.digest(step))


def reopen(mark: FileMark) -> Source:
    """Open a file again, as it was opened.

    Raises
    ------
    OSError
        If it cannot be read from here.
    FormatError
        If it is another file.
    """
    options = mark.options
    source = Source(
        options.files,
        format=options.format,
        load_mode=options.load_mode,
        guard=options.guard,
        raw=options.raw,
        memory_budget=options.memory_budget or None,
    )
    try:
        require_same(source, "size in bytes", sum(mark.n_bytes), sum(mark_file(source).n_bytes))
        require_same(source, "sizes of its files", mark.n_bytes, mark_file(source).n_bytes)
    except BaseException:
        source.close()
        raise
    return source


def require_same(source: Source, what: str, pickled: object, found: object) -> None:
    """Raise FormatError if a file is not the one that was pickled, as one of its facts shows."""
    if pickled != found:
        raise FormatError(
            f"{source.path}: not the file that was pickled: its {what} was {pickled}, now {found}",
            source.path,
        )


def require_table(table: EmbeddingTable, mark: TableMark) -> None:
    """Raise FormatError if a table is not the one of `mark`."""
    source = table._source
    require_same(source, f"shape of {mark.name}", mark.shape, table.shape)
    require_same(source, f"type of {mark.name}", mark.type, table.type)
    require_same(source, f"digest of rows of {mark.name}", mark.digest, table.digest(mark.step))


def reopen_table(file: FileMark, mark: TableMark) -> EmbeddingTable:
    """Return a table that was pickled; it owns its file."""
    source = reopen(file)
    try:
        table = EmbeddingTable(source, mark.name, owns_source=True)
        require_table(table, mark)
    except BaseException:
        source.close()
        raise
    return table
