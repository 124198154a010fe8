"""SentencePiece's unigram model: normal pieces stand by falling score.

Behind the end other pieces may have been appended, with scores that fall among themselves, and a few may
stand alone between the special tokens at the beginning, with scores that whoever trained the list chose. The
order of the scores can contradict a list, and pins nothing: texts can change places while scores stay.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...facts import Facts, Ids
from ...report import Findings
from ..order import LONG_RUN, out_of_order, report_tail
from ..rules import ORDER

MODELS = frozenset({"t5"})
MIN_PIECES = 256
#: Pieces on average in each of several tails, and how far their first scores may lie below that of the first.
_MIN_TAIL, _NEAR_TOP = 8, 1.0
#: What converters give to tokens that were added.
_ADDED = (0.0, -1000.0, -10000.0)


def judge(facts: Facts, findings: Findings, level: str) -> str | None:
    """Judge the order of the scores; return what it came to, None where there are too few."""
    ids = np.flatnonzero(facts.normal & ~np.isin(facts.scores, _ADDED))
    ids = ids[_where_list_begins(ids) :]
    if not facts.scored or ids.size < MIN_PIECES:
        return None
    falling = -facts.scores[ids].astype(np.float64)
    n_base = _where_tail_begins(falling)
    wrong = ids[:n_base][out_of_order(falling[:n_base])]
    if wrong.size:
        findings.add(
            ORDER,
            f"{wrong.size} pieces stand out of the order of falling scores: {facts.quote_some(wrong)}",
            first_id=int(wrong[0]),
            last_id=int(wrong[-1]),
            n_ids=wrong.size,
        )
    if n_base < ids.size:
        report_tail(ids[n_base:], facts, findings)
    return (
        f"{n_base} pieces by falling score, {wrong.size} out of place; texts that changed places are not seen"
    )


def _where_list_begins(ids: Ids) -> int:
    """Return how many ids come before the first long run of neighbours; all where there is none."""
    lasts = np.flatnonzero(np.diff(ids, append=-1) != 1)
    firsts = np.concatenate([[0], lasts[:-1] + 1])
    long_runs = firsts[lasts - firsts + 1 >= LONG_RUN]
    return int(long_runs[0]) if long_runs.size else ids.size


def _where_tail_begins(rising: npt.NDArray[np.float64]) -> int:
    """Return where values that should rise begin anew and go on to the end; their number where they do not.

    They may do so several times, in lists that were extended again. One value out of place, but for the last
    one, is not a tail: without it the others rise.
    """
    again = np.flatnonzero(np.diff(rising) < 0) + 1
    if again.size == 0 or again[0] < MIN_PIECES:
        return rising.size
    first = int(again[0])
    after = np.minimum(again + 1, rising.size - 1)
    moved_up = (after > again) & (rising[after] >= rising[again - 1])
    moved_down = rising[again] >= rising[again - 2]
    if np.any(moved_up | moved_down):
        return rising.size
    far_below = np.any(rising[again] > rising[first] + _NEAR_TOP)
    few_each = again.size > 1 and again.size * _MIN_TAIL > rising.size - first
    return rising.size if far_below or few_each else first
