"""Mendings of tokens that have no text of their own: they are named as converters and llama.cpp name them."""

from __future__ import annotations

from collections.abc import Sequence

from ..editing.rows import row_bytes_of
from ..files.byte_ranges import tensor_range
from ..tokens.token_list import UNUSED
from .by_law import MAX_TOKENS, texts_of
from .draft import Draft
from .mendings import CannotMend, Mending


def names_for_empty(draft: Draft) -> None:
    """Call tokens without a text what llama.cpp calls them when it loads the model."""
    texts = texts_of(draft)
    taken = set(texts)
    named = {i: f"[EMPTY_{i}]" for i, text in enumerate(texts) if not text}
    if not named or taken.intersection(named.values()):
        raise CannotMend("a name that no token has")
    for i, name in named.items():
        texts[i] = name


def padded_list(draft: Draft) -> None:
    """Fill the list of tokens up to the number of rows with ``[PADi]``, as converters do."""
    texts, n = texts_of(draft), draft.n_rows
    if n is None or n <= len(texts) or n > MAX_TOKENS:
        raise CannotMend("rows that no token has")
    added = [f"[PAD{i}]" for i in range(len(texts), n)]
    if set(added).intersection(texts):
        raise CannotMend("names that no token has")
    tokens = draft.tokens
    for column, filler in ((tokens.types, UNUSED), (tokens.scores, -10_000.0)):
        if column is not None and len(column) == len(texts):
            column.extend([filler] * len(added))  # type: ignore[list-item]
    texts.extend(added)


def names_for_duplicates(draft: Draft) -> None:
    """Call tokens whose text another has ``[PADi]``, as converters do with ids that have no token.

    A text stands for one id. Which of the tokens that have it is another, whose text is lost, is known if all
    but one are of type unused or have rows of zeros, or if their rows are the same bytes, so that it does not
    matter.
    """
    texts = texts_of(draft)
    places: dict[str, list[int]] = {}
    for i, text in enumerate(texts):
        if text:
            places.setdefault(text, []).append(i)
    taken = set(texts)
    alike = [ids for ids in places.values() if len(ids) > 1]
    if not alike:
        raise CannotMend("tokens that have the same text")
    unused = [i for ids in alike for i in _without_use(draft, ids)]
    if not unused:
        raise CannotMend("a reference: nothing shows which of the tokens with the same text stands for it")
    names = {i: f"[PAD{i}]" for i in unused}
    if taken.intersection(names.values()):
        raise CannotMend("a name that no token has")
    types = draft.tokens.types
    for i, name in names.items():
        texts[i] = name
        if types is not None and i < len(types):
            types[i] = UNUSED


def _without_use(draft: Draft, ids: Sequence[int]) -> list[int]:
    """Return which of the tokens with one text do not stand for it: all but one, or none if that is open."""
    types = draft.tokens.types
    if types is not None and len(types) == len(draft.tokens.texts or ()):
        left = [i for i in ids if types[i] != UNUSED]
        if len(left) == 1:
            return [i for i in ids if i != left[0]]
    rows = [_row(draft, i) for i in ids]
    if None not in rows:
        trained = [i for i, row in zip(ids, rows, strict=True) if any(row or b"")]
        if len(trained) == 1:
            return [i for i in ids if i != trained[0]]
        if len(set(rows)) == 1:
            return list(ids[1:])
    return []


def _row(draft: Draft, token_id: int) -> bytes | None:
    """Return the row that a token is to have, as it is stored; None where there is none."""
    if not draft.tensors:
        return None
    rows = draft.rows[draft.tensors[0].name]
    if token_id >= len(rows.sources):
        return None
    if token_id in rows.given:
        return rows.given[token_id]
    width, whole = row_bytes_of(rows.info), tensor_range(rows.info)
    with open(whole.path, "rb") as file:
        file.seek(whole.offset + int(rows.sources[token_id]) * width)
        return file.read(width)


MENDINGS = (
    Mending(
        "names for empty tokens",
        "tokens without a text have the names that llama.cpp gives them",
        names_for_empty,
    ),
    Mending(
        "names for duplicate tokens",
        "of tokens with the same text those that do not stand for it are called [PADi]",
        names_for_duplicates,
    ),
    Mending("a token for each row", "the list is filled up with [PADi] to the number of rows", padded_list),
)
"""In the order in which they are tried."""
