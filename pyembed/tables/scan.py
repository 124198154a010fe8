"""Queries against all rows of a table: what callers pass, and the call into the C library."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from .._native import ffi, lib
from ..core.aliases import IdsLike, MetricName
from ..core.callbacks import ProgressRelay
from ..core.constants import Metric
from ..core.handle import Source
from ..core.progress import Progress
from ..errors import CData
from .arguments import as_array, as_ids, as_torch, id_error, refuse_masked, thread_count, torch_array

Floats: TypeAlias = npt.NDArray[np.float32]

METRICS: Mapping[str, int] = {"dot": Metric.DOT, "cosine": Metric.COSINE}


class Top(NamedTuple):
    """The best rows for each of some queries, the best first.

    Attributes
    ----------
    ids : numpy.ndarray of int64, shape (n, k)
        -1 where fewer than k rows were left.
    scores : numpy.ndarray of float32, shape (n, k)
        NaN there.
    n_nan : numpy.ndarray of int64, shape (n,)
        How many rows had no score, because it is NaN; they are not among the best.
    """

    ids: npt.NDArray[np.int64]
    scores: Floats
    n_nan: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Scan:
    """One call: the options that scores and the best k have in common.

    `ids` are the rows to look at, None for all; `threads` is 0 for as many as the work is worth.
    """

    source: Source
    table: CData
    metric: str
    ids: npt.NDArray[np.uint64] | None
    threads: int
    progress: Progress | None

    def scores(self, queries: Floats, out: Floats) -> None:
        """Fill `out`, of one row a query and one column a row that is looked at."""
        self._run(queries, out, 0, None, None, None)

    def top(self, queries: Floats, k: int, excluded: npt.NDArray[np.uint64]) -> Top:
        """Return the best `k` rows for each query, none of them `excluded`."""
        scores = np.empty((len(queries), k), np.float32)
        ids = np.empty((len(queries), k), np.int64)
        n_nan = np.zeros(len(queries), np.int64)
        self._run(queries, scores, k, excluded, ids, n_nan)
        return Top(ids, scores, n_nan)  # PYE_NO_ID is -1 here

    def _run(
        self,
        queries: Floats,
        scores: Floats,
        k: int,
        excluded: npt.NDArray[np.uint64] | None,
        ids: npt.NDArray[np.int64] | None,
        n_nan: npt.NDArray[np.int64] | None,
    ) -> None:
        options, error = ffi.new("pye_scan_options *"), ffi.new("pye_error *")
        options.struct_bytes = ffi.sizeof("pye_scan_options")
        options.metric, options.n_threads, options.k = METRICS[self.metric], self.threads, k
        if self.ids is not None:
            options.ids, options.n_ids = _pointer("uint64_t *", self.ids), self.ids.size
        if excluded is not None:
            options.excluded, options.n_excluded = _pointer("uint64_t *", excluded), excluded.size
        relay = None if self.progress is None else ProgressRelay(_bytes_as_share(self.progress))
        handle = ffi.new_handle(relay)  # lives until the call is over
        if relay is not None:
            options.progress, options.progress_data = lib.pye_python_progress, handle
        status = lib.pye_table_scan(
            self.table,
            _pointer("float *", queries),
            len(queries),
            options,
            _pointer("float *", scores),
            ffi.NULL if ids is None else _pointer("uint64_t *", ids),
            ffi.NULL if n_nan is None else _pointer("uint64_t *", n_nan),
            error,
        )
        self.source.check(status, error)


def _bytes_as_share(progress: Progress) -> Callable[[int, int], object]:
    """Return what C calls with (bytes done, bytes in all)."""
    return lambda done, total: progress("scanning rows", done / total if total else 1.0)


def _pointer(kind: str, array: npt.NDArray[Any]) -> CData:
    return ffi.cast(kind, array.ctypes.data)


def norms_of(source: Source, table: CData, n_rows: int) -> Floats:
    """Return a copy of the norms that an open table keeps."""
    out, error = ffi.new("float **"), ffi.new("pye_error *")
    source.check(lib.pye_table_norms(table, 0, out, error), error)
    norms = np.empty(n_rows, np.float32)
    norms[:] = np.frombuffer(ffi.buffer(out[0], 4 * n_rows), np.float32) if n_rows else 0
    norms.flags.writeable = False
    return norms


def check_metric(metric: object) -> str:
    """Return `metric` if it is one."""
    if metric not in METRICS:
        raise ValueError(f"metric is {metric!r}; expected one of {', '.join(METRICS)}")
    return str(metric)


def as_queries(query: object, n_columns: int) -> Floats:
    """Return vectors as a C-contiguous float32 array of shape (n, columns).

    Parameters
    ----------
    query : array-like of numbers, shape (columns,) or (n, columns)
        A NumPy array, a torch tensor on the CPU, a list.

    Raises
    ------
    TypeError
        If they are not numbers.
    ValueError
        If they are of another width. What is not finite is refused later.
    """
    refuse_masked(query, "query")
    tensor = as_torch(query)
    if tensor is not None:
        if str(tensor.dtype).startswith("torch.complex"):  # to floats it would lose a part
            raise TypeError(f"query must be real numbers, got {tensor.dtype}")
        query = torch_array(tensor.float(), "query")
    array = as_array(query, "query")
    if array.dtype.kind not in "fiu" and array.dtype.name != "bfloat16":
        raise TypeError(f"query must be numbers, got {array.dtype.name}")
    if array.ndim not in (1, 2):
        raise ValueError(f"query has shape {array.shape}; expected ({n_columns},) or (n, {n_columns})")
    if array.shape[-1] != n_columns:
        raise ValueError(f"query is {array.shape[-1]} wide; the rows of the table are {n_columns} wide")
    with np.errstate(over="ignore"):  # becomes infinite, and is refused as such
        return np.ascontiguousarray(np.atleast_2d(array), dtype=np.float32)


def as_row_ids(ids: object, n_rows: int) -> npt.NDArray[np.uint64]:
    """Return ids of rows, of any shape, as a flat array.

    Raises
    ------
    IndexError
        For an id that is not a row.
    """
    array = as_ids(ids, n_rows)
    wrong = (array < 0) | (array >= n_rows) if array.dtype.kind == "i" else array >= n_rows
    if wrong.any():
        id_error(array, int(np.argmax(wrong.reshape(-1))), n_rows)
    return np.ascontiguousarray(array.reshape(-1), dtype=np.uint64)


def index_of(name: str, value: object) -> int:
    """Return an argument that counts something as an int; TypeError if it is anything else."""
    if isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} is a bool; expected an int")
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} is a {type(value).__name__}; expected an int") from None


def check_k(k: object, n_rows: int) -> int:
    """Return how many rows are wanted, at least one and at most all that are looked at."""
    number = index_of("k", k)
    if not 1 <= number <= n_rows:
        raise ValueError(f"k is {number}; expected 1 to {n_rows}, the number of rows that are looked at")
    return number


class Scored:
    """The part of `EmbeddingTable` that compares all rows with vectors."""

    if TYPE_CHECKING:  # what a table has
        _source: Source
        _shape: tuple[int, int]
        _norms: Floats | None

        def _ensure_open(self) -> CData: ...

    def scores(
        self,
        query: Any,
        metric: MetricName = "dot",
        *,
        ids: IdsLike | None = None,
        out: npt.NDArray[np.float32] | None = None,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> npt.NDArray[np.float32]:
        """Return the scores of vectors against all rows, or some, without having the rows in memory.

        With the dot product, the scores of hidden states against the output table are their logits.

        Parameters
        ----------
        query : array-like of numbers, shape (columns,) or (n, columns)
            One vector or several; taken as float32. Several at once cost much less than one after the other.
        metric : {"dot", "cosine"}, optional
            A cosine is 0 where the row or the vector is all zeros.
        ids : array-like of int, optional
            Look at these rows only, in this order.
        out : numpy.ndarray of float32, shape (n, rows), C-contiguous, optional
            Where to put the scores.
        threads : int, optional
            As in `gather`.
        progress : callable, optional
            Called with what is being done and the share of it that is done, between 0 and 1; a false answer
            that is not None cancels.

        Returns
        -------
        numpy.ndarray of float32, shape (n, rows)
            Of two dimensions for a single vector too. NaN for a row with a NaN. The bits do not depend on the
            processor, the threads, `ids`, or the other vectors; ``pyembed.h`` says how exact they are.

        Raises
        ------
        ValueError
            If `query` is of another width or not finite, for an unknown metric, or if the table is closed.
        IndexError
            For an id that is not a row.
        LoadCancelledError
            If `progress` cancelled.
        """
        scan, queries = self._scan(query, metric, ids, threads, progress)
        shape = (len(queries), self._shape[0] if scan.ids is None else scan.ids.size)
        if out is None:
            out = np.empty(shape, np.float32)
        elif type(out) is not np.ndarray or out.dtype != np.float32 or not out.dtype.isnative:
            raise TypeError("out must be a float32 ndarray")
        elif out.shape != shape or not out.flags.carray:
            raise ValueError(f"out has shape {out.shape}; expected {shape}, writable and C-contiguous")
        scan.scores(queries, out)
        return out

    def top(
        self,
        query: Any,
        k: int = 10,
        metric: MetricName = "dot",
        *,
        ids: IdsLike | None = None,
        exclude: IdsLike = (),
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> Top:
        """Return the best `k` rows for each of some vectors, the highest score first, of equals the lower id.

        Parameters
        ----------
        query, metric, threads, progress
            As in `scores`.
        k : int
            At least 1, at most the number of rows that are looked at.
        ids : array-like of int, optional
            Look at these rows only.
        exclude : array-like of int, optional
            Rows that are left out.

        Returns
        -------
        Top
            Arrays ``ids`` and ``scores`` of shape (n, k), and ``n_nan``: how many rows have no score.

        Raises
        ------
        ValueError, IndexError, LoadCancelledError
            As in `scores`; ValueError too if `k` is out of range.
        """
        scan, queries = self._scan(query, metric, ids, threads, progress)
        k = check_k(k, self._shape[0] if scan.ids is None else scan.ids.size)
        return scan.top(queries, k, as_row_ids(exclude, self._shape[0]))

    def _scan(
        self, query: Any, metric: str, ids: Any, threads: int | None, progress: Progress | None
    ) -> tuple[Scan, npt.NDArray[np.float32]]:
        rows = None if ids is None else as_row_ids(ids, self._shape[0])
        queries = as_queries(query, self._shape[1])
        metric, count = check_metric(metric), thread_count(threads)
        return Scan(self._source, self._ensure_open(), metric, rows, count, progress), queries

    @property
    def norms(self) -> npt.NDArray[np.float32]:
        """The Euclidean norm of every row, NaN for one with a NaN; read-only, computed on first use."""
        table = self._ensure_open()
        if self._norms is None:
            self._norms = norms_of(self._source, table, self._shape[0])
        return self._norms
