"""One figure for the whole table: how far rows of like spellings are closer than chance."""

from __future__ import annotations

from copy import copy

import numpy as np
import numpy.typing as npt

from .rows import Rows

Ints = npt.NDArray[np.int64]
_MAX_PAIRS = 3000
#: A pair is compared with pairs as far from each other, moved by this many ids: near rows are alike anyway.
_NEAREST, _FARTHEST = 16, 400
_MOVED = 3


class Score:
    """Scores maps from tokens to rows by the same pairs of tokens and the same idea of chance."""

    def __init__(self, rows: Rows, pairs: Ints, n: int, rng: np.random.Generator) -> None:
        self._values, self._usable, self._n = rows.values, rows.usable, n
        self._all = pairs
        if len(pairs) > _MAX_PAIRS:
            pairs = pairs[np.sort(rng.choice(len(pairs), _MAX_PAIRS, replace=False))]
        self.pairs = pairs
        farthest = max(min(_FARTHEST, n // 4), _NEAREST + 1)
        self._moves = rng.integers(_NEAREST, farthest, _MOVED) * rng.choice([-1, 1], _MOVED)

    def of(self, rows_of: Ints, pairs: Ints | None = None) -> float:
        """Return z of the mean cosine where the row of token t is ``rows_of[t]``, -1 for none."""
        pairs = self.pairs if pairs is None else pairs
        alike = self._cosines(rows_of, pairs)
        moved = np.concatenate([self._cosines(rows_of, (pairs + move) % self._n) for move in self._moves])
        if not len(alike) or not len(moved) or moved.std() < 1e-6:
            return 0.0
        error = moved.std() * np.sqrt(1 / len(alike) + 1 / len(moved))
        return float((alike.mean() - moved.mean()) / error)

    def rough(self, most_pairs: int, most_columns: int) -> Score:
        """Return what scores alike, faster and less exactly."""
        other = copy(self)
        other._values = np.ascontiguousarray(self._values[:, :most_columns])
        other.pairs = self.pairs[:: max(1, -(-len(self.pairs) // most_pairs))]
        return other

    def within(self, first: int, end: int, most: int = _MAX_PAIRS) -> Ints:
        """Return pairs of tokens that both lie in a range of ids, at most `n`."""
        inside = self._all[(self._all[:, 0] >= first) & (self._all[:, 1] < end)]
        return inside[:: max(1, -(-len(inside) // most))]

    def _cosines(self, rows_of: Ints, pairs: Ints) -> npt.NDArray[np.float32]:
        first, second = rows_of[pairs[:, 0]], rows_of[pairs[:, 1]]
        known = (first >= 0) & (second >= 0) & self._usable[first] & self._usable[second]
        cosines: npt.NDArray[np.float32] = np.einsum(
            "ij,ij->i", self._values[first[known]], self._values[second[known]]
        )
        return cosines
