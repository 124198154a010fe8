"""Replacing several files of a split set, so that no mixture of old and new ones can be opened.

Files are renamed one by one, and a kill in between leaves some old and some new. A set is opened by its first
file: that one goes first and comes back last, when all others are new. Where each old file is meanwhile is
written in ``FIRST.pyembed-undo``, by which `undo_set` brings them back.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import stat
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from ..core.reading import read_at_most
from ..core.system import open_to_move
from ..core.unfinished import journal_of, refuse_unfinished
from ..files.atomic_write import replacing
from ..safe_text import printable
from .in_place import lock, sync_folder

MAGIC = b"pyembed undo 2\n\0"
_MOST_BYTES = 16 << 20
_KEPT = re.compile(r"\.pyembed-[0-9a-f]{12}\.old\.tmp")


@dataclass(frozen=True)
class _Move:
    """A file of the set, and where the old one is until all are replaced."""

    path: str
    kept: str

    def is_kept(self) -> bool:
        return os.path.lexists(self.kept)

    @property
    def unfinished(self) -> str:
        """The new file before it has its name."""
        return self.kept.removesuffix(".old.tmp") + ".tmp"

    def bring_back(self) -> None:
        if self.is_kept():
            os.replace(self.kept, self.path)
            with suppress(FileNotFoundError):  # two names of one file both stay
                os.unlink(self.kept)


class SetRecord:
    """What is kept of a set while its files are replaced; a `Record` of ``files.atomic_write``.

    Parameters
    ----------
    first : str
        The first file of the set, whether it is replaced or not.
    check : callable
        Raises if what was read to make the new files was changed meanwhile. It is called when no other
        process edits the set any more, and before a file gets another name: what is read of the set is
        closed by it where systems ask for that.
    """

    def __init__(self, first: str, check: Callable[[], None]) -> None:
        self._path = os.path.realpath(first)
        self._check = check
        self._journal = journal_of(first)
        self._moves: list[_Move] = []
        self._open = ExitStack()

    def begin(self, names: Sequence[tuple[str, str]]) -> None:
        """Keep what brings the set back, and take away its first file."""
        if not is_plain_file(self._path):  # nobody can open the set before its first file is there
            self._check()
            return
        moves = [_Move(*name) for name in names]
        missing = [move.path for move in moves if not os.path.lexists(move.path)]
        if missing:
            raise ValueError(
                f"{printable(self._path)} is there and {printable(missing[0])} is not: a set is replaced as "
                "a whole; remove what is there, or name other files"
            )
        if all(move.path != self._path for move in moves):
            name = f".pyembed-{secrets.token_hex(6)}.old.tmp"
            moves.append(_Move(self._path, os.path.join(os.path.dirname(self._path), name)))
        moves.sort(key=lambda move: move.path != self._path)  # the first file first
        file = open_to_move(self._path)
        self._open.callback(file.close)
        lock(file)
        refuse_unfinished(self._path)
        if not os.path.samestat(os.fstat(file.fileno()), os.stat(self._path)):
            raise OSError(errno.EBUSY, "another process has replaced this file; try again", self._path)
        self._check()
        self._moves = moves
        with replacing(self._journal) as journal:
            journal.write(MAGIC + _text(self._journal, moves))
        sync_folder(self._journal)
        first = moves[0]
        os.rename(first.path, first.kept)
        sync_folder(first.path)

    def end(self) -> None:
        """Put back a first file that was not to be replaced: the set is whole again."""
        if self._moves:
            first, *others = self._moves
            for folder in {os.path.dirname(move.path) for move in others}:
                sync_folder(os.path.join(folder, ""))
            if not os.path.lexists(first.path):
                os.rename(first.kept, first.path)
            sync_folder(first.path)
            os.unlink(self._journal)
        self._moves = []
        self._open.close()

    def undo(self) -> None:
        """Take a new first file away before old files are put back."""
        if self._moves and self._moves[0].is_kept():
            with suppress(FileNotFoundError):
                os.unlink(self._moves[0].path)

    def abandon(self) -> None:
        """Forget what was kept where all old files are back; else it stays, for `undo_set`."""
        if self._moves:
            self._moves[0].bring_back()
            if not any(move.is_kept() for move in self._moves):
                with suppress(FileNotFoundError):
                    os.unlink(self._journal)
        self._moves = []
        self._open.close()


def undo_set(path: str) -> int:
    """Bring back the files of a set whose replacement was interrupted, and return how many bytes those are.

    Raises
    ------
    OSError
        If a file cannot be read or renamed, or the edit still goes on.
    ValueError
        If what was kept does not belong to this set.
    """
    journal = journal_of(path)
    moves = _moves_in(journal, os.path.realpath(path))
    first, *others = moves
    with open_to_move(first.kept if first.is_kept() else first.path) as file:
        lock(file)
        n_bytes = sum(os.lstat(move.kept).st_size for move in moves if move.is_kept())
        if first.is_kept():
            with suppress(FileNotFoundError):
                os.unlink(first.path)  # the new one: with it a mixture could be opened
        for move in (*others, first):
            move.bring_back()
            with suppress(FileNotFoundError):
                os.unlink(move.unfinished)
        for folder in {os.path.dirname(move.path) for move in moves}:
            sync_folder(os.path.join(folder, ""))
        os.unlink(journal)
    return n_bytes


def is_plain_file(path: str) -> bool:
    """Return whether a path is that of a plain file; a pipe that nobody writes to would be waited for."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def _text(journal: str, moves: Sequence[_Move]) -> bytes:
    """Return where files are, as seen from the journal: a folder may be moved before its edit is undone."""
    folder = os.path.dirname(journal)
    files = [[os.path.relpath(move.path, folder), os.path.basename(move.kept)] for move in moves]
    return json.dumps({"files": files}).encode()


def _moves_in(journal: str, first: str) -> list[_Move]:
    """Read what a journal says, which may be anybody's: it names old files by names that only edits give."""
    folder = os.path.dirname(journal)
    with open(journal, "rb") as file:
        data = read_at_most(file, _MOST_BYTES + 1)
    try:
        files = json.loads(data[len(MAGIC) :])["files"]
        moves = []
        for name, kept in files:
            if not _KEPT.fullmatch(kept):
                raise ValueError
            path = os.path.normpath(os.path.join(folder, name))
            if b"\0" in os.fsencode(path):
                raise ValueError
            move = _Move(path, os.path.join(os.path.dirname(path), kept))
            if move.is_kept() and not is_plain_file(move.kept):
                raise ValueError
            moves.append(move)
        n_files, n_kept = len({move.path for move in moves}), len({move.kept for move in moves})
        if len(data) > _MOST_BYTES or moves[0].path != first or not n_files == n_kept == len(moves):
            raise ValueError
    except (ValueError, TypeError, LookupError, RecursionError):
        message = f"{printable(journal)} does not hold what was kept of {printable(first)}"
        raise ValueError(message) from None
    return moves
