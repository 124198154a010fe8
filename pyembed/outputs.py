"""Files that are written: all of one or, whatever happens, nothing, and never what the user had before."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a binary file for writing that takes the place of `path` when the ``with`` block ends well.

    Until then it has a temporary name in the same folder; if the block raises, it is removed and what was at
    `path` stays. A device or a pipe, which cannot be replaced, is written directly.

    Raises
    ------
    OSError
        If the file cannot be written; it names `path`, never the temporary name.
    """
    name = os.fspath(path)
    if os.path.exists(name) and not os.path.isfile(name):
        with open(name, "wb") as device:
            yield device
        return
    temporary = f"{name}.{os.getpid()}.tmp"
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, name)
    except BaseException as error:
        if os.path.exists(temporary):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.filename in (None, temporary):
            raise OSError(error.errno, error.strerror, name) from None
        raise


def check_is_none_of(path: str | os.PathLike[str], inputs: Iterable[str]) -> None:
    """Raise ValueError if `path` is one of some files, whatever its name: what is read is not written."""
    for read in inputs:
        if os.path.exists(path) and os.path.exists(read) and os.path.samefile(path, read):
            raise ValueError(f"{os.fspath(path)} is the model itself; write to another file")
