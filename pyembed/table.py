"""A table of embeddings: rows of a tensor, gathered by id."""

from __future__ import annotations

from typing import Any, TypeVar, overload

import numpy as np
import numpy.typing as npt

from ._native import ffi, lib
from .arrays import ID_TYPES, IntArray, as_ids, as_rows, id_error, row_stride
from .dtypes import OUTPUT_TYPES, TENSOR_TYPES, OutputType, output_type
from .errors import CData, NotFoundError
from .gguf import near_tensors
from .source import Source

Out = TypeVar("Out")


class EmbeddingTable:
    """The rows of one tensor. Use `open_table` or `Model.open_table` to get one.

    Every index of the tensor but the last, taken together, counts rows. Rows come out as the file stores
    them, dequantised; nothing is scaled or normalised. Any number of threads may use one table.

    A table of a model is closed with its model. One from `pyembed.open_table` holds its file open until
    `close`, or the end of a ``with`` block.
    """

    def __init__(self, source: Source, name: str, *, owns_source: bool = False) -> None:
        self._source = source
        self._owns_source = owns_source
        self._name = name
        self._table: CData | None = None
        if source.tensor(name) is None:
            raise NotFoundError(f"{source.path}: no tensor is named {name!r}", near_tensors(source, name))
        self._table = source.open_table(name)
        info = ffi.new("pye_table_info *")
        lib.pye_table_get_info(self._table, info)
        self._shape: tuple[int, int] = (info.n_rows, info.n_columns)
        self._type = TENSOR_TYPES[info.type].name
        self._n_bytes: int = info.n_bytes
        self._options: dict[tuple[int, int, int], CData] = {}

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
    def gather(self, ids: Any, *, out: None = None, dtype: Any = "float32") -> npt.NDArray[Any]: ...
    @overload
    def gather(self, ids: Any, *, out: Out, dtype: Any = "float32") -> Out: ...
    def gather(self, ids: Any, *, out: Any = None, dtype: Any = "float32") -> Any:
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
            float32 is bit-identical to ggml's own dequantisation, the others are that value rounded to
            nearest even. NumPy has no bfloat16: such rows come as the uint16 that hold their bits.

        Returns
        -------
        numpy.ndarray of shape ``ids.shape + (columns,)``
            New memory; or `out` itself where that was given.

        Raises
        ------
        IndexError
            For an id that is no row; it names the position, the id and the number of rows.
        TypeError
            If `ids` are not integers (booleans are none), or `out` is of another dtype.
        ValueError
            If `out` has another shape, is read-only or has no contiguous rows; or if the table is closed.
        """
        table = self._handle()
        if not (type(ids) is np.ndarray and ids.flags.c_contiguous and ids.dtype in ID_TYPES):
            ids = as_ids(ids, self._shape[0])
        kind = (OUTPUT_TYPES.get(dtype) if type(dtype) is str else None) or output_type(dtype)
        shape = (*ids.shape, self._shape[1])
        if out is None:
            rows = np.empty(shape, kind.storage)
            self._read(table, ids, rows, kind, 0)
            return rows
        if type(out) is np.ndarray and out.flags.carray and out.dtype == kind.storage and out.shape == shape:
            rows = out
            stride: int | None = 0
        else:
            rows = as_rows(out, shape, kind)
            stride = row_stride(rows)
        if stride is None or np.may_share_memory(rows, ids):
            # In this order nothing is written to `out` before all ids were read from what may be its memory.
            rows[...] = self.gather(ids, dtype=kind.name)
        else:
            self._read(table, ids, rows, kind, stride)
        return out

    def _handle(self) -> CData:
        table = self._table
        if table is None:
            raise ValueError(f"the table {self._name!r} of {self.path} is closed")
        return table

    def _read(
        self, table: CData, ids: IntArray, rows: npt.NDArray[Any], kind: OutputType, stride: int
    ) -> None:
        """Gather into `rows`, whose rows lie `stride` bytes apart, 0 for one after the other."""
        options = self._gather_options(ID_TYPES[ids.dtype], kind.code, stride)
        data = ffi.cast("void *", rows.ctypes.data) if stride else ffi.from_buffer(rows)
        numbers, n = ffi.from_buffer(ids), ids.size
        if lib.pye_table_gather(table, numbers, n, data, options, ffi.NULL) == lib.PYE_OK:
            return
        # Asking again for the reason is cheaper than a pye_error for every call that succeeds.
        error = ffi.new("pye_error *")
        status = lib.pye_table_gather(table, numbers, n, data, options, error)
        if status == lib.PYE_ERROR_ID:
            id_error(ids, error.offset, self._shape[0])
        self._source.check(status, error)

    def _gather_options(self, id_type: int, dtype: int, stride: int) -> CData:
        key = (id_type, dtype, stride)
        options = self._options.get(key)
        if options is None:
            options = ffi.new("pye_gather_options *")
            options.struct_bytes = ffi.sizeof("pye_gather_options")
            options.id_type, options.dtype, options.out_row_bytes = key
            if stride == 0:
                self._options[key] = options
        return options

    def __getitem__(self, ids: Any) -> npt.NDArray[Any]:
        """Return ``gather(ids)``; a slice stands for the ids in it."""
        if isinstance(ids, slice):
            ids = range(*ids.indices(len(self)))
        return self.gather(ids)

    @property
    def closed(self) -> bool:
        """Whether the table was closed, by itself or with its model."""
        return self._table is None

    def close(self) -> None:
        """Let go of the table, and of its file if it is the table's own. Closing twice is allowed."""
        self._table = None
        if self._owns_source:
            self._source.close()

    def __enter__(self) -> EmbeddingTable:
        self._handle()
        return self

    def __exit__(self, kind: object, exception: object, trace: object) -> None:
        if isinstance(exception, NotFoundError):
            exception.settle()
        self.close()

    def __repr__(self) -> str:
        state = ", closed" if self.closed else ""
        shape = f"{self._shape[0]} x {self._shape[1]}"
        return f"<EmbeddingTable {self._name!r} of {self.path}: {shape} {self._type}{state}>"
