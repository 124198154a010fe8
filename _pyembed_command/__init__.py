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

    An extension module that Ctrl-C stops while it is being imported may report that as an ImportError of
    its own: the handler remembers the signal, so that the user sees the interruption.
    """
    import signal

    interrupted = False

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        signal.default_int_handler(number, frame)

    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # a parent may have had it ignored
        signal.signal(signal.SIGINT, remember)
    try:
        from pyembed.cli import main as run
    except Exception as error:
        if interrupted:
            raise KeyboardInterrupt from error
        raise
    finally:
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, before)
    return run
