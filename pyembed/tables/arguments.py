"""What callers pass in: ids of every kind, and buffers for the rows."""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Iterable
from typing import Any, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

from ..core.constants import IdType
from ..core.dtypes import OUTPUT_TYPES, RAW, OutputType, output_type

IntArray: TypeAlias = npt.NDArray[np.integer[Any]]

# ------------------------------------------------------------------------------------------- torch


def as_torch(value: object) -> Any:
    """Return `value` if it is a torch tensor, else None. Never imports torch."""
    torch = sys.modules.get("torch")
    return value if torch is not None and isinstance(value, torch.Tensor) else None


def torch_array(tensor: Any, what: str) -> npt.NDArray[Any]:
    """Return the memory of a torch tensor as a NumPy array; bfloat16 comes as uint16.

    Raises
    ------
    ValueError
        If the tensor is not in this machine's memory, or has no strides.
    """
    if tensor.device.type != "cpu":
        raise ValueError(f"{what} is a tensor on {tensor.device}; expected one on the CPU (tensor.cpu())")
    tensor = tensor.detach()
    try:
        if str(tensor.dtype) == "torch.bfloat16":
            array: npt.NDArray[Any] = tensor.view(sys.modules["torch"].int16).numpy().view(np.uint16)
        else:
            array = tensor.numpy()
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"{what} is a tensor that NumPy cannot share: {error}") from None
    return array


def refuse_masked(value: object, what: str) -> None:
    """Raise TypeError for a NumPy array with masked elements: whoever masked them does not want them used."""
    masked = sys.modules.get("numpy.ma")  # which NumPy loads late: without it nothing is masked
    if masked is not None and isinstance(value, masked.MaskedArray) and masked.is_masked(value):
        raise TypeError(
            f"{what} has masked elements, which would be used as if they were not; fill them first"
        )


# --------------------------------------------------------------------------------------------- ids

ID_TYPES: dict[np.dtype[Any], int] = {
    np.dtype(np.int32): IdType.I32,
    np.dtype(np.int64): IdType.I64,
    np.dtype(np.uint32): IdType.U32,
    np.dtype(np.uint64): IdType.U64,
    np.dtype(np.int16): IdType.I16,
    np.dtype(np.uint16): IdType.U16,
    np.dtype(np.int8): IdType.I8,
    np.dtype(np.uint8): IdType.U8,
}


def id_error(
    ids: npt.NDArray[Any],
    position: int,
    n_rows: int,
    what: str = "id",
    table: str = "the table",
    row: str = "row",
) -> NoReturn:
    """Raise the IndexError for the id, or what else chooses rows, at flat `position` of `ids`."""
    where = tuple(map(int, np.unravel_index(position, ids.shape)))
    if ids.ndim == 0:
        place = ""
    elif ids.ndim == 1:
        place = f" at position {position}"
    else:
        place = f" at position {where}"
    raise IndexError(f"{what} {ids[where]}{place} is not a {row}: {table} has {n_rows} {row}s")


def check_ids(
    ids: npt.NDArray[Any], n_rows: int, what: str = "id", table: str = "the table", row: str = "row"
) -> None:
    """Raise the IndexError for the first of `ids` that is not a row of a table of `n_rows` rows."""
    if ids.size and not (ids.min() >= 0 and ids.max() < n_rows):
        id_error(ids, int(np.argmax(((ids < 0) | (ids >= n_rows)).reshape(-1))), n_rows, what, table, row)


def as_ids(
    ids: object, n_rows: int | None, what: str = "id", table: str = "the table", row: str = "row"
) -> IntArray:
    """Return `ids` as a C-contiguous array of a type in `ID_TYPES`, copied only where it has to be.

    Parameters
    ----------
    ids : array-like of int, any shape
        A list (nested or empty), a scalar, a range, a NumPy array of any integer type, a torch tensor, or
        what else speaks DLPack.
    n_rows : int
        Rows of the table, for ids that do not fit 64 bits: no table has such a row. None where such ids are
        allowed: they become -1.
    what, table, row : str, optional
        What one of them is, what has the rows, and what those are, for messages.

    Raises
    ------
    TypeError
        If `ids` holds anything but integers; booleans are none.
    ValueError
        If lists in `ids` are of different lengths.
    IndexError
        For a Python integer that does not fit 64 bits.
    """
    refuse_masked(ids, f"{what}s")
    if as_torch(ids) is not None:
        if str(ids.dtype) == "torch.bfloat16":  # type: ignore[attr-defined]
            # NumPy would see integers, its bits
            raise TypeError(f"{what}s must be integers, got torch.bfloat16")
        ids = torch_array(ids, f"{what}s")
    elif isinstance(ids, range):
        ids = _range_array(ids)
    elif isinstance(ids, list | tuple):
        _refuse_bools(ids, what)
    elif hasattr(ids, "__dlpack__") and not isinstance(ids, np.ndarray):
        ids = _from_dlpack(ids, what)
    array = as_array(ids, f"{what}s")
    if array.dtype.kind not in "iu":
        array = _integers(ids, array, n_rows, what, table, row)
    if array.dtype not in ID_TYPES:
        array = array.astype(array.dtype.newbyteorder("="))
    # Not ascontiguousarray: that makes 0-d arrays 1-d.
    return np.asarray(array, order="C")


def as_array(given: object, name: str) -> npt.NDArray[Any]:
    """Return what a caller gave as an array; ValueError if it holds lists of different lengths."""
    try:
        return np.asarray(given)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise ValueError(f"{name} cannot be made an array: {error}") from None
    hint = "; embed_padded takes sequences of different lengths" if name == "ids" else ""
    raise ValueError(f"{name} holds lists of different lengths, or lists beside numbers{hint}") from None


def _from_dlpack(ids: Any, what: str) -> npt.NDArray[Any]:
    try:
        return np.from_dlpack(ids)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        kind = type(ids).__name__
        raise ValueError(f"{what}s is a {kind} that NumPy cannot share, perhaps on a GPU: {error}") from None


def _range_array(ids: range) -> object:
    try:
        return np.arange(ids.start, ids.stop, ids.step, dtype=np.int64)
    except OverflowError:
        return list(ids)


def _refuse_bools(ids: Iterable[object], what: str) -> None:
    # NumPy would read [1, True] as integers. The set keeps this at C speed for long lists.
    kinds = set(map(type, ids))
    if bool in kinds or np.bool_ in kinds:
        raise TypeError(f"{what}s must be integers, got bool")
    if list in kinds or tuple in kinds:
        for part in ids:
            if isinstance(part, list | tuple):
                _refuse_bools(part, what)


def _integers(
    ids: object, array: npt.NDArray[Any], n_rows: int | None, what: str, table: str, row: str
) -> IntArray:
    """Handle what NumPy does not see as integers: empty lists, and Python integers of mixed or huge size."""
    if array.size == 0 and isinstance(ids, list | tuple):
        return array.astype(np.int64)
    if array.dtype.kind == "f" and isinstance(ids, list | tuple):  # [1, 2**63] comes as float64
        array = np.asarray(ids, dtype=object)
    if array.dtype.kind != "O":
        kind = "str" if array.dtype.kind == "U" else array.dtype.name
        raise TypeError(f"{what}s must be integers, got {kind}")
    result = np.empty(array.shape, np.int64)
    for position, item in enumerate(array.flat):
        if isinstance(item, bool | np.bool_):
            raise TypeError(f"{what}s must be integers, got bool")
        try:
            number = operator.index(item)
        except TypeError:
            raise TypeError(f"{what}s must be integers, got {type(item).__name__}") from None
        if n_rows is None:
            number = number if 0 <= number < 2**63 else -1
        elif not 0 <= number < n_rows:
            id_error(array, position, n_rows, what, table, row)
        result.flat[position] = number
    return result


def as_window(window: object, n_rows: int) -> tuple[int, int]:
    """Return the rows first .. end - 1 that a caller asks for, of a table of `n_rows`.

    Raises
    ------
    TypeError
        If it is not a pair of integers.
    ValueError
        If it does not lie inside the table.
    """
    try:
        if any(isinstance(part, bool | np.bool_) for part in window):  # type: ignore[attr-defined]
            raise TypeError
        first, end = (operator.index(part) for part in window)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise TypeError(f"window is {window!r}; expected two ints, the first row and the end") from None
    if not 0 <= first <= end <= n_rows:
        raise ValueError(
            f"window is ({first}, {end}); expected 0 <= first <= end <= {n_rows}, the number of rows"
        )
    return first, end


# --------------------------------------------------------------------------------------------- out


def rows_kind(dtype: object, out: object) -> OutputType:
    """Return the kind that rows come out as: `dtype`, or without one what `out` says, else float32.

    Raises
    ------
    TypeError
        If neither is a kind of rows.
    ValueError
        If rows cannot come out as `dtype`.
    """
    if _is_raw(dtype):
        raise ValueError('dtype is "raw", which is for rows that are gathered with nothing done to them')
    if dtype is not None:
        return output_type(dtype)
    if out is None:
        return OUTPUT_TYPES["float32"]
    held = _as_array(out).dtype
    name = "bfloat16" if held == np.uint16 else held.name
    if name not in OUTPUT_TYPES:
        expected = ", ".join(OUTPUT_TYPES)
        raise TypeError(f"out is of dtype {held.name}; expected {expected} (or uint16, its bits)")
    return OUTPUT_TYPES[name]


def gathered_kind(dtype: object, out: object) -> OutputType:
    """Return the kind of gathered rows: as `rows_kind` does, and raw where that is asked for.

    Raises
    ------
    TypeError, ValueError
        As for `rows_kind`; ValueError for two outputs of rows that are not raw, or a tuple of another length.
    """
    if isinstance(out, tuple):
        if len(out) != 2:
            raise ValueError(f"out is a tuple of {len(out)}; expected (codes, scales)")
        if dtype is not None and not _is_raw(dtype):
            raise ValueError(f'out is a tuple, which is for raw rows; dtype is {dtype!r}, expected "raw"')
        return RAW
    # Other buffers are often bytes without meaning to be: an array says what it holds.
    is_array = isinstance(out, np.ndarray) or as_torch(out) is not None
    if _is_raw(dtype) or (dtype is None and is_array and _as_array(out).dtype == np.uint8):
        return RAW
    return rows_kind(dtype, out)


def _is_raw(dtype: object) -> bool:
    return isinstance(dtype, str) and dtype == RAW.name


def refuse_common_memory(codes: npt.NDArray[Any], scales: npt.NDArray[Any]) -> None:
    """Raise ValueError if two outputs overlap; they may be columns of one array."""
    if not np.may_share_memory(codes, scales):
        return
    try:
        overlap = np.shares_memory(codes, scales, max_work=10_000)  # type: ignore[arg-type]
    except RuntimeError:  # NumPy's TooHardError
        overlap = True
    if overlap:
        raise ValueError("the two arrays of out overlap in memory")


def as_rows(out: object, shape: tuple[int, ...], kind: OutputType) -> npt.NDArray[Any]:
    """Return the memory of `out` as an array of `shape` and of the dtype that holds `kind`.

    Parameters
    ----------
    out : NumPy array, torch tensor or writable buffer
        Its last axis must be contiguous; the other strides are free, but rows may not overlap.

    Raises
    ------
    TypeError
        If `out` is of another dtype, or no buffer at all.
    ValueError
        If it is of another shape, read-only, or laid out otherwise.
    """
    array = _as_array(out)
    # NumPy cannot name ml_dtypes' bfloat16 without importing it; its name and size identify it.
    is_bfloat16 = array.dtype.name == "bfloat16" and kind.name == "bfloat16"
    if array.dtype != kind.storage and not is_bfloat16:
        held = "uint16 or bfloat16" if kind.name == "bfloat16" else kind.storage.name
        byte_order = "" if array.dtype.isnative else " of the other byte order"
        raise TypeError(f"out is of dtype {array.dtype.name}{byte_order}; expected {held}")
    if array.shape != shape:
        raise ValueError(f"out has shape {array.shape}; expected {shape}")
    if not array.flags.writeable:
        raise ValueError("out is read-only")
    if array.size and shape[-1] > 1 and array.strides[-1] != array.itemsize:
        raise ValueError(
            f"the rows of out are not contiguous: their values lie {array.strides[-1]} bytes apart; "
            f"expected {array.itemsize}"
        )
    _refuse_overlap(array)
    return array.view(kind.storage) if is_bfloat16 else array


def _as_array(out: object) -> npt.NDArray[Any]:
    if isinstance(out, np.ndarray):
        return np.asarray(out)
    if as_torch(out) is not None:
        return torch_array(out, "out")
    try:
        return np.asarray(memoryview(out))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise TypeError(
            f"out is a {type(out).__name__}; expected a NumPy array, a torch tensor or a writable buffer"
        ) from None


def _refuse_overlap(array: npt.NDArray[Any]) -> None:
    if array.flags.c_contiguous or array.size == 0:
        return
    extent = array.itemsize
    axes = sorted((abs(stride), n) for n, stride in zip(array.shape, array.strides, strict=True) if n > 1)
    for stride, n in axes:
        if stride < extent:
            raise ValueError(f"the rows of out overlap in memory: its strides are {array.strides} bytes")
        extent += stride * (n - 1)


def row_stride(rows: npt.NDArray[Any]) -> int | None:
    """Return the bytes from each row to the next: 0 if they are contiguous, None if irregular."""
    if rows.flags.c_contiguous:
        return 0
    row_bytes = rows.shape[-1] * rows.itemsize
    stride, n_inner = row_bytes, 0
    for n, step in reversed(list(zip(rows.shape[:-1], rows.strides[:-1], strict=True))):
        if n == 1:
            continue
        if n_inner == 0:
            stride, n_inner = step, n
        elif step == stride * n_inner:
            n_inner *= n
        else:
            return None
    return stride if stride >= row_bytes else None


def flat_rows(rows: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    """Return `rows` as [n, width] without a copy; None if they do not lie at equal distances."""
    width = rows.shape[-1]
    stride = row_stride(rows)
    if stride is None:
        return None
    if stride == 0:
        return (
            rows.reshape(-1, width)
            if rows.size
            else np.empty((math.prod(rows.shape[:-1]), width), rows.dtype)
        )
    n = math.prod(rows.shape[:-1])
    return np.lib.stride_tricks.as_strided(rows, (n, width), (stride, rows.itemsize))


# ----------------------------------------------------------------------------------------- threads

_MAX_THREADS = 256


def thread_count(threads: object) -> int:
    """Return `threads` as C takes it: 0 for as many as the work is worth."""
    if threads is None:
        return 0
    if isinstance(threads, bool) or not isinstance(threads, int | np.integer):
        raise TypeError(f"threads is a {type(threads).__name__}; expected an int or None")
    if not 1 <= threads <= _MAX_THREADS:
        raise ValueError(f"threads is {threads}; expected 1 to {_MAX_THREADS}, or None")
    return int(threads)
