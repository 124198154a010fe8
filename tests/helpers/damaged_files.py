"""GGUF files damaged in one place each, and the pieces to make more of them."""

from __future__ import annotations

import struct


def header(n_tensors: int, n_entries: int, version: int = 3, rest: bytes = b"") -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, n_tensors, n_entries) + rest


def entry(key: bytes, kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(key)) + key + struct.pack("<i", kind) + value


def info(
    dims: list[int], kind: int = 0, offset: int = 0, n_dims: int | None = None, name: bytes = b"t"
) -> bytes:
    n = len(dims) if n_dims is None else n_dims
    return struct.pack("<Q", len(name)) + name + struct.pack(f"<I{len(dims)}QiQ", n, *dims, kind, offset)


PAD = bytes(256)
# name: (the file, the byte offset that is reported, words of the message)
DAMAGED: dict[str, tuple[bytes, int, str]] = {
    "not a GGUF file": (b"ggml" + PAD, 0, "not a GGUF file"),
    "four bytes": (b"GGUF", 4, "the version"),
    "version 0": (header(0, 0, version=0), 4, "version 0"),
    "version 4": (header(0, 0, version=4), 4, "version 4"),
    "huge number of tensors": (header(2**63, 0, rest=PAD), 8, "number of tensors"),
    "more tensors than bytes": (header(12, 0, rest=PAD), 8, "number of tensors"),
    "huge number of entries": (header(0, 2**64 - 1, rest=PAD), 16, "number of metadata"),
    "key of a terabyte": (header(0, 1, rest=struct.pack("<Q", 2**40) + bytes(24)), 24, "metadata key"),
    "key length that wraps": (header(0, 1, rest=struct.pack("<Q", 2**64 - 8) + PAD), 24, "metadata key"),
    "empty key": (header(0, 1, rest=entry(b"", 4, PAD)), 24, "key is empty"),
    "value type 13": (header(0, 1, rest=entry(b"k", 13, PAD)), 33, "type of a metadata value is 13"),
    "value type -1": (header(0, 1, rest=entry(b"k", -1, PAD)), 33, "value types are 0 to 12"),
    "string past the end": (header(0, 1, rest=entry(b"k", 8, struct.pack("<Q", 999))), 37, "inside a metadata value"),
    "element type 13": (header(0, 1, rest=entry(b"k", 9, struct.pack("<iQ", 13, 1) + PAD)), 37, "element type"),
    "array of 2^60 strings": (header(0, 1, rest=entry(b"k", 9, struct.pack("<iQ", 8, 2**60) + PAD)), 41, "length of an array"),
    "array whose size wraps": (header(0, 1, rest=entry(b"k", 9, struct.pack("<iQ", 10, 2**61 + 1) + PAD)), 41, "length of an array"),
    "duplicate key": (header(0, 2, rest=entry(b"k", 0, b"\1") * 2), 38, "'k' occurs twice"),
    "alignment 0": (header(0, 1, rest=entry(b"general.alignment", 4, bytes(4))), 53, "alignment is 0"),
    "alignment 13": (header(0, 1, rest=entry(b"general.alignment", 4, b"\x0d\0\0\0")), 53, "alignment is 13"),
    "alignment stored as u64": (header(0, 1, rest=entry(b"general.alignment", 10, b"\x20" + bytes(7))), 53, "not as u32"),
    "alignment of 2 GiB": (
        header(1, 1, rest=entry(b"general.alignment", 4, b"\0\0\0\x80") + info([1])), 90, "ends before its tensor data",
    ),
    "five dimensions": (header(1, 0, rest=info([1] * 5) + PAD), 33, "has 5 dimensions"),
    "2^32-1 dimensions": (header(1, 0, rest=info([1], n_dims=2**32 - 1) + PAD), 33, "4294967295 dimensions"),
    "row that does not divide": (header(1, 0, rest=info([33], kind=2) + PAD), 24, "divide into blocks"),
    "size that wraps": (header(1, 0, rest=info([2**62, 2**62], kind=0) + PAD), 24, "fit 63 bits"),
    "width of 2^62": (header(1, 0, rest=info([2**62], kind=0) + PAD), 24, "fit 63 bits"),
    "row count of 2^64-1": (header(1, 0, rest=info([32, 2**64 - 1], kind=2) + PAD), 24, "fit 63 bits"),
    "offset past the end": (header(1, 0, rest=info([1], offset=2**40) + PAD), 64, "does not lie inside the file"),
    "offset that wraps": (header(1, 0, rest=info([1], offset=2**64 - 2) + PAD), 64, "does not lie inside the file"),
    "unknown type at an offset past the end": (header(1, 0, rest=info([1], kind=77, offset=2**40) + PAD), 64, "inside the file"),
    "I8 of almost 2^63 bytes": (header(1, 0, rest=info([0x7FFFFFFFFFFFFFC0], kind=24) + PAD), 64, "inside the file"),
    "two I8 whose sum wraps": (
        header(2, 0, rest=info([0x7FFFFFFFFFFFFFC0], kind=24) + info([0x7FFFFFFFFFFFFFC0], kind=24, name=b"u") + PAD),
        96, "inside the file",
    ),
    "duplicate tensor": (header(2, 0, rest=info([1]) + info([1], offset=4) + PAD), 100, "two tensors are named 't'"),
}  # fmt: skip
