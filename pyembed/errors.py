"""What can go wrong, and the one place where a status of the C library becomes an exception."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import Any, NoReturn, TypeAlias

from ._native import ffi, lib
from .safe_text import printable, quote

CData: TypeAlias = Any  # what cffi hands out: a pointer or a struct


class Status(IntEnum):
    """What a C function returns; ``pyembed.h`` explains each."""

    OK = lib.PYE_OK
    IO = lib.PYE_ERROR_IO
    MEMORY = lib.PYE_ERROR_MEMORY
    ARGUMENT = lib.PYE_ERROR_ARGUMENT
    ID = lib.PYE_ERROR_ID
    FORMAT = lib.PYE_ERROR_FORMAT
    GGUF = lib.PYE_ERROR_GGUF
    SAFETENSORS = lib.PYE_ERROR_SAFETENSORS
    NPY = lib.PYE_ERROR_NPY
    TYPE = lib.PYE_ERROR_TYPE
    NOT_FOUND = lib.PYE_ERROR_NOT_FOUND
    VOCABULARY = lib.PYE_ERROR_VOCABULARY
    CANCELLED = lib.PYE_ERROR_CANCELLED


class PyembedError(Exception):
    """Base of the exceptions that only this package raises.

    Messages quote names and texts of files. What is not plainly printable in them appears as escapes, so that
    no file writes to a terminal or forges a line of a log.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message))


class FormatError(PyembedError, ValueError):
    """A file that is damaged, inconsistent, or of no kind that can be read here.

    Attributes
    ----------
    path : str or None
        The file at fault; of a split set, the shard.
    offset : int or None
        Byte offset in that file where the trouble was found.
    report : pyembed.Report or None
        The whole report, where it was validation that found the trouble.
    """

    report: Any = None

    def __init__(self, message: str, path: str | None = None, offset: int | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.offset = offset


class GGUFError(FormatError):
    """A damaged or inconsistent GGUF file."""


class SafetensorsError(FormatError):
    """A damaged or inconsistent safetensors file or index."""


class NpyError(FormatError):
    """A damaged ``.npy`` file, or one that holds no table."""


class UnsupportedTypeError(FormatError):
    """A tensor type or value type that cannot be decoded here."""


class VocabularyError(FormatError):
    """A model without a vocabulary, or with one whose parts contradict each other."""


class LockError(VocabularyError, GGUFError):
    """A model that is not the one its lock was made of.

    Attributes
    ----------
    differences : tuple of (str, object, object)
        Each field that differs, such as ``"vocabulary.digest"``, with the lock's value and the model's.
    """

    def __init__(
        self,
        message: str,
        path: str | None = None,
        offset: int | None = None,
        differences: tuple[tuple[str, object, object], ...] = (),
    ) -> None:
        super().__init__(message, path, offset)
        self.differences = differences


class RecipeError(PyembedError, ValueError):
    """What an architecture does to a row before its first layer is unknown, or cannot be computed here."""


class ClosedError(PyembedError, ValueError):
    """A model, table or vocabulary was used after `close`."""


class LoadCancelledError(PyembedError):
    """The progress callback asked to stop."""


class NotFoundError(PyembedError, KeyError):
    """No tensor, metadata key or token of that name.

    ``str()`` is the message itself, not its ``repr`` as with a plain ``KeyError``. Names that are spelled
    alike are looked for only when somebody reads the message, so that a ``try`` around a lookup stays cheap.
    """

    def __init__(self, message: str, near: Callable[[], Iterable[str]] | None = None) -> None:
        super().__init__(message)
        self._near = near

    def __str__(self) -> str:
        message = str(self.args[0])
        names = list(self._near()) if self._near is not None else []
        return f"{message}; near it: {', '.join(map(quote, names))}" if names else message

    def settle(self) -> None:
        """Look for the names now: what they are looked for in is about to be closed."""
        self.args, self._near = (str(self),), None

    def __reduce__(self) -> tuple[type[NotFoundError], tuple[str]]:
        return type(self), (str(self),)


#: Names longer than this have no neighbours, and no more pairs of letters than this are compared: a file may
#: hold millions of names, and comparing two takes the product of their lengths.
_LONGEST_NAME = 128
_MOST_PAIRS = 2_000_000


def nearest_names(wanted: str, names: Iterable[str]) -> list[str]:
    """Return up to three of `names` that are spelled most like `wanted`, best first.

    Of very many names, or for a very long one, only as many are compared as take a moment.
    """
    if len(wanted) > _LONGEST_NAME:
        return []
    by_folded: dict[str, str] = {}
    left = _MOST_PAIRS
    for name in names:
        shorter, longer = sorted((len(wanted), len(name)))
        if longer > _LONGEST_NAME or 3 * longer > 7 * shorter:  # never alike by the cutoff below
            continue
        left -= len(wanted) * len(name)
        if left < 0:
            break
        by_folded.setdefault(name.casefold(), name)
    matches = difflib.get_close_matches(wanted.casefold(), by_folded, n=3, cutoff=0.6)
    return [by_folded[match] for match in matches]


FORMAT_ERRORS: dict[int, type[FormatError]] = {
    Status.FORMAT: FormatError,
    Status.GGUF: GGUFError,
    Status.SAFETENSORS: SafetensorsError,
    Status.NPY: NpyError,
    Status.TYPE: UnsupportedTypeError,
    Status.VOCABULARY: VocabularyError,
}
_OTHER_ERRORS: dict[int, type[Exception]] = {
    Status.MEMORY: MemoryError,
    Status.ID: IndexError,
    Status.ARGUMENT: ValueError,
    Status.NOT_FOUND: NotFoundError,
    Status.CANCELLED: LoadCancelledError,
}

_SHARD_NAME = re.compile(r"-00001-of-(\d{5})\.gguf$")


def shard_path(path: str, shard: int, files: Sequence[str] = ()) -> str:
    """Return the name of file number `shard` (from 0) of the set that was opened as `path`, or as `files`."""
    if files:
        return files[shard]
    if shard == 0:
        return path
    name, n = _SHARD_NAME.subn(lambda match: f"-{shard + 1:05d}-of-{match[1]}.gguf", path)
    return name if n else f"{path} (file {shard + 1} of the set)"


def check(status: int, error: CData, path: str, files: Sequence[str] = ()) -> None:
    """Raise the exception that a ``pye_status`` stands for; return if it is ``PYE_OK``.

    Parameters
    ----------
    status : int
        What the C function returned.
    error : cdata
        The ``pye_error *`` that it was given.
    path : str
        The file that was being read, for the message.
    files : sequence of str, optional
        All files of the set, where they were given by name.

    Raises
    ------
    OSError
        For I/O; the subclass follows from ``errno`` (``FileNotFoundError``, ``PermissionError``, ...).
    MemoryError, IndexError, ValueError
        For memory, an id that is not a row, and arguments.
    FormatError, NotFoundError, LoadCancelledError
        For the rest; a file's faults come as the subclass of `FormatError` that names its format.
    """
    if status != Status.OK:
        _raise(status, error, shard_path(path, error.shard, files))


def _raise(status: int, error: CData, path: str) -> NoReturn:
    message = ffi.string(error.message).decode("utf-8", "replace")
    if status == Status.IO:
        raise OSError(error.system_errno or errno.EIO, printable(message), path)
    if status in FORMAT_ERRORS:
        known = error.offset != lib.PYE_NO_OFFSET
        where = f" (at byte {error.offset})" if known else ""
        raise FORMAT_ERRORS[status](f"{path}: {message}{where}", path, error.offset if known else None)
    if status in _OTHER_ERRORS:
        raise _OTHER_ERRORS[status](printable(f"{path}: {message}"))
    name = ffi.string(lib.pye_status_name(status)).decode("ascii")
    raise PyembedError(f"{path}: {message or name} (status {status})")
