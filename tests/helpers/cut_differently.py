"""Texts that ``tokenizers`` and llama.cpp are known to cut differently; docs/text.md explains each kind.

What is listed here was seen by comparing both on every character. A text without any of it has to get the
same ids.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache

import pyembed

#: Characters that BERT's normalizer and llama.cpp's treat differently, beside those of `_different_to_bert`:
#: marks, punctuation and formats that one of the two tables of Unicode does not have as such.
_BERT = """
b-c 85 61d 7fd 890-891 898-89f 8ca-8e2 9fd-9fe a76 afa-aff b55 c04 c3c c77 c84 d00 d3b-d3c d81 eba 166d 180f
1885-1886 1abf-1ace 1b7d-1b7e 1df6-1dfb 2581 2e43-2e4f 2e52-2e5d a82c a8c5 a8ff a9bd 10d24-10d27 10eab-10ead
10f46-10f50 10f55-10f59 10f82-10f89 11070 11073-11074 110c2 110cd 111c9 111cf 1123e 1133b 11438-1143f
11442-11444 11446 1144b-1144f 1145a-1145b 1145d-1145e 11660-1166c 116b9 1182f-11837 11839-1183b 1193b-1193c
1193e 11943-11946 119d4-119d7 119da-119db 119e0 119e2 11a01-11a0a 11a33-11a38 11a3b-11a47 11a51-11a56
11a59-11a5b 11a8a-11a96 11a98-11a9c 11a9e-11aa2 11c30-11c36 11c38-11c3d 11c3f 11c41-11c45 11c70-11c71
11c92-11ca7 11caa-11cb0 11cb2-11cb3 11cb5-11cb6 11d31-11d36 11d3a 11d3c-11d3d 11d3f-11d45 11d47 11d90-11d91
11d95 11d97 11ef3-11ef4 11ef7-11ef8 11fff 12ff1-12ff2 13430-13438 16e97-16e9a 16f4f 16fe2 16fe4 1cf00-1cf2d
1cf30-1cf46 1e000-1e006 1e008-1e018 1e01b-1e021 1e023-1e024 1e026-1e02a 1e130-1e136 1e2ae 1e2ec-1e2ef
1e944-1e94a 1e95e-1e95f
"""
_LONG_WORD = re.compile(r"\S{101}")
#: Characters that join others to a cluster, beside marks: format characters, jamo, flags, skin tones.
_JOINING = re.compile(
    "[\u200c\u200d\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u0d4e\u0e33\u0eb3\u1100-\u11ff\ua960-\ua97c"
    "\ud7b0-\ud7fb\U000110bd\U000110cd\U000111c2\U000111c3\U0001f1e6-\U0001f1ff\U0001f3fb-\U0001f3ff"
    "\U000e0000-\U000e01ef]|\r\n"
)
_WIDE_SPACES = re.compile("[\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
_WIDE_SPACES_BEFORE_MASK = re.compile(_WIDE_SPACES.pattern + r"\s*<mask>")


def _of_category(*categories: str) -> set[str]:
    characters = map(chr, (*range(0xD800), *range(0xE000, sys.maxunicode + 1)))
    return {character for character in characters if unicodedata.category(character) in categories}


@cache
def _unassigned() -> set[str]:
    """Return what this Python's Unicode has no character for: other versions may."""
    return _of_category("Cn")


@cache
def _marks() -> set[str]:
    return _of_category("Mn", "Mc", "Me")


@cache
def _different_to_bert() -> set[str]:
    found = _of_category("Mc", "Me")
    found |= {chr(point) for point in range(0xAC00, 0xD7A4)}  # llama.cpp keeps the first part of a syllable
    for part in _BERT.split():
        first, _, last = part.partition("-")
        found |= {chr(point) for point in range(int(first, 16), int(last or first, 16) + 1)}
    return found


def has_unassigned(text: str) -> bool:
    """Return whether a text has characters that this Python's Unicode does not know."""
    return not _unassigned().isdisjoint(text)


def is_cut_differently(text: str, vocabulary: pyembed.Vocabulary, *, name: str = "") -> bool:
    """Return whether a text has what the engines cut differently by a vocabulary of this family.

    Parameters
    ----------
    text : str
    vocabulary : Vocabulary
    name : str, optional
        ``general.name``.
    """
    characters = set(text)
    if has_unassigned(text):
        return True
    if vocabulary.model == "bert":
        return bool(_LONG_WORD.search(text)) or not characters.isdisjoint(_different_to_bert())
    if vocabulary.model == "t5":
        if _JOINING.search(text) or _WIDE_SPACES_BEFORE_MASK.search(text):
            return True
        return not characters.isdisjoint(_marks())
    return "phi3" in name.lower() and bool(_WIDE_SPACES.search(text))
