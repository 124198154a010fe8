"""SentencePiece models with the ids that fairseq gives their pieces."""

from __future__ import annotations

from dataclasses import replace

from ...tokens.readers.sentencepiece_model import KIND
from ...tokens.token_list import TokenList
from .reference import Reference

_FAIRSEQ = ["<s>", "<pad>", "</s>", "<unk>"]
#: Where fairseq puts the pieces that SentencePiece has at 0, 1 and 2; all others come one later.
_FAIRSEQ_ID = {"<unk>": 3, "<s>": 0, "</s>": 2}


def in_fairseq_order(model: TokenList, reference: Reference) -> Reference | None:
    """Return a SentencePiece model with the ids that fairseq gives its pieces, if those of `model` are such.

    fairseq has a dictionary of its own, in XLM-R and its like: ``<s> <pad> </s> <unk>`` come first, and
    piece i of the SentencePiece model, from 3 on, is token i + 1.
    """
    tokens = reference.tokens
    if reference.kind != KIND or tokens is None:
        return None
    if list(model.texts[:4]) != _FAIRSEQ or list(tokens.texts[:3]) != list(_FAIRSEQ_ID):
        return None

    def id_of(piece: int) -> int:
        return piece + 1 if piece >= 3 else _FAIRSEQ_ID[tokens.texts[piece]]

    order = sorted(range(len(tokens)), key=id_of)
    scores = tokens.scores
    renumbered = TokenList(
        [id_of(piece) for piece in order],
        [tokens.texts[piece] for piece in order],
        [tokens.keys[piece] for piece in order],
        [tokens.types[piece] for piece in order],
        None if scores is None else [scores[piece] for piece in order],
    )
    special = {role: id_of(piece) for role, piece in reference.special.items()}
    return replace(reference, tokens=renumbered, special=special)
