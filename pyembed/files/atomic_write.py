"""Files that are written: all of them or, whatever happens, none, and never what the user had before.

Every output of the package goes through here. It is written under a temporary name, ``.pyembed-*.tmp`` in the
same folder, and renamed when it is whole. Whatever raises, a signal's handler too, leaves the old file and no
temporary one. A process that is killed meanwhile (SIGKILL, or SIGTERM where nothing handles it) leaves the
old file and the temporary one.
"""

from __future__ import annotations

import errno
import io
import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, TypeAlias

from ..core.handle import Source
from ..core.paths import pass_on_foreign
from ..core.system import facts_of, keep_permissions, leads_to_stdout, replace
from ..safe_text import printable

OutPath: TypeAlias = "str | os.PathLike[str]"

_STDOUT = 1


class Record(Protocol):
    """What is kept of files that take the places of others, so that a kill in between can be undone."""

    def begin(self, names: Sequence[tuple[str, str]]) -> None:
        """Note which files will be replaced, and the names under which each stays until all are."""

    def end(self) -> None:
        """Forget what was noted: all files have their names."""

    def undo(self) -> None:
        """Prepare for the old files to be put back."""

    def abandon(self) -> None:
        """Forget what was noted where all old files are back."""


@contextmanager
def replacing(path: OutPath, reading: Source | None = None) -> Iterator[BinaryIO]:
    """Open a binary file for writing that takes the place of `path` when the ``with`` block ends well.

    See `replacing_together`, which does the same for several.
    """
    with replacing_together([path], reading) as (file,):
        yield file


@contextmanager
def replacing_together(
    paths: Sequence[OutPath], reading: Source | None = None, record: Record | None = None
) -> Iterator[list[BinaryIO]]:
    """Open binary files for writing that take the places of `paths` when the ``with`` block ends well.

    Until then they have temporary names in the same folders; if the block raises, these are removed and what
    was at `paths` stays. They are renamed only when all are whole and on the disk; if one cannot be, those
    before it are put back. Of a symbolic link the file it points to is replaced. The new file has the
    permissions of the old one and, while it is being written, no more than its owner's.
    A device or a pipe, which cannot be replaced, is written directly; so is what stdout leads to.
    With a `record`, the first of `paths` gets its name last.

    Raises
    ------
    ValueError
        If one of `paths` is a file that `reading` reads, or two of them are the same file.
    OSError
        If a file cannot be written; it names the path, never the temporary name.
    """
    outputs = [_Output(os.fsdecode(path)) for path in paths]
    for output in outputs:
        check_is_not_read(output.name, reading)
    _check_all_differ(outputs)
    try:
        for output in outputs:
            output.open()
        yield [output.file for output in outputs]
        for output in outputs:
            output.finish()
        for output in outputs:
            check_is_not_read(output.name, reading)  # links may have been changed meanwhile
        if record is not None:
            record.begin([output.names for output in outputs if not output.is_direct])
        for output in outputs if record is None else reversed(outputs):
            output.commit(is_alone=len(outputs) == 1)
        if record is not None:
            record.end()
    except BaseException:
        _twice(lambda: _put_back(outputs, record))
        raise
    _twice(lambda: _forget(outputs))


def place_of(file: BinaryIO) -> str | None:
    """Return the name under which what was flushed to a file of `replacing_together` can be read.

    None for devices, pipes and stdout.
    """
    raw = getattr(file, "raw", None)
    return raw.place if isinstance(raw, _NamedFile) else None


@contextmanager
def errors_of(file: BinaryIO) -> Iterator[None]:
    """Let the system's errors name a file of `replacing_together` while others write to its place."""
    try:
        yield
    except OSError as error:
        raw = getattr(file, "raw", None)
        if error.errno is None or not isinstance(raw, _NamedFile):
            raise
        raise OSError(error.errno, os.strerror(error.errno), raw.shown) from None


def _put_back(outputs: Sequence[_Output], record: Record | None) -> None:
    if record is not None:
        with _ignoring_system():
            record.undo()
    for output in outputs if record is None else reversed(outputs):
        output.undo()
    if record is not None:
        with _ignoring_system():
            record.abandon()


def _forget(outputs: Sequence[_Output]) -> None:
    for output in outputs:
        output.forget()


def _twice(clean: Callable[[], None]) -> None:
    """Clean up; once more if a signal's handler raises meanwhile."""
    try:
        clean()
    except BaseException:
        clean()
        raise


def check_is_not_read(path: OutPath, reading: Source | None) -> None:
    """Raise ValueError if `path` is a file that is being read, whatever its name."""
    if reading is not None and reading.reads(path):
        name = printable(os.fsdecode(path))
        raise ValueError(f"{name} is the model itself, or a file of it; write to another file")


def is_replaceable(path: OutPath) -> bool:
    """Return whether an output has a place in a folder: False for devices, pipes and stdout."""
    name = os.fsdecode(path)
    found = _stat(name)
    return found is None or (stat.S_ISREG(found.st_mode) and not _is_stdout(name, found))


def is_stdout(path: OutPath) -> bool:
    """Return whether writing to `path` writes to this process's stdout."""
    try:
        name = os.fsdecode(path)
        return _is_stdout(name, facts_of(name))
    except OSError as error:
        pass_on_foreign(error)
        return False
    except ValueError:
        return False


def _is_stdout(name: str, found: os.stat_result) -> bool:
    try:
        return leads_to_stdout(name, found)
    except OSError as error:  # it is closed
        pass_on_foreign(error)
        return False


def _stat(name: str) -> os.stat_result | None:
    """Return the facts about what a name leads to; None where nothing is there yet."""
    try:
        return facts_of(name)
    except FileNotFoundError:
        return None


def _check_all_differ(outputs: Sequence[_Output]) -> None:
    for index, output in enumerate(outputs):
        for other in outputs[:index]:
            if output.is_same_as(other):
                names = printable(f"{other.name} and {output.name}")
                raise ValueError(f"{names} are the same file; each needs its own")


@dataclass(frozen=True, slots=True)
class _Identity:
    device: int
    inode: int

    @staticmethod
    def of(found: os.stat_result) -> _Identity:
        return _Identity(found.st_dev, found.st_ino)


class _Output:
    """One file on its way: temporary, then in its place, then with nothing left to undo."""

    def __init__(self, name: str) -> None:
        if not name:
            raise ValueError("the name of the output is empty")
        if os.path.basename(name) in ("", os.curdir, os.pardir):
            raise IsADirectoryError(errno.EISDIR, "a folder; name a file in it", name)
        self.name = name
        self._before = _stat(name)  # raises for names that are too long, and links that lead nowhere at all
        if self._before is not None and stat.S_ISDIR(self._before.st_mode):
            raise IsADirectoryError(errno.EISDIR, "a folder; name a file in it", name)
        self.is_direct = not is_replaceable(name)
        self._target = os.path.realpath(name)
        folder = os.path.dirname(self._target)
        # Short, so that there is room for it wherever there is room for a name of a few letters.
        stem = os.path.join(folder, f".pyembed-{secrets.token_hex(6)}")
        self._temporary, self._backup = f"{stem}.tmp", f"{stem}.old.tmp"
        self._identity: _Identity | None = None
        self._is_one_of_several = False
        self._owner = os.getpid()
        self._raw: _NamedFile | None = None

    @property
    def names(self) -> tuple[str, str]:
        """The place that the file takes, and where what is there stays until all files have theirs."""
        return self._target, self._backup

    def is_same_as(self, other: _Output) -> bool:
        if os.path.normcase(self._target) == os.path.normcase(other._target):
            return True
        return (
            self._before is not None
            and other._before is not None
            and os.path.samestat(self._before, other._before)
        )

    def open(self) -> None:
        if self.is_direct:
            if self._before is not None and _is_stdout(self.name, self._before):
                if sys.stdout is not None:
                    sys.stdout.flush()
                descriptor = os.dup(_STDOUT)
            else:
                descriptor = os.open(self.name, os.O_WRONLY)
        else:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            mode = 0o666 if self._before is None else 0o600
            try:
                descriptor = os.open(self._temporary, flags, mode)
            except OSError as error:
                raise _about(error, self.name) from None
            self._identity = _Identity.of(os.fstat(descriptor))
        self._raw = _NamedFile(descriptor, self.name, None if self.is_direct else self._temporary)
        self.file: BinaryIO = _Stream(self._raw) if self.is_direct else io.BufferedWriter(self._raw)

    def finish(self) -> None:
        """Put all bytes on the disk, with the permissions of what was there."""
        assert self._raw is not None
        self.file.flush()
        if not self.is_direct:
            try:
                if self._before is not None:
                    keep_permissions(self._raw.fileno(), self._before)
                os.fsync(self._raw.fileno())
                self._raw.close()
            except OSError as error:
                raise _about(error, self.name) from None
        else:
            self._raw.close()

    def commit(self, *, is_alone: bool) -> None:
        """Give the file its name. What was there stays beside it until `forget` if others may still fail."""
        if self.is_direct:
            return
        self._is_one_of_several = not is_alone
        try:
            if not is_alone and os.path.lexists(self._target):
                try:
                    os.link(self._target, self._backup)
                except OSError as error:  # a file system without hard links
                    pass_on_foreign(error)
                    os.rename(self._target, self._backup)
            replace(self._temporary, self._target)
        except OSError as error:
            raise _about(error, self.name) from None

    def undo(self) -> None:
        """Bring back what was there, however far this came; errors on the way hide nobody's."""
        if self._raw is not None:
            with _ignoring_system():
                self._raw.close()  # and not the buffer above it, which would write what is left
        if self.is_direct or os.getpid() != self._owner:  # the names are those of the process that forked
            return
        with _ignoring_system():
            if os.path.lexists(self._backup):
                replace(self._backup, self._target)
            elif self._is_one_of_several and self._before is None and self._has_its_name():
                os.unlink(self._target)
        for name in (self._temporary, self._backup):
            with _ignoring_system():
                os.unlink(name)

    def _has_its_name(self) -> bool:
        return self._identity is not None and _Identity.of(os.stat(self._target)) == self._identity

    def forget(self) -> None:
        """Remove what was kept for the case that another file fails."""
        with _ignoring_system():
            os.unlink(self._backup)


@contextmanager
def _ignoring_system() -> Iterator[None]:
    """Go on after errors of the system, and of nobody else."""
    try:
        yield
    except OSError as error:
        pass_on_foreign(error)


def _about(error: OSError, name: str) -> OSError:
    pass_on_foreign(error)
    return OSError(error.errno, error.strerror, name)


class _NamedFile(io.FileIO):
    """A file whose errors name the output; what a signal's handler raises meanwhile stays as it is."""

    def __init__(self, descriptor: int, shown: str, place: str | None) -> None:
        super().__init__(descriptor, "wb")
        self.shown = shown
        self.place = place
        self._owner = os.getpid()

    def write(self, data: Any, /) -> int:
        if os.getpid() != self._owner:  # a child that was forked meanwhile would write into the parent's file
            raise OSError(errno.EBADF, "is being written by the process that forked this one", self.shown)
        try:
            return super().write(data)
        except OSError as error:
            if error.errno is None or error.filename is not None:
                raise
            raise _about(error, self.shown) from None


class _Stream(io.BufferedWriter):
    """A file that is written from here on and only onwards: a pipe, or a file that others have begun.

    It counts what was written, for writers that ask where they stand.
    """

    def __init__(self, raw: _NamedFile) -> None:
        super().__init__(raw)
        self._n_written = 0

    def write(self, data: Any, /) -> int:
        n = super().write(data)
        self._n_written += n
        return n

    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0, /) -> int:
        raise io.UnsupportedOperation("a stream is written in one go")

    def tell(self) -> int:
        return self._n_written
