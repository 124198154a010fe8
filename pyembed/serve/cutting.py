"""Texts to tokens that people look at, and back."""

from __future__ import annotations

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


def cut_for_people(served: Served, inputs: Inputs, limits: Limits, add_special: bool) -> list[Tokens]:
    """Return the tokens of each text: id, text, whether it is special, and the bytes that it comes from."""
    check_batch_size(inputs, limits, "inputs")
    found = []
    n_left = limits.max_batch_tokens
    for text in inputs.texts or ():
        tokens = _tokens(served, text, add_special)
        n_left -= len(tokens)
        if n_left < 0:
            raise too_many_tokens(limits.max_batch_tokens - n_left, limits, "inputs")
        found.append(tokens)
    return found


def _tokens(served: Served, text: str, add_special: bool) -> Tokens:
    places = _byte_places(text)
    cut = _of_model if served.model is not None else _of_tokenizer
    return [
        {
            "id": token_id,
            "text": stored if special else text[start:end],
            "special": special,
            "start": None if special else places[start],
            "stop": None if special else places[end],
        }
        for token_id, stored, special, start, end in cut(served, text, add_special)
    ]


def _byte_places(text: str) -> Any:
    """Return at which byte each character begins, and where the last ends."""
    if text.isascii():
        return range(len(text) + 1)
    return list(accumulate((len(letter.encode("utf-8")) for letter in text), initial=0))


def _of_model(served: Served, text: str, add_special: bool) -> list[tuple[int, str, bool, int, int]]:
    if served.model is None or served.vocabulary is None:
        raise no_tokenizer(served)
    try:
        pieces = served.model.vocabulary.pieces(text, add_special=add_special)
    except (FormatError, ImportError) as error:
        raise Refused(Reason.NO_TOKENIZER, hidden(served, str(error)), "inputs") from None
    types = served.model.vocabulary.types
    # Control tokens are not found in texts, so that these are the ones that were added.
    is_special = (types == TokenType.CONTROL).tolist()
    return [(one.id, one.text, is_special[one.id], one.start, one.end) for one in pieces]


def _of_tokenizer(served: Served, text: str, add_special: bool) -> list[tuple[int, str, bool, int, int]]:
    if served.tokenizer is None:
        raise no_tokenizer(served)
    cut = served.tokenizer.encode(text, add_special_tokens=add_special)
    return [
        (token_id, stored, bool(special), start, end)
        for token_id, stored, special, (start, end) in zip(
            cut.ids, cut.tokens, cut.special_tokens_mask, cut.offsets, strict=True
        )
    ]


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
