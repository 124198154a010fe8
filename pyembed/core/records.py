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
        Gathers that succeeded.
    n_rows : int
        Rows that they wrote.
    n_bytes_read, n_bytes_written : int
        Bytes of the file's rows that were decoded, and bytes of output.
    seconds : float
        Time inside gathers, of all threads together. Of gathers of fewer than 16 rows every 16th is timed
        and counted 16 times.
    n_major_faults : int
        Of the whole process since its start: pages that had to be read from a disk.
    """

    n_gathers: int
    n_rows: int
    n_bytes_read: int
    n_bytes_written: int
    seconds: float
    n_major_faults: int


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
