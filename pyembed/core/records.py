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


@dataclass(frozen=True, slots=True)
class TableLayout:
    """What a table is made of; as a text, the same in words.

    With q the number that a code stands for, s its scale, b its bias and g the factor, a weight is q, q s,
    q s + b, (q s) g or (q s) / g, in float32, each step rounded to nearest even.

    Attributes
    ----------
    codes : str
        How weights are stored: the name of a tensor type, such as ``"Q4_K"`` or ``"I8"``, or ``"F8_E4M3"``,
        ``"F8_E5M2"``, ``"F4"``, or ``"U2"`` to ``"U8"`` for whole numbers of so many bits.
    scales, biases : str or None
        How those are stored, such as ``"BF16"`` or ``"F8_E8M0"``; None where there are none.
    sharing : {"table", "row", "group"} or None
        What shares a scale, and a bias: all rows (of a shard, if each has its own), a row, or a group.
    group : int or None
        Columns that share a scale: all of a row, unless `sharing` is ``"group"``.
    factor : float or None
        A number that all weights are multiplied with, or divided by.
    divides : bool
        Whether they are divided by it.
    code_bytes, scale_bytes, bias_bytes : int
        Of a row.
    n_shards, shard_rows : int
        How many tensors the rows are cut into, and the rows of each but the last, which may have fewer.
    n_stored_rows : int
        Rows of codes. Where `mapping` is true a table's row may be any of these.
    mapping, weights : bool
        Whether the table is model2vec's: with a mapping from tokens to rows, with a weight for each token.
        `scales` then says how the weights are stored.
    tensors : tuple of str
        The names of all tensors that belong to it.
    """

    codes: str
    scales: str | None
    biases: str | None
    sharing: str | None
    group: int | None
    factor: float | None
    divides: bool
    code_bytes: int
    scale_bytes: int
    bias_bytes: int
    n_shards: int
    shard_rows: int
    n_stored_rows: int
    mapping: bool
    weights: bool
    tensors: tuple[str, ...]

    def __str__(self) -> str:
        words = [self.codes]
        if self.weights:
            words.append(f"{self.scales} weights, one a row")
        elif self.scales is not None:
            what = f"{self.scales} scales" if self.biases is None else f"{self.scales} scales and biases"
            words.append(f"{what}, {self._shared()}")
        if self.factor is not None:
            words.append(f"{'divided by' if self.divides else 'times'} {self.factor:g}")
        if self.n_shards > 1:
            words.append(f"in {self.n_shards} shards of {self.shard_rows} rows")
        if self.mapping:
            words.append(f"mapped to {self.n_stored_rows} stored rows")
        return "; ".join(words)

    def _shared(self) -> str:
        if self.sharing == "group":
            return f"one for {self.group} columns"
        return "one a row" if self.sharing == "row" else "one for all rows"


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
