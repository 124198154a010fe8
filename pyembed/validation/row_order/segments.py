"""Cuts the ids into runs: in the stated order, shifted by so much, or in no known place."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from .partners import Partners
from .profile import Evidence, Predicted, ranks
from .rows import Rows

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

#: What a change from one state to another costs, in nats: about one in 2,000 ids.
_SWITCH = 7.5
#: What a row outside the table costs a token: next to nothing, so that a run of few goes on to the end.
_OUTSIDE = 0.05
_MAX_ROUNDS = 12
_MAX_SHIFTS = 24
#: Tokens of a run by which its shift is looked for, and how far it has to stand out.
_VOTERS = 400
_LEAST_VOTE = 8.0
_SHIFTS_A_RUN = 4
#: A run without a known place is searched if it speaks against the stated order by this many nats.
_WORTH_A_SEARCH = 10.0


@dataclass(frozen=True)
class Run:
    """Ids of one state.

    Attributes
    ----------
    first, last : int
        Inclusive.
    shift : int or None
        The row of token t is row t + shift; None where no row is known.
    nats : float
        How far the evidence speaks for this state against chance; of a run without a known place, against
        the stated order.
    n_telling : int
        Tokens with evidence.
    """

    first: int
    last: int
    shift: int | None
    nats: float
    n_telling: int


@dataclass(frozen=True)
class Segmentation:
    """Runs over all ids, and what they rest on.

    Attributes
    ----------
    runs : list of Run
    rank : float32, shape (tokens,)
        Of each token's row in the stated order, as `ranks` gives them.
    first_rate : float
        Share of the tokens whose place is known and whose row there has the first rank.
    """

    runs: list[Run]
    rank: Floats
    first_rate: float


def worst_run(nats: Doubles) -> float:
    """Return the most that any run of tokens speaks against the order that the nats speak for."""
    total = np.concatenate([[0.0], np.cumsum(-nats)])
    return float((total - np.minimum.accumulate(total)).max())


def cut(rows: Rows, partners: Partners, rows_of: Ints) -> Segmentation:
    """Cut the ids into runs, from a first idea of where rows are, until the runs no longer change."""
    n, n_rows = len(partners.ids), len(rows.values)
    ids = np.arange(n)
    evidence = Evidence(partners)
    shifts = [0, *sorted(set(np.unique((rows_of - ids)[rows_of >= 0]).tolist()) - {0})][:_MAX_SHIFTS]
    doubted = np.ones(n, np.bool_)
    seen: set[bytes] = set()
    for _ in range(_MAX_ROUNDS):
        predicted = Predicted(rows, partners, rows_of)
        rank = np.stack([ranks(predicted, shift, doubted if shift else None) for shift in shifts])
        trusted = _trusted(rank, rows_of, shifts)
        evidence.learn(trusted)
        nats = np.stack([np.zeros(n), *map(evidence.of, rank)])
        place = ids + np.array([-n, *shifts])[:, None]
        inside = (place >= 0) & (place < n_rows)
        nats[1:][~inside[1:]] = -_OUTSIDE
        states = _most_likely(nats)
        states[~inside[states, ids]] = 0
        runs = _runs(states, nats, shifts)
        rows_of, doubted = np.where(states > 0, place[states, ids], -1), states != 1
        found = _new_shifts(Predicted(rows, partners, rows_of), runs, set(shifts))
        if not found and rows_of.tobytes() in seen:
            break
        seen.add(rows_of.tobytes())
        used = {run.shift for run in runs} | {0}
        shifts = [*(shift for shift in shifts if shift in used), *found][:_MAX_SHIFTS]
    telling = trusted[~np.isnan(trusted)]
    return Segmentation(runs, rank[0], float((telling < 0.5).mean()) if len(telling) else 0.0)


def _trusted(rank: Floats, rows_of: Ints, shifts: list[int]) -> Floats:
    """Return the rank that each token has where it is taken to be; NaN where that is not known."""
    trusted = np.full(len(rows_of), np.nan, np.float32)
    shift_of = rows_of - np.arange(len(rows_of))
    for line, shift in zip(rank, shifts, strict=True):
        here = (rows_of >= 0) & (shift_of == shift)
        trusted[here] = line[here]
    return trusted


def _most_likely(nats: Doubles) -> Ints:
    """Return the state of each token on the most likely path (Viterbi), where each change costs."""
    n_states, n = nats.shape
    telling = np.flatnonzero(nats.any(axis=0))
    steps = np.ascontiguousarray(nats[:, telling].T)
    came = np.zeros((len(telling), n_states), np.int16)
    states = np.arange(n_states, dtype=np.int16)
    score = np.zeros(n_states)
    for step, gain in enumerate(steps):
        best = int(score.argmax())
        change = score[best] - _SWITCH
        came[step] = np.where(score >= change, states, best)
        score = np.maximum(score, change) + gain
    path = np.empty(len(telling), np.int64)
    state = int(score.argmax())
    for step in range(len(telling) - 1, -1, -1):
        path[step] = state
        state = int(came[step, state])
    # A token that says nothing belongs to the run before it; the first ones to the first run.
    last = np.searchsorted(telling, np.arange(n), side="right") - 1
    return path[np.maximum(last, 0)] if len(path) else np.ones(n, np.int64)


def _runs(states: Ints, nats: Doubles, shifts: list[int]) -> list[Run]:
    n = len(states)
    starts = [0, *(np.flatnonzero(np.diff(states)) + 1).tolist(), n]
    runs = []
    for first, end in pairwise(starts):
        state = int(states[first])
        gain = nats[state, first:end].sum() if state else -nats[1, first:end].sum()
        telling = int(np.count_nonzero(nats[max(state, 1), first:end]))
        runs.append(Run(first, end - 1, shifts[state - 1] if state else None, float(gain), telling))
    return runs


def _new_shifts(predicted: Predicted, runs: list[Run], known: set[int]) -> list[int]:
    """Return shifts that explain runs of no known place, by all rows that no other run claims."""
    n_rows = len(predicted.rows.values)
    free = predicted.rows.usable.copy()
    claimed = predicted.rows_of[predicted.rows_of >= 0]
    free[claimed] = False
    places = np.flatnonzero(free)
    values = predicted.rows.values[places]
    found: list[int] = []
    for run in runs:
        if run.shift is not None or run.nats < _WORTH_A_SEARCH or not len(places):
            continue
        vote = _vote(predicted, run, places, values, n_rows)
        order = np.argsort(-vote)[: 2 * _SHIFTS_A_RUN]
        least = max(_LEAST_VOTE, vote[order[0]] / 3)
        for shift in (order[vote[order] >= least] - run.last).tolist()[:_SHIFTS_A_RUN]:
            if shift not in known:
                known.add(shift)
                found.append(shift)
    return found[:_MAX_SHIFTS]


def _vote(predicted: Predicted, run: Run, places: Ints, values: Floats, n_rows: int) -> Doubles:
    """Return for each shift, at index shift + run.last, how far rows at that shift agree beyond chance."""
    tokens = np.arange(run.first, run.last + 1)
    tokens = tokens[predicted.partners.closeness[tokens, 0] > 0]
    if len(tokens) > _VOTERS:
        tokens = tokens[np.linspace(0, len(tokens) - 1, _VOTERS).astype(int)]
    total = np.zeros(n_rows + run.last + 1)
    count = np.zeros(n_rows + run.last + 1)
    for few in np.array_split(tokens, max(1, len(tokens) // 32)):
        wanted, own = predicted.of(few)
        agreement = wanted @ values.T
        place_of = np.searchsorted(places, own)
        hit = (own >= 0) & (place_of < len(places))
        hit[hit] = places[place_of[hit]] == own[hit]
        agreement[np.nonzero(hit)[0], place_of[hit]] = 0
        spread = np.sqrt(np.einsum("ij,ij->i", agreement, agreement) / max(len(places), 1))
        for token, line, scale in zip(few.tolist(), agreement, spread.tolist(), strict=True):
            if scale > 0:
                at = places + (run.last - token)
                total[at] += line / scale
                count[at] += 1
    return total / np.sqrt(np.maximum(count, len(tokens) / 4))
