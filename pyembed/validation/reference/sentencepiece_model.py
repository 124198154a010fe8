"""SentencePiece's ``.model``, read with the package ``sentencepiece``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...errors import FormatError
from .tokens import (
    BYTE,
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    Reference,
    TokenList,
    key_of,
    spelling_for,
    token_list,
)

KIND = "SentencePiece model"
_FAIRSEQ = ["<s>", "<pad>", "</s>", "<unk>"]
#: Where fairseq puts the pieces that SentencePiece has at 0, 1 and 2; all others come one later.
_FAIRSEQ_ID = {"<unk>": 3, "<s>": 0, "</s>": 2}


def read_sentencepiece(path: str, data: bytes) -> Reference:
    """Return the pieces of a model.

    Raises
    ------
    ModuleNotFoundError
        Without the package; the message names the extra.
    """
    try:
        import sentencepiece
    except ImportError:
        raise ModuleNotFoundError(
            f"{path}: reading a SentencePiece model needs the package sentencepiece: "
            "install pyembed with its extra [reference]",
            name="sentencepiece",
        ) from None
    model = sentencepiece.SentencePieceProcessor()
    try:
        model.LoadFromSerializedProto(data)
        n = model.GetPieceSize()
    except (RuntimeError, ValueError, OSError) as error:
        text = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise FormatError(f"{path}: no SentencePiece model: {text}", path) from None
    entries = {token_id: (model.IdToPiece(token_id), _type(model, token_id)) for token_id in range(n)}
    tokens = token_list(path, entries, key_of(spelling_for("llama")))
    tokens.scores = [model.GetScore(token_id) for token_id in range(n)]
    roles = {
        "bos": model.bos_id(),
        "eos": model.eos_id(),
        "unk": model.unk_id(),
        "pad": model.pad_id(),
    }
    special = {role: token_id for role, token_id in roles.items() if token_id >= 0}
    return Reference(KIND, path, "llama", tokens, special=special)


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


def _type(model: Any, token_id: int) -> int:
    if model.IsControl(token_id):
        return CONTROL
    if model.IsUnknown(token_id):
        return UNKNOWN
    if model.IsByte(token_id):
        return BYTE
    return UNUSED if model.IsUnused(token_id) else NORMAL
