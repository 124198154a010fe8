"""Mendings that follow from the file alone: by the laws that lists of its family obey, and by texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ..editing.vocabulary_lists import merge_parts
from ..llama_cpp.special_tokens import END_TEXTS, TURN_TEXTS
from ..tokens.token_list import BYTE, CONTROL, NORMAL
from ..tokens.token_text import text_bytes
from .draft import Draft
from .mendings import CannotMend, Mending, OfAnotherFamily

FAMILY = "tokenizer.ggml.model"
BYTE_TEXT = re.compile(r"<0x([0-9A-F]{2})>")
_NUMBERED = re.compile(r"([<\[]\|?[A-Za-z_]+)(\d{1,9})(\|?[>\]])")
_LEAST_MERGES, _LEAST_NUMBERED = 16, 16
#: More misplaced tokens than this share, and merges are not those of the list.
_MOST_WRONG = 0.5
MAX_TOKENS = 1 << 21


def texts_of(draft: Draft) -> list[str]:
    """Return the list of tokens; CannotMend where there is none that can be looked at as a whole."""
    texts = draft.tokens.texts
    if not texts or len(texts) > MAX_TOKENS:
        raise CannotMend("a list of tokens")
    return texts


# ------------------------------------------------------------------------------------------ merges


def by_merges(draft: Draft) -> None:
    """Let the tokens that merges make stand in the order of their merges, lost ones among them.

    Only for lists of a family with a byte alphabet, with one merge a token, or with those of each token in a
    row, as they are where merges were made of a list of tokens.
    """
    texts, merges = texts_of(draft), draft.tokens.merges
    if draft.text(FAMILY) != "gpt2":
        raise OfAnotherFamily
    if merges is None or len(merges) < _LEAST_MERGES:
        raise CannotMend("merges, of a list that has one for each token")
    parts = [merge_parts(merge) for merge in merges]
    products = _unique([product for _, _, product in parts])
    has_one_each = len(products) >= 0.98 * len(merges)
    if not has_one_each and len(products) != 1 + sum(a[2] != b[2] for a, b in pairwise(parts)):
        raise CannotMend("a reference: merges of the same token do not follow each other")
    if _has_unmade(parts, all_of_each=has_one_each):
        raise CannotMend("a reference: merges are out of order, and do not say where tokens belong")
    symbols = _symbols(texts, merges)
    wanted = [*symbols, *products]
    first = _begin(texts, wanted)
    known = set(wanted)
    end = first + len(wanted)
    behind = [i for i in range(first, len(texts)) if text_bytes(texts[i]) not in known]
    before = [i for i in range(first) if text_bytes(texts[i]) in known]
    if before:
        raise CannotMend("learned tokens stand before the alphabet")
    where: dict[bytes, int] = {}
    for token_id, text in enumerate(texts):
        where.setdefault(text_bytes(text), token_id)
    learned = [where.get(data) for data in wanted]
    n_wrong = sum(found != first + k for k, found in enumerate(learned))
    if n_wrong > _MOST_WRONG * len(wanted) and not _is_shifted(learned, first):
        raise CannotMend("a list that mostly obeys the order of its merges")
    lost = [k for k, found in enumerate(learned) if found is None]
    intruders = [i for i in behind if i < end - len(lost)]
    # A text that stands where a lost token belongs was put over it; all others would move the list.
    overwritten = min(len(lost), len(intruders))
    extra = len(intruders) - overwritten
    n_new = len(texts) + len(lost) - overwritten - extra
    if draft.n_rows is not None and n_new != draft.n_rows:
        raise CannotMend(f"a reference: the order of merges gives {n_new} tokens for {draft.n_rows} rows")
    if extra and draft.n_rows is None:
        raise CannotMend("a reference, or the table: tokens were put in, or they were added with their rows")
    dropped = set(intruders)
    order = [*range(first), *learned, *(i for i in behind if i not in dropped)]
    _reorder(draft, order, wanted, first)


def _has_unmade(parts: Sequence[tuple[bytes, bytes, bytes]], *, all_of_each: bool) -> bool:
    """Return whether a token is made of texts that only later merges make: then merges stand in no order.

    With `all_of_each` this is so of every merge, else of all that make the same token.
    """
    rank_of: dict[bytes, int] = {}
    for rank, (_, _, product) in enumerate(parts):
        rank_of.setdefault(product, rank)
    made: dict[bytes, bool] = {}
    for rank, (left, right, product) in enumerate(parts):
        first = rank if all_of_each else rank_of[product]
        is_made = max(rank_of.get(left, -1), rank_of.get(right, -1)) < first
        if all_of_each and not is_made:
            return True
        made[product] = made.get(product, False) or is_made
    return not all(made.values())


def _unique(items: Sequence[bytes]) -> list[bytes]:
    return list(dict.fromkeys(items))


def _symbols(texts: Sequence[str], merges: Sequence[str]) -> list[bytes]:
    """Return the alphabet in order: single characters that are tokens, or that merges name."""
    found = {text for text in texts if len(text) == 1}
    for merge in merges:
        left, right, _ = merge_parts(merge)
        for part in (left, right):
            character = part.decode("utf-8", "surrogateescape")
            if len(character) == 1:
                found.add(character)
    symbols = sorted(character for character in found if _is_of_alphabet(character))
    return [text_bytes(symbol) for symbol in symbols]


def _is_of_alphabet(character: str) -> bool:
    """Return whether a character stands for a byte in the alphabet of GPT-2."""
    point = ord(character)
    return 0x21 <= point <= 0x7E or (0xA1 <= point <= 0x143 and point != 0xAD)


def _begin(texts: Sequence[str], wanted: Sequence[bytes]) -> int:
    """Return where the alphabet begins: by most of the first learned tokens."""
    places = {text_bytes(text): token_id for token_id, text in enumerate(texts)}
    offsets = [places[data] - k for k, data in enumerate(wanted[:64]) if data in places]
    if not offsets:
        raise CannotMend("the alphabet")
    values, counts = np.unique(offsets, return_counts=True)
    first = int(values[np.argmax(counts)])
    if first < 0:
        raise CannotMend("the beginning of the alphabet")
    return first


def _is_shifted(learned: Sequence[int | None], first: int) -> bool:
    """Return whether most tokens are displaced by one of a few numbers."""
    by = [found - first - k for k, found in enumerate(learned) if found is not None]
    _, counts = np.unique(by, return_counts=True)
    return bool(np.sort(counts)[-4:].sum() > (1 - _MOST_WRONG) * len(learned))


def _reorder(draft: Draft, order: Sequence[int | None], wanted: Sequence[bytes], first: int) -> None:
    """Put a draft's tokens in an order; a token that is in none gets its text from `wanted`."""
    old = draft.tokens
    assert old.texts is not None
    for column in old.columns():
        filler: object = "" if column is old.texts else NORMAL if column is old.types else 0.0
        column[:] = [filler if i is None else column[i] for i in order]
    for position, i in enumerate(order):
        if i is None:
            old.texts[position] = wanted[position - first].decode("utf-8", "surrogateescape")


# ----------------------------------------------------------------------------------- other orders


def by_bytes(draft: Draft) -> None:
    """Let byte tokens stand in the order of their bytes."""
    texts = texts_of(draft)
    found = {i: int(match[1], 16) for i, text in enumerate(texts) if (match := BYTE_TEXT.fullmatch(text))}
    ids = list(found)
    if len(ids) != 256 or len(set(found.values())) != 256 or ids[-1] - ids[0] != 255:
        raise CannotMend("all byte tokens in one run")
    _sort(draft, ids, [float(found[i]) for i in ids])


def by_numbers(draft: Draft) -> None:
    """Let numbered placeholders stand in the order of their numbers, where none is missing."""
    names: dict[tuple[str, str], dict[int, int]] = {}
    for i, text in enumerate(texts_of(draft)):
        match = _NUMBERED.fullmatch(text)
        if match is not None:
            names.setdefault((match[1], match[3]), {})[i] = int(match[2])
    sorted_any = False
    for found in names.values():
        ids, numbers = list(found), list(found.values())
        if len(ids) < _LEAST_NUMBERED or len(set(numbers)) != len(numbers):
            continue
        if max(numbers) - min(numbers) != len(numbers) - 1 or sorted(numbers) == numbers:
            continue
        _sort(draft, ids, [float(number) for number in numbers])
        sorted_any = True
    if not sorted_any:
        raise CannotMend("placeholders whose numbers are all there")


def _sort(draft: Draft, ids: Sequence[int], ranks: Sequence[float]) -> None:
    """Let some tokens change places so that their ranks ascend."""
    by_rank = [ids[k] for k in np.argsort(np.array(ranks), kind="stable").tolist()]
    if list(ids) == by_rank:
        raise CannotMend("a reference: what is there stands in order")
    for column in draft.tokens.columns():
        moved = [column[i] for i in by_rank]
        for i, value in zip(ids, moved, strict=True):
            column[i] = value


# -------------------------------------------------------------------------------------------- types


def types_by_text(draft: Draft) -> None:
    """Give byte tokens and tokens that mark turns the types that their texts ask for."""
    types, texts = draft.tokens.types, texts_of(draft)
    if types is None or len(types) != len(texts):
        raise CannotMend("a list of types that is as long as that of tokens")
    marks = {*END_TEXTS, *TURN_TEXTS}
    n_bytes = sum(BYTE_TEXT.fullmatch(text) is not None for text in texts)
    is_with_bytes = draft.text(FAMILY) in ("llama", "gemma4") and n_bytes >= 250
    changed = False
    for i, text in enumerate(texts):
        kind = types[i]
        if is_with_bytes and BYTE_TEXT.fullmatch(text) and kind != BYTE:
            types[i], changed = BYTE, True
        elif text in marks and kind == NORMAL:
            types[i], changed = CONTROL, True
        elif kind == BYTE and not BYTE_TEXT.fullmatch(text):
            types[i], changed = NORMAL, True
    if not changed:
        raise CannotMend("texts that say what type a token is of")


MENDINGS = (
    Mending(
        "order of merges",
        "tokens stand in the order in which merges make them, as in all lists of the family",
        by_merges,
    ),
    Mending("order of bytes", "byte tokens stand in the order of their bytes", by_bytes),
    Mending("order of numbers", "placeholders stand in the order of their numbers", by_numbers),
    Mending("types by text", "tokens have the types that their texts ask for", types_by_text),
)
"""In the order in which they are tried."""
