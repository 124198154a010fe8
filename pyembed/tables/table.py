"""A table of embeddings: rows of a tensor, gathered by id."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar, overload

import numpy as np
import numpy.typing as npt

from .._native import ffi, lib
from ..core.aliases import DTypeLike, Float32, IdsLike, Raw
from ..core.callbacks import raise_kept
from ..core.closing import Closing
from ..core.dtypes import RAW, TENSOR_TYPES, OutputType
from ..core.handle import Source
from ..core.layouts import TableLayout, layout_of
from ..core.records import Change
from ..errors import CData, ClosedError, NotFoundError, Status
from ..files.metadata import near_tables
from ..safe_text import printable, quote
from .ahead import Ahead
from .arguments import (
    ID_TYPES,
    IntArray,
    as_ids,
    as_rows,
    as_window,
    gathered_kind,
    id_error,
    refuse_common_memory,
    row_stride,
    thread_count,
)
from .checking import Checked
from .pooling import Pooled
from .scan import Scored

Out = TypeVar("Out")

# Looked up once: a gather of one row takes about as long as ten attribute look-ups.
_NULL = ffi.NULL
_from_buffer = ffi.from_buffer
_gather = lib.pye_table_gather
_ndarray = np.ndarray


class _Call(NamedTuple):
    """What a gather needs beside its arrays: the same for all calls with ids and rows of the same kinds."""

    storage: np.dtype[Any]
    options: CData
    width: int  # of a row, in numbers or bytes


class RawBytes(NamedTuple):
    """How many bytes a raw row has.

    Attributes
    ----------
    codes : int
        Bytes of the row's codes; of a GGUF type, of its blocks.
    scales : int
        Bytes of what belongs to them and lies behind them: all scales of the row, then all biases.
    """

    codes: int
    scales: int


class EmbeddingTable(Ahead, Pooled, Scored, Checked, Closing):
    """The rows of one tensor, or of several that belong together: see `open_table` and `Model.open_table`.

    Every index of the tensor but the last, taken together, counts rows. Rows come out as the file stores
    them, dequantised: with the scales that lie beside their codes, and nothing of an architecture. Any number
    of threads may use one table.

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
        try:
            self._table = source.open_table(name)
        except NotFoundError:
            raise NotFoundError(
                f"{source.path}: no tensor is named {quote(name)}", near_tables(source, name)
            ) from None
        info = ffi.new("pye_table_info *")
        lib.pye_table_get_info(self._table, info)
        self._shape: tuple[int, int] = (info.n_rows, info.n_columns)
        self._layout: TableLayout | None = None
        known = TENSOR_TYPES.get(info.type)
        self._type = self.layout.codes if known is None else known.name
        self._n_bytes: int = info.n_bytes
        codes, scales = ffi.new("uint64_t *"), ffi.new("uint64_t *")
        lib.pye_table_raw_bytes(self._table, codes, scales)
        self._raw_bytes: RawBytes = RawBytes(codes[0], scales[0])
        self._norms: npt.NDArray[np.float32] | None = None
        self._calls: dict[tuple[np.dtype[Any], object, int | None], _Call] = {}

    @property
    def name(self) -> str:
        """Name of the tensor; of shards, what comes before their numbers; ``"data"`` without names."""
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
        """How the file stores the weights, such as ``"Q4_K"``: ``layout.codes``."""
        return self._type

    @property
    def n_bytes(self) -> int:
        """Bytes of the table as stored: its rows, with all scales and whatever else belongs to them."""
        return self._n_bytes

    @property
    def raw_bytes(self) -> RawBytes:
        """Bytes of a row that is gathered with ``dtype="raw"``: (codes, scales)."""
        return self._raw_bytes

    @property
    def raw_stride(self) -> int:
        """Bytes of a row that is gathered with ``dtype="raw"``, all together."""
        return sum(self._raw_bytes)

    @property
    def layout(self) -> TableLayout:
        """What the table is made of: as data, and, as a text, in words."""
        if self._layout is None:
            self._layout = layout_of(self._source, self._ensure_open())
        return self._layout

    def __len__(self) -> int:
        return self._shape[0]

    @overload
    def gather(
        self,
        ids: IdsLike,
        *,
        out: None = None,
        dtype: Float32 | None = None,
        threads: int | None = None,
        window: tuple[int, int] | None = None,
    ) -> npt.NDArray[np.float32]: ...
    @overload
    def gather(
        self,
        ids: IdsLike,
        *,
        out: None = None,
        dtype: Raw,
        threads: int | None = None,
        window: tuple[int, int] | None = None,
    ) -> npt.NDArray[np.uint8]: ...
    @overload
    def gather(
        self,
        ids: IdsLike,
        *,
        out: None = None,
        dtype: DTypeLike | None,
        threads: int | None = None,
        window: tuple[int, int] | None = None,
    ) -> npt.NDArray[Any]: ...
    @overload
    def gather(
        self,
        ids: IdsLike,
        *,
        out: Out,
        dtype: DTypeLike | Raw | None = None,
        threads: int | None = None,
        window: tuple[int, int] | None = None,
    ) -> Out: ...
    def gather(
        self,
        ids: Any,
        *,
        out: Any = None,
        dtype: Any = None,
        threads: int | None = None,
        window: tuple[int, int] | None = None,
    ) -> Any:
        """Return the rows of some ids.

        Parameters
        ----------
        ids : array-like of int, any shape
            A list, a scalar, a range, a NumPy array of any integer type and layout, a torch tensor on the
            CPU. Each must be at least 0 and below ``len(table)``.
        out : NumPy array, torch tensor or writable buffer, or a tuple of two, optional
            Where to put the rows: of shape ``ids.shape + (columns,)`` and of `dtype`, its last axis
            contiguous. For bfloat16 it may be of uint16, of torch's bfloat16 or of ml_dtypes'. Written only
            if nothing is wrong. Of raw rows, a tuple (codes, scales) of uint8: the codes of a row go to the
            first, of shape ``ids.shape + (raw_bytes.codes,)``, the scales and biases to the second.
        dtype : {"float32", "float16", "bfloat16", "raw"}, optional
            Without it that of `out`, where uint16 stands for bfloat16 and uint8 for raw; else float32.
            float32 is bit-identical to ggml's own dequantisation, the 16-bit ones are that value rounded to
            nearest even. NumPy has no bfloat16: such rows come as the uint16 that hold their bits. Raw rows
            are the bytes as stored, in the file's byte order: `raw_bytes`.codes bytes of codes, then the
            scales of the row, then its biases. A scale that the whole table shares is not
            among them; where each shard has its own, a row has its shard's.
        threads : int, optional
            How many threads share the work, the calling one included; 1 is that one alone. Without it there
            are as many as the amount of work is worth. Workers belong to the model: they are made when first
            wanted, and end with it.
        window : (int, int), optional
            The rows that a rank holds, as (first, end), the end not included: every other id, negative ones
            too, stands for a row of zeros and is not an error.

        Returns
        -------
        numpy.ndarray of shape ``ids.shape + (columns,)``
            New memory; or `out` itself where that was given. Raw rows are `raw_stride` wide.

        Raises
        ------
        IndexError
            For an id that is not a row; it names the position, the id and the number of rows.
        TypeError
            If `ids` are not integers (booleans are none), or `out` is of another dtype.
        ValueError
            If `out` has another shape, is read-only or has no contiguous rows; if `threads` is not 1 to 256,
            or `window` not inside the table; or if the table is closed.
        OSError
            If a part of the mapped file is gone. `out` then holds zeros in place of its bytes.
        """
        # The usual call, arrays of the right kind, takes few steps: each costs about what a short row does.
        table = self._table
        if table is None:
            table = self._ensure_open()
        if window is not None:
            return self._gather_apart(ids, out, dtype, threads, window)
        if type(ids) is not _ndarray or not ids.flags.c_contiguous:
            ids = as_ids(ids, self._shape[0])
        try:
            storage, options, width = self._calls[ids.dtype, dtype, threads]
        except (KeyError, TypeError):
            ids = as_ids(ids, self._shape[0])
            storage, options, width = self._prepare(ids.dtype, dtype, threads)
        shape = (*ids.shape, width)
        if out is None:
            rows = out = np.empty(shape, storage)
        elif type(out) is _ndarray and out.dtype == storage and out.shape == shape and out.flags.carray:
            rows = out
        else:
            return self._gather_apart(ids, out, dtype, threads, None)
        buffer = _from_buffer(rows)
        if _gather(table, _from_buffer(ids), ids.size, buffer, options, _NULL):
            self._explain(table, ids, rows, buffer, options)
        return out

    def _gather_apart(
        self, ids: Any, out: Any, dtype: Any, threads: int | None, window: tuple[int, int] | None
    ) -> Any:
        """Gather with a window, or into memory that is not a plain array."""
        limits = None if window is None else as_window(window, self._shape[0])
        ids = as_ids(ids, self._shape[0] if limits is None else None)
        kind = gathered_kind(dtype, out)
        width = self._width(kind)
        if not isinstance(out, tuple):
            rows = np.empty((*ids.shape, width), kind.storage)
            rows = rows if out is None else as_rows(out, rows.shape, kind)
            self.fill(rows, ids, kind, threads, limits)
            return rows if out is None else out
        codes, scales = (
            as_rows(part, (*ids.shape, n), kind) for part, n in zip(out, self._raw_bytes, strict=True)
        )
        refuse_common_memory(codes, scales)
        self.fill(codes, ids, kind, threads, limits, scales)
        return out

    def _width(self, kind: OutputType) -> int:
        return self.raw_stride if kind is RAW else self._shape[1]

    def _prepare(self, ids: np.dtype[Any], dtype: object, threads: int | None) -> _Call:
        """Return the call for ids and contiguous rows of these kinds."""
        kind = gathered_kind(dtype, None)
        call = _Call(kind.storage, self._options(ids, kind, threads), self._width(kind))
        if dtype is None or type(dtype) is str:
            self._calls[ids, dtype, threads] = call
        return call

    def _options(self, ids: np.dtype[Any], kind: OutputType, threads: int | None) -> CData:
        options = ffi.new("pye_gather_options *")
        options.struct_bytes = ffi.sizeof("pye_gather_options")
        options.id_type, options.dtype, options.n_threads = ID_TYPES[ids], kind.code, thread_count(threads)
        return options

    def fill(
        self,
        rows: npt.NDArray[Any],
        ids: IntArray,
        kind: OutputType,
        threads: int | None = None,
        window: tuple[int, int] | None = None,
        scales: npt.NDArray[Any] | None = None,
    ) -> None:
        """Gather into `rows`; the arrays are as `as_rows` and `as_ids` return them (for this package)."""
        for array in (rows, scales):
            if array is not None and row_stride(array) is None:
                # Nothing is written to the caller's memory before all have been gathered.
                regular = np.empty(array.shape, array.dtype)
                parts = (regular, scales) if array is rows else (rows, regular)
                self.fill(parts[0], ids, kind, threads, window, parts[1])
                array[...] = regular
                return
        stride = row_stride(rows)
        is_usual = stride == 0 and window is None and scales is None
        call = self._calls.get((ids.dtype, kind.name, threads)) if is_usual else None
        options = call.options if call else self._options(ids.dtype, kind, threads)
        if not is_usual:
            options.out_row_bytes = stride
        if window is not None:
            options.has_window, (options.window_first, options.window_end) = 1, window
        if scales is not None:
            options.out_scales = ffi.cast("void *", scales.ctypes.data)
            options.out_scales_row_bytes = row_stride(scales)
            if np.may_share_memory(scales, ids):
                ids = ids.copy()
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
