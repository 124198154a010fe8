"""What Hugging Face keeps beside a vocabulary: added tokens, and the tokens with a role."""

from __future__ import annotations

import os
from typing import Any

from ...errors import FormatError
from ..token_list import CONTROL, USER_DEFINED
from .checked_reads import as_id, as_json, as_object, read_bytes

_ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


def added_tokens(folder: str) -> dict[int, tuple[str, int]]:
    """Return the added tokens that the files in a folder tell of, by id."""
    found: dict[int, tuple[str, int]] = {}
    path = os.path.join(folder, "added_tokens.json")
    if os.path.isfile(path):
        for text, value in as_object(path, as_json(path, read_bytes(path)), "its content").items():
            found[as_id(path, value, text)] = (text, USER_DEFINED)
    path, config = _config(folder)
    decoder = as_object(path, config.get("added_tokens_decoder", {}), "added_tokens_decoder")
    for number, value in decoder.items():
        content = value.get("content") if isinstance(value, dict) else None
        if not isinstance(content, str) or not number.isascii() or not number.isdecimal() or len(number) > 10:
            raise FormatError(f"{path}: added_tokens_decoder[{number[:80]!r}] is no added token", path)
        found[int(number)] = (content, CONTROL if value.get("special") is True else USER_DEFINED)
    return found


def special_texts(folder: str) -> dict[str, str]:
    """Return the texts of the tokens with a role, by its name."""
    _, config = _config(folder)
    found = {}
    for role in _ROLES:
        value = config.get(f"{role}_token")
        if isinstance(value, dict):
            value = value.get("content")
        if isinstance(value, str):
            found[role] = value
    return found


def _config(folder: str) -> tuple[str, dict[str, Any]]:
    path = os.path.join(folder, "tokenizer_config.json")
    if not os.path.isfile(path):
        return path, {}
    return path, as_object(path, as_json(path, read_bytes(path)), "its content")
