"""Bringing back a model whose edit in place was interrupted."""

from __future__ import annotations

import errno
import os
import stat

from ..core.unfinished import journal_of
from ..safe_text import printable
from .in_place import undo_header
from .set_record import MAGIC, undo_set


def undo(path: str) -> int:
    """Bring back a model whose edit in place was interrupted, and return how many bytes were put back.

    Parameters
    ----------
    path : str
        The model; of a split set the file that the error names.

    Raises
    ------
    OSError
        If there is nothing to undo, a file cannot be read or written, or the edit still goes on.
    ValueError
        If what was kept does not belong to this model, or that is not a plain file.
    """
    journal, model = journal_of(path), os.path.realpath(path)
    try:
        if not _may_be_opened(journal):
            raise ValueError(f"{printable(journal)} is not a file that an edit wrote: remove it")
        # Of a set the first file may be away.
        if os.path.lexists(model) and not _may_be_opened(model):
            raise ValueError(
                f"{printable(model)} is not the file that was edited: remove it, then undo again"
            )
        with open(journal, "rb") as kept:
            is_of_set = kept.read(len(MAGIC)) == MAGIC
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, "no interrupted edit to undo", path) from None
    return undo_set(path) if is_of_set else undo_header(path)


def _may_be_opened(path: str) -> bool:
    """Return whether a path is that of a plain file; a pipe that nobody writes to would be waited for."""
    return stat.S_ISREG(os.lstat(path).st_mode)
