"""Which row of a table each token's own is: by the rows of a reference, or by spellings alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..tables.checking import RowFault
from ..tables.table import EmbeddingTable
from ..tokens.token_list import NORMAL
from ..validation.reference.rows import TYPE_ERROR
from ..validation.row_order.judge import Verdict, judge
from ..validation.row_order.segments import Run
from .mendings import CannotMend, NothingToMend

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

_CHUNK_WEIGHTS = 1 << 21
_ROWS_AT_ONCE = 1 << 16
_N_SKETCH = 64
_SEED = 20240229
#: Errors of rows that are the same beyond what their types explain, and of rows that may be any.
_LEAST_ERROR, _MOST_ERROR = 0.05, 0.6


def by_reference(ours: EmbeddingTable, theirs: EmbeddingTable, partner: Ids) -> Ids:
    """Return for each token the row that is its own, -1 where the table has none.

    Parameters
    ----------
    ours, theirs : EmbeddingTable
        Of equal width.
    partner : ndarray of int64
        By token of the model the row of the reference; -1 for none. A token without one keeps its row.
    """
    if ours.shape[1] != theirs.shape[1]:
        raise CannotMend("a reference whose rows are as wide")
    n = min(len(partner), len(ours))
    partner = np.where(partner[:n] < len(theirs), partner[:n], -1)
    limit = _limit(ours, theirs)
    place = np.arange(n, dtype=np.int64)
    known = np.flatnonzero(partner >= 0)
    wrong = known[_errors(ours, theirs, known, known, partner) > limit]
    if not len(wrong):
        return place
    taken = np.zeros(len(ours), np.bool_)
    taken[np.setdiff1d(known, wrong)] = True
    free = np.flatnonzero(~taken)  # rows that are nobody's, as far as known
    place[wrong] = _nearest(ours, theirs, wrong, partner, free, limit)
    return place


def _limit(ours: EmbeddingTable, theirs: EmbeddingTable) -> float:
    explained = float(np.hypot(TYPE_ERROR.get(ours.type, 0.0), TYPE_ERROR.get(theirs.type, 0.0)))
    return min(_MOST_ERROR, max(_LEAST_ERROR, 3 * explained))


def _errors(ours: EmbeddingTable, theirs: EmbeddingTable, rows: Ids, tokens: Ids, partner: Ids) -> Floats:
    """Return how far rows lie from those that the reference has for some tokens."""
    errors = np.empty(len(rows), np.float32)
    step = max(1, _CHUNK_WEIGHTS // max(1, ours.shape[1]))
    for first in range(0, len(rows), step):
        part = slice(first, first + step)
        a, b = ours.gather(rows[part]), theirs.gather(partner[tokens[part]])
        with np.errstate(all="ignore"):
            length = np.maximum(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
            error = np.linalg.norm(a - b, axis=1) / np.maximum(length, np.float32(1e-30))
        errors[part] = np.where(np.isfinite(error), error, np.inf)
    return errors


def _nearest(
    ours: EmbeddingTable, theirs: EmbeddingTable, tokens: Ids, partner: Ids, free: Ids, limit: float
) -> Ids:
    """Return for each token the free row that equals its row in the reference; -1 where none does."""
    rng = np.random.default_rng(_SEED)
    sketch = rng.standard_normal((ours.shape[1], _N_SKETCH)).astype(np.float32)
    candidates = _sketched(ours, free, sketch)
    squares = (candidates**2).sum(axis=1)
    found = np.full(len(tokens), -1, np.int64)
    step = max(1, (1 << 24) // max(1, len(free)))
    for first in range(0, len(tokens), step):
        part = tokens[first : first + step]
        wanted = _sketched(theirs, partner[part], sketch)
        found[first : first + step] = free[np.argmin(squares - 2 * (wanted @ candidates.T), axis=1)]
    found[_errors(ours, theirs, found, tokens, partner) > limit] = -1
    return found


def _sketched(table: EmbeddingTable, rows: Ids, sketch: Floats) -> Floats:
    """Return rows projected on a few random directions; far away where they are not finite."""
    out = np.empty((len(rows), sketch.shape[1]), np.float32)
    step = max(1, _CHUNK_WEIGHTS // max(1, table.shape[1]))
    for first in range(0, len(rows), step):
        with np.errstate(all="ignore"):
            values = table.gather(rows[first : first + step]) @ sketch
        out[first : first + step] = np.where(np.isfinite(values), values, np.float32(1e15))
    return out


def by_spelling(
    texts: Sequence[bytes], types: Sequence[int], stored: Sequence[str], table: EmbeddingTable
) -> Ids:
    """Return for each token the row that is its own, as far as spellings say; see `judge`.

    Raises
    ------
    NothingToMend
        If the rows are in order.
    CannotMend
        If they are in none that was found.
    """
    judgement = judge(texts, types, stored, lambda ids: table.gather(ids, threads=1), table.shape)
    n = min(len(texts), len(table))
    if judgement.verdict is Verdict.ORDERED:
        raise NothingToMend("rows that spellings show to be misplaced")
    if judgement.verdict is not Verdict.MISPLACED:
        raise CannotMend("a reference with rows: spellings show no order in these")
    if judgement.rows_of is not None:
        return judgement.rows_of
    certain = [place.run for place in judgement.misplaced if place.certain]
    if any(run.shift is None for run in certain):
        raise CannotMend("a reference with rows: some rows are in no order that spellings reveal")
    unproven = unproven_end(certain, n, len(table))
    if unproven is not None:
        raise CannotMend(
            f"a reference with rows: spellings show that rows moved, and not at which token near {unproven} "
            "this begins or ends"
        )
    place = np.arange(n, dtype=np.int64)
    moved = np.zeros(n, np.bool_)
    for run in certain:
        assert run.shift is not None
        place[run.first : run.last + 1] += run.shift
        moved[run.first : run.last + 1] = True
    place = completed(place, moved, len(table))
    if not _begins_with_first_token(place, types, table):
        raise CannotMend(
            "a reference with rows: spellings show that rows moved, and no row of zeros shows whether "
            "that of the first token did"
        )
    return place


def _begins_with_first_token(place: Ids, types: Sequence[int], table: EmbeddingTable) -> bool:
    """Return whether rows of zeros prove that the first row moved with those that spellings show to have.

    The first tokens of a list are special ones and single characters, which are like no others: a run of rows
    that begins behind them looks as if it began with them. Rows of zeros prove it where all of them then are
    those of tokens that are not learned.
    """
    blank = np.flatnonzero(rows_with(table, RowFault.ZERO))
    token_of = np.full(len(table), -1, np.int64)
    token_of[place] = np.arange(len(place))
    owners = token_of[blank]
    first = int(place[0])
    return first != 0 and first in blank and all(types[token] != NORMAL for token in owners if token >= 0)


def rows_with(table: EmbeddingTable, faults: RowFault) -> npt.NDArray[np.bool_]:
    """Return which rows of a table have some of the faults."""
    found = np.zeros(len(table), np.bool_)
    for first in range(0, len(table), _ROWS_AT_ONCE):
        n = min(_ROWS_AT_ONCE, len(table) - first)
        flags, _ = table.check_rows(first, n)
        found[first : first + n] = (flags & int(faults)) != 0
    return found


def unproven_end(runs: Sequence[Run], n_tokens: int, n_rows: int) -> int | None:
    """Return the first token at an end of a moved run that nothing proves; None if all ends are proven.

    Few tokens show by themselves where their row is: an end that spellings alone suggest may be off by some,
    whose rows were right before. It is proven where the tokens or the rows end, of the run or of the one
    beside it.
    """
    begins = {run.first for run in runs if run.first == 0 or run.first + (run.shift or 0) == 0}
    ends = {run.last for run in runs if run.last == n_tokens - 1 or run.last + (run.shift or 0) == n_rows - 1}
    for run in sorted(runs, key=lambda run: run.first):
        if run.first not in begins and run.first - 1 not in ends:
            return run.first
        if run.last not in ends and run.last + 1 not in begins:
            return run.last
    return None


def completed(place: Ids, moved: npt.NDArray[np.bool_], n_rows: int) -> Ids:
    """Give tokens whose row went to another, or lies outside, the rows that are nobody's, in order."""
    inside = (place >= 0) & (place < n_rows)
    claimed = np.bincount(place[moved & inside], minlength=n_rows) > 0
    without = ~inside | (~moved & claimed[np.minimum(np.maximum(place, 0), n_rows - 1)])
    held = np.zeros(n_rows, np.bool_)
    held[place[~without]] = True
    left = np.flatnonzero(~held)
    wanting = np.flatnonzero(without)
    if len(left) < len(wanting):
        raise CannotMend(f"a reference with rows: those of {len(wanting) - len(left)} tokens are lost")
    place = place.copy()
    place[wanting] = left[: len(wanting)]
    return place


def partner_rows(ours: Sequence[bytes], theirs: Sequence[bytes]) -> Ids:
    """Return by token of one list the id of the first such token in another, -1 for none."""
    ids: dict[bytes, int] = {}
    for token_id, key in enumerate(theirs):
        ids.setdefault(key, token_id)
    return np.array([ids.get(key, -1) for key in ours], np.int64)
