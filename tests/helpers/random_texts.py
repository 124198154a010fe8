"""Random texts that put tokenizers to the test: all scripts, marks, emoji, controls, spaces, digits, code."""

from __future__ import annotations

import random
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import cache

_SPACES = " \t\n\r\x0b\x0c\x85\xa0\u1680\u2003\u2028\u2029\u202f\u205f\u3000"
_PLAIN = "aabcdeEeiInNoOrsStTuxyZ  1234567890.,;:!?'\"-_/()[]{}<>|=+*&%$#@^`~\\\n\r\t"
_CONTRACTIONS = (
    "'s",
    "'S",
    "'t",
    "'re",
    "'RE",
    "'ve",
    "'Ve",
    "'m",
    "'ll",
    "'LL",
    "'d",
    "'\u017f",
    "\u2019s",
    "'x",
)
_EMOJI = (
    "\U0001f600",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\U0001f44d\U0001f3fd",
    "\U0001f1e9\U0001f1ea",
    "\u2764\ufe0f",
    "1\ufe0f\u20e3",
    "\u2615",
    "\U0001f3f4\U000e0067\U000e0062\U000e007f",
)
_WORDS = (
    *("Hello", "the", "king's", "don't", "WORLD", "camelCaseWord", "snake_case", "HTTPServer", "na\u00efve"),
    *(
        "stra\u00dfe",
        "\u0130stanbul",
        "\u041f\u0440\u0438\u0432\u0435\u0442",
        "\u0395\u03bb\u03bb\u03ac\u03c2",
    ),
    *("\u05e9\u05b8\u05dc\u05d5\u05b9\u05dd", "\u0645\u064e\u0631\u0652\u062d\u064e\u0628\u064b\u0627"),
    *(
        "\u0928\u092e\u0938\u094d\u0924\u0947",
        "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
        "\u4f60\u597d\u4e16\u754c",
    ),
    *(
        "\u3053\u3093\u306b\u3061\u306f",
        "\u30ab\u30bf\u30ab\u30ca",
        "\ud55c\uad6d\uc5b4",
        "\u1112\u1161\u11ab",
    ),
    *("\u1781\u17d2\u1798\u17c2\u179a", "\u10e5\u10d0\u10e0\u10d7\u10e3\u10da\u10d8", "\U00010400\U00010428"),
)
_CODE = (
    *(
        "def f(x):\n    return x**2\n",
        "for (int i=0;i<n;++i) {\n\t\ta[i] = 0x1F;\n}",
        "https://x.org/a?b=1&c=%20",
    ),
    *(
        "if x != None and y>=3.14e-10:",
        '<div class="a">&nbsp;</div>\r\n',
        "SELECT * FROM t;--",
        "\\frac{1}{2}",
    ),
    *("$HOME/.bashrc", "a->b::c", "#!/bin/sh\n\n\n", "    \n        x\n", "user@example.com", "[1, 2,3]"),
)


@cache
def _by_category() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for point in range(sys.maxunicode + 1):
        if not 0xD800 <= point < 0xE000:
            found.setdefault(unicodedata.category(chr(point)), []).append(chr(point))
    return found


def _characters(rng: random.Random) -> str:
    """Return characters of one category, which are many scripts and rare ones."""
    of = _by_category()
    kind = rng.choice([name for name in of if name not in ("Cn", "Co")])
    return "".join(rng.choice(of[kind]) for _ in range(rng.randint(1, 4)))


def _script(rng: random.Random) -> str:
    """Return neighbours in Unicode's order, which mostly are of one script."""
    start = rng.choice([0x20, 0xA0, 0x100, 0x370, 0x400, 0x5D0, 0x600, 0x900, 0xE00, 0x1100, 0x1780, 0x2000])
    start = rng.choice([start, 0x3040, 0x4E00, 0xAC00, 0xFF00, 0x10000, 0x1F300, rng.randrange(0x2FFFF)])
    points = [start + rng.randrange(96) for _ in range(rng.randint(1, 8))]
    return "".join(chr(point) for point in points if not 0xD800 <= point < 0xE000)


def _marked(rng: random.Random) -> str:
    base = rng.choice("aeinouAZ\u0915\u05d0\u0627 1.")
    return base + "".join(
        rng.choice(_by_category()[rng.choice(["Mn", "Mc", "Me"])]) for _ in range(rng.randint(1, 3))
    )


_PIECES: tuple[tuple[int, Callable[[random.Random], str]], ...] = (
    (6, lambda rng: "".join(rng.choice(_PLAIN) for _ in range(rng.randint(1, 12)))),
    (6, lambda rng: rng.choice(_WORDS)),
    (3, lambda rng: rng.choice(_CODE)),
    (3, lambda rng: "".join(rng.choice("0123456789") for _ in range(rng.choice([1, 2, 3, 4, 7, 12, 40])))),
    (3, lambda rng: rng.choice(_SPACES) * rng.choice([1, 1, 2, 3, 5, 17])),
    (3, lambda rng: " " * rng.choice([1, 1, 1, 2, 3, 4, 8, 33])),
    (2, lambda rng: "\n" * rng.choice([1, 2, 3, 7, 31])),
    (2, lambda rng: rng.choice("abXY") + rng.choice(_CONTRACTIONS) + rng.choice(["", "t", " ", "S"])),
    (2, lambda rng: rng.choice(_EMOJI)),
    (2, _characters),
    (3, _script),
    (2, _marked),
    (1, lambda rng: chr(rng.randrange(32))),
    (1, lambda rng: rng.choice("!?.-=*_#/\\") * rng.choice([2, 3, 5, 20])),
)


def random_texts(n: int, seed: int, *, also: Sequence[str] = (), never: str = "") -> Iterator[str]:
    """Yield texts of up to a few dozen pieces.

    Parameters
    ----------
    n, seed : int
    also : sequence of str, optional
        Further pieces, such as the special tokens of a vocabulary; every tenth piece or so is one of them.
    never : str, optional
        Characters that no text has.
    """
    rng = random.Random(seed)
    weights = [weight for weight, _ in _PIECES]
    without = str.maketrans("", "", never)
    for _ in range(n):
        chosen = rng.choices(_PIECES, weights, k=rng.choice([1, 2, 3, 5, 8, 13]))
        parts = [rng.choice(also) if also and rng.random() < 0.1 else make(rng) for _, make in chosen]
        glue = rng.choice(["", "", " "])
        yield glue.join(parts).translate(without)
