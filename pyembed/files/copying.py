"""Bytes on their way into a file: made here, or copied from another file by the kernel where it can."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Protocol, TypeAlias

from .byte_ranges import PAGE, FileRange

_ZEROS = bytes(1 << 16)
#: Bytes that the kernel copies in one call: between two, signals are handled and progress is reported.
_MOST_AT_ONCE = 32 << 20


class Stretch(Protocol):
    """Bytes of a known number that come a few at a time."""

    @property
    def n_bytes(self) -> int:
        """How many bytes `chunks` yields in all."""
        ...

    def chunks(self) -> Iterator[bytes | memoryview]:
        """Yield the bytes in order; each chunk is valid until the next."""
        ...


Piece: TypeAlias = "bytes | Stretch"


def n_bytes_of(piece: Piece) -> int:
    """Return the size of a piece."""
    return len(piece) if isinstance(piece, bytes) else piece.n_bytes


class PieceWriter:
    """Writes pieces to a file one after the other.

    Parameters
    ----------
    file : binary file
    total : int
        Bytes that will be written, for `report`; the padding between tensors may be left out.
    report : callable
        Called with the share that is done, from 0 to 1.
    """

    def __init__(self, file: BinaryIO, total: int, report: Callable[[float], None]) -> None:
        self._file = file
        self._total = max(total, 1)
        self._report = report
        self._owner = os.getpid()
        self.written = 0

    def put(self, piece: Piece) -> None:
        """Write one piece."""
        if isinstance(piece, FileRange):
            copied = self._copy(piece)
            piece = FileRange(piece.path, piece.offset + copied, piece.n_bytes - copied)
        for data in self._chunks(piece):
            self._file.write(data)
            self._advance(len(data))

    def _chunks(self, piece: Piece) -> Iterator[bytes | memoryview]:
        if isinstance(piece, bytes):
            return iter((piece,))
        if isinstance(piece, FileRange):
            self._file.flush()
            return piece.chunks(target=self.written)
        return piece.chunks()

    def put_all(self, pieces: Sequence[Piece]) -> None:
        """Write some pieces."""
        for piece in pieces:
            self.put(piece)

    def pad(self, alignment: int) -> None:
        """Write zeros up to a multiple of `alignment`."""
        left = -self.written % alignment
        while left:
            self.put(_ZEROS[:left])
            left -= min(left, len(_ZEROS))

    def _advance(self, n: int) -> None:
        self.written += n
        self._report(min(1.0, self.written / self._total))

    def _copy(self, piece: FileRange) -> int:
        """Let the kernel copy as much of a range as it will, and return how much that was.

        File systems that can do so let the two files share what is copied. It takes whole pages: where those
        of the two files do not meet, it would be slower than reads and writes. To these is left all that it
        refuses (a pipe, another file system, a system without the call); they also say what is wrong.
        """
        apart = (piece.offset - self.written) % PAGE
        if apart or not hasattr(os, "copy_file_range") or not self._file.seekable():
            return 0
        self._file.flush()
        target, done = self._file.fileno(), 0
        try:
            with open(piece.path, "rb", buffering=0) as source:
                while done < piece.n_bytes and os.getpid() == self._owner:  # `report` may have forked
                    most = min(_MOST_AT_ONCE, piece.n_bytes - done)
                    n = os.copy_file_range(source.fileno(), target, most, piece.offset + done)
                    if n == 0:
                        break
                    done += n
                    self._advance(n)
        except OSError:
            pass
        return done
