"""Rows of a table that are the same, or nearly, found without comparing all with all.

Cosines are taken from the mean of all rows: rows of many tables share a large part, and would all look alike.

Random hyperplanes through that mean cut each row's direction to a signature of bits (Charikar
2002, "Similarity estimation techniques from rounding algorithms"): of two rows at an angle a, a bit differs
with probability a / pi. Rows whose signatures agree in all bits of some band are candidates; of those that
differ in few bits in all, the cosine is computed. Two rows at a cosine of 0.98 differ in 6 bits of 100, agree
in a given band of 16 with probability 0.35, and in at least one of 12 with 0.994.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..tables.table import EmbeddingTable

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

N_BANDS, BAND_BITS = 12, 16
_N_BITS = N_BANDS * BAND_BITS
_MAX_BITS_APART = (
    40  # 12 are expected at a cosine of 0.98, 96 of rows that have nothing to do with each other
)
_NEIGHBOURS = 32  # in a band; rows that are all alike would otherwise be n * n pairs
_MAX_WEIGHTS = 1 << 31  # that are decoded for cosines: seconds
_CHUNK_BYTES = 4 << 20
_BITS_SET = np.array([value.bit_count() for value in range(1 << 16)], np.uint8)


@dataclass(frozen=True, slots=True)
class Cluster:
    """Rows that hang together by near duplicates; `cosine` is the lowest of those that link them."""

    ids: tuple[int, ...]
    cosine: float


@dataclass(frozen=True, slots=True)
class Signatures:
    """What one pass over a table leaves of each row.

    Attributes
    ----------
    norms : numpy.ndarray of float64, shape (rows,)
        Euclidean norms.
    finite : numpy.ndarray of bool, shape (rows,)
        Whether a row holds neither NaN nor infinity.
    mean : numpy.ndarray of float64, shape (columns,)
        Mean of the finite rows.
    """

    norms: npt.NDArray[np.float64]
    finite: npt.NDArray[np.bool_]
    mean: npt.NDArray[np.float64]
    _hashes: Ints
    _bits: npt.NDArray[np.uint16]


def chunk_rows(table: EmbeddingTable) -> int:
    """Return how many rows are looked at together."""
    return max(1, _CHUNK_BYTES // (4 * table.shape[1]))


def signatures(table: EmbeddingTable, report: Callable[[float], None]) -> Signatures:
    """Read all rows once; `report` is called with the share that is done."""
    n, columns = table.shape
    cut = _Hyperplanes(_middle(table))
    norms = np.empty(n)
    hashes, bits = np.empty(n, np.int64), np.empty((n, N_BANDS), np.uint16)
    total, step = np.zeros(columns), chunk_rows(table)
    with np.errstate(all="ignore"):
        for first in range(0, n, step):
            part = slice(first, min(n, first + step))
            rows = table.gather(range(part.start, part.stop))
            hashes[part] = [hash(row.tobytes()) for row in rows]
            # In float64 no square of a float32 overflows, so a norm is finite exactly if its row is.
            norms[part] = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
            rows[~np.isfinite(norms[part])] = 0
            total += rows.sum(axis=0, dtype=np.float64)
            bits[part] = cut.signatures(rows)
            report(part.stop / n)
    finite = np.isfinite(norms)
    return Signatures(norms, finite, total / max(1, int(finite.sum())), hashes, bits)


class _Hyperplanes:
    """Random hyperplanes through a point.

    Wide rows are folded first: their columns get random signs and are added up in 512 heaps, which keeps the
    angle between rows but for a few per cent (Weinberger et al. 2009, "Feature hashing for large scale
    multitask learning") and makes the rest 8 times cheaper at 4096 columns.
    """

    _HEAPS = 512

    def __init__(self, middle: Floats) -> None:
        random = np.random.default_rng(0)
        self._signs = random.choice(np.array([-1, 1], np.float32), len(middle))
        self._planes = random.standard_normal((min(len(middle), self._HEAPS), _N_BITS), np.float32)
        with np.errstate(all="ignore"):  # numbers near the end of float32: their signatures mean nothing
            self._shift = self._fold(middle[None]) @ self._planes

    def _fold(self, rows: Floats) -> Floats:
        columns = rows.shape[1]
        if columns <= self._HEAPS:
            return rows
        signed, whole = rows * self._signs, columns - columns % self._HEAPS
        folded: Floats = signed[:, :whole].reshape(len(rows), -1, self._HEAPS).sum(axis=1)
        folded[:, : columns - whole] += signed[:, whole:]
        return folded

    def signatures(self, rows: Floats) -> npt.NDArray[np.uint16]:
        """Return on which side of each hyperplane each row lies, a word of bits for each band."""
        above = self._fold(rows) @ self._planes > self._shift
        return np.packbits(above, axis=1).view(np.uint16)


def _middle(table: EmbeddingTable) -> Floats:
    """Return the mean of some rows spread over the table."""
    rows = table.gather(np.linspace(0, len(table) - 1, min(len(table), chunk_rows(table)), dtype=np.int64))
    rows = rows[np.isfinite(rows).all(axis=1)]
    middle = rows.mean(axis=0, dtype=np.float64) if len(rows) else np.zeros(table.shape[1])
    return middle.astype(np.float32)


def exact(table: EmbeddingTable, seen: Signatures) -> list[tuple[int, ...]]:
    """Return the groups of finite rows other than zero whose values are the same bits, by lowest id."""
    kept = np.flatnonzero(seen.finite & (seen.norms > 0))
    order = kept[np.argsort(seen._hashes[kept], kind="stable")]
    starts = np.flatnonzero(np.diff(seen._hashes[order], prepend=np.nan, append=np.nan) != 0)
    groups: list[tuple[int, ...]] = []
    for first, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        left = order[first:end]
        while len(left) > 1:  # once, but for rows of one hash that differ
            same = _same_rows(table, left)
            if same.sum() > 1:
                groups.append(tuple(left[same].tolist()))
            left = left[~same]
    return sorted(groups)


def _same_rows(table: EmbeddingTable, ids: Ints) -> npt.NDArray[np.bool_]:
    """Return which of some rows have the bits of the first."""
    first, step = table.gather(ids[:1]).view(np.uint32), chunk_rows(table)
    parts = [ids[start : start + step] for start in range(0, len(ids), step)]
    return np.concatenate([(table.gather(part).view(np.uint32) == first).all(axis=1) for part in parts])


def near(
    table: EmbeddingTable,
    seen: Signatures,
    groups: list[tuple[int, ...]],
    min_cosine: float,
    report: Callable[[float], None],
) -> tuple[list[Cluster], bool]:
    """Return clusters of rows at `min_cosine` or more, and whether all candidates were looked at.

    Of rows that are the same, `groups`, only the first takes part.
    """
    kept = seen.finite & (seen.norms > 0)
    for group in groups:
        kept[list(group[1:])] = False
    ids = np.flatnonzero(kept)
    first, second, complete = _candidates(seen._bits[ids], table.shape[1])
    first, second = ids[first], ids[second]
    cosines = np.empty(len(first))
    step = chunk_rows(table)
    for start in range(0, len(first), step):
        part = slice(start, start + step)
        cosines[part] = _cosines(
            table.gather(first[part]) - seen.mean, table.gather(second[part]) - seen.mean
        )
        report(min(1.0, (start + step) / len(first)))
    good = cosines >= min_cosine
    return _clusters(first[good], second[good], cosines[good]), complete


def _cosines(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    dots = np.einsum("ij,ij->i", a, b)
    with np.errstate(
        invalid="ignore"
    ):  # a row that is the mean has no direction, and NaN is not a near duplicate
        cosines: npt.NDArray[np.float64] = dots / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return cosines


def _candidates(bits: npt.NDArray[np.uint16], columns: int) -> tuple[Ints, Ints, bool]:
    """Return pairs of positions whose signatures are near, nearest first where they are too many."""
    found = []
    for band in range(N_BANDS):
        code = bits[:, band]
        order = np.lexsort((bits[:, (band + 1) % N_BANDS], code))
        code = code[order]
        for ahead in range(1, min(_NEIGHBOURS + 1, len(order))):
            same = np.flatnonzero(code[:-ahead] == code[ahead:])
            if not same.size:
                break
            pairs = np.sort(np.stack([order[same], order[same + ahead]]), axis=0)
            apart = _BITS_SET[bits[pairs[0]] ^ bits[pairs[1]]].sum(axis=1, dtype=np.int64)
            pairs = pairs[:, apart <= _MAX_BITS_APART]
            found.append(pairs[0] * len(bits) + pairs[1])
    keys = np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)
    first, second = keys // max(1, len(bits)), keys % max(1, len(bits))
    most = max(1, _MAX_WEIGHTS // columns)
    if len(keys) <= most:
        return first, second, True
    apart = _BITS_SET[bits[first] ^ bits[second]].sum(axis=1, dtype=np.int64)
    best = np.sort(np.argsort(apart, kind="stable")[:most])
    return first[best], second[best], False


def _clusters(first: Ints, second: Ints, cosines: npt.NDArray[np.float64]) -> list[Cluster]:
    """Return the connected components of pairs, each with its lowest cosine, the highest of those first."""
    parent: dict[int, int] = {}

    def root(row: int) -> int:
        while (above := parent.setdefault(row, row)) != row:
            parent[row] = parent[above]
            row = above
        return row

    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    members: dict[int, list[int]] = {}
    for row in sorted(parent):
        members.setdefault(root(row), []).append(row)
    lowest: dict[int, float] = {}
    for a, cosine in zip(first.tolist(), cosines.tolist(), strict=True):
        lowest[root(a)] = min(cosine, lowest.get(root(a), 1.0))
    clusters = [Cluster(tuple(ids), lowest[top]) for top, ids in members.items()]
    return sorted(clusters, key=lambda cluster: (-cluster.cosine, cluster.ids))
