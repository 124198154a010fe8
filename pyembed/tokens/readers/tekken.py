"""Mistral's ``tekken.json``: tokens as bytes in base64 by rank, behind the special ones."""

from __future__ import annotations

import os
from typing import Any

from ...errors import FormatError
from ..token_list import CONTROL, MAX_TOKENS, NORMAL, USER_DEFINED, Entries, TokenFile, bytes_list
from .checked_reads import as_count, as_list, as_object, as_string, bytes_of_base64
from .hugging_face_config import added_tokens, completed, special_ids

#: The special tokens of files that do not list them, by id.
_UNLISTED = (
    *("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"),
    *("[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]"),
    *("[PREFIX]", "[MIDDLE]", "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]"),
)
_ROLES = {"bos": "<s>", "eos": "</s>", "unk": "<unk>", "pad": "<pad>"}


def is_tekken(content: dict[str, Any]) -> bool:
    """Return whether a JSON object is such a file."""
    config = content.get("config")
    return (
        isinstance(config, dict)
        and "default_num_special_tokens" in config
        and isinstance(content.get("vocab"), list)
    )


def read_tekken(path: str, content: dict[str, Any]) -> TokenFile:
    """Return the tokens of a parsed ``tekken.json``.

    Special tokens have their rank as id, up to ``default_num_special_tokens``, missing ones the name
    ``<SPECIAL_n>``. Then come the others by rank, as many as ``default_vocab_size`` has room for.
    """
    config = as_object(path, content.get("config"), "config")
    n_special = as_count(path, config.get("default_num_special_tokens"), "config.default_num_special_tokens")
    n_all = as_count(path, config.get("default_vocab_size"), "config.default_vocab_size")
    vocab = as_list(path, content.get("vocab"), "vocab")
    if not n_special <= n_all <= min(n_special + len(vocab), MAX_TOKENS):
        raise FormatError(
            f"{path}: {n_all} tokens with {n_special} special ones do not fit the {len(vocab)} of vocab", path
        )
    entries = _special(path, content.get("special_tokens"), n_special)
    keys = {token_id: text.encode("utf-8", "surrogatepass") for token_id, (text, _) in entries.items()}
    for index, value in enumerate(vocab):
        token = as_object(path, value, f"vocab[{index}]")
        rank = as_count(path, token.get("rank"), f"vocab[{index}].rank")
        if rank >= n_all - n_special:
            continue
        key = bytes_of_base64(path, token.get("token_bytes"), f"vocab[{index}].token_bytes")
        if n_special + rank in entries:
            raise FormatError(f"{path}: vocab[{index}] has rank {rank}, as an earlier token", path)
        entries[n_special + rank] = (key.decode("utf-8", "surrogateescape"), NORMAL)
        keys[n_special + rank] = key
    folder = os.path.dirname(path) or "."
    tokens = bytes_list(path, completed(entries, added_tokens(folder)), keys)
    own = {text: token_id for token_id, (text, _) in entries.items() if token_id < n_special}
    roles = {role: own.get(text) for role, text in _ROLES.items()}
    roles.update(special_ids(folder, tokens.ids, tokens.texts))
    special = {role: token_id for role, token_id in roles.items() if token_id is not None}
    return TokenFile("tekken.json", path, "gpt2", tokens, special=special)


def _special(path: str, listed: Any, n: int) -> Entries:
    if listed is None:
        listed = [{"rank": rank, "token_str": text} for rank, text in enumerate(_UNLISTED[:n])]
    entries: Entries = {}
    for index, value in enumerate(as_list(path, listed, "special_tokens")):
        token = as_object(path, value, f"special_tokens[{index}]")
        rank = as_count(path, token.get("rank"), f"special_tokens[{index}].rank")
        text = as_string(path, token.get("token_str"), f"special_tokens[{index}].token_str")
        if rank >= n or rank in entries:
            raise FormatError(
                f"{path}: special_tokens[{index}] has rank {rank}, "
                + ("as an earlier one" if rank in entries else f"outside the {n} special tokens"),
                path,
            )
        entries[rank] = (text, USER_DEFINED if token.get("is_control") is False else CONTROL)
    for rank in range(n):
        entries.setdefault(rank, (f"<SPECIAL_{rank}>", CONTROL))
    return entries
