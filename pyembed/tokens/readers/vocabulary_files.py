"""Vocabularies in files of their own: ``vocab.txt``, ``vocab.json`` with ``merges.txt``, tiktoken's ranks."""

from __future__ import annotations

import base64
import binascii
import os
import re
from typing import Any

from ...errors import FormatError
from ..token_list import NORMAL, TokenFile, TokenList, key_of, spelling_for, token_list
from .checked_reads import as_text, read_bytes
from .hugging_face_config import added_tokens, special_texts
from .tokenizer_json import bpe_family, from_ids, hugging_face_key

_MAX_LINE = 1 << 16
_RANK = re.compile(rb"([A-Za-z0-9+/]*={0,2}) (\d{1,10})")


def read_vocab_txt(path: str, data: bytes) -> TokenFile:
    """Return the WordPiece tokens of a ``vocab.txt``: one a line, the line's number is the id."""
    text = as_text(path, data)
    lines = text.split("\n")
    if lines and lines[-1] == "":
        lines.pop()
    entries = {token_id: (line.removesuffix("\r"), NORMAL) for token_id, line in enumerate(lines)}
    for token_id, (line, _) in entries.items():
        if len(line) > _MAX_LINE:
            raise FormatError(f"{path}: line {token_id + 1} is {len(line)} characters long, no token", path)
    return _with_added("vocab.txt", path, "bert", entries)


def read_vocab_json(path: str, content: dict[str, Any]) -> TokenFile:
    """Return the tokens of a ``vocab.json``, and the merges of the ``merges.txt`` beside it."""
    entries = from_ids(path, content, "its content")
    reference = _with_added("vocab.json", path, bpe_family(entries), entries)
    merges = os.path.join(os.path.dirname(path), "merges.txt")
    if os.path.isfile(merges):
        reference.kind = "vocab.json and merges.txt"
        reference.merges = read_merges(merges)
    return reference


def read_merges(path: str) -> list[str]:
    """Return the merges of a ``merges.txt``."""
    lines = as_text(path, read_bytes(path)).split("\n")
    first = 1 if lines[0].startswith("#version") else 0
    merges = []
    for number, line in enumerate(lines[first:], first + 1):
        line = line.removesuffix("\r")
        if not line:
            continue
        if len(line) > _MAX_LINE or line.count(" ") != 1:
            raise FormatError(f"{path}: line {number} is no pair of tokens", path)
        merges.append(line)
    return merges


def is_ranks(data: bytes) -> bool:
    """Return whether the first line is one of tiktoken's: a token in base64 and its rank."""
    line = data.split(b"\n", 1)[0].rstrip(b"\r")
    return len(line) < _MAX_LINE and _RANK.fullmatch(line) is not None


def read_ranks(path: str, data: bytes) -> TokenFile:
    """Return the tokens of tiktoken's ranks."""
    found: dict[int, bytes] = {}
    offset = 0
    for number, line in enumerate(data.split(b"\n"), 1):
        match = _RANK.fullmatch(line.rstrip(b"\r")) if len(line) < _MAX_LINE else None
        try:
            if line.strip():
                if match is None:
                    raise ValueError("no token in base64 and rank")
                rank, token = int(match[2]), base64.b64decode(match[1], validate=True)
                if rank in found:
                    raise ValueError(f"rank {rank} a second time")
                found[rank] = token
        except (ValueError, binascii.Error) as error:
            where = f"line {number} (at byte {offset})"
            raise FormatError(f"{path}: {where}: {error}", path, offset) from None
        offset += len(line) + 1
    checked = token_list(path, dict.fromkeys(found, ("", NORMAL)), lambda text, type: b"")
    keys = [found[rank] for rank in checked.ids]
    texts = [key.decode("utf-8", "surrogateescape") for key in keys]
    return TokenFile("tiktoken ranks", path, "gpt2", TokenList(checked.ids, texts, keys, checked.types))


def _with_added(kind: str, path: str, family: str, entries: dict[int, tuple[str, int]]) -> TokenFile:
    folder = os.path.dirname(path) or "."
    entries.update(added_tokens(folder))
    key = hugging_face_key(family) if family == "bert" else key_of(spelling_for(family))
    tokens = token_list(path, entries, key)
    ids = {text: token_id for token_id, text in zip(tokens.ids, tokens.texts, strict=True)}
    special = {role: ids[text] for role, text in special_texts(folder).items() if text in ids}
    return TokenFile(kind, path, family, tokens, special=special)
