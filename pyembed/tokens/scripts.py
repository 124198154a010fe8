"""Which writing system a token belongs to, by the name that Unicode gives its first letter."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

#: What `script_of` returns is a place in this list.
SCRIPTS = (
    "Latin",
    "Cyrillic",
    "Han",
    "Kana",
    "Hangul",
    "Arabic",
    "Indic",
    "other letters",
    "digits",
    "signs",
    "no text",
)
_OTHER, _DIGITS, _SIGNS, _NO_TEXT = (SCRIPTS.index(name) for name in SCRIPTS[7:])
_INDIC = ("DEVANAGARI", "BENGALI", "TAMIL", "TELUGU", "GUJARATI", "KANNADA", "MALAYALAM", "GURMUKHI", "ORIYA")
_BY_FIRST_WORD = {
    "LATIN": 0,
    "FULLWIDTH": 0,
    "CYRILLIC": 1,
    "CJK": 2,
    "HIRAGANA": 3,
    "KATAKANA": 3,
    "HALFWIDTH": 3,
    "KATAKANA-HIRAGANA": 3,
    "HANGUL": 4,
    "ARABIC": 5,
    **dict.fromkeys((*_INDIC, "SINHALA"), 6),
}


def script_of(data: bytes) -> int:
    """Return the script of what a token stands for: of its first letter, else of its first digit or sign.

    Bytes that are a part of a character have no text.
    """
    rest = _NO_TEXT
    for letter in data.decode("utf-8", "replace"):
        script = _of_letter(letter)
        if script < _DIGITS:
            return script
        rest = min(rest, script)
    return rest


@lru_cache(maxsize=1 << 17)
def _of_letter(letter: str) -> int:
    category = unicodedata.category(letter)
    if letter == "\ufffd" or category[0] in "CZ":
        return _NO_TEXT
    if category[0] == "N":
        return _DIGITS
    if category[0] != "L":
        return _SIGNS
    return _BY_FIRST_WORD.get(unicodedata.name(letter, "").partition(" ")[0], _OTHER)
