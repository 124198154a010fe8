"""Random requests made of an OpenAPI description, and what it says of the answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Schema = dict[str, Any]

_TEXTS = (
    "a", "a file", "the string of bytes", "", " ", "\0", "é👍\u202e", "\ud800", "x" * 5000, "file " * 3000,
    "demo", "words", "rows", "../../etc/passwd", "<script>", "\x1b[31m", "base64", "cosine", "Right", "file",
)  # fmt: skip
_NUMBERS = (0, 1, 2, 3, 7, 127, 128, 300, 5286, -1, 2**31, 2**63, 2**64, 10**40, 1.5, -0.0, 1e308, 1e-320)
_ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    [],
    {},
    [[]],
    [[[]]],
    {"a": 1},
    "a",
    0,
    1.5,
    [None],
    ["a", 1],
    [[1], "a"],
)
_RAW = (
    b"", b"{", b"[]", b"null", b"\xff", b'{"input": NaN}', b'{"inputs": Infinity}', b"[" * 20_000,
    b'{"input": "\\ud800"}',
    b'{"input": "a"} x', b'\xef\xbb\xbf{"input": "a"}', b'{"inputs": ' + b"9" * 5000 + b"}",
)  # fmt: skip
_TYPES = (
    "application/json",
    "application/json; charset=utf-8",
    "text/plain",
    "",
    "application/json, text/html",
    "é",
)


@dataclass(frozen=True)
class Request:
    """A request that is to be sent."""

    method: str
    path: str
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)


def requests_of(description: dict[str, Any], seed: int, n: int) -> Iterator[Request]:
    """Yield requests: some are as they should be, some have something wrong in them, some are garbage."""
    rng = np.random.default_rng(seed)
    places = [(path, method) for path, methods in sorted(description["paths"].items()) for method in methods]
    for _ in range(n):
        path, method = places[rng.integers(len(places))]
        wanted = description["paths"][path][method]
        address = path.replace("{name}", _pick(rng, ("demo", "rows", "x", "%00", "a/b", "%ff", "..%2f")))
        if rng.random() < 0.03:
            method = _pick(rng, ("get", "post", "put", "delete", "options", "head", "patch"))
        if "requestBody" not in wanted:
            yield Request(method.upper(), address)
            continue
        schema = wanted["requestBody"]["content"]["application/json"]["schema"]
        value = _Maker(description, rng).value(schema)
        headers = {"Content-Type": _pick(rng, _TYPES) if rng.random() < 0.03 else _TYPES[0]}
        body = _pick(rng, _RAW) if rng.random() < 0.05 else json.dumps(value).encode()
        yield Request(method.upper(), address, body, headers)


def _pick(rng: np.random.Generator, choices: Any) -> Any:
    return choices[rng.integers(len(choices))]


class _Maker:
    """Makes values of schemas; at times one that is wrong."""

    def __init__(self, description: dict[str, Any], rng: np.random.Generator) -> None:
        self._description, self._rng = description, rng
        self._wrongness = _pick(rng, (0.0, 0.0, 0.02, 0.1))

    def value(self, schema: Schema) -> Any:
        """Return a value."""
        rng = self._rng
        schema = resolved(self._description, schema)
        if rng.random() < self._wrongness:
            return _pick(rng, _ODD)
        if "anyOf" in schema:
            return self.value(_pick(rng, schema["anyOf"]))
        if "enum" in schema:
            return _pick(rng, schema["enum"])
        makers: dict[str, Callable[[Schema], Any]] = {
            "object": self._object,
            "array": self._array,
            "string": lambda _: _pick(rng, _TEXTS),
            "integer": lambda _: (
                int(_pick(rng, _NUMBERS[:9])) if rng.random() < 0.9 else _pick(rng, _NUMBERS)
            ),
            "number": lambda _: float(rng.normal()) if rng.random() < 0.9 else _pick(rng, _NUMBERS),
            "boolean": lambda _: bool(rng.integers(2)),
            "null": lambda _: None,
        }
        return makers[schema["type"]](schema)

    def _object(self, schema: Schema) -> dict[str, Any]:
        required = schema.get("required", ())
        names = [name for name in schema["properties"] if name in required or self._rng.random() < 0.4]
        if self._rng.random() < self._wrongness:
            names = names[1:]
        return {name: self.value(schema["properties"][name]) for name in names}

    def _array(self, schema: Schema) -> list[Any]:
        n = int(_pick(self._rng, (1, 1, 2, 3, 4, 8, 128)))
        if self._rng.random() < self._wrongness:
            n = int(_pick(self._rng, (0, 3000)))
        return [self.value(schema["items"]) for _ in range(n)]


def resolved(description: dict[str, Any], schema: Schema) -> Schema:
    """Return a schema with its reference followed."""
    value: Any = description
    if "$ref" not in schema:
        return schema
    for part in schema["$ref"].removeprefix("#/").split("/"):
        value = value[part]
    return dict(value)


def violation(description: dict[str, Any], request: Request, status: int, value: Any) -> str:
    """Return in what an answer differs from its description; "" if in nothing.

    A path or a method that is not described may only be answered with 404, 405 or what every request may get.
    """
    wanted = _described(description, request)
    if wanted is None:
        return "" if status in (400, 404, 405, 415, 421) else f"status {status} for what is not described"
    answers = wanted["responses"]
    if str(status) not in answers:
        return f"status {status}; described are {', '.join(answers)}"
    content = answers[str(status)]["content"]
    schema = content.get("application/json", {}).get("schema")
    return (
        ""
        if schema is None or request.method == "HEAD"
        else _mismatch(description, schema, value, "the answer")
    )


def _described(description: dict[str, Any], request: Request) -> dict[str, Any] | None:
    paths = description["paths"]
    methods = paths.get(request.path)
    if methods is None:
        prefix = "/v1/models/"
        methods = paths[f"{prefix}{{name}}"] if request.path.startswith(prefix) else {}
    method = "get" if request.method == "HEAD" else request.method.lower()
    found: dict[str, Any] | None = methods.get(method)
    return found


_KINDS: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def _mismatch(description: dict[str, Any], schema: Schema, value: Any, where: str) -> str:
    """Return where a value differs from a schema of the few words that descriptions here use."""
    schema = resolved(description, schema)
    if "anyOf" in schema:
        found = [_mismatch(description, one, value, where) for one in schema["anyOf"]]
        return "" if "" in found else "; ".join(found)
    if "const" in schema and value != schema["const"]:
        return f"{where} is {value!r}, not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{where} is {value!r}, not of {schema['enum']}"
    kinds = schema.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is_of(value, kind) for kind in kinds):
        return f"{where} is a {type(value).__name__}, not {' or '.join(kinds)}"
    if isinstance(value, int | float) and value < schema.get("minimum", value):
        return f"{where} is {value}, below {schema['minimum']}"
    if isinstance(value, dict):
        return _of_object(description, schema, value, where)
    items = enumerate(value) if isinstance(value, list) and "items" in schema else ()
    return _first(_mismatch(description, schema["items"], one, f"{where}[{index}]") for index, one in items)


def _is_of(value: Any, kind: str) -> bool:
    return isinstance(value, _KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _of_object(description: dict[str, Any], schema: Schema, value: dict[str, Any], where: str) -> str:
    missing = [name for name in schema.get("required", ()) if name not in value]
    if missing:
        return f"{where} has no {missing[0]}"
    known = schema.get("properties", {})
    return _first(
        _mismatch(description, known[name], one, f"{where}.{name}")
        for name, one in value.items()
        if name in known
    )


def _first(found: Iterator[str]) -> str:
    return next(filter(None, found), "")
