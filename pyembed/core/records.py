"""What a file says of itself, and what became of it: records without behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Stats(NamedTuple):
    """What the tables of a model have done since it was opened.

    Attributes
    ----------
    n_gathers : int
        Calls of `gather` and `pool` that succeeded.
    n_rows : int
        Rows that they wrote or pooled.
    n_bytes_read, n_bytes_written : int
        Bytes of the file's rows that were decoded, and bytes of output.
    seconds : float
        Time inside these calls, of all threads together. Of those of fewer than 16 rows every 16th is timed
        and counted 16 times.
    n_major_faults : int
        Of the whole process since its start: pages that had to be read from a disk.
    n_rows_missed : int
        Rows of mapped files that were not known to be in memory when they were asked for.
    n_reads, n_bytes_fetched : int
        Runs of adjacent pages that were asked of the system for them, and the bytes of these pages.
    n_pages_found : int
        Pages that were not known to be in memory and were there after all, by a sample.
    wait_seconds : float
        Time that gathers waited for pages, all threads together.
    n_prefetches, n_prefetches_lost : int
        Prefetches that had something to fetch, and those of them that were given up.
    n_forgotten : int
        How often it was noticed that the system had taken pages back.
    budget_bytes, held_bytes : int
        The memory budget, 0 without one, and what of the mapped files is in memory within it.
    n_pages_evicted : int
        Pages that were unmapped for the sake of the budget.
    mechanism : str
        How pages are read here.
    """

    n_gathers: int
    n_rows: int
    n_bytes_read: int
    n_bytes_written: int
    seconds: float
    n_major_faults: int
    n_rows_missed: int
    n_reads: int
    n_bytes_fetched: int
    n_pages_found: int
    wait_seconds: float
    n_prefetches: int
    n_prefetches_lost: int
    n_forgotten: int
    budget_bytes: int
    held_bytes: int
    n_pages_evicted: int
    mechanism: str

    @property
    def hit_rate(self) -> float:
        """Share of the rows that were known to be in memory when they were asked for; 1 before any was."""
        return 1 - min(self.n_rows_missed, self.n_rows) / self.n_rows if self.n_rows else 1.0


@dataclass(frozen=True, slots=True)
class RawLayout:
    """Where a raw file's rows lie: `rows` x `columns` weights of type `type_id` from byte `offset` on."""

    rows: int
    columns: int
    type_id: int
    big_endian: bool
    offset: int


@dataclass(frozen=True)
class OpenOptions:
    """How a file was opened, for opening it again elsewhere: `files` are absolute."""

    files: str | tuple[str, ...]
    format: str
    load_mode: str
    guard: bool
    raw: RawLayout | None
    memory_budget: int


@dataclass(frozen=True, slots=True)
class Shard:
    """Facts about one file of a model; 0 where its format has no such notion.

    The model lies in bytes `first` to `end` - 1: in all of the file, unless that is a zip archive.
    """

    path: str
    n_bytes: int
    data_offset: int
    alignment: int
    n_metadata: int
    n_tensors: int
    version: int
    big_endian: bool
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where and how a file stores a tensor.

    Attributes
    ----------
    name : str
        Unique in its model.
    shape : tuple of int
        Rows first: the last number is the width of a row.
    type : str
        Such as ``"Q4_K"``; of a type unknown here the file's own spelling, ``"type 99"`` or
        ``"type 139 (IQ4_K of ik_llama.cpp)"``.
    n_bytes : int or None
        None for a type unknown here.
    offset : int
        Byte offset in the file `path`.
    path : str
        The file that holds it; of a split set, the shard.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    n_bytes: int | None
    offset: int
    path: str


class ChangeKind(str, Enum):
    """What became of a file since it was opened.

    After the first two the open model goes on as before, with the file that it opened. After the last two
    what it reads is not to be trusted.
    """

    REPLACED = "replaced"
    REMOVED = "removed"
    OVERWRITTEN = "overwritten"
    TRUNCATED = "truncated"


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a model's file since it was opened.

    Attributes
    ----------
    kind : ChangeKind
        Compares equal to its name in lower case, such as ``"replaced"``.
    path : str
        The file; of several, the one that fares worst.
    """

    kind: ChangeKind
    path: str

    @property
    def harmless(self) -> bool:
        """Whether the open model goes on as before, with the file that it opened."""
        return self.kind in (ChangeKind.REPLACED, ChangeKind.REMOVED)

    def __str__(self) -> str:
        return f"{self.path} was {self.kind.value} since it was opened"


@dataclass(frozen=True, slots=True)
class MetadataEntry:
    """Where and how a file stores a metadata value.

    Attributes
    ----------
    key : str
    type, element_type : int
        Numbers of GGUF value types; -1 for the element type of a scalar.
    n : int
        Elements of an array, bytes of a string, else 1.
    offset : int
        Byte offset of the value, or of an array's first element.
    """

    key: str
    type: int
    element_type: int
    n: int
    offset: int
