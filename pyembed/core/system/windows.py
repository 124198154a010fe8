"""What Windows does in its own way; ``posix`` has the same names."""

from __future__ import annotations

import ctypes
import errno
import msvcrt
import os
import signal
import socket
import stat
import sys
import time
from ctypes import wintypes
from io import FileIO
from typing import IO, Any

assert sys.platform == "win32"

#: Signals that ask a command to end: the second is Ctrl-Break, and what closing a console sends.
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGBREAK)
#: No signal asks a server to open its models anew.
RELOAD_SIGNAL: signal.Signals | None = None
#: Whether a file keeps its name for as long as it is open or mapped.
HOLDS_OPEN_FILES = True

_STDOUT, _STDOUT_NAME = 1, "/dev/stdout"
_LOCK_ALONE, _LOCK_AT_ONCE = 2, 1
_ERROR_LOCK_VIOLATION, _ERROR_IO_PENDING = 33, 997
#: Where the byte lies that is locked: others are kept from reading what is locked, so it is behind all files.
_LOCK_OFFSET_HIGH = 0x40000000
#: The pipe is broken, or being closed: nobody reads it.
_ERRORS_OF_LEFT_PIPES = (109, 232)
_GENERIC_READ, _SHARE_ALL, _OPEN_EXISTING = 0x80000000, 1 | 2 | 4, 3
_INVALID_HANDLE = -1
_SET_SPARSE = 0x900C4
_FROM_START = 0
#: Access denied, a sharing violation, a lock, a mapping: someone has the file open.
_ERRORS_OF_OPEN_FILES = (5, 32, 33, 1224)
#: Seconds to wait for those who look at every new file for a moment, such as a scanner.
_PAUSES = (0.01, 0.05, 0.2, 0.5)


def _kernel() -> Any:
    return ctypes.WinDLL("kernel32", use_last_error=True)


def lock(file: IO[bytes]) -> bool:
    """Keep other processes from taking this lock until the file is closed; False if one has it."""

    class Overlapped(ctypes.Structure):
        _fields_ = (
            ("internal", ctypes.c_void_p),
            ("internal_high", ctypes.c_void_p),
            ("offset", wintypes.DWORD),
            ("offset_high", wintypes.DWORD),
            ("event", wintypes.HANDLE),
        )

    handle = wintypes.HANDLE(msvcrt.get_osfhandle(file.fileno()))
    place = Overlapped(offset_high=_LOCK_OFFSET_HIGH)
    if _kernel().LockFileEx(handle, _LOCK_ALONE | _LOCK_AT_ONCE, 0, 1, 0, ctypes.byref(place)):
        return True
    error = ctypes.get_last_error()
    if error in (_ERROR_LOCK_VIOLATION, _ERROR_IO_PENDING):
        return False
    raise ctypes.WinError(error)


def open_at_once(path: str, *, follow: bool = True) -> int:
    """Open a file for reading; `follow` links or refuse them."""
    if not follow and os.path.islink(path):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    return os.open(path, os.O_RDONLY | os.O_BINARY)


def open_to_move(path: str) -> FileIO:
    """Open a file for reading that may get another name while it is open, which Python's `open` forbids."""

    def opener(path: str, flags: int) -> int:
        handle = _kernel().CreateFileW(path, _GENERIC_READ, _SHARE_ALL, None, _OPEN_EXISTING, 0, None)
        if handle == _INVALID_HANDLE:
            error = ctypes.get_last_error()
            raise OSError(None, ctypes.FormatError(error), path, error)
        return msvcrt.open_osfhandle(handle, os.O_RDONLY | os.O_BINARY)

    return FileIO(path, "rb", opener=opener)


def sync_folder(path: str) -> None:
    """Do nothing: folders cannot be written to the disk by themselves, and the file system logs new names."""


def set_size(file: IO[bytes], n_bytes: int) -> None:
    """Make a file longer by zeros, which take no room on the disk where its file system can do so.

    ``truncate`` would write all of them.
    """
    file.flush()
    kernel, handle = _kernel(), wintypes.HANDLE(msvcrt.get_osfhandle(file.fileno()))
    returned = wintypes.DWORD()
    # What does not know holes says so and has them filled.
    kernel.DeviceIoControl(handle, _SET_SPARSE, None, 0, None, 0, ctypes.byref(returned), None)
    end = ctypes.c_longlong(n_bytes)
    if not kernel.SetFilePointerEx(handle, end, None, _FROM_START) or not kernel.SetEndOfFile(handle):
        raise ctypes.WinError(ctypes.get_last_error())


def keep_permissions(descriptor: int, before: os.stat_result) -> None:
    """Do nothing: a new file has the permissions that its folder gives."""


def replace(source: str, target: str) -> None:
    """Rename a file to a name that may be taken, and wait a moment for those who have what is there open.

    Raises
    ------
    OSError
        If it cannot be done; what to do is said of a file that stays open.
    """
    for pause in (*_PAUSES, None):
        try:
            return os.replace(source, target)
        except OSError as error:
            if error.winerror not in _ERRORS_OF_OPEN_FILES or not os.path.isfile(target):
                raise
            if pause is None:
                raise OSError(error.errno, _why_it_stays(target), target) from None
        time.sleep(pause)


def _why_it_stays(target: str) -> str:
    if not os.stat(target).st_mode & stat.S_IWRITE:
        return "cannot be replaced: it is read-only"
    return "cannot be replaced: a program has it open; close it there, and try again"


def is_private(facts: os.stat_result) -> bool:
    """Return True: who may write in a folder of the user's is not in these facts."""
    return True


def facts_of(name: str) -> os.stat_result:
    """Return the facts about what a name leads to, stdout's among them."""
    return os.fstat(_STDOUT) if name == _STDOUT_NAME else os.stat(name)


def leads_to_stdout(name: str, facts: os.stat_result) -> bool:
    """Return whether a name, with these facts, leads to this process's stdout; OSError if that is closed.

    Consoles, pipes and ``NUL`` have no numbers: they are known by name alone.
    """
    return name == _STDOUT_NAME or (facts.st_ino != 0 and os.path.samestat(facts, os.fstat(_STDOUT)))


def reader_is_gone(error: OSError) -> bool:
    """Return whether stdout could not be written because nobody reads it any more.

    The C runtime has no number of its own for that and says that an argument is invalid; the pipe is asked.
    """
    if error.errno != errno.EINVAL:
        return isinstance(error, BrokenPipeError)
    try:
        handle = wintypes.HANDLE(msvcrt.get_osfhandle(_STDOUT))
    except OSError:  # stdout is closed
        return False
    written = wintypes.DWORD()
    return (
        not _kernel().WriteFile(handle, b"", 0, ctypes.byref(written), None)
        and ctypes.get_last_error() in _ERRORS_OF_LEFT_PIPES
    )


def cache_base() -> str:
    """Return the folder in which programs keep what they can make again."""
    return os.environ.get("LOCALAPPDATA") or os.path.join(os.path.expanduser("~"), "AppData", "Local")


def has_address_space(n_bytes: int) -> bool:
    """Return True: a process's address space has no limit of its own."""
    return True


def as_argument(word: str) -> str:
    """Return a word as a shell takes it for one argument; names of files hold no quotes."""
    return word if all(letter.isalnum() or letter in "\\/:._-" for letter in word) else f'"{word}"'


def claim_address(listener: socket.socket) -> None:
    """Keep others from listening on an address that a server has, which Windows would let them."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
