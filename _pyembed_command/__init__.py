"""Where the command ``pyembed`` begins: outside the package, whose import already takes a moment."""

from __future__ import annotations


def main() -> int:
    """Run the command; Ctrl-C ends it without a traceback also while modules are being imported."""
    try:
        import signal

        from . import importing

        with importing.begin():
            from pyembed.cli import main as run
        code = run()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to interrupt but Python's own end
        return code
    except KeyboardInterrupt:
        return 130
