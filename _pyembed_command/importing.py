"""Ctrl-C while modules are imported: a first one waits until all are there, a second one ends the process.

What is raised in the middle of an import may be lost, or an extension module reports it as its own error.
With ``python -m`` nobody would catch it either.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


class Importing:
    """The time while modules are imported; its end raises KeyboardInterrupt if there was a Ctrl-C."""

    def __init__(self) -> None:
        self._n_interrupts = 0
        self._before = signal.getsignal(signal.SIGINT)
        if self._before is signal.default_int_handler:  # a parent may have had it ignored
            signal.signal(signal.SIGINT, self._remember)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self._n_interrupts += 1
        if self._n_interrupts > 1:
            os._exit(130)  # nothing was begun that has to be ended

    def __enter__(self) -> None:
        pass

    def __exit__(self, *raised: object) -> None:
        if self._before is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._before)
        if self._n_interrupts:
            raise KeyboardInterrupt


_begun: Importing | None = None


def begin() -> Importing:
    """Return the time that begins now, or that `begin_for_module` had begin earlier."""
    return _begun or Importing()


def begin_for_module() -> None:
    """Begin early if Python was called as ``python -m pyembed``: it imports the package before ``__main__``.

    The package calls this while ``sys.argv`` begins with "-m". Then Python still looks for the module that it
    is to run, which may be that of another program.
    """
    global _begun
    module = sys.orig_argv[-len(sys.argv) :][:1]  # the word before the module's own
    if module in (["pyembed"], ["-mpyembed"]):
        _begun = Importing()
