"""Looks for a rearrangement of the whole table that brings rows and tokens together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from .rows import Rows
from .score import Score

Ints = npt.NDArray[np.int64]

#: A map counts if its z is at least this, and this many robust deviations above all others'.
LEAST_Z = 8.0
_OUTSTANDING = 8.0
#: Shifts that are tried with all pairs; others are tried all at once, with few pairs and columns.
_NEAR = 64
#: Equal parts of the rows that may have changed places, as shards of a tensor do.
_PARTS = (2, 3, 4, 6, 8)
#: A part has fewer pairs than the whole. A place found for it is only where the search begins.
_LEAST_PART_Z = 5.0
_FEW_PAIRS, _FEW_COLUMNS = 200, 32
#: All maps are compared roughly, and the best of them well.
_ROUGH_PAIRS, _ROUGH_COLUMNS, _FINALISTS = 1000, 64, 8


@dataclass(frozen=True)
class Candidate:
    """A map of the whole table.

    Attributes
    ----------
    name : str
        What it does to the rows, as a person would say it.
    rows_of : int64, shape (tokens,)
        The row of each token, -1 where it is not known.
    in_shifts : bool
        Whether it is made of shifts, so that runs of ids tell it best.
    """

    name: str
    rows_of: Ints
    in_shifts: bool = False


def find_maps(score: Score, rows: Rows, texts: Sequence[bytes], stored: Sequence[str]) -> Iterator[Candidate]:
    """Yield maps that restore the agreement of tokens and rows, likely ones first; often there is none."""
    n = len(texts)
    candidates = list(_candidates(n, texts, stored))
    shift = _best_shift(score, rows, n)
    if shift:
        candidates.append(_cyclic(shift, n))
    n_rows = len(rows.values)
    candidates = [replace(candidate, rows_of=_inside(candidate.rows_of, n_rows)) for candidate in candidates]
    rough = score.rough(_ROUGH_PAIRS, _ROUGH_COLUMNS)
    values = np.array([rough.of(candidate.rows_of) for candidate in candidates])
    spread = 1.4826 * np.median(np.abs(values - np.median(values)))
    finalists = [candidates[index] for index in np.argsort(-values)[:_FINALISTS]]
    z, best = max(
        ((score.of(candidate.rows_of), candidate) for candidate in finalists), key=lambda pair: pair[0]
    )
    if z - np.median(values) >= max(LEAST_Z, _OUTSTANDING * spread):
        yield best
    for parts in _PARTS:
        moved = _moved_parts(score, parts, n, n_rows)
        if (moved >= 0).any():
            yield Candidate("parts of the rows changed places", moved, True)


def _inside(rows_of: Ints, n_rows: int) -> Ints:
    return np.where(rows_of < n_rows, rows_of, -1)


def _cyclic(shift: int, n: int) -> Candidate:
    return Candidate(f"rows are shifted by {shift}", (np.arange(n) + shift) % n, True)


def _moved_parts(score: Score, parts: int, n: int, n_rows: int) -> Ints:
    """Return where each of the equal parts of the ids finds its rows, -1 for nowhere."""
    edges = [part * n // parts for part in range(parts + 1)]
    rows_of = np.full(n, -1, np.int64)
    for first, end in pairwise(edges):
        pairs = score.within(first, end)
        best = _LEAST_PART_Z
        for place in edges[:-1] if len(pairs) else []:
            there = _inside(np.arange(n) + (place - first), n_rows)
            z = score.of(there, pairs)
            if z > best:
                best, rows_of[first:end] = z, there[first:end]
    return rows_of


def _candidates(n: int, texts: Sequence[bytes], stored: Sequence[str]) -> Iterator[Candidate]:
    shifts = [shift for near in range(1, min(_NEAR, n // 2) + 1) for shift in (near, -near)]
    for parts in _PARTS:
        shifts += [sign * (part * n // parts) for part in range(1, parts) for sign in (1, -1)]
    yield from (_cyclic(shift, n) for shift in dict.fromkeys(shifts))
    ids = np.arange(n)
    for parts in (2, 3, 4, 8, 16):
        dealt = np.concatenate([ids[part::parts] for part in range(parts)])
        yield Candidate(f"rows were dealt out to {parts} parts in turn, and these joined", np.argsort(dealt))
        yield Candidate(f"{parts} parts of the rows were interleaved", dealt)
    yield Candidate("rows are in reverse order", ids[::-1].copy())
    orders: dict[str, Sequence[Any]] = {
        "by the stored texts of the tokens": stored,
        "by the bytes of the tokens": texts,
        "by the texts of the tokens, blind to case": [text.casefold() for text in stored],
        "by the length of the tokens' texts": [len(text) for text in stored],
    }
    for name, keys in orders.items():
        order = np.array(sorted(range(n), key=keys.__getitem__), np.int64)
        yield Candidate(f"rows are sorted {name}", np.argsort(order))


def _best_shift(score: Score, rows: Rows, n: int) -> int:
    """Return the cyclic shift at which a few strong pairs agree best, of all there are."""
    values = np.ascontiguousarray(rows.values[:n, :_FEW_COLUMNS])
    if len(values) < n:
        return 0
    picked = np.linspace(0, len(score.pairs) - 1, min(_FEW_PAIRS, len(score.pairs))).astype(int)
    total = np.zeros(n, np.float32)
    for first, second in score.pairs[picked].tolist():
        apart = second - first
        agreement = np.empty(n, np.float32)
        np.einsum("ij,ij->i", values[: n - apart], values[apart:], out=agreement[: n - apart])
        np.einsum("ij,ij->i", values[n - apart :], values[:apart], out=agreement[n - apart :])
        # agreement[first + shift] is that of the pair under the shift.
        total += np.roll(agreement, -first)
    shift = int(total.argmax())
    return shift if shift <= n // 2 else shift - n
