"""Files as callers name them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeAlias

Path: TypeAlias = "str | bytes | os.PathLike[str] | os.PathLike[bytes]"
#: A file, or all files of a split set in order.
Files: TypeAlias = "Path | Sequence[Path]"


def file_name(path: Files) -> str:
    """Return the name of a file, of several the first."""
    return os.fsdecode(file_names(path)[0])


def file_names(path: Files) -> list[bytes]:
    """Return the names of a file, or of all of a set; ValueError for none, or one that no file can have."""
    paths = [path] if isinstance(path, str | bytes | os.PathLike) else path
    try:
        names = [os.fsencode(name) for name in paths]
    except UnicodeEncodeError as error:
        raise ValueError(f"no file can have this name: {error.object!r}") from None
    if not names:
        raise ValueError("no file is given: the sequence of paths is empty")
    for name in names:
        if b"\0" in name:
            raise ValueError(f"a path cannot hold a NUL: {os.fsdecode(name)!r}")
    return names


def identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode of the file that a path leads to; None where there is none."""
    try:
        found = os.stat(path)
    except OSError as error:
        pass_on_foreign(error)
        return None
    return found.st_dev, found.st_ino


def pass_on_foreign(error: OSError) -> None:
    """Raise an error that did not come from a system call, which has an ``errno``.

    A signal's handler raised it in the middle of the call: ``TimeoutError`` is an OSError.
    """
    if error.errno is None:
        raise error
