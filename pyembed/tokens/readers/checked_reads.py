"""Reads whole files that nobody vouches for: sizes are bounded, and errors name the file and the place."""

from __future__ import annotations

import base64
import binascii
import json
import os
from typing import Any

from ...core.reading import read_at_most
from ...core.recognise import recognise
from ...errors import FormatError
from ..token_list import MAX_ID

MAX_FILE_BYTES = 64 << 20
"""The largest known tokenizer.json has 35 MB."""

MAX_JSON_VALUES = 1 << 23
"""Values in one JSON file: the largest known tokenizer.json, with its merges as pairs, has 1.8 million."""

_POINTER = b"version https://git-lfs"


def read_bytes(path: str) -> bytes:
    """Return the content of a regular file of bounded size.

    Raises
    ------
    OSError
        If the file cannot be read.
    FormatError
        If it is not a regular file, too large, or a Git LFS pointer instead of the file.
    """
    if not os.path.isfile(path):
        os.stat(path)  # a missing file raises the OSError that says so
        raise FormatError(f"{path}: not a regular file", path)
    with open(path, "rb") as file:
        data = read_at_most(file, MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise FormatError(f"{path}: more than {MAX_FILE_BYTES >> 20} MiB, too large for a vocabulary", path)
    refuse_pointer(path, data)
    return data


def refuse_pointer(path: str, head: bytes) -> None:
    """Raise FormatError if a file that begins with `head` is what Git LFS puts in place of a large file."""
    if head.startswith(_POINTER):
        raise FormatError(f"{path}: {recognise(path) or 'a Git LFS pointer, not the file itself'}", path, 0)


def as_text(path: str, data: bytes) -> str:
    """Return the content of a text file."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = error.start
        raise FormatError(f"{path}: not UTF-8 (at byte {where})", path, where) from None


def check_lines(path: str, data: bytes, limit: int, what: str) -> None:
    """Raise FormatError for a text of more lines than `limit`, before anybody splits it."""
    n = data.count(b"\n") + (not data.endswith(b"\n"))
    if n > limit:
        raise FormatError(f"{path}: {n} lines; more than {limit} {what} are not a vocabulary", path)


def as_json(path: str, data: bytes) -> Any:
    """Return the content of a JSON file of a bounded number of values, in which no object repeats a key."""
    n = sum(data.count(mark) for mark in (b",", b"[", b"{"))
    if n > MAX_JSON_VALUES:
        raise FormatError(f"{path}: more than {MAX_JSON_VALUES} JSON values, too many for a tokenizer", path)
    text = as_text(path, data)
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        offset = len(text[: error.pos].encode("utf-8", "surrogatepass"))
        raise FormatError(
            f"{path}: not JSON: {error.msg} (line {error.lineno}, column {error.colno})", path, offset
        ) from None
    except RecursionError:
        raise FormatError(f"{path}: JSON nested too deeply to be a tokenizer", path) from None
    except ValueError as error:
        raise FormatError(f"{path}: {error}", path) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:80]!r} stands twice in one object")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"not JSON: {name} is not a JSON value")


def as_object(path: str, value: Any, what: str) -> dict[str, Any]:
    """Return a JSON value that has to be an object."""
    if not isinstance(value, dict):
        raise FormatError(f"{path}: {what} must be an object, not {_name(value)}", path)
    return value


def as_list(path: str, value: Any, what: str) -> list[Any]:
    """Return a JSON value that has to be a list; null counts as an empty one."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise FormatError(f"{path}: {what} must be a list, not {_name(value)}", path)
    return value


def as_string(path: str, value: Any, what: str) -> str:
    """Return a JSON value that has to be a string."""
    if not isinstance(value, str):
        raise FormatError(f"{path}: {what} must be a string, not {_name(value)}", path)
    return value


def as_count(path: str, value: Any, what: str) -> int:
    """Return a JSON value that has to be a whole number from 0 to 2^31 - 1."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise FormatError(f"{path}: {what} must be an integer, not {_name(value)}", path)
    if not 0 <= value < MAX_ID:
        shown = str(value) if abs(value) < 1 << 64 else "a number of more than 64 bits"
        raise FormatError(f"{path}: {what} is {shown}, outside 0 to 2^31 - 1", path)
    return value


def bytes_of_base64(path: str, value: Any, what: str) -> bytes:
    """Return the bytes of a JSON value that has to be base64."""
    text = as_string(path, value, what)
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise FormatError(f"{path}: {what} is not base64: {text[:80]!r}", path) from None


def as_id(path: str, value: Any, text: str) -> int:
    """Return a JSON value that has to be a token's id."""
    return as_count(path, value, f"the id of {text[:80]!r}")


def _name(value: Any) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list"}
    return "null" if value is None else names.get(type(value), "an object")
