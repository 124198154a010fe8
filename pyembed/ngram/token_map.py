"""The token map of Engram: tokens that differ in case, accents or spaces only are hashed alike."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ..core.callbacks import came_from_handler
from ..errors import FormatError, PyembedError
from ..tokens.readers.checked_reads import as_json, as_object, read_bytes
from .constants import MAX_TOKENS, TokenMap

MAP_FILE = "engram_token_map.json"
TOKENIZER_FILE = "tokenizer.json"
#: Stands for a single space while spaces at both ends are removed.
_MARK = "\ue000"


def find_token_map(folder: str) -> tuple[TokenMap, str] | None:
    """Return the token map of a model's folder, and the file that it comes from; None where neither is there.

    A map beside the model comes before one that is made of its tokenizer.

    Raises
    ------
    OSError
        If a file cannot be read.
    FormatError
        If it is damaged, or no such file.
    PyembedError
        If the map has to be made and the package ``tokenizers`` is not installed.
    """
    path = os.path.join(folder, MAP_FILE)
    if os.path.lexists(path):
        return read_token_map(path), path
    path = os.path.join(folder, TOKENIZER_FILE)
    if os.path.lexists(path):
        return make_token_map(path), path
    return None


def read_token_map(path: str) -> TokenMap:
    """Return the map in a JSON file: a list with the mapped id of each token."""
    content = as_json(path, read_bytes(path))
    if not isinstance(content, list) or not 0 < len(content) <= MAX_TOKENS:
        raise FormatError(f"{path}: expected a list with the mapped id of each token", path)
    for token, mapped in enumerate(content):
        if not isinstance(mapped, int) or isinstance(mapped, bool) or not 0 <= mapped < 2**31:
            raise FormatError(
                f"{path}: token {token} is mapped to {str(mapped)[:40]!r}; expected a whole number from 0 "
                "to 2^31 - 1",
                path,
            )
    return np.array(content, np.uint32)


def make_token_map(path: str) -> TokenMap:
    """Return the map that follows from a ``tokenizer.json``.

    Tokens whose texts are the same once case, accents and runs of spaces are taken away have the same mapped
    id. Mapped ids are given in the order of first appearance. It takes some seconds.
    """
    try:
        import tokenizers
    except ImportError:
        raise PyembedError(
            f"{path}: the token map of Engram is made with the package tokenizers, which is not installed: "
            f"install pyembed-gguf[text], or put {MAP_FILE} beside the model"
        ) from None
    data = read_bytes(path)
    content = as_object(path, as_json(path, data), "its content")
    if _has_pattern(content.get("decoder")):
        raise FormatError(f"{path}: the decoder has a regular expression, which may take any time", path)
    try:
        return _fold(path, tokenizers.Tokenizer.from_buffer(data), tokenizers)
    except (FormatError, MemoryError):
        raise
    except BaseException as error:  # the package raises nothing narrower, and where it panics no Exception
        is_its_own = isinstance(error, Exception) or type(error).__name__ == "PanicException"
        if not is_its_own or came_from_handler(error):
            raise
        raise FormatError(f"{path}: the package tokenizers cannot read it: {error}", path) from None


def _has_pattern(part: Any) -> bool:
    """Return whether a part of a tokenizer holds a regular expression."""
    inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return (isinstance(part, dict) and "Regex" in part) or any(map(_has_pattern, inner))


def _fold(path: str, tokenizer: Any, tokenizers: Any) -> TokenMap:
    normalizers = tokenizers.normalizers
    fold = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.NFD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
            normalizers.Replace(tokenizers.Regex(r"[ \t\r\n]+"), " "),
            normalizers.Replace(tokenizers.Regex("^ $"), _MARK),
            normalizers.Strip(),
            normalizers.Replace(_MARK, " "),
        ]
    )
    n_tokens = tokenizer.get_vocab_size(with_added_tokens=True)
    if not 0 < n_tokens <= MAX_TOKENS:
        raise FormatError(f"{path}: {n_tokens} tokens; expected 1 to {MAX_TOKENS}", path)
    numbers: dict[str, int] = {}
    found = np.empty(n_tokens, np.uint32)
    for token in range(n_tokens):
        text = tokenizer.decode([token], skip_special_tokens=False)
        # The text of a token that is a part of a character says nothing: its own spelling stands for it.
        key = tokenizer.id_to_token(token) if "\ufffd" in text else fold.normalize_str(text) or text
        if key is None:
            raise FormatError(f"{path}: no token has the id {token}, and there are {n_tokens} tokens", path)
        found[token] = numbers.setdefault(key, len(numbers))
    return found
