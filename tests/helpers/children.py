"""Runs Python programs as processes of their own, for tests of what may kill one."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SANITIZED = "asan" in os.environ.get("LD_PRELOAD", "")
IS_WINE = sys.platform == "win32" and hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")

# What every child has: where it is, how much it may take, and a signal that comes in the middle of a call.
PRELUDE = f"""
import os, signal, sys, threading, time
sys.path.insert(0, {str(ROOT)!r})
import numpy as np
import pyembed

def field(file, name):
    with open(file) as lines:
        return next(line.split()[1] for line in lines if line.startswith(name + ":"))

def interrupt(seconds, handler):
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, seconds)
    else:  # as the C runtime of Windows does it when a key is pressed
        import _thread
        signal.signal(signal.SIGBREAK, handler)
        threading.Timer(seconds, _thread.interrupt_main, [signal.SIGBREAK]).start()

def catches_bus_errors():
    return bool(int(field("/proc/self/status", "SigCgt"), 16) >> (signal.SIGBUS - 1) & 1)

def peak_bytes():
    if sys.platform != "win32":
        return int(field("/proc/self/status", "VmHWM")) * 1024
    import ctypes
    counters = (ctypes.c_size_t * 9)()  # PROCESS_MEMORY_COUNTERS
    itself, n_bytes = ctypes.c_void_p(-1), ctypes.sizeof(counters)
    assert ctypes.WinDLL("psapi").GetProcessMemoryInfo(itself, counters, n_bytes)
    return counters[1]

def refused(call, kind=OSError):
    try:
        call()
    except kind:
        return
    raise AssertionError(f"no {{kind.__name__}} from {{call}}")
"""


def child(program: str, *arguments: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a program after `PRELUDE`, with ``sys.argv[1:]`` as given, and return how it ended."""
    command = [sys.executable, "-c", PRELUDE + program, *map(str, arguments)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONFAULTHANDLER"}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=timeout, env=environment
    )


def output_of(program: str, *arguments: object, timeout: float = 120) -> str:
    """Run a program that has to end well and return what it printed."""
    done = child(program, *arguments, timeout=timeout)
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
