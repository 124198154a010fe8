"""Where the command ``pyembed`` begins: outside the package, whose import already takes a moment."""

from __future__ import annotations

from collections.abc import Callable
from types import FrameType


def main() -> int:
    """Run the command; Ctrl-C ends it without a traceback also while modules are being imported."""
    try:
        import signal

        code = _imported()()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to interrupt but Python's own end
        return code
    except KeyboardInterrupt:
        return 130


def _imported() -> Callable[[], int]:
    """Import the command's function.

    What is raised in the middle of an import may be lost, or reported by an extension module as an error of
    its own: the handler remembers a first Ctrl-C until all is imported. A second one does not wait.
    """
    import signal

    n_interrupts = 0

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal n_interrupts
        n_interrupts += 1
        if n_interrupts > 1:
            signal.default_int_handler(number, frame)

    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # a parent may have had it ignored
        signal.signal(signal.SIGINT, remember)
    try:
        from pyembed.cli import main as run
    finally:
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, before)
        if n_interrupts:
            raise KeyboardInterrupt
    return run
