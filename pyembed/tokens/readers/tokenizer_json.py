"""Hugging Face's ``tokenizer.json``: BPE, WordPiece and Unigram, with added tokens."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from ...errors import FormatError
from ..token_list import (
    CONTROL,
    NORMAL,
    USER_DEFINED,
    TokenFile,
    key_of,
    spelling_for,
    token_bytes,
    token_list,
)
from .checked_reads import as_id, as_object
from .hugging_face_config import special_texts


def read_tokenizer_json(path: str, content: dict[str, Any]) -> TokenFile:
    """Return the tokens of a parsed ``tokenizer.json``."""
    model = as_object(path, content.get("model"), "model")
    kind = _kind(path, model)
    entries = (
        _unigram(path, model) if kind == "Unigram" else from_ids(path, model.get("vocab"), "model.vocab")
    )
    family = {"WordPiece": "bert", "Unigram": "t5"}.get(kind) or _bpe_family(content, entries)
    entries.update(_added(path, content.get("added_tokens")))
    key = hugging_face_key(family, model.get("continuing_subword_prefix"))
    tokens = token_list(path, entries, key)
    ids = {text: token_id for token_id, text in zip(tokens.ids, tokens.texts, strict=True)}
    special = special_texts(os.path.dirname(path) or ".")
    return TokenFile(
        "tokenizer.json",
        path,
        family,
        tokens,
        special={role: ids[text] for role, text in special.items() if text in ids},
        merges=list(_merges(path, model.get("merges"))) if kind == "BPE" else None,
    )


def from_ids(path: str, vocab: Any, what: str) -> dict[int, tuple[str, int]]:
    """Return the entries of an object that maps texts to ids.

    Raises
    ------
    FormatError
        If it is none, or two texts have one id.
    """
    entries: dict[int, tuple[str, int]] = {}
    for text, value in as_object(path, vocab, what).items():
        token_id = as_id(path, value, text)
        if token_id in entries:
            other = entries[token_id][0]
            raise FormatError(f"{path}: {other[:80]!r} and {text[:80]!r} both have id {token_id}", path)
        entries[token_id] = (text, NORMAL)
    return entries


def hugging_face_key(family: str, prefix: Any = None) -> Any:
    """Return the comparable form of tokens as Hugging Face stores them."""
    if family != "bert":
        return key_of(spelling_for(family))
    if not isinstance(prefix, str) or prefix in ("", "##"):
        return lambda text, type: token_bytes(text)
    return lambda text, type: token_bytes(
        "##" + text.removeprefix(prefix) if type == NORMAL and text.startswith(prefix) else text
    )


def _kind(path: str, model: dict[str, Any]) -> str:
    kind = model.get("type")
    if kind is None:  # files of early versions do not say
        kind = (
            "BPE" if "merges" in model else "WordPiece" if "max_input_chars_per_word" in model else "Unigram"
        )
    if kind not in ("BPE", "WordPiece", "Unigram"):
        raise FormatError(f"{path}: a model of type {str(kind)[:80]!r}; known: BPE, WordPiece, Unigram", path)
    return str(kind)


def _unigram(path: str, model: dict[str, Any]) -> dict[int, tuple[str, int]]:
    pieces = model.get("vocab")
    if not isinstance(pieces, list):
        raise FormatError(f"{path}: model.vocab of a Unigram model is no list", path)
    entries = {}
    for token_id, piece in enumerate(pieces):
        if not isinstance(piece, list) or not piece or not isinstance(piece[0], str):
            raise FormatError(f"{path}: model.vocab[{token_id}] is no pair of text and score", path)
        entries[token_id] = (piece[0], NORMAL)
    return entries


def _added(path: str, added: Any) -> Iterator[tuple[int, tuple[str, int]]]:
    if not isinstance(added, list | None):
        raise FormatError(f"{path}: added_tokens is no list", path)
    ids: dict[int, str] = {}
    for index, token in enumerate(added or []):
        text = token.get("content") if isinstance(token, dict) else None
        if not isinstance(text, str):
            raise FormatError(f"{path}: added_tokens[{index}] has no content", path)
        token_id = as_id(path, token.get("id"), text)
        if ids.setdefault(token_id, text) != text:
            raise FormatError(
                f"{path}: the added tokens {ids[token_id][:80]!r} and {text[:80]!r} both have id {token_id}",
                path,
            )
        yield token_id, (text, CONTROL if token.get("special") is True else USER_DEFINED)


def _merges(path: str, merges: Any) -> Iterator[str]:
    if not isinstance(merges, list | None):
        raise FormatError(f"{path}: model.merges is no list", path)
    for index, merge in enumerate(merges or []):
        if isinstance(merge, str):
            yield merge
        elif isinstance(merge, list) and len(merge) == 2 and all(isinstance(part, str) for part in merge):
            # Converters write a space inside a part as the alphabet's symbol for it.
            yield " ".join(part.replace(" ", "\u0120") for part in merge)
        else:
            raise FormatError(f"{path}: model.merges[{index}] is no pair of tokens", path)


def _bpe_family(content: dict[str, Any], entries: dict[int, tuple[str, int]]) -> str:
    """Tell a byte alphabet from marked spaces, by the tokenizer's steps or else by the tokens."""
    if any(_has_step(content.get(part), "ByteLevel", 8) for part in ("pre_tokenizer", "decoder")):
        return "gpt2"
    return bpe_family(entries)


def bpe_family(entries: dict[int, tuple[str, int]]) -> str:
    """Tell a byte alphabet from marked spaces by how many tokens begin with either's space."""
    n_bytes = sum(text.startswith("\u0120") for text, _ in entries.values())
    n_marked = sum(text.startswith("\u2581") for text, _ in entries.values())
    return "llama" if n_marked > n_bytes else "gpt2"


def _has_step(step: Any, kind: str, depth: int) -> bool:
    if not isinstance(step, dict) or not depth:
        return False
    if step.get("type") == kind:
        return True
    inner = [part for name in ("pretokenizers", "decoders") for part in step.get(name) or []]
    return any(_has_step(part, kind, depth - 1) for part in inner)
