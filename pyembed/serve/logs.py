"""Structured logs: one JSON object a line, on stderr."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..safe_text import json_text

#: What the package says of its requests and reloads; `record` writes there.
LOGGER = logging.getLogger("pyembed.serve")
LEVELS = ("debug", "info", "warning", "error")


def record(level: int, event: str, **facts: object) -> None:
    """Write what happened, with plain facts about it."""
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, event, extra={"facts": facts})


class _AsJson(logging.Formatter):
    """Writes a record as JSON in ASCII, so that no text of a stranger reaches a terminal as it is."""

    def format(self, record: logging.LogRecord) -> str:
        facts: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            facts["traceback"] = self.formatException(record.exc_info)
        return json_text(facts)


@contextmanager
def written(level: str) -> Iterator[None]:
    """Send this package's records, the server's and the library's warnings to stderr, from a level on."""
    handler = logging.StreamHandler()
    handler.setFormatter(_AsJson())
    loggers = [logging.getLogger(name) for name in ("pyembed", "uvicorn", "uvicorn.error")]
    before = [(logger, logger.handlers[:], logger.propagate, logger.level) for logger in loggers]
    for logger in loggers[:2]:
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(level.upper())
    loggers[2].handlers.clear()
    try:
        yield
    finally:  # who started the server has records of their own again
        for logger, handlers, propagate, number in before:
            logger.handlers[:], logger.propagate = handlers, propagate
            logger.setLevel(number)
