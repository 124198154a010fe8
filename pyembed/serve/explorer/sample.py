"""Rows that stand for a whole table: all of them, or some where all are too many to be read for an answer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...tables.table import EmbeddingTable

#: Rows of the largest table that is read as a whole, and drawn as a map.
MOST_ROWS = 1 << 22
_N_SAMPLED = 1 << 14
_AT_ONCE = 1 << 10


class Sample(NamedTuple):
    """Rows and their Euclidean norms.

    Attributes
    ----------
    ids : ndarray of int64
        Ascending.
    norms : ndarray of float32
    """

    ids: npt.NDArray[np.int64]
    norms: npt.NDArray[np.float32]


def is_huge(table: EmbeddingTable) -> bool:
    """Return whether a table has too many rows to be read as a whole."""
    return len(table) > MOST_ROWS


def sample_of(table: EmbeddingTable) -> Sample:
    """Return all rows of a table, or of a huge one some that are evenly spaced."""
    if not is_huge(table):
        return Sample(np.arange(len(table)), table.norms)
    ids = np.linspace(0, len(table) - 1, _N_SAMPLED).astype(np.int64)
    norms = np.empty(len(ids), np.float32)
    for first in range(0, len(ids), _AT_ONCE):
        rows = table.gather(ids[first : first + _AT_ONCE])
        with np.errstate(all="ignore"):
            norms[first : first + _AT_ONCE] = np.sqrt(np.square(rows, dtype=np.float64).sum(axis=1))
    return Sample(ids, norms)
