"""What Hugging Face keeps beside a vocabulary: added tokens, and the tokens with a role."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ...errors import FormatError
from ..token_list import CONTROL, MAX_ID, MAX_TOKENS, UNDEFINED, UNKNOWN, USER_DEFINED, Entries
from .checked_reads import as_id, as_json, as_object, read_bytes

_ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


def added_tokens(folder: str) -> Entries:
    """Return the added tokens that the files in a folder state, by id.

    ``added_tokens.json`` does not say which of them are special: those that no other file describes count as
    user-defined.
    """
    found: Entries = {}
    path = os.path.join(folder, "added_tokens.json")
    for text, value in _read(path).items():
        token_id = as_id(path, value, text)
        if token_id in found:
            other = found[token_id][0]
            raise FormatError(f"{path}: {other[:80]!r} and {text[:80]!r} both have id {token_id}", path)
        found[token_id] = (text, UNDEFINED)
    path = os.path.join(folder, "tokenizer_config.json")
    decoder = _read(path).get("added_tokens_decoder")
    if decoder is not None:
        for number, value in as_object(path, decoder, "added_tokens_decoder").items():
            content = value.get("content") if isinstance(value, dict) else None
            is_id = number.isascii() and number.isdecimal() and len(number) <= 10 and int(number) < MAX_ID
            if not isinstance(content, str) or not is_id:
                raise FormatError(
                    f"{path}: added_tokens_decoder[{number[:80]!r}] must map an id to an object with content",
                    path,
                )
            special = isinstance(value, dict) and value.get("special") is True
            found[int(number)] = (content, CONTROL if special else USER_DEFINED)
    if len(found) > MAX_TOKENS:
        raise FormatError(f"{path}: more than {MAX_TOKENS} added tokens", path)
    return found


def overlaid(entries: Entries, added: Entries) -> Entries:
    """Return a vocabulary with added tokens, which take the place of what stood at their ids.

    A token that the vocabulary has at that id already keeps its type where the added one states none.
    """
    found = dict(entries)
    for token_id, (text, type) in added.items():
        before = entries.get(token_id)
        same = before is not None and before[0] == text
        if before is not None and same and (UNKNOWN in before or (type == UNDEFINED and before[1] != type)):
            continue
        found[token_id] = (text, USER_DEFINED if type == UNDEFINED else type)
    return found


def completed(entries: Entries, added: Entries) -> Entries:
    """Return a vocabulary that states its own added tokens, with those of other files where it has none."""
    known = {text for text, _ in entries.values()}
    missing = {
        token_id: (text, USER_DEFINED if type == UNDEFINED else type)
        for token_id, (text, type) in added.items()
        if token_id not in entries and text not in known
    }
    return {**entries, **missing}


def special_ids(folder: str, ids: Sequence[int], texts: Sequence[str]) -> dict[str, int | None]:
    """Return the ids of the tokens with a role by its name; None where no token has the stated text."""
    stated = special_texts(folder)
    if not stated:
        return {}
    wanted = set(stated.values())
    id_of = {text: token_id for token_id, text in zip(ids, texts, strict=True) if text in wanted}
    return {role: id_of.get(text) for role, text in stated.items()}


def special_texts(folder: str) -> dict[str, str]:
    """Return the texts of the tokens with a role, by its name."""
    found: dict[str, str] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):  # the later one counts
        content = _read(os.path.join(folder, name))
        for role in _ROLES:
            value = content.get(f"{role}_token")
            if isinstance(value, dict):
                value = value.get("content")
            if isinstance(value, str):
                found[role] = value
    return found


def _read(path: str) -> dict[str, Any]:
    if not os.path.isfile(path):
        return {}
    return as_object(path, as_json(path, read_bytes(path)), "its content")
