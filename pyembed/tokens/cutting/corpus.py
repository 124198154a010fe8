"""Texts on which tokenizers are compared: all scripts, marks, emoji, numbers, code, white space."""

from __future__ import annotations

import json
import lzma
from functools import cache
from pathlib import Path

_FILE = Path(__file__).parents[2] / "data" / "texts.json.xz"


@cache
def corpus() -> tuple[str, ...]:
    """Return some thousand short texts, the same in every run; ``tools/make_corpus.py`` wrote them."""
    return tuple(json.loads(lzma.decompress(_FILE.read_bytes())))
