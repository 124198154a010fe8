"""Files that are written: all of one or, whatever happens, nothing, and never what the user had before."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a binary file for writing that takes the place of `path` when the ``with`` block ends well.

    Until then it has a temporary name in the same folder; if the block raises, it is removed and what was at
    `path` stays. Of a symbolic link that is the file it points to, which keeps its permissions. A device or a
    pipe, which cannot be replaced, is written directly.

    Raises
    ------
    OSError
        If the file cannot be written; it names `path`, never the temporary name.
    """
    name = os.fspath(path)
    replaceable = not os.path.exists(name) or os.path.isfile(name)
    target = os.path.realpath(name)
    temporary = f"{target}.{secrets.token_hex(4)}.tmp" if replaceable else name
    try:
        with open(temporary, "xb" if replaceable else "wb") as file:
            yield file
            file.flush()
            if replaceable:
                os.fsync(file.fileno())
        if replaceable:
            if os.path.exists(target):
                shutil.copymode(target, temporary)
            os.replace(temporary, target)
    except BaseException as error:
        if replaceable and os.path.exists(temporary):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.filename in (None, temporary):
            raise OSError(error.errno, error.strerror, name) from None
        raise


def check_is_none_of(path: str | os.PathLike[str], inputs: Iterable[str]) -> None:
    """Raise ValueError if `path` is one of some files, whatever its name: what is read is not written."""
    for read in inputs:
        if os.path.exists(path) and os.path.exists(read) and os.path.samefile(path, read):
            raise ValueError(f"{os.fspath(path)} is the model itself; write to another file")
