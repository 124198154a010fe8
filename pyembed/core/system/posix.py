"""What POSIX systems do in their own way; ``windows`` has the same names."""

from __future__ import annotations

import fcntl
import mmap
import os
import resource
import shlex
import signal
import socket
import stat
import sys
from io import FileIO
from typing import IO

assert sys.platform != "win32"

#: Signals that ask a command to end.
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
#: The signal that asks a server to open its models anew.
RELOAD_SIGNAL: signal.Signals | None = signal.SIGHUP
#: Whether a file keeps its name for as long as it is open or mapped.
HOLDS_OPEN_FILES = False

_STDOUT = 1
_PERMISSIONS = 0o777


def lock(file: IO[bytes]) -> bool:
    """Keep other processes from taking this lock until the file is closed; False if one has it."""
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def open_at_once(path: str, *, follow: bool = True) -> int:
    """Open a file for reading, also a pipe that nobody writes; `follow` links or refuse them."""
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW))


def open_to_move(path: str) -> FileIO:
    """Open a file for reading that may get another name while it is open."""
    return FileIO(path, "rb")


def sync_folder(path: str) -> None:
    """Put the names in a folder on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def set_size(file: IO[bytes], n_bytes: int) -> None:
    """Make a file longer by zeros, which take no room on the disk where its file system can do so."""
    file.truncate(n_bytes)


def keep_permissions(descriptor: int, before: os.stat_result) -> None:
    """Give a new file the owner and the permissions of the one that it takes the place of."""
    mode = before.st_mode & _PERMISSIONS
    own = os.fstat(descriptor)
    if (own.st_uid, own.st_gid) != (before.st_uid, before.st_gid):
        try:
            os.fchown(descriptor, before.st_uid, before.st_gid)
        except OSError as error:  # only who may give files away
            if error.errno is None:  # a signal's handler raised it
                raise
            mode &= ~stat.S_IRWXG  # another group must not get what the old one had
    os.fchmod(descriptor, mode)


def replace(source: str, target: str) -> None:
    """Rename a file to a name that may be taken."""
    os.replace(source, target)


def is_private(facts: os.stat_result) -> bool:
    """Return whether only this user can have written a file."""
    return facts.st_uid == os.geteuid() and not facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def facts_of(name: str) -> os.stat_result:
    """Return the facts about what a name leads to."""
    return os.stat(name)


def leads_to_stdout(name: str, facts: os.stat_result) -> bool:
    """Return whether a name, with these facts, leads to this process's stdout; OSError if that is closed."""
    return os.path.samestat(facts, os.fstat(_STDOUT))


def reader_is_gone(error: OSError) -> bool:
    """Return whether stdout could not be written because nobody reads it any more."""
    return isinstance(error, BrokenPipeError)


def cache_base() -> str:
    """Return the folder in which programs keep what they can make again."""
    return os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")


def has_address_space(n_bytes: int) -> bool:
    """Return whether this process can map so much; where it has no limit, nothing is tried."""
    if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
        return True
    try:
        mmap.mmap(-1, n_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OSError, MemoryError):
        return False
    return True


def as_argument(word: str) -> str:
    """Return a word as a shell takes it for one argument, without characters that a terminal obeys."""
    if word.isprintable():
        return shlex.quote(word)
    parts = [letter if letter.isprintable() and letter not in "'\\" else _octal(letter) for letter in word]
    return f"$'{''.join(parts)}'"


def _octal(letter: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(letter))


def claim_address(listener: socket.socket) -> None:
    """Let a server have an address that one before it left a moment ago."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
