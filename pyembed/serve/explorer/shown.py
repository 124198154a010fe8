"""Texts of a file as the page shows them."""

from __future__ import annotations

from ...core.strings import encode_text
from ...safe_text import printable


def shown(text: str) -> str:
    r"""Return a text with escapes for what cannot be printed; bytes that are not UTF-8 appear as ``\xf0``."""
    if text.isprintable():
        return text
    return printable((encode_text(text) or b"").decode("utf-8", "backslashreplace"))
