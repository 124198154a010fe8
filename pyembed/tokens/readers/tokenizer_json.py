"""Hugging Face's ``tokenizer.json``: BPE, WordPiece and Unigram, with added tokens."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Any

from ...errors import FormatError
from ..token_list import (
    BYTE,
    CONTROL,
    MAX_TOKENS,
    NORMAL,
    UNDEFINED,
    USER_DEFINED,
    Entries,
    TokenFile,
    key_of,
    spelling_for,
    token_bytes,
    token_list,
)
from .checked_reads import as_id, as_list, as_object
from .hugging_face_config import added_tokens, completed, special_ids

_SCORED = (int, float)
_BYTE_TOKEN = re.compile(r"<0x[0-9A-Fa-f]{2}>")


def read_tokenizer_json(path: str, content: dict[str, Any]) -> TokenFile:
    """Return the tokens of a parsed ``tokenizer.json``, with roles and added tokens of files beside it."""
    model = as_object(path, content.get("model"), "model")
    kind = _kind(path, model)
    scores: dict[int, float] | None = None
    if kind == "Unigram":
        entries, scores = _unigram(path, model)
    else:
        entries = from_ids(path, model.get("vocab"), "model.vocab", NORMAL)
    _type_bytes(entries, BYTE if model.get("byte_fallback") is True else UNDEFINED)
    family = {"WordPiece": "bert", "Unigram": "t5"}.get(kind) or _bpe_family(path, content, entries)
    folder = os.path.dirname(path) or "."
    added = dict(_added(path, content.get("added_tokens")))
    entries = completed({**entries, **added}, added_tokens(folder))
    tokens = token_list(path, entries, hugging_face_key(family, model.get("continuing_subword_prefix")))
    if scores is not None:
        tokens.scores = [scores.get(i, float("nan")) if i not in added else float("nan") for i in tokens.ids]
    special = special_ids(folder, tokens.ids, tokens.texts)
    return TokenFile(
        "tokenizer.json",
        path,
        family,
        tokens,
        special={role: token_id for role, token_id in special.items() if token_id is not None},
        merges=list(_merges(path, model.get("merges"))) if kind == "BPE" else None,
    )


def _type_bytes(entries: Entries, type: int) -> None:
    """Give a type to the tokens that stand for one byte, which the file lists among the others."""
    for token_id, (text, _) in entries.items():
        if _BYTE_TOKEN.fullmatch(text):
            entries[token_id] = (text, type)


def from_ids(path: str, vocab: Any, what: str, type: int) -> Entries:
    """Return the entries of an object that maps texts to ids, all of one type.

    Raises
    ------
    FormatError
        If it is not an object, an id is not one, or two texts have the same.
    """
    entries: Entries = {}
    for text, value in as_object(path, vocab, what).items():
        token_id = as_id(path, value, text)
        if token_id in entries:
            other = entries[token_id][0]
            raise FormatError(f"{path}: {other[:80]!r} and {text[:80]!r} both have id {token_id}", path)
        entries[token_id] = (text, type)
    return entries


def hugging_face_key(family: str, prefix: Any = None) -> Callable[[str, int], bytes]:
    """Return the comparable form of tokens as Hugging Face stores them."""
    if family != "bert":
        return key_of(spelling_for(family))
    if not isinstance(prefix, str) or prefix in ("", "##"):
        return lambda text, type: token_bytes(text)
    return lambda text, type: token_bytes(
        "##" + text.removeprefix(prefix) if type in (UNDEFINED, NORMAL) and text.startswith(prefix) else text
    )


def _kind(path: str, model: dict[str, Any]) -> str:
    kind = model.get("type")
    if kind is None:  # files of early versions have no type
        kind = (
            "BPE" if "merges" in model else "WordPiece" if "max_input_chars_per_word" in model else "Unigram"
        )
    if kind not in ("BPE", "WordPiece", "Unigram"):
        raise FormatError(f"{path}: a model of type {str(kind)[:80]!r}; known: BPE, WordPiece, Unigram", path)
    return str(kind)


def _unigram(path: str, model: dict[str, Any]) -> tuple[Entries, dict[int, float]]:
    pieces = model.get("vocab")
    if not isinstance(pieces, list):
        raise FormatError(f"{path}: model.vocab of a Unigram model must be a list", path)
    entries: Entries = {}
    scores: dict[int, float] = {}
    for token_id, piece in enumerate(pieces[: MAX_TOKENS + 1]):
        is_pair = isinstance(piece, list) and len(piece) == 2 and isinstance(piece[0], str)
        if not is_pair or not isinstance(piece[1], _SCORED) or isinstance(piece[1], bool):
            raise FormatError(f"{path}: model.vocab[{token_id}] must be a pair of text and score", path)
        entries[token_id] = (piece[0], NORMAL)
        try:
            scores[token_id] = float(piece[1])
        except OverflowError:
            raise FormatError(f"{path}: model.vocab[{token_id}] has a score beyond any float", path) from None
    return entries, scores


def _added(path: str, added: Any) -> Iterator[tuple[int, tuple[str, int]]]:
    ids: dict[int, str] = {}
    for index, token in enumerate(as_list(path, added, "added_tokens")):
        text = token.get("content") if isinstance(token, dict) else None
        if not isinstance(text, str):
            raise FormatError(f"{path}: added_tokens[{index}] must be an object with content", path)
        token_id = as_id(path, token.get("id"), text)
        if ids.setdefault(token_id, text) != text:
            raise FormatError(
                f"{path}: the added tokens {ids[token_id][:80]!r} and {text[:80]!r} both have id {token_id}",
                path,
            )
        yield token_id, (text, CONTROL if token.get("special") is True else USER_DEFINED)


def _merges(path: str, merges: Any) -> Iterator[str]:
    for index, merge in enumerate(as_list(path, merges, "model.merges")):
        if isinstance(merge, str):
            yield merge
        elif isinstance(merge, list) and len(merge) == 2 and all(isinstance(part, str) for part in merge):
            # Converters write a space inside a part as the alphabet's symbol for it.
            yield " ".join(part.replace(" ", "\u0120") for part in merge)
        else:
            raise FormatError(f"{path}: model.merges[{index}] must be a pair of tokens", path)


def _bpe_family(path: str, content: dict[str, Any], entries: Entries) -> str:
    """Return the family of a BPE model, by the tokenizer's steps or else by its tokens."""
    if any(_has_step(path, content.get(part), part, "ByteLevel") for part in ("pre_tokenizer", "decoder")):
        return "gpt2"
    return bpe_family(entries)


def bpe_family(entries: Entries) -> str:
    """Return ``"gpt2"`` or ``"llama"``: more tokens begin with the byte alphabet's space or with U+2581."""
    n_bytes = sum(text.startswith("\u0120") for text, _ in entries.values())
    n_marked = sum(text.startswith("\u2581") for text, _ in entries.values())
    return "llama" if n_marked > n_bytes else "gpt2"


def _has_step(path: str, step: Any, what: str, kind: str, depth: int = 8) -> bool:
    if step is None or not depth:
        return False
    step = as_object(path, step, what)
    if step.get("type") == kind:
        return True
    return any(
        _has_step(path, part, f"{what}.{name}[{index}]", kind, depth - 1)
        for name in ("pretokenizers", "decoders")
        for index, part in enumerate(as_list(path, step.get(name), f"{what}.{name}"))
    )
