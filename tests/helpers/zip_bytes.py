"""Builds zip archives byte by byte, well-formed or not."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

LARGE = 0xFFFFFFFF


@dataclass
class Entry:
    """A file in an archive; `fields` override numbers of its entry in the directory."""

    name: bytes
    data: bytes
    method: int = 0
    padding: int = 0
    large: bool = False
    fields: dict[str, int] = field(default_factory=dict)

    def packed(self) -> bytes:
        """Return the bytes as they are stored."""
        if self.method == 0:
            return self.data
        squeeze = zlib.compressobj(wbits=-15)
        return squeeze.compress(self.data) + squeeze.flush()

    def local(self) -> bytes:
        """Return the header and the bytes."""
        packed = self.packed()
        head = struct.pack("<4sHHHHHIII", b"PK\3\4", 20, 0, self.method, 0, 0, 0, len(packed), len(self.data))
        return (
            head + struct.pack("<HH", len(self.name), self.padding) + self.name + bytes(self.padding) + packed
        )

    def directory(self, offset: int) -> bytes:
        """Return the entry of the directory."""
        numbers = {"size": len(self.data), "packed": len(self.packed()), "offset": offset, **self.fields}
        extra = b""
        if self.large:
            extra = struct.pack(
                "<HHHHQQQ", 0x7777, 0, 1, 24, *(numbers[key] for key in numbers if key in KEYS)
            )
            numbers |= dict.fromkeys(KEYS, LARGE)
        size, packed, at = (numbers[key] for key in KEYS)
        head = struct.pack(
            "<4sHHHHHHIII", b"PK\1\2", 20, 20, numbers.get("flags", 0), self.method, 0, 0, 0, packed, size
        )
        return head + struct.pack("<HHHHHII", len(self.name), len(extra), 0, 0, 0, 0, at) + self.name + extra


KEYS = ("size", "packed", "offset")


def zip_bytes(
    entries: list[Entry],
    *,
    prefix: bytes = b"",
    counts_prefix: bool = False,
    large: bool = False,
    comment: bytes = b"",
    directory_bytes: int | None = None,
    directory_offset: int | None = None,
) -> bytes:
    """Return an archive after `prefix`, whose offsets count that or do not."""
    start = len(prefix) if counts_prefix else 0
    body, directory = bytearray(), bytearray()
    for entry in entries:
        directory += entry.directory(start + len(body))
        body += entry.local()
    n_bytes = len(directory) if directory_bytes is None else directory_bytes
    offset = start + len(body) if directory_offset is None else directory_offset
    end = b""
    if large:
        at = start + len(body) + len(directory)
        end += struct.pack(
            "<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, len(entries), len(entries), n_bytes, offset
        )
        end += struct.pack("<4sIQI", b"PK\6\7", 0, at, 1)
        n_bytes = offset = LARGE
    n = min(len(entries), 0xFFFF)
    end += struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, n, n, n_bytes, offset, len(comment))
    return prefix + body + directory + end + comment
