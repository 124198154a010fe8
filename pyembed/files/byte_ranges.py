"""Bytes of a file as they are stored, a few at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..core.records import TensorInfo
from ..errors import FormatError, UnsupportedTypeError
from ..safe_text import quote

# What a core's caches hold: larger pieces take twice as long to copy.
_CHUNK = 1 << 20
PAGE = 4096


@dataclass(frozen=True, slots=True)
class FileRange:
    """`n_bytes` bytes of the file `path` from byte `offset` on."""

    path: str
    offset: int
    n_bytes: int

    def chunks(self, target: int = 0) -> Iterator[memoryview]:
        """Yield the bytes in order, at most 1 MiB at a time; each is overwritten by the next.

        Parameters
        ----------
        target : int, optional
            Where they are written to in a file: chunks end at the ends of its pages, so that none of these is
            written twice.

        Raises
        ------
        OSError
            If the file cannot be read.
        FormatError
            If it ends before the range does: it was made shorter after it was opened.
        """
        buffer = memoryview(bytearray(min(_CHUNK, self.n_bytes)))
        done = 0
        with open(self.path, "rb", buffering=0) as file:
            file.seek(self.offset)
            while done < self.n_bytes:
                past = (target + done) % PAGE if len(buffer) > PAGE else 0
                n = file.readinto(buffer[: min(self.n_bytes - done, len(buffer) - past)])
                if not n:
                    end = self.offset + done
                    raise FormatError(
                        f"{self.path}: the file became shorter while it was open: it ends at byte {end}, and "
                        f"bytes up to {self.offset + self.n_bytes} are needed; fetch it again",
                        self.path,
                        end,
                    )
                yield buffer[:n]
                done += n


def tensor_range(info: TensorInfo) -> FileRange:
    """Return where the bytes of a tensor lie; UnsupportedTypeError where their number is unknown."""
    if info.n_bytes is None:
        raise UnsupportedTypeError(
            f"{info.path}: {quote(info.name)} is of an unknown type, {info.type}", info.path
        )
    return FileRange(info.path, info.offset, info.n_bytes)


def same_bytes(a: FileRange, b: FileRange) -> bool:
    """Return whether two ranges hold the same bytes; reads no further than where they first differ."""
    if a.n_bytes != b.n_bytes:
        return False
    # Regular files fill the buffer at every read, so that the chunks of both are of the same sizes.
    return all(one == other for one, other in zip(a.chunks(), b.chunks(), strict=True))
