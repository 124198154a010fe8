"""What the page's requests hold: JSON objects, checked field by field before anything is done with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

MAX_BODY = 1 << 20
MAX_TEXT = 20_000
MAX_WORD = 200
MAX_IDS = 256


class Fields(Mapping[str, Any]):
    """The fields of a request's JSON object.

    Each method returns a field of one kind, and raises ValueError, which names the field, for any other.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def __iter__(self) -> Any:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def text(self, name: str, most: int = MAX_WORD, default: str | None = None) -> str:
        """Return a text of at most `most` characters."""
        value = self._fields.get(name, default)
        if not isinstance(value, str):
            raise ValueError(f"{name} is missing or not a string")
        if len(value) > most:
            raise ValueError(f"{name} has {len(value)} characters; expected at most {most}")
        return value

    def choice(self, name: str, choices: tuple[str, ...]) -> Any:
        """Return one of some texts, the first where there is none."""
        value = self._fields.get(name, choices[0])
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}")
        return value

    def number(self, name: str, least: int, most: int, default: int | None = None) -> int:
        """Return a whole number from `least` to `most`."""
        value = self._fields.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"{name} is missing or not a whole number")
        if not least <= value <= most:
            raise ValueError(f"{name} is {_short(value)}; expected {least} to {most}")
        return value

    def ids(self, name: str, most: int = MAX_IDS) -> list[int]:
        """Return a list of ids; whether a table has them is not looked at."""
        value = self._fields.get(name)
        if not isinstance(value, list) or not all(type(one) is int for one in value):
            raise ValueError(f"{name} is missing or not a list of whole numbers")
        if len(value) > most:
            raise ValueError(f"{name} has {len(value)} ids; expected at most {most}")
        return value

    def words(self, name: str, most: int = MAX_IDS) -> list[str]:
        """Return a list of words, empty where there is none."""
        value = self._fields.get(name, [])
        if not isinstance(value, list) or not all(type(one) is str and len(one) <= MAX_WORD for one in value):
            raise ValueError(f"{name} is not a list of words of at most {MAX_WORD} characters")
        if len(value) > most:
            raise ValueError(f"{name} has {len(value)} words; expected at most {most}")
        return value


def _short(value: int) -> str:
    return str(value) if value.bit_length() < 80 else "too large"


async def read_fields(request: Request) -> Fields:
    """Return the JSON object that a request carries.

    Raises
    ------
    ValueError
        If it is not of type application/json, is too long, or is not a JSON object. The type is what keeps
        other sites' pages from sending requests here: a browser asks before it sends JSON elsewhere.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ValueError("expected a body of type application/json")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            raise ValueError(f"the body is longer than {MAX_BODY} bytes")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("the body is not JSON") from None
    if not isinstance(found, dict):
        raise ValueError("the body is not a JSON object")
    return Fields(found)
