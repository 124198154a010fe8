"""Vocabularies in files of their own: ``vocab.txt``, ``vocab.json`` with ``merges.txt``, tiktoken's ranks."""

from __future__ import annotations

import base64
import binascii
import os
import re
from typing import Any

from ...errors import FormatError
from ..token_list import (
    MAX_ID,
    MAX_TOKENS,
    UNDEFINED,
    Entries,
    TokenFile,
    TokenList,
    bytes_list,
    key_of,
    spelling_for,
    token_list,
)
from .checked_reads import as_text, check_lines, read_bytes
from .hugging_face_config import added_tokens, overlaid, special_ids
from .tokenizer_json import bpe_family, from_ids, hugging_face_key

_MAX_LINE = 1 << 16
_RANK = re.compile(rb"([A-Za-z0-9+/]*={0,2}) (\d{1,10})")


def read_vocab_txt(path: str, data: bytes) -> TokenFile:
    """Return the WordPiece tokens of a ``vocab.txt``: one a line, the line's number is the id."""
    check_lines(path, data, MAX_TOKENS, "tokens")
    lines = as_text(path, data).split("\n")
    if lines[-1] == "":
        lines.pop()
    for number, line in enumerate(lines, 1):
        if len(line) > _MAX_LINE:
            raise FormatError(f"{path}: line {number} has {len(line)} characters, too long for a token", path)
    entries = {token_id: (line.removesuffix("\r"), UNDEFINED) for token_id, line in enumerate(lines)}
    return _with_added("vocab.txt", path, "bert", entries)


def read_vocab_json(path: str, content: dict[str, Any]) -> TokenFile:
    """Return the tokens of a ``vocab.json``, and the merges of the ``merges.txt`` beside it."""
    entries = from_ids(path, content, "its content", UNDEFINED)
    reference = _with_added("vocab.json", path, bpe_family(entries), entries)
    merges = os.path.join(os.path.dirname(path), "merges.txt")
    if os.path.isfile(merges):
        reference.kind = "vocab.json and merges.txt"
        reference.merges = read_merges(merges)
    return reference


def read_merges(path: str) -> list[str]:
    """Return the merges of a ``merges.txt``."""
    data = read_bytes(path)
    check_lines(path, data, MAX_TOKENS, "merges")
    lines = as_text(path, data).split("\n")
    first = 1 if lines[0].startswith("#version") else 0
    merges = []
    for number, line in enumerate(lines[first:], first + 1):
        line = line.removesuffix("\r")
        if not line:
            continue
        if len(line) > _MAX_LINE or line.count(" ") != 1:
            raise FormatError(f"{path}: line {number} must be two tokens and a space between them", path)
        merges.append(line)
    return merges


def is_ranks(data: bytes) -> bool:
    """Return whether the first line is one of tiktoken's: a token in base64 and its rank."""
    line = data[: _MAX_LINE + 1].split(b"\n", 1)[0].rstrip(b"\r")
    return len(line) < _MAX_LINE and _RANK.fullmatch(line) is not None


def read_ranks(path: str, data: bytes) -> TokenFile:
    """Return the tokens of tiktoken's ranks, with the added tokens and roles that files beside them state."""
    entries: Entries = {}
    keys: dict[int, bytes] = {}
    offset = 0
    check_lines(path, data, MAX_TOKENS, "ranks")
    for number, line in enumerate(data.split(b"\n"), 1):
        match = _RANK.fullmatch(line.rstrip(b"\r")) if len(line) < _MAX_LINE else None
        try:
            if line.strip():
                if match is None:
                    raise ValueError("not a token in base64 and its rank")
                rank, token = int(match[2]), base64.b64decode(match[1], validate=True)
                if rank in keys:
                    raise ValueError(f"rank {rank} a second time")
                if rank >= MAX_ID:
                    raise ValueError(f"rank {rank} is beyond 2^31 - 1")
                keys[rank] = token
                entries[rank] = (token.decode("utf-8", "surrogateescape"), UNDEFINED)
        except (ValueError, binascii.Error) as error:
            where = f"line {number} (at byte {offset})"
            raise FormatError(f"{path}: {where}: {error}", path, offset) from None
        offset += len(line) + 1
    added = added_tokens(os.path.dirname(path) or ".")
    for token_id in added:
        keys.pop(token_id, None)
    return _with_roles("tiktoken ranks", path, "gpt2", bytes_list(path, overlaid(entries, added), keys))


def _with_added(kind: str, path: str, family: str, entries: Entries) -> TokenFile:
    key = hugging_face_key(family) if family == "bert" else key_of(spelling_for(family))
    added = added_tokens(os.path.dirname(path) or ".")
    return _with_roles(kind, path, family, token_list(path, overlaid(entries, added), key))


def _with_roles(kind: str, path: str, family: str, tokens: TokenList) -> TokenFile:
    stated = special_ids(os.path.dirname(path) or ".", tokens.ids, tokens.texts)
    special = {role: token_id for role, token_id in stated.items() if token_id is not None}
    return TokenFile(kind, path, family, tokens, special=special)
