"""Which tokens of a text count: what is put before it, what is left out of it."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ..inputs.batching import offsets_of
from ..safe_text import quote
from ..tables.arguments import thread_count
from ..tables.scan import index_of
from .engines import Cuts
from .parts import Parts
from .rules import DIRECTIONS, Rules

#: The model's own limit, where None is for none.
OfModel: TypeAlias = Literal["model"]


class Counting(NamedTuple):
    """The options of one call, with the model's where the caller gave none."""

    prompt: str
    max_length: int | None
    keeps_end: bool  # of a longer text, not its beginning
    parallel: bool


def counting_of(rules: Rules, prompt_name: Any, max_length: Any, direction: Any, threads: Any) -> Counting:
    """Return the options of a call, checked; raises as `Encoder.encode` does."""
    if isinstance(max_length, str):
        if max_length != "model":
            raise ValueError(f'max_length is {max_length!r}; expected an int, None or "model"')
        max_length = rules.max_length
    elif max_length is not None:
        max_length = index_of("max_length", max_length)
        if max_length < 0:
            raise ValueError(f"max_length is {max_length}; expected at least 0, or None")
    if direction is None:
        direction = rules.direction
    elif direction not in DIRECTIONS:
        raise ValueError(
            f"truncation_direction is {direction!r}; expected one of {', '.join(DIRECTIONS)}, or None"
        )
    return Counting(_prompt(rules, prompt_name), max_length, direction == "left", thread_count(threads) != 1)


def _prompt(rules: Rules, name: Any) -> str:
    if name is None:
        name = rules.default_prompt
        return "" if name is None else rules.prompts[name]
    if not isinstance(name, str):
        raise TypeError(f"prompt_name is of type {type(name).__name__}; expected str or None")
    if name not in rules.prompts:
        known = ", ".join(map(quote, rules.prompts))
        raise ValueError(
            f"prompt_name is {quote(name)}; expected one of the model's prompts, {known}"
            if known
            else f"prompt_name is {quote(name)}, but the model has no prompts: put the prompt into the texts"
        )
    return rules.prompts[name]


def counted(parts: Parts, texts: list[str], counting: Counting) -> Cuts:
    """Return the ids whose rows are pooled."""
    rules, most = parts.rules, counting.max_length
    if counting.prompt:
        texts = [counting.prompt + text for text in texts]
    if most is not None and rules.cuts_characters:
        n = most * parts.vocabulary.documents.facts.median_length
        texts = [text[max(0, len(text) - n) :] if counting.keeps_end else text[:n] for text in texts]
    cuts = parts.chosen.cut(texts, counting.parallel)
    if most is not None and cuts.lengths.max(initial=0) > most:
        cuts = _shortened(cuts, most, counting.keeps_end)
    unknown = parts.vocabulary.documents.facts.unknown if rules.drops_unknown else None
    if unknown is not None:
        is_known = cuts.ids != unknown
        if not is_known.all():
            cuts = _kept(cuts, is_known)
    if rules.clips_ids:
        cuts = Cuts(np.clip(cuts.ids, 0, len(parts.table) - 1), cuts.lengths)
    return cuts


def _shortened(cuts: Cuts, most: int, keeps_end: bool) -> Cuts:
    """Return the first tokens of each text, or its last."""
    starts = offsets_of(cuts.lengths)[:-1]
    places = np.arange(cuts.ids.size) - np.repeat(starts, cuts.lengths)
    if keeps_end:
        return _kept(cuts, places >= np.repeat(cuts.lengths - most, cuts.lengths))
    return _kept(cuts, places < most)


def _kept(cuts: Cuts, mask: npt.NDArray[np.bool_]) -> Cuts:
    """Return the tokens at which `mask` is true."""
    texts = np.repeat(np.arange(cuts.lengths.size), cuts.lengths)
    return Cuts(cuts.ids[mask], np.bincount(texts[mask], minlength=cuts.lengths.size).astype(np.int64))
