"""Do rows look learned? Learned rows have neighbours closer than those of random rows alike in covariance."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from .rows import Floats, Rows

Ints = npt.NDArray[np.int64]

#: Share of rows with closer neighbours than 99 % of random ones: below, as at initialisation; above, learned.
RANDOM, LEARNED = 0.05, 0.25
_QUERIES = 400
_BLOCK = 4096
#: Rows this close to their mean direction, in the median, sit at one point, blurred perhaps: runs of learned
#: rows stay below 0.35, untrained ones under noise of a third of the columns' deviation reach 0.5.
_SAME_POINT = 0.4


class Structure:
    """Tells learned rows from random ones, within one table."""

    def __init__(self, rows: Rows, rng: np.random.Generator) -> None:
        self._rows, self._rng = rows, rng
        self._ids = np.flatnonzero(rows.usable)

    def learned_share(self, ids: Ints) -> float:
        """Return the share of some rows that have a neighbour as only learned rows have."""
        ids = ids[self._rows.usable[ids]]
        if not len(ids) or len(self._ids) < 2:
            return 0.0
        if len(ids) > _QUERIES:
            ids = self._rng.choice(ids, _QUERIES, replace=False)
        nearest = np.full(len(ids), -1, np.float32)
        for first in range(0, len(self._rows.values), _BLOCK):
            cosines = self._rows.values[ids] @ self._rows.values[first : first + _BLOCK].T
            own = (ids >= first) & (ids < first + _BLOCK)
            cosines[np.flatnonzero(own), ids[own] - first] = -1
            np.maximum(nearest, cosines.max(axis=1), out=nearest)
        return float((nearest > self._random_limit).mean())

    def at_one_point(self, ids: Ints) -> bool:
        """Return whether most of some rows lie in one direction."""
        values = self._rows.values[ids[self._rows.usable[ids]]]
        mean = values.mean(axis=0) if len(values) else np.zeros(1, np.float32)
        length = float(np.linalg.norm(mean))
        return length > 0 and float(np.median(values @ mean)) / length > _SAME_POINT

    @cached_property
    def _random_limit(self) -> float:
        """The cosine that the nearest neighbours of 99 % of random rows stay below."""
        sample = self._rows.values[self._ids[:: max(1, len(self._ids) // 20000)]]
        covariance = sample.T @ sample / len(sample)
        power, axes = np.linalg.eigh(covariance.astype(np.float64))
        spread = (axes * np.sqrt(np.maximum(power, 0))).astype(np.float32)
        queries = self._draw(_QUERIES, spread)
        nearest = np.full(_QUERIES, -1, np.float32)
        for first in range(0, len(self._ids), _BLOCK):
            drawn = self._draw(min(_BLOCK, len(self._ids) - first), spread)
            np.maximum(nearest, (queries @ drawn.T).max(axis=1), out=nearest)
        return float(np.quantile(nearest, 0.99))

    def _draw(self, n: int, spread: Floats) -> Floats:
        values = self._rng.standard_normal((n, len(spread)), np.float32) @ spread.T
        lengths = np.sqrt(np.einsum("ij,ij->i", values, values))[:, None]
        drawn: Floats = values / np.maximum(lengths, 1e-12)
        return drawn
