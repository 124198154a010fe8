"""Where the parts of a GGUF file lie, so that each can be copied as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..core.constants import ValueType
from ..core.handle import Source
from ..core.records import MetadataEntry, Shard, TensorInfo
from ..core.strings import encode_text
from ..core.suggested import command
from ..errors import GGUFError
from ..files.byte_ranges import FileRange
from ..files.gguf_encoding import COUNTS_END


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as a file describes it: what is known of it, and the number of its type."""

    info: TensorInfo
    type_id: int


@dataclass(frozen=True)
class Layout:
    """Where the parts of one file lie.

    Attributes
    ----------
    shard : Shard
    entries : tuple of (str, FileRange)
        Keys of the metadata with their whole entries, in order. Of later files of a split set all metadata is
        one range without a key.
    tensors : tuple of StoredTensor
        In the order of the file.
    """

    shard: Shard
    entries: tuple[tuple[str, FileRange], ...]
    tensors: tuple[StoredTensor, ...]

    @property
    def data(self) -> FileRange:
        """All bytes from the first tensor to the end of the file."""
        first = self.shard.data_offset
        return FileRange(self.shard.path, first, self.shard.end - first)

    @property
    def header(self) -> FileRange:
        """All bytes before the data."""
        first = self.shard.first
        return FileRange(self.shard.path, first, self.shard.data_offset - first)


def layouts_of(source: Source) -> list[Layout]:
    """Return the layouts of all files of a model.

    Raises
    ------
    GGUFError
        For a file of version 1, whose lengths are stored in 32 bits.
    """
    shards = source.shards()
    columns = source.tensor_columns()
    tensors: list[list[StoredTensor]] = [[] for _ in shards]
    for index in range(source.n_tensors()):
        info = source.tensor(index)
        assert info is not None
        tensors[columns["shard"][index]].append(StoredTensor(info, int(columns["type"][index])))
    layouts = []
    for number, shard in enumerate(shards):
        if shard.version < 2:
            raise GGUFError(
                f"{shard.path}: GGUF version {shard.version} cannot be edited; "
                f"`{command('extract', shard.path, 'NEW.gguf', '--tensor', '*')}` writes a copy of "
                "version 3, which can",
                shard.path,
                shard.first + 4,
            )
        end = source.metadata_end(number)
        entries: Sequence[tuple[str, FileRange]] = (
            _entries(source.metadata_entries(), shard, end)
            if number == 0
            else [("", _range(shard, shard.first + COUNTS_END, end))]
        )
        layouts.append(Layout(shard, tuple(entries), tuple(tensors[number])))
    return layouts


def _entries(stored: list[MetadataEntry], shard: Shard, end: int) -> list[tuple[str, FileRange]]:
    """Return each entry of the metadata: they follow each other without gaps."""
    starts = [entry.offset - _head_bytes(entry) for entry in stored]
    return [
        (entry.key, _range(shard, first, last))
        for entry, first, last in zip(stored, starts, [*starts[1:], end], strict=True)
    ]


def _head_bytes(entry: MetadataEntry) -> int:
    """Return the bytes of an entry before its value: the key, its length, the type, an array's counts."""
    key = encode_text(entry.key) or b""
    return 8 + len(key) + 4 + (12 if entry.type == ValueType.ARRAY else 0)


def _range(shard: Shard, first: int, end: int) -> FileRange:
    return FileRange(shard.path, first, end - first)
