"""How GGUF spells counts, strings, values and descriptions of tensors, from version 2 on."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Literal

from ..core.constants import ValueType

STRUCT_CODES = {
    ValueType.U8: "B",
    ValueType.I8: "b",
    ValueType.U16: "H",
    ValueType.I16: "h",
    ValueType.U32: "I",
    ValueType.I32: "i",
    ValueType.F32: "f",
    ValueType.BOOL: "B",
    ValueType.U64: "Q",
    ValueType.I64: "q",
    ValueType.F64: "d",
}
#: Bytes of a header before its metadata: the magic, the version and two counts.
COUNTS_END = 24


class Encoder:
    """Turns numbers and texts into the bytes of one file.

    Parameters
    ----------
    big_endian : bool
        The byte order of the file.
    """

    def __init__(self, *, big_endian: bool) -> None:
        self.big_endian = big_endian
        self.order: Literal["<", ">"] = ">" if big_endian else "<"

    def counts(self, version: int, n_tensors: int, n_metadata: int) -> bytes:
        """Return what a file begins with."""
        return b"GGUF" + struct.pack(f"{self.order}IQQ", version, n_tensors, n_metadata)

    def number(self, code: str, value: float) -> bytes:
        """Return one number; `code` is one of `struct`'s."""
        return struct.pack(self.order + code, value)

    def string(self, text: bytes) -> bytes:
        """Return a string with its length."""
        return self.number("Q", len(text)) + text

    def entry(self, key: bytes, kind: int) -> bytes:
        """Return what precedes the value in a metadata entry."""
        return self.string(key) + self.number("I", kind)

    def array(self, element_kind: int, n: int) -> bytes:
        """Return what precedes the elements of an array."""
        return self.number("I", element_kind) + self.number("Q", n)

    def tensor(self, name: bytes, shape: Sequence[int], type_id: int, offset: int) -> bytes:
        """Return the description of a tensor: `shape` has rows first, `offset` counts from the data on."""
        columns_first = struct.pack(f"{self.order}I{len(shape)}Q", len(shape), *reversed(shape))
        return self.string(name) + columns_first + struct.pack(f"{self.order}iQ", type_id, offset)
