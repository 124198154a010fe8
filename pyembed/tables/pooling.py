"""Rows that are added up as they are decoded: the vectors of bags of ids."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, overload

import numpy as np
import numpy.typing as npt

from .._native import ffi, lib
from ..core.aliases import IdsLike
from ..core.constants import PoolMode
from ..core.dtypes import OUTPUT_TYPES
from ..core.handle import Source
from ..errors import CData, Status
from .arguments import (
    ID_TYPES,
    IntArray,
    as_array,
    as_ids,
    as_rows,
    as_torch,
    check_ids,
    refuse_masked,
    thread_count,
    torch_array,
)

Out = TypeVar("Out")
PoolModeName: TypeAlias = Literal["mean", "sum", "max"]

_FLOATS = (np.dtype(np.float32),)
_MODES = {"mean": PoolMode.MEAN, "sum": PoolMode.SUM, "max": PoolMode.MAX}


class Pooled:
    """The part of `EmbeddingTable` that pools rows."""

    if TYPE_CHECKING:  # what a table has
        _source: Source
        _shape: tuple[int, int]

        def _ensure_open(self) -> CData: ...

    @overload
    def pool(
        self,
        ids: IdsLike,
        offsets: IdsLike,
        *,
        mode: PoolModeName = "mean",
        weights: Any = None,
        normalize: bool = False,
        out: None = None,
        threads: int | None = None,
    ) -> npt.NDArray[np.float32]: ...
    @overload
    def pool(
        self,
        ids: IdsLike,
        offsets: IdsLike,
        *,
        mode: PoolModeName = "mean",
        weights: Any = None,
        normalize: bool = False,
        out: Out,
        threads: int | None = None,
    ) -> Out: ...
    def pool(
        self,
        ids: Any,
        offsets: Any,
        *,
        mode: str = "mean",
        weights: Any = None,
        normalize: bool = False,
        out: Any = None,
        threads: int | None = None,
    ) -> Any:
        """Return the mean, sum or maximum of the rows of each of some bags of ids.

        Rows are decoded and added a few at a time and are never in memory all at once.

        Parameters
        ----------
        ids : array-like of int, shape (n,)
            The ids of all bags, one bag after the other.
        offsets : array-like of int, shape (bags + 1,)
            0, where each further bag begins among `ids`, and n: what ``Model.tokenize`` returns for several
            texts. torch's ``EmbeddingBag`` does without the n unless ``include_last_offset`` is set.
        mode : {"mean", "sum", "max"}, optional
            A bag without ids yields zeros in all of them.
        weights : array-like of float, shape (n,), optional
            Multiplied into the rows, as float32; the mean is still divided by the number of ids.
        normalize : bool, optional
            Whether to divide each result by its Euclidean norm; zeros stay zeros.
        out : NumPy array, torch tensor or writable buffer of float32, shape (bags, columns), optional
            Where to put the results.
        threads : int, optional
            As in `gather`.

        Returns
        -------
        numpy.ndarray of float32, shape (bags, columns)
            New memory; or `out` itself where that was given. Sums are those of float32 in the order of the
            ids, with every product and sum rounded; the bits do not depend on the processor or the threads.

        Raises
        ------
        IndexError
            For an id that is not a row.
        ValueError
            For offsets that do not begin with 0, fall, or do not end with n; for weights with ``"max"`` or of
            another shape; for an `out` of another shape; or if the table is closed.
        TypeError
            If ids or offsets are not integers, or `weights` not numbers.
        """
        if mode not in _MODES:
            raise ValueError(f"mode is {mode!r}; expected one of {', '.join(_MODES)}")
        if not _is_array_of(ids, ID_TYPES):
            ids = as_ids(ids, self._shape[0])
        if ids.ndim != 1:
            raise ValueError(
                f"ids have shape {ids.shape}; expected one row, with offsets that cut it into bags"
            )
        bounds = _as_bounds(offsets, ids.size)
        factors = None if weights is None else _as_weights(weights, ids.shape)
        shape = (bounds.size - 1, self._shape[1])
        if out is None:
            rows = np.empty(shape, np.float32)
        elif _is_array_of(out, _FLOATS) and out.shape == shape and out.flags.carray:
            rows = out
        else:
            rows = as_rows(out, shape, OUTPUT_TYPES["float32"])
        to = rows if rows.flags.c_contiguous else np.empty(shape, np.float32)
        options = ffi.new("pye_pool_options *")
        options.struct_bytes = ffi.sizeof("pye_pool_options")
        options.id_type, options.mode = ID_TYPES[ids.dtype], _MODES[mode]
        options.normalize, options.n_threads = bool(normalize), thread_count(threads)
        self._pool(ids, bounds, factors, to, options)
        if to is not rows:
            rows[...] = to
        return rows if out is None else out

    def _pool(
        self,
        ids: IntArray,
        bounds: IntArray,
        factors: npt.NDArray[np.float32] | None,
        to: npt.NDArray[np.float32],
        options: CData,
    ) -> None:
        inputs = [ids, bounds, factors]
        inputs = [
            None if one is None else one.copy() if np.may_share_memory(one, to) else one for one in inputs
        ]
        status = lib.pye_table_pool(
            self._ensure_open(),
            _pointer("char[]", inputs[0]),
            ids.size,
            _pointer("int64_t[]", inputs[1]),
            bounds.size - 1,
            _pointer("float[]", inputs[2]),
            _pointer("float[]", to),
            options,
            error := ffi.new("pye_error *"),
        )
        if status == Status.ID:
            check_ids(ids, self._shape[0])
        self._source.check(status, error)


def _pointer(kind: str, array: npt.NDArray[Any] | None) -> CData:
    return ffi.NULL if array is None else ffi.from_buffer(kind, array)


def _is_array_of(given: Any, types: Container[np.dtype[Any]]) -> bool:
    """Return whether an argument is as it has to be already: looking closer takes as long as a bag."""
    return type(given) is np.ndarray and given.dtype in types and bool(given.flags.c_contiguous)


def _as_bounds(offsets: Any, n_ids: int) -> IntArray:
    """Return offsets as int64; what numbers they are is checked later."""
    array = offsets
    if not _is_array_of(array, ID_TYPES):
        array = as_ids(offsets, n_ids + 1, "offset", "a batch of these ids", "place")
    if array.ndim != 1 or not array.size:
        raise ValueError(f"offsets have shape {array.shape}; expected (bags + 1,): 0, ..., {n_ids}")
    if array.dtype == np.uint64 and array.max() > np.iinfo(np.int64).max:
        check_ids(array, n_ids + 1, "offset", "a batch of these ids", "place")
    return np.ascontiguousarray(array, dtype=np.int64)


def _as_weights(weights: object, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    refuse_masked(weights, "weights")
    tensor = as_torch(weights)
    array = torch_array(tensor.float(), "weights") if tensor is not None else as_array(weights, "weights")
    if array.dtype.kind not in "fiu" and array.dtype.name != "bfloat16":
        raise TypeError(f"weights must be numbers, got {array.dtype.name}")
    if array.shape != shape:
        raise ValueError(f"weights have shape {array.shape}; expected {shape}, one for each id")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype=np.float32)
