"""The parts of a ``tokenizer.json`` that families fill."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from .source import TokenSource

Step: TypeAlias = dict[str, Any]


@dataclass
class Parts:
    """A tokenizer without its added tokens.

    Attributes
    ----------
    normalizer, pre_tokenizer, decoder : dict or None
    model : dict
    before, after : tuple of str
        Roles of the tokens that a text begins and ends with.
    contents : sequence of str
        By id, as a text has it: not the stored form in every family.
    """

    normalizer: Step | None
    pre_tokenizer: Step | None
    model: Step
    decoder: Step | None
    before: tuple[str, ...]
    after: tuple[str, ...]
    contents: Sequence[str]


def sequence(kind: str, steps: Iterable[Step]) -> Step | None:
    """Return some steps as one; None for none. `kind` names their list: ``"normalizers"``, ..."""
    found = list(steps)
    if len(found) <= 1:
        return found[0] if found else None
    return {"type": "Sequence", kind: found}


def replace(pattern: Step, content: str) -> Step:
    """Return the normalizer, or decoder, that puts a text in place of what matches."""
    return {"type": "Replace", "pattern": pattern, "content": content}


def vocabulary_of(contents: Sequence[str]) -> dict[str, int]:
    """Return the ids of texts that are all different."""
    return {content: token_id for token_id, content in enumerate(contents)}


def ends(source: TokenSource, *, bos: bool, eos: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the roles that a text begins and ends with, by the file's flags and the family's defaults."""
    flags = source.flags
    before = ("bos",) if flags.get("add_bos_token", bos) and "bos" in source.special else ()
    after = ("eos",) if flags.get("add_eos_token", eos) and "eos" in source.special else ()
    return before, after
