"""Variants of real vocabularies that are sound, and lists whose texts were shuffled.

A sound variant has a row for each token: `Parts.n_rows` says how many there are, and what was appended or
taken out is thought to have been so in the table too.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from tests.helpers.vocabulary_files import CONTROL, UNUSED, USER_DEFINED, Parts

NORMAL = 1
#: Where learned tokens begin, so that shuffles leave special tokens, bytes and alphabets alone.
FIRST_SHUFFLED = 1000
_MARK = "\u2581".encode()
_MAX_BYTES = 16


def shuffled(whole: Parts, n: int, seed: int = 0, first: int = FIRST_SHUFFLED) -> Parts:
    """Return a list in which the texts of `n` tokens from `first` on were shuffled; all else stays."""
    parts = whole.copy()
    texts = parts.tokens[first : first + n]
    order = list(range(len(texts)))
    while order == sorted(order):
        random.Random(seed).shuffle(order)
        seed += 1
    parts.tokens[first : first + n] = [texts[i] for i in order]
    return parts


def with_rows(parts: Parts) -> Parts:
    """Return a list with a table of one row a token."""
    parts.n_rows = len(parts.tokens)
    return parts


def new_texts(parts: Parts, n: int, numbers: random.Random) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield texts that are no tokens yet, each with the two tokens that it is made of."""
    known = set(parts.tokens)
    types = parts.types or [NORMAL] * len(parts.tokens)
    pool = [
        text
        for text, kind in zip(parts.tokens, types, strict=True)
        if kind == NORMAL and 0 < len(text) < _MAX_BYTES // 2 and text[:1] not in b"<[" and b" " not in text
    ]
    while n:
        left, right = numbers.choice(pool), numbers.choice(pool)
        text = left + right
        if text in known or not _is_text(text):
            continue
        known.add(text)
        yield text, left, right
        n -= 1


def _is_text(text: bytes) -> bool:
    try:
        return len(text.decode()) > 1 and not text[1:].count(_MARK)
    except UnicodeDecodeError:
        return False


def extended(whole: Parts, n: int, seed: int = 0, *, kind: int = NORMAL, scores: str = "own") -> Parts:
    """Return a list with `n` learned tokens behind its end, their merges or scores appended as well.

    Scores are ``"own"``: those of a list of their own, from the highest on; ``"low"``: below all others; or
    ``"equal"``.
    """
    parts, numbers = whole.copy(), random.Random(seed)
    lowest = min((score for score in parts.scores or [0.0] if score > -1e8), default=0.0)
    for i, (text, left, right) in enumerate(new_texts(parts, n, numbers)):
        parts.tokens.append(text)
        if parts.types is not None:
            parts.types.append(kind)
        if parts.scores is not None:
            step = -2.0 - 0.125 * i if parts.model == "t5" else -float(i + 1)
            of = {"own": step, "low": lowest - 1 + step, "equal": lowest - 5}
            parts.scores.append(of[scores] if parts.model in ("llama", "t5") else 0.0)
        if parts.merges is not None and kind == NORMAL:
            parts.merges.append(left + b" " + right)
    return with_rows(parts)


def trimmed(whole: Parts, n: int, seed: int = 0, *, first: int = 300, with_merges: bool = False) -> Parts:
    """Return a list from which `n` ordinary tokens were taken out; with their merges, if asked for."""
    parts, numbers = whole.copy(), random.Random(seed)
    types = parts.types or [NORMAL] * len(parts.tokens)
    ordinary = [
        i for i in range(first, len(types)) if types[i] == NORMAL and parts.tokens[i][:1] not in b"<["
    ]
    gone = set(numbers.sample(ordinary, n))
    texts = {parts.tokens[i] for i in gone}
    for column in parts.columns():
        column[:] = [value for i, value in enumerate(column) if i not in gone]
    if with_merges and parts.merges is not None:
        parts.merges[:] = [
            merge
            for merge in parts.merges
            if not texts & {*merge.split(b" ", 1), merge.replace(b" ", b"", 1)}
        ]
    for key, value in parts.others.items():
        if key.endswith("_token_id") and isinstance(value, int):
            parts.others[key] = value - sum(i < value for i in gone)
    return with_rows(parts)


def padded(whole: Parts, n: int) -> Parts:
    """Return a list with `n` tokens of padding behind its end, named by their ids."""
    parts = whole.copy()
    known = set(parts.tokens)
    for _ in range(n):
        text = b"[PAD%d]" % len(parts.tokens)
        parts.insert(len(parts.tokens), b"[more" + text[1:] if text in known else text, UNUSED)
    return with_rows(parts)


def with_added(whole: Parts, n: int, kind: int = USER_DEFINED) -> Parts:
    """Return a list with `n` added tokens behind its end."""
    parts = whole.copy()
    for i in range(n):
        parts.insert(len(parts.tokens), b"<|added_%d|>" % i, kind)
    return with_rows(parts)


def behind_specials(whole: Parts, n: int, n_special: int, seed: int = 0) -> Parts:
    """Return a list extended behind special tokens that were appended first, the last of them its eos."""
    parts = with_added(whole, n_special, CONTROL)
    parts.others["tokenizer.ggml.eos_token_id"] = len(parts.tokens) - 1
    return extended(parts, n, seed)


def legitimate(whole: Parts, seed: int) -> Iterator[tuple[str, Parts]]:
    """Yield variants by chance that are sound, with what they are."""
    numbers = random.Random(seed)

    def some(*of: int) -> int:
        return numbers.choice(of)

    makers: list[tuple[str, Callable[[], Parts]]] = [
        ("with rows", lambda: with_rows(whole.copy())),
        ("extended", lambda: extended(whole, some(1, 2, 3, 5, 17, 100, 500, 2000), seed)),
        ("extended, scores below all", lambda: extended(whole, some(1, 2, 5, 50, 700), seed, scores="low")),
        ("extended, equal scores", lambda: extended(whole, some(1, 2, 5, 50, 700), seed, scores="equal")),
        ("extended behind specials", lambda: behind_specials(whole, some(1, 5, 400), some(1, 3, 20), seed)),
        ("trimmed", lambda: trimmed(whole, some(1, 2, 3, 5, 10, 20, 50), seed)),
        ("trimmed with merges", lambda: trimmed(whole, some(1, 3, 10, 50), seed, with_merges=True)),
        (
            "trimmed and extended",
            lambda: extended(trimmed(whole, some(1, 3, 20), seed), some(1, 5, 64), seed),
        ),
        ("trimmed and padded", lambda: padded(trimmed(whole, some(1, 3, 20), seed), 29)),
        ("padded", lambda: padded(whole, some(1, 7, 64, 1000))),
        ("extended and padded", lambda: padded(extended(whole, some(1, 5, 64), seed), some(1, 48))),
        ("added tokens", lambda: with_added(whole, some(1, 8, 256), some(CONTROL, USER_DEFINED))),
        ("added, then extended", lambda: extended(with_added(whole, some(1, 8)), some(1, 30), seed)),
        ("without types", lambda: _without_types(whole)),
    ]
    for name, make in makers:
        yield name, make()


def _without_types(whole: Parts) -> Parts:
    parts = whole.copy()
    parts.types = None
    return with_rows(parts)
