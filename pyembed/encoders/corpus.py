"""Texts on which two engines are compared: always the same ones, and some of the vocabulary's own words.

To the texts by which files are compared come mixtures of their words with what tokenizers are known to treat
differently: scripts, marks that combine, emoji that are several characters, controls, runs of spaces and of
digits. Half of the mixtures are of plain ASCII: an engine may be right in these alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cache

from ..tokens.cutting.corpus import corpus

#: Of each of the two kinds.
_N_MIXED = 800

_SPACES = (
    " ",
    " ",
    " ",
    " ",
    "",
    "  ",
    "   ",
    "\n",
    "\n\n",
    "\t",
    " \n",
    "\n ",
    "\r\n",
    "      ",
    "\n\n\n",
    "\u00a0",
    "\u3000",
)
_RANGES = (
    *(
        (0x20, 0x7E),
        (0xA0, 0x17F),
        (0x180, 0x24F),
        (0x2B0, 0x36F),
        (0x370, 0x52F),
        (0x531, 0x5FF),
        (0x600, 0x6FF),
    ),
    *((0x900, 0xDFF), (0xE01, 0xEFF), (0x10A0, 0x11FF), (0x1200, 0x139F), (0x1E00, 0x1FFF), (0x2000, 0x206F)),
    *(
        (0x2070, 0x2BFF),
        (0x3000, 0x30FF),
        (0x3400, 0x9FFF),
        (0xAC00, 0xD7A3),
        (0xF900, 0xFB4F),
        (0xFE00, 0xFFEF),
    ),
    *((0x1D400, 0x1D7FF), (0x1F1E6, 0x1F9FF), (0x20000, 0x2A6DF)),
)
_ASCII = ((0x20, 0x7E), (0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E), (0x30, 0x39), (0x00, 0x7F))


class _Numbers:
    """Pseudo-random numbers that are the same everywhere (Knuth's multiplier for 64 bits)."""

    def __init__(self, seed: int) -> None:
        self._state = seed

    def below(self, n: int) -> int:
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self._state >> 33) * n >> 31

    def of(self, items: Sequence[str]) -> str:
        return items[self.below(len(items))]


@cache
def fixed_texts() -> tuple[str, ...]:
    """Return the texts that are the same for every vocabulary."""
    words = [word for text in corpus() for word in text.split(" ") if word]
    plain = [word for word in words if word.isascii() and word.isprintable()]
    spaces = [space for space in _SPACES if space.isascii()]
    return (*corpus(), *_mixed(words, _SPACES, _RANGES), *_mixed(plain, spaces, _ASCII))


def _mixed(words: Sequence[str], spaces: Sequence[str], ranges: Sequence[tuple[int, int]]) -> Iterator[str]:
    numbers = _Numbers(1)
    for number in range(_N_MIXED):
        parts = []
        for _ in range(1 + numbers.below(12)):
            kind = numbers.below(8)
            if kind < 5:
                parts.append(numbers.of(words))
            elif kind == 5:
                parts.append(str(numbers.below(10 ** (1 + numbers.below(9)))))
            else:
                first, last = ranges[numbers.below(len(ranges))]
                parts.append(
                    "".join(chr(first + numbers.below(last - first + 1)) for _ in range(1 + numbers.below(6)))
                )
            parts.append(numbers.of(spaces))
        yield (numbers.of(spaces) if number % 3 == 0 else "") + "".join(parts)


def own_texts(tokens: Sequence[str]) -> list[str]:
    """Return texts made of a vocabulary's own tokens, side by side and apart."""
    plain = [
        token.replace("\u2581", " ").replace("\u0120", " ").replace("\u010a", "\n").removeprefix("##")
        for token in tokens
    ]
    numbers = _Numbers(2)
    texts = ["".join(plain[i : i + 4]) for i in range(0, len(plain), 4)]
    for _ in range(len(plain) // 4):
        texts.append("".join(numbers.of(plain) + numbers.of(_SPACES) for _ in range(6)))
    return texts


@cache
def corpus_digest() -> str:
    """Return a digest of the fixed texts: what was learned from others says nothing about these."""
    return hashlib.sha256("\x1e".join(fixed_texts()).encode()).hexdigest()[:16]
