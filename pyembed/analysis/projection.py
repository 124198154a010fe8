"""All rows of a table as points of a plane, in memory that does not grow with the columns.

The rows themselves are never held: two directions are chosen from a sample, and one scan scores all rows
against them. Directions of rows are what counts, so each row is brought to length 1 first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ..tables.table import EmbeddingTable

ProjectionMethod: TypeAlias = Literal["pca", "random"]
METHODS: tuple[ProjectionMethod, ...] = ("pca", "random")
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_SAMPLE_BYTES = 32 << 20
_MIN_SAMPLE, _MAX_SAMPLE = 512, 16384
_CHUNK = 1024
_SEED = 0


@dataclass(frozen=True, slots=True)
class Projection:
    """Rows as points.

    Attributes
    ----------
    points : ndarray of float32, shape (rows, 2)
        NaN for rows that are zero or not finite: they have no direction.
    shares : tuple of float
        The share of the variance that each axis shows, measured on the sample.
    n_sample : int
        Rows from which the directions, or their shares, were found.
    """

    points: Floats
    shares: tuple[float, float]
    n_sample: int


def project(table: EmbeddingTable, method: ProjectionMethod = "pca") -> Projection:
    """Return all rows of a table as points of a plane.

    Parameters
    ----------
    table : EmbeddingTable
    method : {"pca", "random"}, optional
        The two directions in which a sample of rows differs most, or two random ones at right angles.
        The same sample and directions are drawn each time.

    Raises
    ------
    ValueError
        For an unknown method, or a table with fewer than three rows that have a direction.
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; expected one of {', '.join(METHODS)}")
    norms = table.norms
    usable = np.flatnonzero(np.isfinite(norms) & (norms > 0))
    if len(usable) < 3:
        raise ValueError(f"{len(usable)} rows have a direction; a map shows 3 or more")
    rng = np.random.default_rng(_SEED)
    sample = _sample(table, usable, rng)
    mean = sample.mean(axis=0, dtype=np.float64)
    sample -= mean.astype(np.float32)
    variance = float(np.einsum("ij,ij->", sample, sample, dtype=np.float64))
    directions = _principal(sample) if method == "pca" else _random(table.shape[1], rng)
    spread = np.square(sample.astype(np.float64) @ directions).sum(axis=0)
    shares = spread / max(variance, 1e-300)
    if table.shape[1] == 1:
        directions[:, 1:] = 0  # a row of one column has one direction
    points = table.scores(np.ascontiguousarray(directions.T, np.float32), "cosine").T
    points = np.ascontiguousarray(points - (mean @ directions).astype(np.float32))
    points[~(np.isfinite(norms) & (norms > 0))] = np.nan
    return Projection(points, (float(shares[0]), float(shares[1])), len(sample))


def _sample(table: EmbeddingTable, usable: npt.NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """Return rows of length 1, chosen at random, as few as fit into some memory."""
    n = min(len(usable), _MAX_SAMPLE, max(_MIN_SAMPLE, _SAMPLE_BYTES // (4 * table.shape[1])))
    ids = np.sort(rng.choice(usable, n, replace=False))
    rows = np.empty((n, table.shape[1]), np.float32)
    for first in range(0, n, _CHUNK):
        part = table.gather(ids[first : first + _CHUNK]).astype(np.float64)
        with np.errstate(all="ignore"):
            part /= np.linalg.norm(part, axis=1, keepdims=True)
        rows[first : first + len(part)] = part
    return np.nan_to_num(rows, copy=False, nan=0.0, posinf=0.0, neginf=0.0)


def _principal(centred: Floats) -> Doubles:
    """Return the two directions in which rows differ most, as columns; signs do not vary."""
    n, columns = centred.shape
    if columns <= n:
        directions = _highest(centred.T @ centred)
    else:
        directions = centred.T.astype(np.float64) @ _highest(centred @ centred.T)
    directions /= np.maximum(np.linalg.norm(directions, axis=0), 1e-300)
    directions *= np.where(directions[np.abs(directions).argmax(axis=0), [0, 1]] < 0, -1, 1)
    return directions


def _highest(gram: Floats) -> Doubles:
    """Return the eigenvectors of the two highest eigenvalues; zeros in place of one that is missing."""
    _, vectors = np.linalg.eigh(gram.astype(np.float64))
    found = np.zeros((len(gram), 2))
    found[:, : min(2, len(gram))] = vectors[:, ::-1][:, :2]
    return found


def _random(columns: int, rng: np.random.Generator) -> Doubles:
    directions = np.zeros((columns, 2))
    drawn, _ = np.linalg.qr(rng.standard_normal((columns, min(2, columns))))
    directions[:, : drawn.shape[1]] = drawn
    return directions
