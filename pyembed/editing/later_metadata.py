"""Metadata of the later files of a split set, which the library checks and does not keep."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ..core.constants import ValueType
from ..core.records import Shard
from ..files.byte_ranges import FileRange
from ..files.gguf_encoding import STRUCT_CODES, Encoder


@dataclass(frozen=True)
class StoredNumber:
    """A whole number among the metadata of a file.

    Attributes
    ----------
    place : FileRange
        Its bytes.
    code : str
        What `struct` calls its type.
    """

    place: FileRange
    code: str


def number_in(shard: Shard, metadata: FileRange, n_entries: int, key: str) -> StoredNumber | None:
    """Return where the value of a scalar key lies; None where the file has no such number.

    The file was opened as a part of its set, so that all lengths in it are known to be possible.
    """
    with open(metadata.path, "rb") as file:
        file.seek(metadata.offset)
        reader = _Reader(file.read(metadata.n_bytes), shard.big_endian)
    wanted = key.encode()
    for _ in range(n_entries):
        found = reader.string()
        kind = ValueType(reader.number("I"))
        first = reader.position
        reader.skip(kind)
        if found == wanted and kind in STRUCT_CODES:
            place = FileRange(metadata.path, metadata.offset + first, reader.position - first)
            return StoredNumber(place, STRUCT_CODES[kind])
    return None


class _Reader:
    """Walks over entries of metadata."""

    def __init__(self, data: bytes, big_endian: bool) -> None:
        self._data, self._order = data, Encoder(big_endian=big_endian).order
        self.position = 0

    def number(self, code: str) -> int:
        value: int
        (value,) = struct.unpack_from(self._order + code, self._data, self.position)
        self.position += struct.calcsize(self._order + code)
        return value

    def string(self) -> bytes:
        n = self.number("Q")
        first = self.position
        self.position += n
        return self._data[first : self.position]

    def skip(self, kind: ValueType) -> None:
        """Go on behind a value."""
        if kind == ValueType.STRING:
            self.string()
        elif kind != ValueType.ARRAY:
            self.position += struct.calcsize(STRUCT_CODES[kind])
        else:
            element, n = ValueType(self.number("I")), self.number("Q")
            if element in STRUCT_CODES:
                self.position += n * struct.calcsize(STRUCT_CODES[element])
                return
            for _ in range(n):
                self.skip(element)
