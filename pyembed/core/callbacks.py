"""Callbacks from C: progress, and whether a signal came in; what they raise arrives at the caller."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from functools import partial
from types import CodeType, FunctionType, MethodType

from .._native import ffi
from ..errors import CData

#: What was raised on this thread in a callback from C: by the user's, or by a signal's handler before its
#: first line. `raise_kept` raises it again, past the C frames.
_raised = threading.local()


def _keep(kind: type[BaseException], exception: BaseException, trace: object) -> None:
    """Keep what a callback raised; cffi calls it, and C gets the answer that ends the call."""
    _raised.exception = exception


def raise_kept() -> None:
    """Raise what a callback of the call that just failed raised; return if none did."""
    exception = getattr(_raised, "exception", None)
    if exception is not None:
        _raised.exception = None
        raise exception


def came_from_handler(error: BaseException) -> bool:
    """Return whether the handler of a signal that is installed now raised an error, wherever that was."""
    codes = {_code_of(signal.getsignal(number)) for number in signal.valid_signals()} - {None}
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code not in codes:
        trace = trace.tb_next
    return trace is not None


def _code_of(handler: object) -> CodeType | None:
    """Return the code of a Python function, of a method, of a partial one, or of an object that is called."""
    while isinstance(handler, partial):
        handler = handler.func
    if not isinstance(handler, FunctionType | MethodType):
        handler = getattr(handler, "__call__", None)  # noqa: B004, the method is wanted
    code = getattr(handler, "__code__", None)  # a method has its function's
    return code if isinstance(code, CodeType) else None


class ProgressRelay:
    """Stands between the C library's callback and the user's."""

    def __init__(self, callback: Callable[[int, int], object]) -> None:
        self.callback: Callable[[int, int], object] | None = callback

    def tell(self, done: int, total: int) -> int:
        """Pass on what C reports; return 0 to stop."""
        callback = self.callback  # once: another thread may close the file meanwhile
        if callback is None:
            return 1
        answer = callback(done, total)
        return 1 if answer is None or answer else 0


@ffi.def_extern(name="pye_python_progress", error=0, onerror=_keep)
def _told(done: int, total: int, data: CData) -> int:
    progress: ProgressRelay = ffi.from_handle(data)
    return progress.tell(done, total)


@ffi.def_extern(name="pye_python_interrupted", error=1, onerror=_keep)
def _interrupted(data: CData) -> int:
    """Let Python run the handlers of signals that have come in; what they raise ends the call."""
    return 0
