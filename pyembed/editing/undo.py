"""Bringing back a model whose edit in place was interrupted."""

from __future__ import annotations

import errno
import os

from ..core.unfinished import journal_of
from ..safe_text import printable
from .in_place import undo_header
from .set_record import MAGIC, is_plain_file, undo_set


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
        if os.path.lexists(journal) and not is_plain_file(journal):
            raise ValueError(f"{printable(journal)} is not a file that an edit wrote: remove it")
        # Of a set the first file may be away.
        if os.path.lexists(model) and not is_plain_file(model):
            raise ValueError(
                f"{printable(model)} is not the file that was edited: remove it, then undo again"
            )
        with open(journal, "rb") as kept:
            is_of_set = kept.read(len(MAGIC)) == MAGIC
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, "no interrupted edit to undo", path) from None
    return undo_set(path) if is_of_set else undo_header(path)
