"""Texts to tokens that people look at, and back."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any

import numpy as np

from ..errors import FormatError
from ..tokens.token_text import TokenType
from .asking import check_batch_size, hidden, no_tokenizer, too_many_tokens
from .errors import Reason, Refused, invalid
from .limits import Limits
from .models import Served
from .shapes import Inputs

Tokens = list[dict[str, Any]]


#: Id, stored text, whether it is special, and the characters that it comes from.
_Cut = tuple[int, str, bool, int, int]


def cut_for_people(served: Served, inputs: Inputs, limits: Limits, add_special: bool) -> list[Tokens]:
    """Return the tokens of each text: id, text, whether it is special, and the bytes that it comes from."""
    check_batch_size(inputs, limits, "inputs")
    cut = _by_model(served, add_special) if served.model is not None else _by_tokenizer(served, add_special)
    found = []
    n_left = limits.max_batch_tokens
    for text in inputs.texts or ():
        tokens = cut(text)
        n_left -= len(tokens)
        if n_left < 0:
            raise too_many_tokens(limits.max_batch_tokens - n_left, limits, "inputs")
        found.append(_shown(text, tokens))
    return found


def _shown(text: str, cut: list[_Cut]) -> Tokens:
    places = _byte_places(text)
    return [
        {
            "id": token_id,
            "text": stored if special else text[start:end],
            "special": special,
            "start": None if special else places[start],
            "stop": None if special else places[end],
        }
        for token_id, stored, special, start, end in cut
    ]


def _byte_places(text: str) -> Any:
    """Return at which byte each character begins, and where the last ends."""
    if text.isascii():
        return range(len(text) + 1)
    return list(accumulate((len(letter.encode("utf-8")) for letter in text), initial=0))


def _by_model(served: Served, add_special: bool) -> Callable[[str], list[_Cut]]:
    vocabulary = served.vocabulary
    if vocabulary is None:
        raise no_tokenizer(served)
    # Control tokens are not found in texts, so that these are the ones that were added.
    is_special = vocabulary.types == TokenType.CONTROL

    def cut(text: str) -> list[_Cut]:
        try:
            pieces = vocabulary.pieces(text, add_special=add_special)
        except (FormatError, ImportError) as error:
            raise Refused(Reason.NO_TOKENIZER, hidden(served, str(error)), "inputs") from None
        return [(one.id, one.text, bool(is_special[one.id]), one.start, one.end) for one in pieces]

    return cut


def _by_tokenizer(served: Served, add_special: bool) -> Callable[[str], list[_Cut]]:
    tokenizer = served.tokenizer
    if tokenizer is None:
        raise no_tokenizer(served)

    def cut(text: str) -> list[_Cut]:
        found = tokenizer.encode(text, add_special_tokens=add_special)
        return [
            (token_id, stored, bool(special), start, end)
            for token_id, stored, special, (start, end) in zip(
                found.ids, found.tokens, found.special_tokens_mask, found.offsets, strict=True
            )
        ]

    return cut


def joined(served: Served, inputs: Inputs, limits: Limits, skip_special: bool) -> list[str]:
    """Return the text of each array of ids."""
    check_batch_size(inputs, limits, "ids")
    arrays = inputs.ids or []
    n_tokens = sum(map(len, arrays))
    if n_tokens > limits.max_batch_tokens:
        raise too_many_tokens(n_tokens, limits, "ids")
    n_known = _n_tokens(served)
    for index, ids in enumerate(arrays):
        outside = np.flatnonzero((ids < 0) | (ids >= n_known))
        if outside.size:
            where = int(outside[0])
            raise invalid(f"id {ids[where]} at ids[{index}][{where}] is not one of {n_known} tokens", "ids")
    if served.model is not None:
        return [served.model.detokenize(ids, special=not skip_special) for ids in arrays]
    assert served.tokenizer is not None
    return [served.tokenizer.decode(ids.tolist(), skip_special_tokens=skip_special) for ids in arrays]


def _n_tokens(served: Served) -> int:
    if served.vocabulary is not None:
        return len(served.vocabulary)
    if served.tokenizer is not None:
        return served.tokenizer.get_vocab_size()
    raise no_tokenizer(served)
