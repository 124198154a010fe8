"""What a command is as a process: its streams, the signals that end it, and what it leaves behind."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from ..core.system import ENDING_SIGNALS


class Ended(SystemExit):
    """A signal asked the process to end: everything is unwound, so that no temporary file stays."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


def _end(number: int, frame: FrameType | None) -> None:
    raise Ended(number)


@contextmanager
def ending_by_signals() -> Iterator[None]:
    """Let signals that ask for it unwind the command, as Ctrl-C does, unless someone else handles them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [number for number in ENDING_SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    try:
        for number in ours:
            signal.signal(number, _end)
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def prepare_streams() -> None:
    """Make stdout and stderr usable, whatever the process began with.

    What is closed leads to nowhere: Python has None in its place, and the first file that is opened would get
    its number. It is opened for reading, so that a command that is asked to write data there says that it
    cannot.
    """
    if sys.stdin is None or sys.stdout is None or sys.stderr is None:
        while (descriptor := os.open(os.devnull, os.O_RDONLY)) <= 2:
            pass
        os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - as long as the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows no U+2581


def drop_output() -> None:
    """Send what is left in stdout's buffer nowhere, or Python complains about it at its end."""
    with suppress(OSError, ValueError):  # a stream that is not a file has nothing to drop
        number = sys.stdout.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
