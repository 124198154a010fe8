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
    if os.path.exists(name) and not os.path.isfile(name):
        with _errors_about(name), open(name, "wb") as device:
            yield device
        return
    target = os.path.realpath(name)
    temporary = f"{target}.{secrets.token_hex(4)}.tmp"
    try:
        with _errors_about(name, temporary):
            with open(temporary, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if os.path.exists(target):
                shutil.copymode(target, temporary)
            os.replace(temporary, target)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


@contextmanager
def _errors_about(name: str, temporary: str | None = None) -> Iterator[None]:
    """Let errors that name no file, or a temporary one, name the user's."""
    try:
        yield
    except OSError as error:
        if error.filename in (None, temporary):
            raise OSError(error.errno, error.strerror, name) from None
        raise


def check_is_none_of(path: str | os.PathLike[str], inputs: Iterable[str]) -> None:
    """Raise ValueError if `path` is one of some files, whatever its name: what is read is not written."""
    for read in inputs:
        if os.path.exists(path) and os.path.exists(read) and os.path.samefile(path, read):
            raise ValueError(f"{os.fspath(path)} is the model itself; write to another file")
