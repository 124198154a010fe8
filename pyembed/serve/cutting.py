"""Texts to tokens that people look at, and back."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from ..encoders.whole import WholeTokenizer
from ..errors import FormatError
from .asking import check_batch_size, hidden, need_encoder, too_many_tokens
from .errors import Reason, Refused, invalid
from .limits import Limits
from .models import Served
from .shapes import Inputs

if TYPE_CHECKING:
    from tokenizers import Encoding

Tokens = list[dict[str, Any]]


def cut_for_people(served: Served, inputs: Inputs, limits: Limits, add_special: bool) -> list[Tokens]:
    """Return the tokens of each text: id, text, whether it is special, and the bytes that it comes from."""
    check_batch_size(inputs, limits, "inputs")
    tokenizer = _tokenizer(served)
    found = []
    n_left = limits.max_batch_tokens
    for text in inputs.texts or ():
        try:
            tokens = tokenizer.cut(text, add_special=add_special)
        except FormatError as error:
            raise Refused(Reason.NO_TOKENIZER, hidden(served, str(error)), "inputs") from None
        n_left -= len(tokens)
        if n_left < 0:
            raise too_many_tokens(limits.max_batch_tokens - n_left, limits, "inputs")
        found.append(_shown(text, tokens))
    return found


def _tokenizer(served: Served) -> WholeTokenizer:
    try:
        return need_encoder(served).whole_tokenizer
    except (FormatError, ImportError) as error:
        raise Refused(Reason.NO_TOKENIZER, hidden(served, str(error)), "inputs") from None


def _shown(text: str, cut: Encoding) -> Tokens:
    places = _byte_places(text)
    return [
        {
            "id": token_id,
            "text": stored if special else text[start:end],
            "special": bool(special),
            "start": None if special else places[start],
            "stop": None if special else places[end],
        }
        for token_id, stored, special, (start, end) in zip(
            cut.ids, cut.tokens, cut.special_tokens_mask, cut.offsets, strict=True
        )
    ]


def _byte_places(text: str) -> Any:
    """Return at which byte each character begins, and where the last ends."""
    if text.isascii():
        return range(len(text) + 1)
    return list(accumulate((len(letter.encode("utf-8")) for letter in text), initial=0))


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
    return [_tokenizer(served).join(ids.tolist(), skip_special=skip_special) for ids in arrays]


def _n_tokens(served: Served) -> int:
    vocabulary = served.vocabulary if served.model is not None else None
    return _tokenizer(served).n_tokens if vocabulary is None else len(vocabulary)
