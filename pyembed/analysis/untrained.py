"""Rows that were never trained: those that look like rows that are known to be unused.

Rows that no gradient reached keep what they began with, or drift together: they are short, and seen from the
mean of all rows they point the same way. Land & Bartolo 2024, "Fishing for Magikarp", show that both give
under-trained tokens away. Which rows are unused their tokens say; where too few do, rows that lie at one
point with many others stand for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..tokens.listed import ListedTokens
from ..tokens.token_text import TokenType

Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

#: Returns the rows of some ids as float32 of shape (ids, columns).
Gather = Callable[[Ints], Floats]

# Names of places that vocabularies keep for later, and of what converters fill them up with.
_KNOWN_UNUSED = re.compile(
    r"\[(?:unused|pad|reserved)_?\d+\]"
    r"|<(?:unused|pad|reserved|dummy|place_?holder)\w*?\d+>"
    r"|<\|(?:unused|pad|reserved|dummy|place_?holder|extra)\w*?\d+\|>",
    re.IGNORECASE,
)
_MAX_NAME = 64
_MIN_KNOWN = 8  # rows from which a direction is taken
_MIN_ALIKE = 0.5  # median cosine of known rows to their mean, below which they tell nothing
#: How far others may lie beyond the outermost per cent of the known rows, in its distance to the median.
_MARGIN = 2.0
#: Rows within this cosine of so large a share of a sample lie at one point.
_SAME_POINT, _SHARE = 0.6, 0.02
_SAMPLE, _LEAST_SAMPLE, _COLUMNS = 1024, 100, 512
_CHUNK_BYTES = 4 << 20


class RowSums:
    """Norms and the mean of all rows, gathered as these are read in order of id.

    Attributes
    ----------
    norms : ndarray of float64, shape (rows,)
        Euclidean norms; not finite where a row is not.
    """

    def __init__(self, n_rows: int, n_columns: int) -> None:
        self.norms = np.full(n_rows, np.nan)
        self._total = np.zeros(n_columns)

    def add(self, first: int, rows: Floats) -> None:
        """Take rows from `first` on."""
        part = slice(first, first + len(rows))
        with np.errstate(all="ignore"):
            # In float64 no square of a float32 overflows, so a norm is finite exactly if its row is.
            self.norms[part] = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
        finite = np.isfinite(self.norms[part])
        self._total += (rows if finite.all() else rows[finite]).sum(axis=0, dtype=np.float64)

    @property
    def finite(self) -> Mask:
        """Which rows hold neither NaN nor infinity."""
        return np.asarray(np.isfinite(self.norms))

    @property
    def mean(self) -> Doubles:
        """The mean of the finite rows."""
        return self._total / max(1, int(self.finite.sum()))


@dataclass(frozen=True)
class Untrained:
    """Rows that look untrained.

    Attributes
    ----------
    known : ndarray of bool, shape (rows,)
        Rows that are unused by type, by name, or because they have no token.
    max_norm, min_cosine : float or None
        A row looks untrained if its norm is at most the first, and its cosine to the direction of the known
        ones at least the second; None where the known ones have no direction: then no row does.
    ids : ndarray of int64
        The rows that look untrained and are not known to be unused, most alike first.
    """

    known: Mask
    max_norm: float | None
    min_cosine: float | None
    ids: Ints


def known_unused(vocabulary: ListedTokens | None, n_rows: int) -> Mask:
    """Return which of a table's rows are unused by type, by name, or because they have no token."""
    unused = np.zeros(n_rows, np.bool_)
    if vocabulary is None:
        return unused
    unused[len(vocabulary) :] = True
    types = vocabulary.types[:n_rows]
    unused[: len(types)] = types == TokenType.UNUSED.value
    for row, text in enumerate(vocabulary.tokens[:n_rows]):
        if text[:1] in ("[", "<") and len(text) <= _MAX_NAME and _KNOWN_UNUSED.fullmatch(text):
            unused[row] = True
    return unused


def find_untrained(
    gather: Gather, norms: Doubles, finite: Mask, mean: Doubles, vocabulary: ListedTokens | None
) -> Untrained:
    """Return the rows of a table that look untrained.

    Parameters
    ----------
    gather : callable
        Returns the rows of an int64 array of ids, as float32.
    norms, finite : ndarray, shape (rows,)
        Of each row its Euclidean norm, and whether it is finite.
    mean : ndarray of float64, shape (columns,)
        Of the finite rows.
    vocabulary : Vocabulary or None
        It names the rows that are known to be unused.
    """
    known = known_unused(vocabulary, len(norms))
    usable = finite & (norms > 0)
    for seeds in (known, None):
        ids = _at_one_point(gather, usable, mean) if seeds is None else np.flatnonzero(seeds & usable)
        if len(ids) < _MIN_KNOWN:
            continue
        direction = _mean_of(gather, ids, mean) - mean
        length = float(np.linalg.norm(direction))
        if length == 0:
            continue
        cosines = _cosines(gather, ids, mean, direction / length)
        if np.median(cosines) < _MIN_ALIKE:
            continue
        min_cosine = _beyond(cosines, 1)
        max_norm = _beyond(norms[ids], 99)
        others = np.flatnonzero(usable & ~known & (norms <= max_norm))
        near = _cosines(gather, others, mean, direction / length)
        order = np.argsort(-near, kind="stable")
        return Untrained(known, max_norm, min_cosine, others[order[near[order] >= min_cosine]])
    return Untrained(known, None, None, np.zeros(0, np.int64))


def _beyond(values: Doubles, percentile: float) -> float:
    edge, middle = np.percentile(values, (percentile, 50))
    return float(edge + _MARGIN * (edge - middle))


def _chunks(ids: Ints, n_columns: int) -> list[Ints]:
    step = max(1, _CHUNK_BYTES // (4 * n_columns))
    return [ids[first : first + step] for first in range(0, len(ids), step)]


def _mean_of(gather: Gather, ids: Ints, mean: Doubles) -> Doubles:
    total = np.zeros(len(mean))
    for part in _chunks(ids, len(mean)):
        total += gather(part).sum(axis=0, dtype=np.float64)
    return total / len(ids)


def _cosines(gather: Gather, ids: Ints, mean: Doubles, direction: Doubles) -> Doubles:
    """Return the cosine of each row, the mean of all taken from it, to a direction of length 1."""
    cosines = np.empty(len(ids))
    middle, done = mean.astype(np.float32), 0
    for part in _chunks(ids, len(mean)):
        rows = gather(part) - middle
        with np.errstate(all="ignore"):
            cosines[done : done + len(part)] = rows @ direction / np.linalg.norm(rows, axis=1)
        done += len(part)
    return np.nan_to_num(cosines, nan=-1.0)


def _at_one_point(gather: Gather, usable: Mask, mean: Doubles) -> Ints:
    """Return rows of a sample that lie at one point with many others of it."""
    ids = np.flatnonzero(usable)
    if len(ids) < _LEAST_SAMPLE:
        return ids[:0]
    rng = np.random.default_rng(0)
    ids = np.sort(rng.choice(ids, min(_SAMPLE, len(ids)), replace=False))
    columns = np.sort(rng.choice(len(mean), min(_COLUMNS, len(mean)), replace=False))
    rows = np.concatenate([gather(part)[:, columns] for part in _chunks(ids, len(mean))]).astype(np.float64)
    rows -= mean[columns]
    with np.errstate(all="ignore"):
        rows /= np.maximum(np.sqrt(np.mean(rows * rows, axis=0)), 1e-30)
        rows /= np.maximum(np.linalg.norm(rows, axis=1), 1e-30)[:, None]
        near = np.count_nonzero(rows @ rows.T > _SAME_POINT, axis=1)
    crowded: Mask = near >= max(_MIN_KNOWN, _SHARE * len(ids))
    return ids[crowded]
