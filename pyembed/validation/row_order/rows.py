"""Rows as directions that can be compared: some columns, centred, scaled, of unit length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

#: Returns the rows of some ids as float32 of shape (ids, columns).
Gather = Callable[[Ints], npt.NDArray[np.float32]]

#: Columns that are looked at: more tell small blocks apart, fewer bound the memory of large tables.
MAX_COLUMNS, MIN_COLUMNS = 256, 64
_MAX_VALUES = 1 << 24
_CHUNK_BYTES = 4 << 20

#: Rows within this cosine of at least this share of a sample all sit at one point: training never moved them.
_SAME_POINT = 0.6
_SHARE = 0.02
#: So do rows if this many are the same to the bit.
_SAME_BITS = 8
_SAMPLE = 1024


@dataclass
class Rows:
    """Directions of rows.

    Attributes
    ----------
    values : float32, shape (rows, columns)
        Of unit length; zeros where a row is set aside.
    usable : bool, shape (rows,)
        Whether a row says anything.
    blank : bool, shape (rows,)
        Set aside because it is zero, constant or not finite.
    clumped : bool, shape (rows,)
        Set aside because it sits at one point with many others.
    """

    values: Floats
    usable: Bools
    blank: Bools
    clumped: Bools


def load_rows(
    gather: Gather, n_rows: int, n_columns: int, rng: np.random.Generator, tell: Callable[[float], None]
) -> Rows:
    """Read all rows, a few at a time, and keep a random choice of columns.

    Raises
    ------
    OSError, FormatError
        Whatever `gather` raises.
    """
    width = min(n_columns, max(MIN_COLUMNS, min(MAX_COLUMNS, _MAX_VALUES // max(n_rows, 1))))
    columns = np.sort(rng.choice(n_columns, width, replace=False))
    values = np.empty((n_rows, width), np.float32)
    step = max(1, _CHUNK_BYTES // (4 * n_columns))
    for first in range(0, n_rows, step):
        chunk = gather(np.arange(first, min(first + step, n_rows)))
        values[first : first + len(chunk)] = chunk if width == n_columns else chunk[:, columns]
        tell(first / n_rows)
    return directions(values, rng)


def directions(values: Floats, rng: np.random.Generator) -> Rows:
    """Turn rows, in place, into directions; set aside those that are none."""
    blank = _to_unit_length(values)
    clumped = _repeated(values, rng) & ~blank
    values[clumped] = 0
    _standardise(values, ~(blank | clumped))
    clumped |= _at_one_point(values, ~(blank | clumped), rng)
    if clumped.any():
        values[clumped] = 0
        _standardise(values, ~(blank | clumped))
    return Rows(values, ~(blank | clumped), blank, clumped)


def _blocks(n: int, step: int = 4096) -> list[slice]:
    return [slice(first, min(first + step, n)) for first in range(0, n, step)]


def _to_unit_length(values: Floats) -> Bools:
    """Scale each row, so that none outweighs the others, and zero those that are constant or not finite."""
    blank = np.empty(len(values), np.bool_)
    for part in _blocks(len(values)):
        rows = values[part]
        with np.errstate(invalid="ignore", over="ignore"):
            largest = np.abs(rows).max(axis=1)
            blank[part] = ~np.isfinite(largest) | (rows.max(axis=1) == rows.min(axis=1))
        rows[blank[part]] = 0
        # By the largest first: squares of large numbers overflow.
        rows /= np.where(blank[part], 1, largest)[:, None]
        rows /= np.maximum(np.sqrt(np.einsum("ij,ij->i", rows, rows)), 1e-30)[:, None]
    return blank


def _repeated(values: Floats, rng: np.random.Generator) -> Bools:
    """Return which rows occur at least `_SAME_BITS` times, found by their product with one random vector."""
    _, kind, count = np.unique(
        values @ rng.standard_normal(values.shape[1], np.float32), return_inverse=True, return_counts=True
    )
    return np.asarray(count[kind] >= _SAME_BITS)


def _standardise(values: Floats, usable: Bools) -> None:
    """Centre the columns of usable rows, divide each by its RMS, and scale rows to unit length."""
    n, width = max(int(usable.sum()), 1), values.shape[1]
    total, squares = np.zeros(width), np.zeros(width)
    for part in _blocks(len(values)):
        total += values[part].sum(axis=0, dtype=np.float64)
    mean = (total / n).astype(np.float32)
    for part in _blocks(len(values)):
        rows = values[part]
        rows -= mean
        rows[~usable[part]] = 0
        squares += np.einsum("ij,ij->j", rows, rows, dtype=np.float64)
    rms = np.sqrt(squares / n)
    scale = np.where(rms > 0, 1 / np.maximum(rms, 1e-30), 0).astype(np.float32)
    for part in _blocks(len(values)):
        rows = values[part]
        rows *= scale
        rows /= np.maximum(np.sqrt(np.einsum("ij,ij->i", rows, rows)), 1e-12)[:, None]


def _at_one_point(values: Floats, usable: Bools, rng: np.random.Generator) -> Bools:
    """Return which rows lie within `_SAME_POINT` of at least `_SHARE` of a sample."""
    ids = np.flatnonzero(usable)
    clumped = np.zeros(len(values), np.bool_)
    if len(ids) < 100:
        return clumped
    sample = values[rng.choice(ids, min(_SAMPLE, len(ids)), replace=False)].T
    for part in _blocks(len(values), 1024):
        near = np.count_nonzero(values[part] @ sample > _SAME_POINT, axis=1)
        clumped[part] = near >= _SHARE * sample.shape[1]
    return clumped
