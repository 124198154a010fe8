"""SentencePiece's byte-pair encoding: scores count down from the first learned piece.

The score of a learned piece is minus its rank. Pieces of several characters come first, each made of two
that come before it or are single characters; then the single characters. Runs of spaces that converters put
in, with a score of their own, are left out.
"""

from __future__ import annotations

import numpy as np

from ....core.constants import TextFlag
from ...facts import Facts, Ids
from ...report import Findings
from ..order import find_order, report_order
from ..rules import PIECE_ORDER

MODELS = frozenset({"llama"})
MIN_PIECES = 256
#: Exceptions among so many pieces, at most one in so many, are pieces out of place; more are another law.
_EXCEPTIONS = 1000
_MAX_RANK = 10_000_000


def judge(facts: Facts, findings: Findings, level: str) -> str | None:
    """Judge the order of a vocabulary with such scores; return what it came to, None where there are none."""
    ids, ranks = _ranked(facts)
    if ids.size < MIN_PIECES:
        return None
    order = find_order(ids, ranks)
    if order is None:
        return None
    report_order(order, facts, findings, "scores of pieces")
    if not order.kept:
        return f"{ids.size} pieces by score: {order.odd.size} out of place, {len(order.blocks)} runs shifted"
    wrong = np.union1d(_uncomposed(facts, ids), _late(facts, ids))
    if wrong.size:
        findings.add(
            PIECE_ORDER,
            f"{wrong.size} pieces do not fit what comes before them: {facts.quote_some(wrong)}",
            first_id=int(wrong[0]),
            last_id=int(wrong[-1]),
            n_ids=wrong.size,
        )
    return f"{ids.size} pieces in the order of their scores, {wrong.size} of them not made of earlier ones"


def _ranked(facts: Facts) -> tuple[Ids, Ids]:
    """Return the learned pieces by rank, and the ranks; of pieces of equal rank the first."""
    scores = facts.scores.astype(np.float64)
    with np.errstate(invalid="ignore"):
        ranked = facts.normal & (scores < 0) & (scores > -_MAX_RANK) & (scores == np.round(scores))
    ids = np.flatnonzero(ranked)
    ranks, first = np.unique((-scores[ids]).astype(np.int64), return_index=True)
    return ids[first], ranks


def _few(wrong: Ids, n: int) -> Ids:
    return wrong if n >= _EXCEPTIONS and wrong.size * _EXCEPTIONS <= n else wrong[:0]


def _uncomposed(facts: Facts, ids: Ids) -> Ids:
    """Return pieces that are not the concatenation of two earlier pieces or single characters."""
    several = ids[(facts.tokens["n_code_points"][ids] > 1) & ~facts.has(TextFlag.REPEATED)[ids]]
    return _few(several[facts.splits["n_sooner"][several] == 0], several.size)


def _late(facts: Facts, ids: Ids) -> Ids:
    """Return pieces on the wrong side of where single characters begin."""
    ids = np.sort(ids)
    single = facts.tokens["n_code_points"][ids] == 1
    # Wrong with the border at b: single ones before b, others from b on.
    cost = np.concatenate([[0], np.cumsum(single)]) + np.concatenate([np.cumsum(~single[::-1])[::-1], [0]])
    border = int(np.argmin(cost))
    return _few(ids[single == (np.arange(ids.size) < border)], ids.size)
