"""Cuts of texts by the package ``regex``, which knows as much of Unicode as Oniguruma, and nothing of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from pyembed.llama_cpp.pre_cuts import Cut


@cache
def _compiled(pattern: str) -> Any:
    import regex

    return regex.compile(pattern, regex.VERSION1)


def _by_one(cut: Cut, text: str) -> list[str]:
    parts: list[str] = []
    end = 0
    for match in _compiled(cut.pattern).finditer(text):
        before, matched = text[end : match.start()], match.group()
        if cut.joins:
            parts.append(before + matched)
        else:
            parts.extend((before, matched))
        end = match.end()
    return [part for part in (*parts, text[end:]) if part]


def cut_by_regex(cuts: Sequence[Cut], text: str) -> list[str]:
    """Return the parts of a text: each cut is made in the parts that those before it left."""
    parts = [text]
    for cut in cuts:
        parts = [part for whole in parts for part in _by_one(cut, whole)]
    return parts
