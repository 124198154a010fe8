"""Changing bytes of a header where they lie, so that whatever interrupts it can be undone.

A change that lies in one sector of a disk is one write, which is done or not. For any other, the old bytes
are first kept beside the model, in ``MODEL.pyembed-undo``: an error puts them back at once; where the process
was killed or the power went, `undo_header` does.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO

import numpy as np

from ..core import system
from ..core.unfinished import journal_of, refuse_unfinished
from ..errors import GGUFError
from ..files.atomic_write import replacing
from ..files.byte_ranges import FileRange
from ..files.copying import Piece, n_bytes_of
from ..safe_text import printable
from .edit import FilePlan

_MAGIC = b"pyembed undo 1\n\0"
_HEAD = struct.Struct("<16sQQ")
_SECTOR = 512
#: Longer headers are not compared in memory: their files are rewritten.
_MOST_HEADER = 256 << 20


@dataclass(frozen=True)
class HeaderPatch:
    """Bytes of a file, and what is to stand in their place.

    Attributes
    ----------
    path : str
    offset : int
    old, new : bytes
        Of one length.
    """

    path: str
    offset: int
    old: bytes
    new: bytes

    @property
    def n_bytes(self) -> int:
        """How many bytes are written."""
        return len(self.new)

    def apply(self, check: Callable[[], None]) -> None:
        """Write the new bytes; what `check` raises afterwards, or anything else, brings back the old ones.

        Raises
        ------
        OSError
            If the file cannot be written, or another process is editing it.
        GGUFError
            If the file no longer holds the old bytes, or an earlier edit was interrupted and not undone.
        """
        journal = journal_of(self.path)
        refuse_unfinished(self.path)
        needs_journal = self.offset // _SECTOR != (self.offset + len(self.new) - 1) // _SECTOR
        with open(self.path, "r+b", buffering=0) as file:
            lock(file)
            if _read(file, self.offset, len(self.old)) != self.old:
                raise GGUFError(f"{self.path} was changed meanwhile; try again", self.path, self.offset)
            if needs_journal:
                with replacing(journal) as kept:
                    kept.write(_HEAD.pack(_MAGIC, self.offset, len(self.old)) + self.old + self.new)
                sync_folder(journal)
            try:
                _write(file, self.offset, self.new)
                check()
                if needs_journal:
                    os.unlink(journal)
            except BaseException:
                _write(file, self.offset, self.old)
                with suppress(OSError):  # it is not there, or stays and does no harm
                    os.unlink(journal)
                raise


def patch_of(plan: FilePlan) -> HeaderPatch | None:
    """Return how a file becomes what is planned by changing its header alone; None where it has no room."""
    header = plan.layout.header
    n_bytes = sum(map(n_bytes_of, plan.head))
    padding = -n_bytes % plan.alignment
    is_same_size = n_bytes + padding == header.n_bytes
    if not plan.keeps_data or not is_same_size or n_bytes > _MOST_HEADER:
        return None
    new = b"".join(map(_bytes, plan.head)) + bytes(padding)
    old = _bytes(header)
    differing = np.flatnonzero(np.frombuffer(old, np.uint8) != np.frombuffer(new, np.uint8))
    if not len(differing):
        return HeaderPatch(header.path, header.offset, b"", b"")
    first, end = int(differing[0]), int(differing[-1]) + 1
    return HeaderPatch(header.path, header.offset + first, old[first:end], new[first:end])


def undo_header(path: str) -> int:
    """Bring back the bytes of a header whose edit was interrupted, and return how many those are.

    Raises
    ------
    OSError
        If there is nothing to undo, or a file cannot be read or written.
    ValueError
        If what was kept does not belong to this file.
    """
    journal = journal_of(path)
    with open(path, "r+b", buffering=0) as file, open(journal, "rb") as kept:
        lock(file)
        size = os.fstat(kept.fileno()).st_size
        head = kept.read(_HEAD.size)
        magic, offset, n = _HEAD.unpack(head) if len(head) == _HEAD.size else (b"", 0, 0)
        room = os.fstat(file.fileno()).st_size
        is_whole = magic == _MAGIC and n <= _MOST_HEADER and size == _HEAD.size + 2 * n
        if not is_whole or offset > room or n > room - offset:
            raise ValueError(f"{printable(journal)} does not hold bytes of {printable(path)}")
        old, new = kept.read(n), kept.read(n)
        now = np.frombuffer(_read(file, offset, n), np.uint8)
        if len(now) != n or not np.all(
            (now == np.frombuffer(old, np.uint8)) | (now == np.frombuffer(new, np.uint8))
        ):
            raise ValueError(
                f"{printable(path)} was changed otherwise since; {printable(journal)} does not fit it"
            )
        _write(file, offset, old)
    os.unlink(journal)
    return int(n)


def _bytes(piece: Piece) -> bytes:
    if isinstance(piece, bytes):
        return piece
    assert isinstance(piece, FileRange)
    return b"".join(map(bytes, piece.chunks()))


def lock(file: FileIO) -> None:
    """Keep other processes from editing a file at the same time; the lock goes when the file is closed."""
    if not system.lock(file):
        raise OSError(errno.EAGAIN, "another process is editing this file", file.name)


def _read(file: FileIO, offset: int, n: int) -> bytes:
    file.seek(offset)
    return file.read(n)


def _write(file: FileIO, offset: int, data: bytes) -> None:
    """Put bytes on the disk."""
    view = memoryview(data)
    file.seek(offset)
    while view:
        view = view[file.write(view) :]
    os.fsync(file.fileno())


def sync_folder(path: str) -> None:
    """Put the names in a file's folder on the disk."""
    system.sync_folder(os.path.dirname(path))
