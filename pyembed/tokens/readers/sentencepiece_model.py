"""SentencePiece's ``.model``, read with the package ``sentencepiece``."""

from __future__ import annotations

from typing import Any

from ...errors import FormatError
from ..token_list import (
    BYTE,
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    TokenFile,
    key_of,
    spelling_for,
    token_list,
)

KIND = "SentencePiece model"


def read_sentencepiece(path: str, data: bytes) -> TokenFile:
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
    return TokenFile(KIND, path, "llama", tokens, special=special)


def _type(model: Any, token_id: int) -> int:
    if model.IsControl(token_id):
        return CONTROL
    if model.IsUnknown(token_id):
        return UNKNOWN
    if model.IsByte(token_id):
        return BYTE
    return UNUSED if model.IsUnused(token_id) else NORMAL
