"""A table of embeddings: rows of a tensor, gathered by id."""

from __future__ import annotations

from enum import IntFlag
from typing import Any, NamedTuple, TypeVar, overload

import numpy as np
import numpy.typing as npt

from .._native import ffi, lib
from ..core.aliases import DTypeLike, Float32, IdsLike, MetricName
from ..core.callbacks import raise_kept
from ..core.closing import Closing
from ..core.constants import DIGEST_BYTES
from ..core.dtypes import TENSOR_TYPES, OutputType
from ..core.handle import Source
from ..core.progress import Progress
from ..core.records import Change
from ..errors import CData, ClosedError, NotFoundError, Status
from ..files.metadata import near_tensors
from ..safe_text import printable, quote
from .arguments import ID_TYPES, IntArray, as_ids, as_rows, id_error, row_stride, rows_kind, thread_count
from .scan import Scan, Top, as_queries, as_row_ids, check_k, check_metric, index_of, norms_of

Out = TypeVar("Out")

# Looked up once: a gather of one row takes about as long as ten attribute look-ups.
_NULL = ffi.NULL
_KEY_BYTES = 16
_from_buffer = ffi.from_buffer
_gather = lib.pye_table_gather
_ndarray = np.ndarray


class RowFault(IntFlag):
    """What `EmbeddingTable.check_rows` says of a row.

    ``REFUSED`` is what llama.cpp refuses when it is asked to check tensors: a float or a scale that is not
    finite, the exponent 255 of MXFP4, every row of Q8_1. ``EQUAL`` is that all weights are the same number.
    """

    NAN = lib.PYE_ROW_NAN
    INFINITE = lib.PYE_ROW_INFINITE
    REFUSED = lib.PYE_ROW_REFUSED
    ZERO = lib.PYE_ROW_ZERO
    EQUAL = lib.PYE_ROW_EQUAL


class _Call(NamedTuple):
    """What a gather needs beside its arrays: the same for all calls with ids and rows of the same kinds."""

    kind: OutputType
    storage: np.dtype[Any]
    options: CData


class EmbeddingTable(Closing):
    """The rows of one tensor. Use `open_table` or `Model.open_table` to get one.

    Every index of the tensor but the last, taken together, counts rows. Rows come out as the file stores
    them, dequantised; nothing is scaled or normalised. Any number of threads may use one table.

    A table of a model is closed with its model. One from `pyembed.open_table` holds its file open until
    `close`, or the end of a ``with`` block. So does one that was unpickled; see `Model` for pickles.
    """

    def __init__(self, source: Source, name: str, *, owns_source: bool = False) -> None:
        self._source = source
        self._owns_source = owns_source
        self._name = name
        self._table: CData | None = None
        if not isinstance(name, str):
            raise TypeError(f"a tensor's name is a str, not a {type(name).__name__}")
        if source.tensor(name) is None:
            raise NotFoundError(
                f"{source.path}: no tensor is named {quote(name)}", near_tensors(source, name)
            )
        self._table = source.open_table(name)
        info = ffi.new("pye_table_info *")
        lib.pye_table_get_info(self._table, info)
        self._shape: tuple[int, int] = (info.n_rows, info.n_columns)
        self._type = TENSOR_TYPES[info.type].name
        self._n_bytes: int = info.n_bytes
        self._norms: npt.NDArray[np.float32] | None = None
        self._calls: dict[tuple[np.dtype[Any], object, int | None], _Call] = {}

    @property
    def name(self) -> str:
        """Name of the tensor; ``"data"`` in a file that has no names."""
        return self._name

    @property
    def path(self) -> str:
        """The file that was opened."""
        return self._source.path

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self._shape

    @property
    def type(self) -> str:
        """How the file stores the weights, such as ``"Q4_K"``."""
        return self._type

    @property
    def n_bytes(self) -> int:
        """Bytes of the rows as stored in the file."""
        return self._n_bytes

    def __len__(self) -> int:
        return self._shape[0]

    @overload
    def gather(
        self, ids: IdsLike, *, out: None = None, dtype: Float32 | None = None, threads: int | None = None
    ) -> npt.NDArray[np.float32]: ...
    @overload
    def gather(
        self, ids: IdsLike, *, out: None = None, dtype: DTypeLike | None, threads: int | None = None
    ) -> npt.NDArray[Any]: ...
    @overload
    def gather(
        self, ids: IdsLike, *, out: Out, dtype: DTypeLike | None = None, threads: int | None = None
    ) -> Out: ...
    def gather(self, ids: Any, *, out: Any = None, dtype: Any = None, threads: int | None = None) -> Any:
        """Return the rows of some ids.

        Parameters
        ----------
        ids : array-like of int, any shape
            A list, a scalar, a range, a NumPy array of any integer type and layout, a torch tensor on the
            CPU. Each must be at least 0 and below ``len(table)``.
        out : NumPy array, torch tensor or writable buffer, optional
            Where to put the rows: of shape ``ids.shape + (columns,)`` and of `dtype`, its last axis
            contiguous. For bfloat16 it may be of uint16, of torch's bfloat16 or of ml_dtypes'. Written only
            if nothing is wrong.
        dtype : {"float32", "float16", "bfloat16"}, optional
            Without it that of `out`, where uint16 stands for bfloat16; else float32. float32 is bit-identical
            to ggml's own dequantisation, the others are that value rounded to nearest even. NumPy has no
            bfloat16: such rows come as the uint16 that hold their bits.
        threads : int, optional
            How many threads share the work, the calling one included; 1 is that one alone. Without it there
            are as many as the amount of work is worth. Workers belong to the model: they are made when first
            wanted, and end with it.

        Returns
        -------
        numpy.ndarray of shape ``ids.shape + (columns,)``
            New memory; or `out` itself where that was given.

        Raises
        ------
        IndexError
            For an id that is not a row; it names the position, the id and the number of rows.
        TypeError
            If `ids` are not integers (booleans are none), or `out` is of another dtype.
        ValueError
            If `out` has another shape, is read-only or has no contiguous rows; if `threads` is not 1 to 256;
            or if the table is closed.
        OSError
            If a part of the mapped file is gone. `out` then holds zeros in place of its bytes.
        """
        # The usual call, arrays of the right kind, takes few steps: each costs about what a short row does.
        table = self._table
        if table is None:
            table = self._ensure_open()
        if type(ids) is not _ndarray or not ids.flags.c_contiguous:
            ids = as_ids(ids, self._shape[0])
        try:
            kind, storage, options = self._calls[ids.dtype, dtype, threads]
        except (KeyError, TypeError):
            ids = as_ids(ids, self._shape[0])
            kind, storage, options = self._prepare(ids.dtype, dtype, threads)
        shape = (*ids.shape, self._shape[1])
        if out is None:
            rows = out = np.empty(shape, storage)
        elif type(out) is _ndarray and out.dtype == storage and out.shape == shape and out.flags.carray:
            rows = out
        else:
            kind = rows_kind(dtype, out)
            self.fill(as_rows(out, shape, kind), ids, kind, threads)
            return out
        buffer = _from_buffer(rows)
        if _gather(table, _from_buffer(ids), ids.size, buffer, options, _NULL):
            self._explain(table, ids, rows, buffer, options)
        return out

    def _prepare(self, ids: np.dtype[Any], dtype: object, threads: int | None, stride: int = 0) -> _Call:
        """Return the call for ids and rows of these kinds; rows lie `stride` bytes apart, 0 for no gaps."""
        kind = rows_kind(dtype, None)
        options = ffi.new("pye_gather_options *")
        options.struct_bytes = ffi.sizeof("pye_gather_options")
        options.id_type, options.dtype, options.out_row_bytes = ID_TYPES[ids], kind.code, stride
        options.n_threads = thread_count(threads)
        call = _Call(kind, kind.storage, options)
        if (dtype is None or type(dtype) is str) and not stride:
            self._calls[ids, dtype, threads] = call
        return call

    def fill(
        self, rows: npt.NDArray[Any], ids: IntArray, kind: OutputType, threads: int | None = None
    ) -> None:
        """Gather into `rows`; both arrays are as `as_rows` and `as_ids` return them (for this package)."""
        stride = row_stride(rows)
        if stride is None:
            # Nothing is written to `rows` before all have been gathered.
            rows[...] = self.gather(ids, dtype=kind.name, threads=threads)
            return
        call = None if stride else self._calls.get((ids.dtype, kind.name, threads))
        options = (call or self._prepare(ids.dtype, kind.name, threads, stride)).options
        buffer = ffi.cast("void *", rows.ctypes.data)
        table = self._ensure_open()
        if _gather(table, _from_buffer(ids), ids.size, buffer, options, _NULL):
            self._explain(table, ids, rows, buffer, options)

    def _explain(
        self, table: CData, ids: IntArray, rows: npt.NDArray[Any], buffer: CData, options: CData
    ) -> None:
        """Gather again, to learn why it failed: cheaper than a ``pye_error`` for each call that succeeds."""
        raise_kept()
        error = ffi.new("pye_error *")
        status = _gather(table, _from_buffer(ids), ids.size, buffer, options, error)
        if status == Status.ID:
            id_error(ids, error.offset, self._shape[0])
        if status == Status.ARGUMENT and np.may_share_memory(rows, ids):
            copy = ids.copy()
            status = _gather(table, _from_buffer(copy), copy.size, buffer, options, error)
        self._source.check(status, error)

    # ---------------------------------------------------------------------------------------- scores

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
        elif type(out) is not _ndarray or out.dtype != np.float32 or not out.dtype.isnative:
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

    def digest(self, step: int = 1) -> str:
        """Return ``"sha256:..."`` over the bytes of rows 0, `step`, 2 `step`, ... as the file stores them.

        A step of 1 takes all rows, about a second for 200 MB; a larger one a sample, without reading the
        rows between.

        Raises
        ------
        ValueError
            If `step` is below 1, or the table is closed.
        TypeError
            If it is not an int.
        """
        step = index_of("step", step)
        if not 1 <= step < 2**64:
            raise ValueError(f"step is {step}; expected at least 1")
        out, error = ffi.new("char[]", DIGEST_BYTES), ffi.new("pye_error *")
        self._source.check(lib.pye_table_digest(self._ensure_open(), step, out, error), error)
        return ffi.string(out).decode("ascii")

    def check_rows(
        self, first: int, n: int, *, key: bytes | None = None
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint64]]:
        """Return what is wrong with rows `first` to `first` + `n` - 1, and hashes of their bytes.

        Parameters
        ----------
        first, n : int
        key : 16 bytes, optional
            Of the hashes: chosen at random, so that no file can make different rows collide. Without it no
            hashes are computed.

        Returns
        -------
        faults : array of uint8
            The members of `RowFault` that apply, 0 for a row that is like any other.
        hashes : array of uint64
            Equal rows have equal hashes; empty without `key`.

        Raises
        ------
        IndexError
            If not all of the rows are there.
        TypeError, ValueError
            If `first` or `n` is not an int, or `key` is not 16 bytes.
        """
        first, n = index_of("first", first), index_of("n", n)
        if key is not None and (not isinstance(key, bytes) or len(key) != _KEY_BYTES):
            raise ValueError(f"key is {quote(key)}; expected {_KEY_BYTES} bytes")
        if first < 0 or n < 0 or first + n > len(self):
            raise IndexError(f"rows {first} to {first + n - 1} are not all there: the table has {len(self)}")
        faults = np.empty(n, np.uint8)
        hashes = np.empty(n if key is not None else 0, np.uint64)
        where = ffi.cast("uint64_t *", hashes.ctypes.data) if key is not None else _NULL
        words = ffi.new("uint64_t[2]", np.frombuffer(key, np.uint64).tolist()) if key is not None else _NULL
        error = ffi.new("pye_error *")
        out = ffi.cast("uint8_t *", faults.ctypes.data)
        status = lib.pye_table_check(self._ensure_open(), first, n, out, words, where, error)
        self._source.check(status, error)
        return faults, hashes

    def _ensure_open(self) -> CData:
        table = self._table
        if table is None:
            raise ClosedError(f"the table {quote(self._name)} of {self.path} is closed")
        return table

    def __getitem__(self, ids: IdsLike | slice) -> npt.NDArray[np.float32]:
        """Return ``gather(ids)``; a slice stands for the ids in it."""
        if isinstance(ids, slice):
            ids = range(*ids.indices(len(self)))
        elif isinstance(ids, tuple):
            raise IndexError(f"expected one index, got {len(ids)}: for several rows write table[[1, 2]]")
        return self.gather(ids)

    def __contains__(self, item: object) -> bool:
        raise TypeError("a table does not hold ids or words: ask 0 <= id < len(table), or the vocabulary")

    @property
    def closed(self) -> bool:
        """Whether the table was closed, by itself or with its model."""
        return self._table is None

    def close(self) -> None:
        """Let go of the table, and of its file if it is the table's own. Closing twice is allowed."""
        self._table = None
        if self._owns_source:
            self._source.close()

    def check(self) -> Change | None:
        """Return what became of the table's file since it was opened; see `Model.check`."""
        self._ensure_open()
        return self._source.change()

    def __reduce__(self) -> tuple[Any, ...]:
        from .reopening import mark_file, mark_table, reopen_table

        self._ensure_open()
        return reopen_table, (mark_file(self._source), mark_table(self))

    def __repr__(self) -> str:
        state = ", closed" if self.closed else ""
        shape = f"{self._shape[0]} x {self._shape[1]}"
        return f"<EmbeddingTable {quote(self._name)} of {printable(self.path)}: {shape} {self._type}{state}>"
