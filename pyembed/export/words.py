r"""Texts of tokens as words of a file of lines: without spaces, line breaks and control characters, and back.

========= =====================================================================
``\\``    a backslash
``\s``    a space
``\t``    a tab; ``\n`` a newline, ``\r`` a carriage return
``\uNNNN`` another space or control character; ``\UNNNNNNNN`` one above U+FFFF
``\xNN``  a byte that is not part of valid UTF-8
``\e``    all of an empty text
``\#ID``  at the end: the row ID, where an earlier token has the same text or
          where the row has no token
========= =====================================================================
"""

from __future__ import annotations

import re
import unicodedata

from ..tokens.vocabulary import Vocabulary

_SHORT = {"\\": "\\\\", " ": "\\s", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_LONG = {short: plain for plain, short in _SHORT.items()} | {"\\e": ""}
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"}
_ESCAPE = re.compile(r"\\(?:#\d+$|[\\stnre]|x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")


def word_of(text: str) -> str:
    """Return the word for a stored text."""
    if text.isascii() and text.isalnum():
        return text
    return "".join(map(_escaped, text)) or "\\e"


def _escaped(letter: str) -> str:
    if letter in _SHORT:
        return _SHORT[letter]
    if unicodedata.category(letter) not in _HIDDEN:
        return letter
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def text_of(word: str) -> str:
    """Return the stored text that `word_of` or `unique_word` made a word from."""
    return _ESCAPE.sub(_unescaped, word)


def _unescaped(match: re.Match[str]) -> str:
    if match[1]:
        return chr(0xDC00 + int(match[1], 16))
    if match[2] or match[3]:
        return chr(int(match[2] or match[3], 16))
    return _LONG.get(match[0], "")


def unique_word(row: int, text: str | None, vocabulary: Vocabulary | None) -> str:
    """Return a word that no other row has: the same for a row whatever else is written."""
    if vocabulary is None:
        return str(row)
    if text is None:
        return f"\\#{row}"
    return word_of(text) if vocabulary.id(text) == row else f"{word_of(text)}\\#{row}"
