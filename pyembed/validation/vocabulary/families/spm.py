"""SentencePiece's byte-pair encoding: scores count down from the first learned piece.

The score of a learned piece is minus its rank. Pieces of several characters come first, each made of two
that come before it or are single characters; then the single characters. Runs of spaces that converters put
in, with a score of their own, are left out.

Behind the end other pieces may have been appended, with scores that fall or are equal among themselves.
Pieces may have been taken out: their ranks are missing, and longer pieces that were made of them are made of
nothing that is left.

All this can contradict a list, and pins nothing: most pieces can change places without a contradiction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from dataclasses import dataclass

import numpy as np

from ....core.constants import TextFlag
from ...facts import Facts, Ids, Mask, distinct
from ...report import Findings
from ...report_text import count
from ...rules import Severity
from ..order import LONG_RUN, find_order, report_order, report_tail, scattered
from ..rules import NO_LAW, PIECE_ORDER, TRIMMED
from . import unigram

MODELS = frozenset({"llama"})
MIN_PIECES = 256
_MAX_RANK = 10_000_000
#: Share of the pieces made of two tokens, in whatever order these stand, from which on they were learned so:
#: it is all of them unless some were taken out.
_LEARNED = 0.9
#: This many ranks that follow each other are those of a learned list.
_CONSECUTIVE = 0.9
#: Pieces that may lack parts for each that was taken out, as far as they are looked at.
_MAX_LACKING = 64
#: For each piece that no two tokens make, at most this number lack a part and have another one later.
_MAX_CUT = 4
#: Pieces on average in each of several tails.
_MIN_TAIL = 8
#: Longer texts are not pieces, and the parts of more pieces are not sought: a hostile list has any number.
_MAX_LENGTH, _MAX_READ = 32, 2000


@dataclass(frozen=True)
class _Ranked:
    """Learned pieces in order of id, their ranks, and how many of them stand before the tail."""

    ids: Ids
    ranks: Ids
    n_base: int


def judge(facts: Facts, findings: Findings, level: str) -> str | None:
    """Judge the order of a vocabulary with such scores; return what it came to, None where there are none."""
    ids, ranks = _ranked(facts)
    if ids.size < MIN_PIECES:
        n_invalid = int(np.count_nonzero(~np.isfinite(facts.scores)))
        if n_invalid:
            findings.add(NO_LAW, f"the scores of {n_invalid} tokens are not finite numbers")
        return unigram.judge(facts, findings, level) if _has_probabilities(facts) else None
    pieces = _without_tail(facts, ids, ranks)
    base, ranks = pieces.ids[: pieces.n_base], pieces.ranks[: pieces.n_base]
    ranks, first = np.unique(ranks, return_index=True)
    base = base[first]
    if base.size < MIN_PIECES:
        return None
    several = _of_several(facts, base)
    is_learned = np.mean(facts.splits["n"][several] > 0) >= _LEARNED if several.size else False
    order = find_order(base, ranks)
    if order is None and np.mean(np.diff(ranks) == 1) >= _CONSECUTIVE:
        order = scattered(base, ranks)
    if order is None or not is_learned:
        what = "scores rank pieces that are not made of each other" if order else "scores are in no order"
        findings.add(NO_LAW, f"{what}: {base.size} pieces have whole negative scores")
        return None
    report_order(order, facts, findings, "scores of pieces")
    if pieces.n_base < pieces.ids.size:
        report_tail(pieces.ids[pieces.n_base :], facts, findings)
    if not order.kept and not order.ascends:
        shifted = count(len(order.blocks), "run")
        return f"{base.size} pieces by score: {order.odd.size} out of place, {shifted} shifted"
    wrong = distinct(_uncomposed(facts, several, _missing(base, ranks), findings), _late(facts, base))
    if wrong.size:
        findings.add(
            PIECE_ORDER,
            f"{wrong.size} pieces do not fit what comes before them: {facts.quote_some(wrong)}",
            first_id=int(wrong[0]),
            last_id=int(wrong[-1]),
            n_ids=wrong.size,
        )
    return f"{base.size} pieces in the order of their scores, {wrong.size} of them not made of earlier ones"


def _ranked(facts: Facts) -> tuple[Ids, Ids]:
    """Return the pieces whose scores are ranks, in order of id, and the ranks."""
    scores = facts.scores.astype(np.float64)
    piece = facts.normal if facts.typed else ~facts.has(TextFlag.BRACKETED)
    with np.errstate(invalid="ignore"):
        ranked = piece & (scores < 0) & (scores > -_MAX_RANK) & (scores == np.round(scores))
    ids = np.flatnonzero(ranked)
    ranks = (-scores[ids]).astype(np.int64)
    same = ids.size > 1 and np.all(ranks == ranks[0])  # what converters give to all where there are no scores
    return (ids[:0], ranks[:0]) if same else (ids, ranks)


def _has_probabilities(facts: Facts) -> bool:
    """Return whether most scores are logarithms of probabilities, as those of a unigram model."""
    scores = facts.scores[facts.normal].astype(np.float64)
    with np.errstate(invalid="ignore"):
        return bool(scores.size) and bool(np.mean((scores < 0) & (scores != np.round(scores))) > 0.5)


def _without_tail(facts: Facts, ids: Ids, ranks: Ids) -> _Ranked:
    """Set pieces apart that were appended with scores of their own.

    A tail begins where a rank comes that was there before or falls behind, and its own ranks never do, but
    where a further tail begins anew. If it has the rank of a piece that was taken out of the rest, that piece
    was moved to the end and there is no tail, unless most of its ranks are those of pieces that are there.
    Pieces of several characters behind the single ones were appended too, with scores below all others.
    """
    whole = _Ranked(ids, ranks, ids.size)
    highest = np.maximum.accumulate(ranks)
    again = np.flatnonzero(ranks[1:] <= highest[:-1]) + 1
    n_base = int(again[0]) if again.size else ids.size
    tail = ranks[n_base:]
    anew = np.flatnonzero(np.diff(tail) < 0) + 1
    if n_base < MIN_PIECES or np.any(tail[anew] > tail[:1]) or anew.size * _MIN_TAIL > tail.size:
        return whole
    gaps = np.flatnonzero(np.diff(ranks[:n_base]) > np.diff(ids[:n_base]))
    # The first rank behind each of the tail's: is it the same, or is there a gap before it?
    behind = np.searchsorted(ranks[:n_base], tail)
    inside = behind < n_base
    again_there = inside.copy()
    again_there[inside] = ranks[behind[inside]] == tail[inside]
    in_gap = np.isin(behind - 1, gaps) & inside & ~again_there
    if in_gap.any() and 2 * np.count_nonzero(again_there) < tail.size:
        return whole
    single = facts.tokens["n_code_points"][ids[:n_base]] == 1
    last = n_base - int(np.argmax(single[::-1])) if single.any() else n_base
    if last >= max(MIN_PIECES, n_base // 2) and single[max(last - LONG_RUN, 0) : last].all():
        n_base = last
    return _Ranked(ids, ranks, n_base)


def _of_several(facts: Facts, ids: Ids) -> Ids:
    """Return the pieces of several characters, but for runs of one."""
    long: Mask = facts.tokens["n_code_points"][ids] > 1
    return ids[long & ~facts.has(TextFlag.REPEATED)[ids]]


def _missing(ids: Ids, ranks: Ids) -> tuple[int, int]:
    """Return how many ranks have no piece: those of pieces taken out, and those whose place another took."""
    absent = np.diff(ranks) - 1
    taken_out = np.maximum(np.diff(ranks) - np.diff(ids), 0)
    return int(taken_out.sum()), int((absent - taken_out).sum())


def _uncomposed(facts: Facts, several: Ids, missing: tuple[int, int], findings: Findings) -> Ids:
    """Return pieces that are not the concatenation of two earlier pieces or single characters.

    Where pieces are missing, those that lack them as parts are reported as what they are.
    """
    lacking: Mask = facts.splits["n_sooner"][several] == 0
    wrong = several[lacking]
    if not wrong.size or not _are_explained(facts, wrong, *missing):
        return wrong
    findings.add(
        TRIMMED,
        f"{wrong.size} pieces are made of parts that are not in the list: {facts.quote_some(wrong)}",
        severity=None if missing[0] else Severity.NOTE,  # what took a place has a row there
        first_id=int(wrong[0]),
        last_id=int(wrong[-1]),
        n_ids=wrong.size,
    )
    return wrong[:0]


def _are_explained(facts: Facts, wrong: Ids, n_taken_out: int, n_replaced: int) -> bool:
    """Return whether the parts that pieces lack are about as few as there are pieces missing.

    Where others took the place of pieces, as runs of spaces did in Llama 2's list, each has to lack such a
    part, and some must be made of no two tokens in whatever order these stand: in a shuffled list there are
    none.
    """
    n = n_taken_out or n_replaced
    if wrong.size <= n_taken_out:
        return True
    if wrong.size > min(_MAX_LACKING * n, _MAX_READ):
        return False
    n_parts, n_unexplained = _parts_lacking(facts, wrong)
    if n_taken_out:
        return n_parts + n_unexplained <= 2 * n + 2
    n_cut = int(np.count_nonzero(facts.splits["n"][wrong]))
    return not n_unexplained and n_parts <= n and n_cut <= _MAX_CUT * (wrong.size - n_cut)


def _parts_lacking(facts: Facts, ids: Ids) -> tuple[int, int]:
    """Return how few texts would make pieces whole that are not made of two earlier ones, nearly.

    Such a text is one character or made of two tokens, and is none itself. The second number is that of
    pieces that no such text makes whole.
    """
    vocabulary = facts.vocabulary
    known: Container[object] = vocabulary  # of texts, although it is a sequence of tokens
    lacking = [
        {
            half
            for cut in _cuts(vocabulary.tokens[token_id])
            for half, other in (cut, cut[::-1])
            if half not in known
            and (len(other) == 1 or (other in known and vocabulary.id(other) < token_id))
            and (len(half) == 1 or any(left in known and right in known for left, right in _cuts(half)))
        }
        for token_id in ids.tolist()
    ]
    n_unexplained = sum(not texts for texts in lacking)
    n_parts = 0
    while lacking := [texts for texts in lacking if texts]:
        part, n_whole = Counter(text for texts in lacking for text in texts).most_common(1)[0]
        if n_whole == 1:
            return n_parts + len(lacking), n_unexplained
        lacking = [texts for texts in lacking if part not in texts]
        n_parts += 1
    return n_parts, n_unexplained


def _cuts(text: str) -> list[tuple[str, str]]:
    """Return the ways to cut a text in two; none of one that is longer than pieces are."""
    return [(text[:at], text[at:]) for at in range(1, len(text))] if len(text) <= _MAX_LENGTH else []


def _late(facts: Facts, base: Ids) -> Ids:
    """Return pieces on the wrong side of where single characters begin, or of where they end.

    SentencePiece puts them last, other trainers first. Where most are among longer pieces, nothing is known.
    """
    ids = np.sort(base)
    single = facts.tokens["n_code_points"][ids] == 1
    first, last = _misplaced(~single), _misplaced(single)
    wrong = min(first, last, key=np.count_nonzero)
    return ids[wrong] if 2 * np.count_nonzero(wrong) < np.count_nonzero(single) else ids[:0]


def _misplaced(late: Mask) -> Mask:
    """Return the fewest that have to go so that all of `late` come behind all others."""
    # Wrong with the border at b: late ones before b, others from b on.
    cost = np.concatenate([[0], np.cumsum(late)]) + np.concatenate([np.cumsum(~late[::-1])[::-1], [0]])
    return np.asarray(late == (np.arange(late.size) < int(np.argmin(cost))))
