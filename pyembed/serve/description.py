"""The OpenAPI description of a server, and the page that shows it to people."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from .. import __version__
from .errors import Reason, of_openai
from .operations import Operation
from .shapes import Schema, Shape

_OPENAI_ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
_TEI_ERROR: Schema = {
    "type": "object",
    "required": ["error", "error_type"],
    "properties": {
        "error": {"type": "string"},
        "error_type": {"enum": sorted({reason.value.tei_type for reason in Reason})},
    },
}
_MEANS = {
    200: "What was asked for.",
    400: "The body is not JSON, a field is wrong, or an input is empty.",
    401: "The API key is missing or wrong.",
    404: "There is no model of that name.",
    408: "The body did not arrive in time.",
    409: "A model is not what it should be; the one that was there stays.",
    413: "The body, the tokens or the answer are too many.",
    415: "The content type is not application/json.",
    421: "The Host is not a name of this server.",
    422: "A field is wrong, there are too many inputs, or the model has no tokenizer.",
    429: "Too many requests are being worked on.",
    503: "The server is shutting down.",
}


def describe(operations: Sequence[Operation], has_key: bool) -> dict[str, Any]:
    """Return the OpenAPI description of some operations."""
    paths: dict[str, dict[str, Any]] = {}
    shapes = {one.shape.name: one.shape for one in operations if one.shape is not None}
    for one in operations:
        path = one.path.replace(":path}", "}")
        paths.setdefault(path, {})[one.method.lower()] = _operation(one, path, has_key)
    schemas = {name: shape.schema() for name, shape in sorted(shapes.items())}
    schemas |= {"OpenAIError": _OPENAI_ERROR, "Error": _TEI_ERROR}
    components: dict[str, Any] = {"schemas": schemas}
    if has_key:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "pyembed", "version": __version__, "description": "Embedding tables over HTTP."},
        "paths": paths,
        "components": components,
        **({"security": [{"key": []}]} if has_key else {}),
    }


def _operation(one: Operation, path: str, has_key: bool) -> dict[str, Any]:
    content = {"application/json": {"schema": one.schema}} if one.schema else {one.media_type: {}}
    error = "OpenAIError" if of_openai(path) else "Error"
    statuses = {*one.refusals, 421, *([401] if has_key else [])}
    if one.method == "POST":
        statuses |= {400, 408, 413, 415, 422, 429, 503}
    answers = {"200": {"description": _MEANS[200], "content": content}}
    answers |= {
        str(status): {
            "description": _MEANS[status],
            "content": _json({"$ref": f"#/components/schemas/{error}"}),
        }
        for status in sorted(statuses)
    }
    described: dict[str, Any] = {"summary": one.about, "responses": answers}
    if one.shape is not None:
        described["requestBody"] = {
            "required": True,
            "content": _json({"$ref": f"#/components/schemas/{one.shape.name}"}),
        }
    if "{" in path:
        described["parameters"] = [
            {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        ]
    return described


def _json(schema: Schema) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
:root { color-scheme: light dark }
code { font-family: ui-monospace, monospace } table { border-collapse: collapse; width: 100% }
td, th { border-bottom: 1px solid #8886; padding: .3rem .6rem; text-align: left; vertical-align: top }
"""


def page(operations: Sequence[Operation], has_key: bool) -> str:
    """Return the same for people, as HTML that loads nothing else."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>pyembed: HTTP interface</title>",
        f"<meta name=viewport content='width=device-width'><style>{_STYLE}</style>",
        f"<h1>pyembed {escape(__version__)}</h1><p>For programs: <a href=openapi.json>openapi.json</a>.",
        "Every request needs the API key, as a bearer token.</p>" if has_key else "</p>",
    ]
    for one in operations:
        parts.append(f"<h2><code>{one.method} {escape(one.path)}</code></h2><p>{escape(one.about)}</p>")
        if one.shape is not None:
            parts.append(_fields(one.shape))
    return "".join([*parts, "</html>"])


def _fields(shape: Shape) -> str:
    rows = []
    for field in shape.fields:
        needed = field.name in shape.schema().get("required", ())
        default = "needed" if needed else "" if field.default is None else f"default: {field.default!r}"
        choices = ", ".join(field.schema.get("enum", ()))
        about = f"{field.about} {choices}".strip()
        rows.append(f"<tr><td><code>{field.name}</code><td>{escape(about)}<td>{escape(default)}")
    return f"<table><tr><th>field<th>meaning<th>{''.join(rows)}</table>"
