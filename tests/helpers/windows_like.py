"""A Python in which all is missing that Windows lacks, for commands of the package.

``python -m tests.helpers.windows_like`` reads a list in JSON from stdin, of folders and commands that run
there, and prints what each came to. What Windows has and this system lacks are stand-ins: a lock of a byte
is one of the whole file. The standard library is imported before, since parts of it ask what system this is
when they are imported.
"""

from __future__ import annotations

import argparse  # noqa: F401 - before the system looks like another
import asyncio  # noqa: F401
import contextlib
import ctypes
import ctypes.wintypes
import io
import json
import mmap
import os
import shutil  # noqa: F401
import signal
import socket
import subprocess  # noqa: F401
import sys
import tempfile  # noqa: F401
import threading  # noqa: F401
from collections.abc import Sequence
from types import ModuleType

import numpy as np  # noqa: F401

MODULES = ("fcntl", "resource", "termios", "pwd", "grp", "posix", "pty", "tty")
NAMES = {
    os: (
        *("fork", "forkpty", "register_at_fork", "mkfifo", "mknod", "chown", "fchown", "fchmod", "getuid"),
        *("geteuid", "getgid", "pread", "preadv", "pwrite", "pwritev", "copy_file_range", "sendfile"),
        *("posix_fadvise", "sched_getaffinity", "sysconf", "statvfs", "uname", "O_CLOEXEC", "O_NONBLOCK"),
        *("O_NOFOLLOW", "O_DIRECTORY", "O_SYNC", "killpg", "setsid", "getrusage", "ftruncate"),
    ),
    signal: ("SIGHUP", "SIGKILL", "SIGALRM", "SIGUSR1", "SIGBUS", "alarm", "setitimer", "pthread_sigmask"),
    mmap: ("MAP_PRIVATE", "MAP_ANONYMOUS", "MAP_SHARED", "PROT_READ"),
}


class Kernel:
    """The functions of kernel32 that the package calls, over this system's."""

    def __init__(self, name: str, use_last_error: bool) -> None:
        assert name == "kernel32"
        assert use_last_error

    def LockFileEx(self, file: ctypes.c_void_p, flags: int, *rest: object) -> int:
        assert flags == 3  # alone, and at once
        return int(ctypes.CDLL(None).flock(file.value, 2 | 4) == 0)

    def CreateFileW(self, path: str, *rest: object) -> int:
        return os.open(path, os.O_RDONLY)

    def DeviceIoControl(self, *arguments: object) -> int:
        return 0

    def SetFilePointerEx(self, file: object, end: ctypes.c_longlong, *rest: object) -> int:
        self._end = end.value
        return 1

    def SetEndOfFile(self, file: ctypes.c_void_p) -> int:
        os.truncate(file.value or 0, self._end)
        return 1


def take_away() -> None:
    """Make this process look like one on Windows, as far as the package asks."""
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    runtime = ModuleType("msvcrt")
    runtime.get_osfhandle = lambda descriptor: descriptor  # type: ignore[attr-defined]
    runtime.open_osfhandle = lambda handle, flags: handle  # type: ignore[attr-defined]
    sys.modules["msvcrt"] = runtime
    ctypes.WinDLL = Kernel  # type: ignore[attr-defined]
    ctypes.get_last_error = lambda: 33  # type: ignore[attr-defined]
    signal.SIGBREAK = signal.SIGUSR2  # type: ignore[attr-defined]
    socket.SO_EXCLUSIVEADDRUSE = socket.SO_REUSEADDR  # type: ignore[attr-defined]
    os.O_BINARY = 0  # type: ignore[attr-defined]
    for module, names in NAMES.items():
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    system, sys.platform = sys.platform, "win32"
    try:
        import pyembed.core.system
    finally:
        sys.platform = system
    assert pyembed.core.system.HOLDS_OPEN_FILES


def outcomes(commands: Sequence[tuple[str, list[str]]]) -> list[tuple[int, str, str]]:
    """Run commands, each in its folder, and return their exit codes and what they printed."""
    from pyembed.cli import main

    found = []
    before = os.getcwd()
    for folder, command in commands:
        out, err = io.StringIO(), io.StringIO()
        os.chdir(folder)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = main(command)
        finally:
            os.chdir(before)
        found.append((code, out.getvalue(), err.getvalue()))
    return found


if __name__ == "__main__":
    take_away()
    print(json.dumps(outcomes(json.load(sys.stdin))))
