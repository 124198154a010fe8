"""The reference of the C interface, from the comments and declarations of its header."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_SECTION = re.compile(r"/\* -{20,} ([\w ,]+) \*/")
# A comment at the margin; macros; a type with members, up to its closing brace; any other declaration.
_ITEM = re.compile(
    r"^(/\*.*?\*/)\n"
    r"|^((?:#define [^\n]*\n)+)"
    r"|^(typedef (?:struct|enum)[^;{]*\{.*?^\}[^;]*;)"
    r"|^((?:typedef|PYE_API)\b[^;]*;)",
    re.MULTILINE | re.DOTALL,
)


def page(path: Path) -> str:
    """Return the page."""
    text = path.read_text("utf-8")
    opening, _, rest = text.partition("#ifndef PYEMBED_H")
    body = rest[rest.index("#define PYE_VERSION_MAJOR") : rest.rindex("#ifdef __cplusplus")]
    parts = [
        "# C interface",
        "`#include <pyembed.h>`; `pkg-config --cflags --libs pyembed`.",
        _prose(opening),
    ]
    for heading, content in _sections(body):
        parts.append(f"## {heading[0].upper()}{heading[1:]}")
        parts += list(_items(content))
    return "\n\n".join(parts) + "\n"


def _sections(body: str) -> Iterator[tuple[str, str]]:
    parts = _SECTION.split(body)
    yield "versions and back ends", parts[0]
    yield from zip(parts[1::2], parts[2::2], strict=True)


def _items(content: str) -> Iterator[str]:
    """Yield headings, comments and declarations; what a comment is about follows it."""
    comment = ""
    for found in _ITEM.finditer(content):
        if found[1]:
            if comment:
                yield _prose(comment)
            comment = found[1]
            continue
        declaration = (found[2] or found[3] or found[4]).rstrip()
        yield f"### {_name(declaration)}"
        if comment:
            yield _prose(comment)
        yield f"```c\n{declaration.replace('PYE_API ', '')}\n```"
        comment = ""
    if comment:
        yield _prose(comment)


def _name(declaration: str) -> str:
    if declaration.startswith("#define"):
        return ", ".join(re.findall(r"#define (\w+)", declaration))
    if declaration.startswith("typedef"):
        pointer = re.match(r"typedef [^;{]*?\(\*(\w+)\)\(", declaration)
        return pointer[1] if pointer else re.findall(r"(\w+);", declaration)[-1]
    found = re.search(r"\b(pye_\w+)\(", declaration)
    if not found:
        raise ValueError(f"a declaration without a name: {declaration}")
    return found[1]


def _prose(comment: str) -> str:
    """Return a comment as Markdown: its paragraphs, with nothing in them that Markdown takes for its own."""
    text = comment.strip().removeprefix("/*").removesuffix("*/")
    lines = [re.sub(r"^ \*? ?", "", line).rstrip() for line in text.splitlines()]
    escaped = re.sub(r"([*<\[\\])", r"\\\1", "\n".join(lines).strip())
    return re.sub(r"(?<![\w`])((?:pye|PYE)_\w+(?:\(\))?)(?![\w`])", r"`\1`", escaped)
