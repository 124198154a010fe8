"""Builds GGUF files byte by byte, well-formed or not, in every version and byte order."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
NUMBER_CODES = {
    U8: "B",
    I8: "b",
    U16: "H",
    I16: "h",
    U32: "I",
    I32: "i",
    F32: "f",
    BOOL: "B",
    U64: "Q",
    I64: "q",
    F64: "d",
}


@dataclass
class Array:
    """An array value: its element type and its elements (Arrays, where that type is ARRAY)."""

    element_type: int
    elements: Sequence[Any]


@dataclass
class GGUFBytes:
    """A file under construction; `bytes(builder)` is the result.

    Every count and offset can be overridden, so that a test changes the one field it is about.
    """

    version: int = 3
    big_endian: bool = False
    alignment: int = 32
    entries: list[bytes] = field(default_factory=list)
    infos: list[bytes] = field(default_factory=list)
    data: bytearray = field(default_factory=bytearray)
    n_tensors: int | None = None
    n_entries: int | None = None

    def number(self, code: str, value: Any) -> bytes:
        """Return one number in the file's byte order; `code` is one of struct's."""
        return struct.pack((">" if self.big_endian else "<") + code, value)

    def length(self, value: int) -> bytes:
        """Return a count, which is 32 bits wide in version 1."""
        return self.number("I" if self.version == 1 else "Q", value)

    def string(self, value: str | bytes, length: int | None = None) -> bytes:
        """Return a string, with a length that may be false."""
        raw = value.encode() if isinstance(value, str) else value
        return self.length(len(raw) if length is None else length) + raw

    def value(self, kind: int, value: Any) -> bytes:
        """Return a value without its type."""
        if kind == STRING:
            return self.string(value)
        if kind == ARRAY:
            body = b"".join(self.value(value.element_type, element) for element in value.elements)
            return self.number("i", value.element_type) + self.length(len(value.elements)) + body
        return self.number(NUMBER_CODES[kind], value)

    def add(self, key: str | bytes, kind: int, value: Any) -> GGUFBytes:
        """Append a metadata entry."""
        return self.add_raw(self.string(key) + self.number("i", kind) + self.value(kind, value))

    def add_raw(self, entry: bytes) -> GGUFBytes:
        """Append the bytes of a metadata entry as they are."""
        self.entries.append(entry)
        return self

    def tensor(
        self,
        name: str | bytes,
        shape: Sequence[int],
        kind: int,
        data: bytes = b"",
        *,
        offset: int | None = None,
    ) -> GGUFBytes:
        """Append a tensor of `shape`, rows first, and its bytes at the next aligned offset."""
        self.data += bytes(-len(self.data) % self.alignment)
        where = len(self.data) if offset is None else offset
        dims = b"".join(self.length(n) for n in reversed(shape))
        info = (
            self.string(name)
            + self.number("I", len(shape))
            + dims
            + self.number("i", kind)
            + self.number("Q", where)
        )
        self.infos.append(info)
        self.data += data
        return self

    def header(self) -> bytes:
        """Return all bytes before the padding that precedes the data."""
        n_tensors = len(self.infos) if self.n_tensors is None else self.n_tensors
        n_entries = len(self.entries) if self.n_entries is None else self.n_entries
        counts = self.length(n_tensors) + self.length(n_entries)
        return (
            b"GGUF" + self.number("I", self.version) + counts + b"".join(self.entries) + b"".join(self.infos)
        )

    def __bytes__(self) -> bytes:
        """Return the whole file."""
        header = self.header()
        if not self.infos:
            return header
        return header + bytes(-len(header) % self.alignment) + bytes(self.data)
