"""What pooling needs to know of a ``tokenizer.json``."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..errors import FormatError
from ..safe_text import quote
from ..tokens.readers.checked_reads import as_list, as_object
from .rules import Direction


class Truncation(NamedTuple):
    """How many tokens of a text are kept, and which end of a longer one is left out."""

    max_length: int
    direction: Direction


@dataclass(frozen=True)
class TokenizerFacts:
    """Facts of a tokenizer.

    Attributes
    ----------
    n_tokens : int
        Entries of its vocabulary, added tokens included.
    n_ids : int
        One more than the highest id.
    unknown : int or None
        The id for what is not in the vocabulary.
    median_length : int
        Of its tokens' texts, as stored, in characters; cut to a whole number.
    truncation : Truncation or None
        What the file says a text is to be cut to.
    sample : tuple of str
        Some of its tokens' texts, and all added ones.
    """

    n_tokens: int
    n_ids: int
    unknown: int | None
    median_length: int
    truncation: Truncation | None
    sample: tuple[str, ...]


_SAMPLED_TOKENS = 2048
_SAMPLED_ADDED = 64


def tokenizer_facts(path: str, document: dict[str, Any]) -> TokenizerFacts:
    """Return the facts of a parsed ``tokenizer.json``.

    Raises
    ------
    FormatError
        If a part that they rest on is not what it has to be.
    """
    model = as_object(path, document.get("model"), "model")
    ids = _vocabulary(path, model)
    added = _added(path, document, ids)
    texts = list(ids)
    step = max(1, len(texts) // _SAMPLED_TOKENS)
    sample = (*texts[::step], *added[:_SAMPLED_ADDED])
    if not texts:
        raise FormatError(f"{path}: the vocabulary is empty", path)
    return TokenizerFacts(
        n_tokens=len(ids),
        n_ids=max(ids.values()) + 1,
        unknown=_unknown(path, model, ids),
        median_length=int(statistics.median(map(len, texts))),
        truncation=_truncation(path, document),
        sample=sample,
    )


def _vocabulary(path: str, model: dict[str, Any]) -> dict[str, int]:
    """Return the id of every token of the model, in the file's order; of equal texts the last."""
    vocab = model.get("vocab")
    pairs: Iterable[tuple[Any, Any]]
    if isinstance(vocab, list):  # Unigram: pairs of text and score
        pairs = (
            (entry[0], number)
            for number, entry in enumerate(vocab)
            if isinstance(entry, list | tuple) and entry
        )
    else:
        pairs = as_object(path, vocab, "model.vocab").items()
    ids: dict[str, int] = {}
    for text, number in pairs:
        if not isinstance(text, str) or type(number) is not int or not 0 <= number < 2**31:
            raise FormatError(f"{path}: model.vocab must give each text an id", path)
        ids[text] = number
    return ids


def _added(path: str, document: dict[str, Any], ids: dict[str, int]) -> list[str]:
    """Add the added tokens to `ids`, and return their texts.

    New ones get the next free ids: `tokenizers` does not use those of the file.
    """
    entries = [
        as_object(path, entry, "added_tokens[]")
        for entry in as_list(path, document.get("added_tokens"), "added_tokens")
    ]
    next_id = max(ids.values(), default=-1) + 1
    texts = []
    for entry in entries:
        text = entry.get("content")
        if not isinstance(text, str):
            raise FormatError(f"{path}: an added token has no text", path)
        if not text:
            continue
        texts.append(text)
        if text not in ids:
            ids[text] = next_id
            next_id += 1
    return texts


def _unknown(path: str, model: dict[str, Any], ids: dict[str, int]) -> int | None:
    number = model.get("unk_id")
    if isinstance(model.get("vocab"), list):
        if number is not None and (type(number) is not int or number < 0):
            raise FormatError(f"{path}: model.unk_id must be an id or null, not {quote(str(number))}", path)
        return number
    text = model.get("unk_token")
    return ids.get(text) if isinstance(text, str) else None


def _truncation(path: str, document: dict[str, Any]) -> Truncation | None:
    value = document.get("truncation")
    if value is None:
        return None
    truncation = as_object(path, value, "truncation")
    length, direction = truncation.get("max_length"), truncation.get("direction", "Right")
    if type(length) is not int or length < 0:
        shown = quote(str(length))
        raise FormatError(f"{path}: truncation.max_length must be a whole number, not {shown}", path)
    if direction not in ("Right", "Left"):
        shown = quote(str(direction))
        raise FormatError(f'{path}: truncation.direction is {shown}; expected "Right" or "Left"', path)
    return Truncation(length, "left" if direction == "Left" else "right")
