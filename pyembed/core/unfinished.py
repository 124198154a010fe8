"""Edits of models in place that are not finished: beside the model lies what undoes them."""

from __future__ import annotations

import os

from ..errors import GGUFError
from .paths import Path
from .suggested import command

JOURNAL_SUFFIX = ".pyembed-undo"


def journal_of(path: Path) -> str:
    """Return where what undoes an edit of a file is kept meanwhile; of a split set, beside its first file."""
    return os.path.realpath(os.fsdecode(path)) + JOURNAL_SUFFIX


def refuse_unfinished(path: str) -> None:
    """Raise GGUFError if an edit of a file goes on, or was interrupted and not undone."""
    journal = journal_of(path)
    if os.path.lexists(journal):
        raise GGUFError(
            f"an edit of {path} was interrupted: `{command('edit', path, 'undo')}` brings back what was "
            f"there, from {journal}",
            path,
        )
