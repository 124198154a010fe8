"""Pieces of SentencePiece and their scores: each list is judged by the other and by what pieces are made of.

A score is minus a rank, and a piece stands at the id of its rank. Where that does not hold, either pieces
moved together with their scores, or scores alone did: both leave the same file. What shows the difference is
that each piece of several characters is made of two that were learned before it. What has changed places
forms cycles, which are decided one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..tokens.token_list import NORMAL
from .by_law import BYTE_TEXT, FAMILY, texts_of
from .draft import Draft
from .mendings import CannotMend, Mending, OfAnotherFamily

Ids = npt.NDArray[np.int64]

_LEAST_PIECES = 256
_MAX_RANK = 10_000_000
#: Each costs a pass over all pieces.
_MOST_CYCLES = 16
#: Longer texts are not looked into, as everywhere where files of strangers may hold them.
_MOST_CHARACTERS = 64
_UNDECIDED = (
    "a reference: pieces changed places with their scores, or scores alone did, and what pieces are made of "
    "does not show which"
)


@dataclass(frozen=True)
class _Places:
    """Where pieces stand and where they belong.

    Attributes
    ----------
    slots : ndarray of int64
        The ids that are looked at, ascending.
    ranks : list of int or None
        By slot the rank that the score of its token states.
    belongs : ndarray of int64
        By slot the index of the slot at which its token belongs by its rank.
    """

    slots: Ids
    ranks: list[int | None]
    belongs: Ids

    def cycles(self) -> list[list[int]]:
        """Return the cycles of slots whose tokens are to change places."""
        found, seen = [], np.zeros(len(self.slots), np.bool_)
        for first in np.flatnonzero(self.belongs != np.arange(len(self.slots))).tolist():
            cycle, at = [], first
            while not seen[at]:
                seen[at] = True
                cycle.append(at)
                at = int(self.belongs[at])
            if cycle:
                found.append(cycle)
        return found


def by_scores(draft: Draft) -> None:
    """Let pieces stand in the order of their scores, or let scores count down where they alone moved.

    Which of the two it was has to follow from what pieces are made of, for each cycle of changed places.
    """
    tokens = draft.tokens
    texts, scores, types = texts_of(draft), tokens.scores, tokens.types
    if draft.text(FAMILY) != "llama":
        raise OfAnotherFamily
    if scores is None or types is None or len(scores) != len(texts):
        raise CannotMend("scores that count down, and types")
    places = _places(texts, scores, types)
    cycles = places.cycles()
    if not cycles:
        raise CannotMend("a reference: what is there stands in order")
    if len(cycles) > _MOST_CYCLES:
        raise CannotMend(
            f"a reference: more than {_MOST_CYCLES} groups of pieces or scores have changed places"
        )
    own = {texts[slot]: rank for slot, rank in zip(places.slots.tolist(), places.ranks, strict=True)}
    order = sorted(rank for rank in places.ranks if rank is not None)
    by_slot = _ranks_by_slot(places, order)
    whole = _unmade(own)
    move: list[list[int]] = []
    stay: list[list[int]] = []
    for cycle in cycles:
        other = own | {texts[places.slots[k]]: by_slot[k] for k in cycle}
        unmade = _unmade(other)
        if whole < unmade:
            move.append(cycle)
        elif unmade < whole and all(places.ranks[k] is not None for k in cycle):
            stay.append(cycle)
        else:
            raise CannotMend(_UNDECIDED)
    for cycle in move:
        for column in tokens.columns():
            values = {int(places.belongs[k]): column[places.slots[k]] for k in cycle}
            for slot, value in values.items():
                column[places.slots[slot]] = value
    for cycle in stay:
        values = {int(places.belongs[k]): scores[places.slots[k]] for k in cycle}
        for slot, value in values.items():
            scores[places.slots[slot]] = value


def _places(texts: Sequence[str], scores: Sequence[float], types: Sequence[int]) -> _Places:
    """Return where pieces with ranks stand and belong.

    Where other tokens, such as runs of spaces, have taken the places of as many ranks, a piece belongs where
    its rank says, and these keep their order in what is left. Else pieces share the ids that they have now.
    """
    rank_of = {
        i: int(-score)
        for i, (score, kind) in enumerate(zip(scores, types, strict=False))
        if kind == NORMAL
        and -_MAX_RANK < score < 0
        and score == round(score)
        and not BYTE_TEXT.fullmatch(texts[i])
    }
    ids, ranks = np.array(list(rank_of), np.int64), np.array(list(rank_of.values()), np.int64)
    if len(ids) < _LEAST_PIECES or len(np.unique(ranks)) < 0.98 * len(ranks):
        raise CannotMend("scores that differ for every piece")
    if len(np.unique(ranks)) == len(ranks) and np.ptp(ids) == np.ptp(ranks):
        slots = np.arange(ids[0], ids[-1] + 1)
        belongs = np.full(len(slots), -1, np.int64)
        belongs[ids - ids[0]] = ranks - ranks.min()
        belongs[belongs < 0] = np.setdiff1d(np.arange(len(slots)), belongs)
    else:
        slots, belongs = ids, np.empty(len(ids), np.int64)
        belongs[np.argsort(ranks, kind="stable")] = np.arange(len(ids))
    return _Places(slots, [rank_of.get(i) for i in slots.tolist()], belongs)


def _ranks_by_slot(places: _Places, order: Sequence[int]) -> list[int]:
    """Return by slot the rank of a token that stands where it belongs."""
    if len(order) == len(places.slots):
        return list(order)
    return list(range(order[0], order[0] + len(places.slots)))


def _unmade(rank_of: Mapping[str, int | None]) -> set[str]:
    """Return the pieces of several characters that are not made of two that have lower ranks."""
    unmade = set()
    for text, rank in rank_of.items():
        if rank is None or not 1 < len(text) <= _MOST_CHARACTERS or len(set(text)) == 1:
            continue
        for at in range(1, len(text)):
            left, right = text[:at], text[at:]
            if (at == 1 or _is_before(rank_of.get(left), rank)) and (
                at == len(text) - 1 or _is_before(rank_of.get(right), rank)
            ):
                break
        else:
            unmade.add(text)
    return unmade


def _is_before(other: int | None, rank: int) -> bool:
    return other is not None and other < rank


MENDINGS = (
    Mending(
        "order of scores",
        "pieces stand in the order of their scores, or scores in that of their pieces, whichever had moved: "
        "each piece is made of earlier ones",
        by_scores,
    ),
)
