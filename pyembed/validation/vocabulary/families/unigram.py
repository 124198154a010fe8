"""SentencePiece's unigram model: normal pieces stand by falling score."""

from __future__ import annotations

import numpy as np

from ...facts import Facts
from ...report import Findings
from ..order import out_of_order
from ..rules import ORDER

MODELS = frozenset({"t5"})
MIN_PIECES = 256
#: Exceptions, at most one in so many pieces, are pieces out of place; more are another law.
_EXCEPTIONS = 1000
#: What converters give to tokens that were added.
_ADDED = (0.0, -1000.0, -10000.0)


def judge(facts: Facts, findings: Findings, level: str) -> str | None:
    """Judge the order of the scores; return what it came to, None where they do not fall."""
    ids = np.flatnonzero(facts.normal & ~np.isin(facts.scores, _ADDED))
    if not facts.scored or ids.size < MIN_PIECES:
        return None
    wrong = ids[out_of_order(-facts.scores[ids].astype(np.float64))]
    if wrong.size * _EXCEPTIONS > ids.size:
        return None
    if wrong.size:
        findings.add(
            ORDER,
            f"{wrong.size} pieces stand out of the order of falling scores: {facts.quote_some(wrong)}",
            first_id=int(wrong[0]),
            last_id=int(wrong[-1]),
            n_ids=wrong.size,
        )
    return f"{ids.size} pieces by falling score, {wrong.size} out of place; of equal scores nothing is known"
