"""Commands that messages suggest, as a shell takes them."""

from __future__ import annotations

import os

from .system import as_argument


def command(name: str, path: str, *words: str) -> str:
    """Return a command for a file, to be put between backticks: what its name holds does nothing else.

    A shell reads it as this very command, whatever is in the name: spaces, quotes, line breaks.
    """
    if path.startswith("-"):  # else it would be taken for an option
        path = os.path.join(os.curdir, path)
    return " ".join(map(as_argument, ("pyembed", name, path, *words)))
