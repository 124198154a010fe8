"""How long work reports itself: one protocol, from the C library's callback to the bar of a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ..errors import LoadCancelledError
from ..safe_text import printable

#: What callers pass as ``progress=``: called with what is being done and the share of it that is done, from
#: 0 to 1. A false answer that is not None cancels the work, which then raises `LoadCancelledError`; what it
#: raises arrives at the caller as it is.
Progress: TypeAlias = Callable[[str, float], object]

#: What the library calls: it returns only if the work goes on.
Report: TypeAlias = Callable[[str, float], None]


def silent(text: str, done: float) -> None:
    """Report to nobody."""


def report_to(progress: Progress | None) -> Report:
    """Return what reports to `progress`; to nobody where that is None."""
    if progress is None:
        return silent

    def report(text: str, done: float) -> None:
        answer = progress(printable(text), done)
        if answer is not None and not answer:
            raise LoadCancelledError(f"{text}: the progress callback asked to stop")

    return report


def part_of(report: Report, text: str) -> Callable[[float], None]:
    """Return what reports the share that is done of one thing, `text`."""
    return lambda done: report(text, done)
