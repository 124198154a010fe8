"""Compares the rows of two tables, token by token: equal up to quantisation, moved, or changed.

The error of a pair of rows a, b is the length of a - b over that of the longer of the two, and over 1 % of a
usual row's at least. What counts as
small is measured: by how far rows of different tokens lie apart, and by the errors of the pairs that lie
closer than half of that. Only pairs that stand out are looked for elsewhere: by their distance in a random
projection, then exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ...core.progress import Report
from ...tables.table import EmbeddingTable
from .alignment import Ids, Run, runs_of

Floats = npt.NDArray[np.float32]

_CHUNK_WEIGHTS = 1 << 20  # a few MiB: what is gathered is still in a cache when it is compared
_N_COLUMNS = 48  # of a sketch: distances are right within 10 %
_N_SAMPLE = 2048
_MAX_SOUGHT = 4096  # rows that are looked for among all others
_N_VOTES = 512
_MAX_SHIFTS = 8
_MIN_VOTES = 3
_MIN_NEAR = 64  # pairs in place whose errors say what is usual
_NO_SCALE = 0.05  # by how much the lengths of a row may differ in tables of one scale
# Rows that were never trained may be so short that a quantised type has nothing left of them: they differ by
# much of their own length, and by nothing of a usual row's.
_NO_LENGTH = 0.01
# A table is another model's if as many of its rows are nowhere, and lie from their own as far as from any.
_UNRELATED_SHARE = 0.9
_UNRELATED_ERROR = 0.95
_N_ANGLES = 512
_SAME_ANGLES = 0.9  # correlation of cosines: 1, less what quantisation takes
_SEED = 20240229

# Root mean square error of rows of Gaussian weights, measured with ggml's quantisers.
TYPE_ERROR = {
    "F64": 0.0,
    "F32": 0.0,
    "F16": 2.1e-4,
    "BF16": 1.7e-3,
    "Q8_0": 5.4e-3,
    "Q8_1": 5.4e-3,
    "Q8_K": 7.0e-3,
    "Q6_K": 0.018,
    "Q5_0": 0.043,
    "Q5_1": 0.038,
    "Q5_K": 0.036,
    "Q4_0": 0.086,
    "Q4_1": 0.078,
    "Q4_K": 0.072,
    "IQ4_NL": 0.076,
    "IQ4_XS": 0.077,
    "MXFP4": 0.115,
    "NVFP4": 0.095,
    "Q3_K": 0.151,
    "IQ3_S": 0.166,
    "IQ3_XXS": 0.213,
    "Q2_K": 0.297,
    "IQ2_S": 0.265,
    "IQ2_XS": 0.300,
    "IQ2_XXS": 0.344,
    "IQ1_S": 0.486,
    "IQ1_M": 0.583,
    "Q1_0": 0.601,
    "TQ1_0": 0.81,
    "TQ2_0": 0.81,
}


@dataclass(frozen=True)
class RowComparison:
    """What became of the rows.

    Attributes
    ----------
    n : int
        Tokens whose rows were compared.
    median_error, threshold, background : float
        Of pairs in place; above which a pair stands out; of rows of different tokens.
    expected : float
        The error that the two types explain.
    row_of : dict of int to int
        For each token whose row lies elsewhere, which row of the model is its own.
    runs : list of Run
        Of those, the ones that moved together.
    scattered : ndarray
        The others.
    changed : ndarray
        Tokens whose row is nowhere. Rows that were not looked for are among them if none of the sample was
        found elsewhere.
    trained : ndarray
        Tokens whose row is in place, and further from the reference's than the types explain: of a table
        whose usual error they do not explain.
    n_looked_up : int
        Rows not in place that were looked for among all others.
    n_more_moved, n_more_changed : int
        Rows not in place that were not looked for, being too many, by the shares of those that were.
    n_nearest : int
        Of `changed`, the rows still clearly nearer to their own than different tokens' rows are.
    unrelated : bool
        Whether nearly all rows are as far from those of their tokens as from any other.
    rotated : bool
        Whether such rows have all the angles between them that the reference's have.
    not_in_place : ndarray
        Tokens whose row stands out from those in place: moved, changed, or not looked for.
    scale : float
        By how much the model's rows are longer.
    """

    n: int
    median_error: float
    threshold: float
    background: float
    expected: float
    row_of: dict[int, int]
    runs: list[Run]
    scattered: Ids
    changed: Ids
    trained: Ids
    n_looked_up: int
    n_more_moved: int
    n_more_changed: int
    n_nearest: int
    unrelated: bool
    rotated: bool
    not_in_place: Ids
    scale: float

    @property
    def in_place(self) -> bool:
        """Whether every row is that of its token."""
        return not self.n_wrong

    @property
    def n_wrong(self) -> int:
        """How many rows are not those of their tokens."""
        return len(self.row_of) + len(self.changed) + self.n_more_moved + self.n_more_changed

    @property
    def explained(self) -> bool:
        """Whether the types of the tables explain the usual error."""
        return _explains(self.expected, self.median_error)

    @property
    def is_scaled(self) -> bool:
        """Whether the model's rows are those of the reference times one factor."""
        return self.scale != 1 and self.median_error < max(2 * self.expected, 0.25 * self.background)


def compare_rows(
    model: EmbeddingTable, reference: EmbeddingTable, ids: Ids, partner: Ids, report: Report
) -> RowComparison:
    """Compare row ``ids[j]`` of the model with row ``partner[j]`` of the reference, for all j."""
    work = _Pairs(model, reference, ids, partner, report)
    background, scale = work.sample()
    error = work.errors(ids, partner, "comparing rows", 0.0, 0.6)
    shifts = work.popular_shifts(np.flatnonzero(~(error < 0.5 * background)), error)
    errors_at = {shift: work.errors_at(shift) for shift in shifts}
    home = np.minimum.reduce([error, *errors_at.values()])
    near = home < 0.5 * background
    median, threshold = _usual(home[near], background)
    if near.sum() >= _MIN_NEAR:  # rows that moved have the errors of those in place
        work.near_enough = min(2 * threshold, work.near_enough)
    suspects = np.flatnonzero(~(error <= threshold))
    found: dict[int, int] = {}
    open_, fits = suspects, np.zeros(len(ids), np.bool_)
    for shift, errors in errors_at.items():
        good = open_[work.is_match(errors[open_], error[open_])]
        found.update(zip(good.tolist(), (ids[good] + shift).tolist(), strict=True))
        open_ = np.setdiff1d(open_, good, assume_unique=True)
        fits |= errors <= work.near_enough
    sought = open_
    if len(open_) > _MAX_SOUGHT:
        sought = open_[np.linspace(0, len(open_) - 1, _MAX_SOUGHT).astype(np.int64)]
    found.update(work.nearest(sought, error))
    expected = float(np.hypot(TYPE_ERROR.get(model.type, 0.1), TYPE_ERROR.get(reference.type, 0.1)))
    moved = np.array(sorted(found), np.int64)
    rows = np.array([found[j] for j in moved.tolist()], np.int64)
    # What did not stay in place, or fits a shift as well, does not end a run.
    here = np.full(int(ids.max()) + 1, -1, np.int64)
    stayed = np.setdiff1d(np.flatnonzero(~fits), suspects)
    here[ids[stayed]] = ids[stayed]
    runs, scattered = runs_of(ids[moved], rows - ids[moved], here)
    # A pair that stands out a little, and is nearest to its own, is only a row that quantises badly.
    bound = max(2 * threshold, 4 * expected) if near.any() else 0.0
    stands_out = ~(error <= min(bound, 0.5 * background))
    lost = np.setdiff1d(sought, moved, assume_unique=True)
    changed = lost[stands_out[lost]]
    rest = np.setdiff1d(open_, sought, assume_unique=True)
    n_moved = len(np.intersect1d(sought, moved, assume_unique=True))
    n_more_moved = round(len(rest) * n_moved / max(1, len(sought)))
    if not n_moved:
        changed = np.sort(np.concatenate([changed, rest[stands_out[rest]]]))
        rest = rest[:0]
    n_more_changed = round(np.count_nonzero(stands_out[rest]) * (1 - n_moved / max(1, len(sought))))
    unrelated = _is_unrelated(error, changed, background)
    return RowComparison(
        n=len(ids),
        median_error=median,
        threshold=threshold,
        background=background,
        expected=expected,
        row_of=dict(zip(ids[moved].tolist(), rows.tolist(), strict=True)),
        runs=runs,
        scattered=scattered,
        changed=ids[changed],
        trained=ids[_trained(error, median, expected, np.concatenate([moved, changed, rest]))],
        n_looked_up=len(sought),
        n_more_moved=n_more_moved,
        n_more_changed=n_more_changed,
        n_nearest=int(np.count_nonzero(error[changed] < 0.5 * background)),
        unrelated=unrelated,
        rotated=unrelated and work.same_angles(),
        not_in_place=ids[np.concatenate([moved, changed, rest])],
        scale=scale,
    )


def _explains(expected: float, error: float) -> bool:
    return error <= max(2 * expected, 1e-6)


def _trained(error: Floats, median: float, expected: float, others: Ids) -> Ids:
    """Return the pairs in place that differ by more than their types explain, if most of the table does."""
    if _explains(expected, median):
        return np.empty(0, np.int64)
    return np.setdiff1d(np.flatnonzero(error > max(4 * expected, 1e-6)), others)


def _is_unrelated(error: Floats, changed: Ids, background: float) -> bool:
    """Return whether nearly all rows changed, and resemble their own no more than any other."""
    if len(changed) < _UNRELATED_SHARE * len(error):
        return False
    finite = error[changed][np.isfinite(error[changed])]
    return len(finite) > 0 and float(np.median(finite)) > _UNRELATED_ERROR * background


def _usual(errors: Floats, background: float) -> tuple[float, float]:
    """Return the usual error of pairs in place, and above which one stands out."""
    if not len(errors):
        return float(background), 0.5 * background
    median = float(np.median(errors))
    spread = 1.4826 * float(np.median(np.abs(errors - median)))
    return median, min(max(median + 8 * spread, 1.5 * median, 1e-6), 0.5 * background)


class _Pairs:
    """Two tables of one width, and which rows of them belong together."""

    def __init__(
        self, model: EmbeddingTable, reference: EmbeddingTable, ids: Ids, partner: Ids, report: Report
    ) -> None:
        self.model, self.reference, self.ids, self.partner = model, reference, ids, partner
        self.report = report
        self.scale = np.float32(1)
        self.least = np.float32(0)  # square of the length below which a row counts as none
        self.near_enough = np.inf  # error below which a row is taken for another
        self.chunk = max(1, _CHUNK_WEIGHTS // max(1, model.shape[1]))

    def sample(self) -> tuple[float, float]:
        """Measure the distance of rows of different tokens, and by how much the model's are longer."""
        n = len(self.ids)
        rng = np.random.default_rng(_SEED)
        chosen = np.sort(rng.choice(n, min(n, _N_SAMPLE), replace=False))
        with np.errstate(all="ignore"):
            lengths = [
                np.linalg.norm(table.gather(rows[chosen]), axis=1)
                for table, rows in ((self.model, self.ids), (self.reference, self.partner))
            ]
            ratio = lengths[0] / lengths[1]
        ratio = ratio[np.isfinite(ratio) & (ratio > 0)]
        scale = float(np.median(ratio)) if len(ratio) else 1.0
        # Rows that grew in training leave others as they were; a factor leaves none.
        unscaled = np.count_nonzero(np.abs(ratio - 1) < _NO_SCALE)
        if abs(scale - 1) > 0.2 and unscaled < 0.1 * len(ratio):
            self.scale = np.float32(scale)
        usual = lengths[0][np.isfinite(lengths[0])]
        if len(usual):
            self.least = np.float32((_NO_LENGTH * float(np.median(usual))) ** 2)
        others = np.roll(chosen, len(chosen) // 2)
        errors = self.errors(self.ids[chosen], self.partner[others], "sampling rows", 0.0, 0.0)
        errors = errors[np.isfinite(errors)]
        background = float(np.median(errors)) if len(errors) else 0.0
        self.near_enough = 0.6 * background
        return background, float(self.scale)

    def same_angles(self) -> bool:
        """Return whether a sample of rows has the angles that the reference's have: a rotation keeps them."""
        rng = np.random.default_rng(_SEED)
        chosen = np.sort(rng.choice(len(self.ids), min(len(self.ids), _N_ANGLES), replace=False))
        angles = []
        for table, ids in ((self.model, self.ids), (self.reference, self.partner)):
            rows = table.gather(ids[chosen])
            with np.errstate(all="ignore"):
                rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            cosines = np.nan_to_num(rows) @ np.nan_to_num(rows).T
            angles.append(cosines[np.triu_indices(len(chosen), 1)])
        if min(float(np.std(cosines)) for cosines in angles) < 1e-6:
            return False
        return bool(np.corrcoef(angles)[0, 1] > _SAME_ANGLES)

    def errors(self, rows: Ids, others: Ids, what: str, begin: float, end: float) -> Floats:
        """Return the errors of pairs of rows; infinite where a row is not finite."""
        out = np.empty(len(rows), np.float32)
        for first in range(0, len(rows), self.chunk):
            self.report(what, begin + (end - begin) * first / len(rows))
            part = slice(first, first + self.chunk)
            a = self.model.gather(rows[part])
            b = self.reference.gather(others[part])
            with np.errstate(all="ignore"):
                if self.scale != 1:
                    b *= self.scale
                largest = np.maximum(np.einsum("ij,ij->i", a, a), np.einsum("ij,ij->i", b, b))
                largest = np.maximum(largest, self.least)
                a -= b
                error = np.sqrt(np.einsum("ij,ij->i", a, a) / largest)
            error[largest == 0] = 0  # where no row has a length at all
            odd = np.flatnonzero(~np.isfinite(largest))
            if len(odd):
                error[odd] = self._odd_errors(rows[part][odd], others[part][odd])
            out[part] = error
        return out

    def _odd_errors(self, rows: Ids, others: Ids) -> Floats:
        """Return the errors of pairs of rows that hold NaN, infinity, or numbers whose squares overflow."""
        a, b = self.model.gather(rows), self.reference.gather(others)
        same = (a.view(np.uint32) == b.view(np.uint32)).all(axis=1)
        with np.errstate(all="ignore"):
            a64, b64 = a.astype(np.float64), b.astype(np.float64) * float(self.scale)
            largest = np.maximum((a64 * a64).sum(axis=1), (b64 * b64).sum(axis=1))
            error = np.sqrt(((a64 - b64) ** 2).sum(axis=1) / largest)
        error[~np.isfinite(largest)] = np.inf
        error[same] = 0
        narrowed: Floats = error.astype(np.float32)
        return narrowed

    def popular_shifts(self, suspects: Ids, error: Floats) -> list[int]:
        """Return the offsets at which the rows of several of some pairs lie, the most frequent first."""
        if not len(suspects):
            return []
        places = np.linspace(0, len(suspects) - 1, min(len(suspects), _N_VOTES)).astype(np.int64)
        found = self.nearest(suspects[places], error)
        shifts, counts = np.unique(
            np.array([row - self.ids[j] for j, row in found.items()], np.int64), return_counts=True
        )
        order = np.argsort(-counts, kind="stable")
        return [int(shifts[k]) for k in order[:_MAX_SHIFTS] if counts[k] >= _MIN_VOTES]

    def errors_at(self, shift: int) -> Floats:
        """Return the errors of all pairs if the rows lay `shift` further on; infinite outside."""
        rows = self.ids + shift
        inside = (rows >= 0) & (rows < self.model.shape[0])
        errors = np.full(len(rows), np.inf, np.float32)
        errors[inside] = self.errors(rows[inside], self.partner[inside], "looking for moved rows", 0.7, 0.8)
        return errors

    @cached_property
    def _projected(self) -> Floats:
        return self._project_model()

    def _project_model(self) -> Floats:
        """Return, one column a row of the model, its sketch and below that the square of its length."""
        n, n_columns = self.model.shape[0], min(self.model.shape[1], _N_COLUMNS)
        out = np.empty((n_columns + 1, n), np.float32)
        for first in range(0, n, self.chunk):
            self.report("looking for moved rows", 0.6 + 0.1 * first / n)
            rows = self.model.gather(np.arange(first, min(n, first + self.chunk)))
            sketches = self._sketch(rows)
            sketches[~np.isfinite(sketches).all(axis=1)] = 1e18  # far from everything
            part = out[:, first : first + self.chunk]
            part[:-1] = sketches.T
            part[-1] = np.einsum("ij,ij->i", sketches, sketches)
        return out

    @cached_property
    def _signs(self) -> Floats:
        rng = np.random.default_rng(_SEED)
        return (2 * rng.integers(0, 2, self.model.shape[1]) - 1).astype(np.float32)

    def _sketch(self, rows: Floats) -> Floats:
        """Return sums of every 48th column, with random signs: a projection that reads each weight once.

        Squared distances of sketches are on average those of the rows (Charikar, Chen, Farach-Colton 2002).
        """
        n_rows, width = rows.shape
        n_columns = min(width, _N_COLUMNS)
        whole = width - width % n_columns
        signs = self._signs[:whole].reshape(-1, n_columns)
        with np.errstate(all="ignore"):
            out: Floats = np.einsum("ijk,jk->ik", rows[:, :whole].reshape(n_rows, -1, n_columns), signs)
            out[:, : width - whole] += rows[:, whole:] * self._signs[whole:]
        return out

    def nearest(self, pairs: Ids, error: Floats) -> dict[int, int]:
        """Return the rows nearest to the reference's, for pairs where another than its own is."""
        found: dict[int, int] = {}
        if not len(pairs):
            return found
        projected = self._projected
        n = projected.shape[1]
        step = max(1, (1 << 25) // max(1, n))
        buffer = np.empty((min(step, len(pairs)), n), np.float32)
        for first in range(0, len(pairs), step):
            self.report("looking for moved rows", 0.75 + 0.25 * first / len(pairs))
            part = pairs[first : first + step]
            with np.errstate(all="ignore"):
                queries = self._sketch(self.reference.gather(self.partner[part]) * self.scale)
                queries = np.concatenate([-2 * queries, np.ones_like(queries[:, :1])], axis=1)
                # Squared distances, less the length of the query.
                distances = np.matmul(queries, projected, out=buffer[: len(part)])
            best, best_error = np.full(len(part), -1, np.int64), np.full(len(part), np.inf, np.float32)
            line = np.arange(len(part))
            for _ in range(3):  # near-identical rows may change places in the projection
                rows = np.argmin(distances, axis=1)
                distances[line, rows] = np.inf
                errors = self.errors(rows, self.partner[part], "looking for moved rows", 0.75, 0.75)
                better = errors < best_error
                best[better], best_error[better] = rows[better], errors[better]
            good = self.is_match(best_error, error[part]) & (best != self.ids[part])
            found.update(zip(part[good].tolist(), best[good].tolist(), strict=True))
        return found

    def is_match(self, errors: Floats, own: Floats) -> npt.NDArray[np.bool_]:
        """Return which rows are clearly nearer than the one in place, and near at all."""
        return (errors < 0.7 * own) & (errors <= self.near_enough)
