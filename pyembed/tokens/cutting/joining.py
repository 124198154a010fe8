"""Ids back to a text; needs no other package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...files.metadata import Metadata
from ..token_text import SPACE_MARK, TokenType
from .source import control_texts

if TYPE_CHECKING:
    from ..listed import Token
from ..vocabulary import Vocabulary

_IN_NO_TEXT = frozenset({TokenType.CONTROL, TokenType.UNKNOWN})


def join(vocabulary: Vocabulary, metadata: Metadata, ids: npt.NDArray[Any], *, special: bool) -> str:
    """Return the text that tokens stand for; see `Model.detokenize`."""
    spell = _word_piece if vocabulary.model == "bert" else _bytes
    control = frozenset() if special else control_texts(vocabulary.model, metadata)
    kept: dict[int, bytes] = {}
    for token_id in np.unique(ids).tolist():
        token = vocabulary[token_id]
        left_out = not special and (token.type in _IN_NO_TEXT or token.text in control)
        kept[token_id] = b"" if left_out else spell(token)
    data = b"".join([kept[token_id] for token_id in ids.tolist()])
    if data.startswith(b" ") and _has_prefix(vocabulary, metadata):
        data = data[1:]
    return data.decode("utf-8", "replace")


def _bytes(token: Token) -> bytes:
    return token.bytes


def _word_piece(token: Token) -> bytes:
    return b" " + token.bytes if token.text.startswith(SPACE_MARK) else token.bytes


def _has_prefix(vocabulary: Vocabulary, metadata: Metadata) -> bool:
    """Return whether the space before the first word was put there, and is not a part of the text."""
    prefix = metadata.flag("tokenizer.ggml.add_space_prefix")
    if vocabulary.model == "t5":
        return bool(prefix) or bool(metadata.flag("tokenizer.ggml.remove_extra_whitespaces"))
    return vocabulary.model == "bert" or (vocabulary.model == "llama" and prefix is not False)
