"""Sums of words as a person writes them."""

from __future__ import annotations


def parse_sum(text: str) -> tuple[list[str], list[str]]:
    """Return what ``"king - man + woman"`` adds and what it subtracts.

    Raises
    ------
    ValueError
        If a word or a sign is missing.
    """
    words: dict[str, list[str]] = {"+": [], "-": []}
    sign: str | None = "+"
    for part in text.split():
        if part in words:
            if sign is not None and (words["+"] or words["-"]):
                raise ValueError(f"{text!r}: a word is missing before {part!r}")
            sign = part
        elif sign is None:
            raise ValueError(f"{text!r}: + or - is missing before {part!r}")
        else:
            words[sign].append(part)
            sign = None
    if sign is not None:
        raise ValueError(f"{text!r} does not end with a word")
    return words["+"], words["-"]
