"""The page of whole programs, from ``examples``."""

from __future__ import annotations

import ast
import re
from pathlib import Path

_HEAD = """# Whole programs

Programs that can be copied. The test suite builds the C programs against an installed library, and the
integration tests run those in Python beside the engines that they are for.
"""
_LANGUAGES = {".py": "python", ".c": "c", ".cpp": "cpp", ".txt": "cmake"}


def page(folder: Path) -> str:
    """Return the page; the heading of a program is the name of its file."""
    parts = [_HEAD]
    for path in sorted(folder.glob("*/*")):
        if path.suffix in _LANGUAGES:
            source = path.read_text("utf-8")
            parts.append(
                f"## {path.name}\n\n{_summary(path, source)}\n\n```{_LANGUAGES[path.suffix]}\n{source}```\n"
            )
    return "\n".join(parts)


def _summary(path: Path, source: str) -> str:
    """Return the first sentence of what a program says of itself."""
    if path.suffix == ".py":
        text = ast.get_docstring(ast.parse(source)) or ""
    else:
        comment = re.match(r"\s*(?:/\*(.*?)\*/|((?:#[^\n]*\n)+))", source, re.S)
        text = re.sub(r"^[ \t]*(?:\*|#) ?", "", comment[1] or comment[2], flags=re.M) if comment else ""
    first = text.strip().partition("\n\n")[0]
    return re.sub(r"([*<\[])", r"\\\1", " ".join(first.split()))
