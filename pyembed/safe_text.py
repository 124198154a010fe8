"""Texts of strangers on their way to people and programs: the one place that makes them harmless.

The name of a file, a tensor, a key or a token may hold anything: escape sequences that a terminal obeys, line
breaks that forge a line of a log, marks that turn the direction of a line, bytes that are not UTF-8. Every
message of an exception, finding, log record, progress bar and command passes through here. Imports: nothing.
"""

from __future__ import annotations

import json
import math
from typing import Any

#: Characters of a text of a file that a message quotes.
MOST_SHOWN = 100


def printable(text: str) -> str:
    """Return a text with all that is not plainly printable as escapes; it never holds a line break."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


def quote(text: object, most: int = MOST_SHOWN) -> str:
    """Return a text in quotes, with escapes, cut after `most` characters; of another object its ``repr``."""
    if isinstance(text, str | bytes):
        return repr(text) if len(text) <= most else repr(text[:most]) + "..."
    shown = printable(repr(text))
    return shown if len(shown) <= most else shown[:most] + "..."


def json_text(value: object, *, indent: int | None = None) -> str:
    """Return plain data as JSON that every reader takes: ASCII, without NaN, infinity or lone surrogates.

    Numbers that are not finite become null. Surrogates stand for bytes that are not UTF-8, which JSON cannot
    hold: a backslash, "u" and their number take their place.
    """
    return json.dumps(plain(value), indent=indent, allow_nan=False)


def plain(value: Any) -> Any:
    """Return plain data as what a reader of its JSON gets back; see `json_text`."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
