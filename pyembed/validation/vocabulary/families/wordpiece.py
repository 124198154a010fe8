"""WordPiece: single characters in two runs, those that begin a word and those that continue one.

Each run is in order of code points. The pieces between follow the corpus: of them nothing can be said. Other
trainers put single characters elsewhere; the list of BERT's uncased models, which most others took over, has
both runs.

The order can contradict a list. It pins the characters of a run, among each other.
"""

from __future__ import annotations

import numpy as np

from ....core.constants import TextFlag
from ....tokens.token_text import TokenType
from ...facts import Facts, Ids, Mask, distinct
from ...report import Findings
from ..order import out_of_order
from ..rules import BYTE_TYPED, ORDER

MODELS = frozenset({"bert"})
MIN_SINGLES = 64
_MAX_GAP = 2
#: The list of BERT's uncased models: where it has these tokens, and how many [unusedN] it has at least.
_UNCASED_AT, _UNCASED = 100, ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_UNCASED_UNUSED = 900


def judge(facts: Facts, findings: Findings, level: str) -> str | None:
    """Judge the runs of single characters; return what it came to, None where they follow no order."""
    byte_typed = np.flatnonzero(facts.types == TokenType.BYTE.value)
    if byte_typed.size:
        findings.add(
            BYTE_TYPED,
            f"{byte_typed.size} tokens are of type BYTE, on which llama.cpp aborts: "
            f"{facts.quote_some(byte_typed)}",
            first_id=int(byte_typed[0]),
            last_id=int(byte_typed[-1]),
            n_ids=byte_typed.size,
        )
    points = facts.tokens["n_code_points"]
    marked = facts.has(TextFlag.MARK)
    is_uncased = (
        list(facts.vocabulary.tokens[_UNCASED_AT : _UNCASED_AT + len(_UNCASED)]) == _UNCASED
        and np.count_nonzero(facts.has(TextFlag.UNUSED)) >= _UNCASED_UNUSED
    )
    n_judged = 0
    for name, chosen in (
        ("single characters that begin a word", marked & (points == 2)),
        ("single characters that continue a word", ~marked & (points == 1)),
    ):
        n = _judge_run(facts, findings, name, chosen & facts.normal)
        if not n and is_uncased:
            _report_scattered(facts, findings, name, chosen & facts.normal)
        n_judged += n
    if not n_judged:
        return None
    return f"{n_judged} single characters judged by their code points; of longer pieces nothing is known"


def _judge_run(facts: Facts, findings: Findings, name: str, chosen: Mask) -> int:
    """Judge the longest run of such tokens, in which now and then another one may stand."""
    ids: Ids = np.flatnonzero(chosen)
    if ids.size < MIN_SINGLES:
        return 0
    edges = np.flatnonzero(np.diff(ids) > _MAX_GAP) + 1
    starts, ends = np.concatenate([[0], edges]), np.concatenate([edges, [ids.size]])
    longest = int(np.argmax(ends - starts))
    run = ids[starts[longest] : ends[longest]]
    is_foreign = np.ones(run[-1] + 1 - run[0], np.bool_)
    is_foreign[run - run[0]] = False
    foreign = np.flatnonzero(is_foreign) + run[0]
    points = facts.tokens["code_point"][run].astype(np.int64)
    wrong = distinct(run[out_of_order(points)], foreign)
    if run.size < MIN_SINGLES or 10 * wrong.size > run.size:
        return 0
    if wrong.size:
        findings.add(
            ORDER,
            f"{wrong.size} tokens stand out of the order of code points among {name}: "
            f"{facts.quote_some(wrong)}",
            first_id=int(wrong[0]),
            last_id=int(wrong[-1]),
            n_ids=wrong.size,
        )
    return int(run.size)


def _report_scattered(facts: Facts, findings: Findings, name: str, chosen: Mask) -> None:
    """Report that the run is missing which the list of BERT's uncased models has."""
    ids = np.flatnonzero(chosen)
    if ids.size:
        findings.add(
            ORDER,
            f"the {ids.size} {name} are not in the order of their code points, as in the list of BERT's "
            f"uncased models, which this one is: {facts.quote_some(ids)}",
            first_id=int(ids[0]),
            last_id=int(ids[-1]),
            n_ids=ids.size,
        )
