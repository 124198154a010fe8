"""Runs the command ``pyembed`` as a process that signals can be sent to, on every system."""

from __future__ import annotations

import ctypes
import secrets
import signal
import subprocess
import sys
import time
from typing import Any

_IS_WINDOWS = sys.platform == "win32"
#: Windows sends signals to all processes at a console alone, and tests have none. So each signal is an event
#: there, with a thread that raises it, as the C runtime does where Ctrl-C or Ctrl-Break is pressed.
_LISTENING = """
import _thread, ctypes, signal, sys, threading

def wait(number, event):
    while kernel.WaitForSingleObject(ctypes.c_void_p(event), -1) == 0:
        _thread.interrupt_main(number)

kernel, name = ctypes.WinDLL("kernel32"), sys.argv.pop(1)
kernel.CreateEventW.restype = ctypes.c_void_p
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGBREAK):
    event = kernel.CreateEventW(None, 0, 0, f"{name}-{number.value}")
    threading.Thread(target=wait, args=(number, event), daemon=True).start()
import _pyembed_command
sys.exit(_pyembed_command.main())
"""
_ANY_ACCESS = 0x1F0003
_PATIENCE = 180


def _heed_signals() -> None:
    """Give signals their usual meaning, which shells take from what they start in the background."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


#: Options of Popen: signals have their usual meaning for what it starts.
HEEDING: dict[str, Any] = {} if _IS_WINDOWS else {"preexec_fn": _heed_signals}


class Command(subprocess.Popen[Any]):
    """``pyembed`` with these arguments; the options are Popen's."""

    def __init__(self, *arguments: object, **options: Any) -> None:
        self._name = f"pyembed-{secrets.token_hex(8)}"
        start = ["-c", _LISTENING, self._name] if _IS_WINDOWS else ["-m", "pyembed"]
        super().__init__([sys.executable, *start, *map(str, arguments)], **HEEDING, **options)

    def send_signal(self, number: int) -> None:
        """Send a signal."""
        if _IS_WINDOWS:
            self._set_event(f"{self._name}-{int(number)}")
        else:
            super().send_signal(number)

    def _set_event(self, name: str) -> None:
        kernel: Any = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined]
        kernel.OpenEventW.restype = ctypes.c_void_p
        end = time.monotonic() + _PATIENCE
        while not (event := ctypes.c_void_p(kernel.OpenEventW(_ANY_ACCESS, 0, name))):
            assert self.poll() is None, "it has ended"
            assert time.monotonic() < end, "it does not listen"
            time.sleep(0.02)
        kernel.SetEvent(event)
        kernel.CloseHandle(event)
