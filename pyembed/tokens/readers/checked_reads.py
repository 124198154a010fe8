"""Files of strangers, read whole: bounded, and wrong ones named with the place."""

from __future__ import annotations

import json
import os
from typing import Any

from ...errors import FormatError

MAX_FILE_BYTES = 256 << 20
"""The largest tokenizer.json that is known has 35 MB."""


def read_bytes(path: str) -> bytes:
    """Return the content of a regular file of bounded size."""
    if not os.path.isfile(path):
        os.stat(path)  # what is not there is an OSError that says so
        raise FormatError(f"{path}: not a regular file", path)
    with open(path, "rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise FormatError(f"{path}: more than {MAX_FILE_BYTES >> 20} MiB, too large for a vocabulary", path)
    return data


def as_text(path: str, data: bytes) -> str:
    """Return the content of a text file."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = error.start
        raise FormatError(f"{path}: not UTF-8 (at byte {where})", path, where) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:80]!r} stands twice in one object")
    return found


def as_json(path: str, data: bytes) -> Any:
    """Return the content of a JSON file, in which no object has a key twice."""
    text = as_text(path, data)
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise FormatError(
            f"{path}: not JSON: {error.msg} (line {error.lineno}, column {error.colno})", path
        ) from None
    except RecursionError:
        raise FormatError(f"{path}: JSON nested too deeply to be a tokenizer", path) from None
    except ValueError as error:
        raise FormatError(f"{path}: {error}", path) from None


def as_object(path: str, value: Any, what: str) -> dict[str, Any]:
    """Return a JSON value that has to be an object."""
    if not isinstance(value, dict):
        raise FormatError(f"{path}: {what} is no object", path)
    return value


def as_id(path: str, value: Any, text: str) -> int:
    """Return a JSON value that has to be a token's id."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise FormatError(f"{path}: the id of {text[:80]!r} is no integer", path)
    return value
