"""How numbers are stored: the tensor types of files, and the dtypes in which rows come out."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._native import ffi, lib
from ..errors import UnsupportedTypeError, check
from .aliases import DTypeName, Raw
from .constants import DType

# ----------------------------------------------------------------------------------- tensor types


@dataclass(frozen=True, slots=True)
class TensorType:
    """A way in which tensors store weights.

    Attributes
    ----------
    id : int
        The number GGUF files use.
    name : str
        Such as ``"Q4_K"``.
    block_weights, block_bytes : int
        Weights in a block, and bytes of a block.
    """

    id: int
    name: str
    block_weights: int
    block_bytes: int

    def n_bytes(self, rows: int, columns: int) -> int | None:
        """Return the bytes of `rows` x `columns` weights; None if a row does not divide into blocks."""
        if columns % self.block_weights:
            return None
        return rows * (columns // self.block_weights) * self.block_bytes


def _read_tensor_types() -> dict[int, TensorType]:
    info, error = ffi.new("pye_type_info *"), ffi.new("pye_error *")
    types = {}
    for index in range(lib.pye_n_types()):
        check(lib.pye_type_at(index, info, error), error, "tensor types")
        name = ffi.string(info.name).decode("ascii")
        types[info.id] = TensorType(info.id, name, info.n_weights, info.block_bytes)
    return types


TENSOR_TYPES = _read_tensor_types()
_TYPES_BY_NAME = {tensor_type.name: tensor_type for tensor_type in TENSOR_TYPES.values()}


def tensor_type(which: int | str) -> TensorType:
    """Return a tensor type by its GGUF number or by its name, whatever its case."""
    found = TENSOR_TYPES.get(which) if isinstance(which, int) else _TYPES_BY_NAME.get(which.upper())
    if found is None:
        raise UnsupportedTypeError(f"unknown tensor type {which!r}; known: {', '.join(_TYPES_BY_NAME)}")
    return found


# ----------------------------------------------------------------------------------------- dtypes


@dataclass(frozen=True, slots=True)
class OutputType:
    """A dtype in which rows come out; `storage` is the NumPy dtype that holds it."""

    name: DTypeName | Raw
    code: int
    storage: np.dtype[Any]


OUTPUT_TYPES: dict[str, OutputType] = {
    "float32": OutputType("float32", DType.F32, np.dtype(np.float32)),
    "float16": OutputType("float16", DType.F16, np.dtype(np.float16)),
    "bfloat16": OutputType("bfloat16", DType.BF16, np.dtype(np.uint16)),
}

#: Rows as the file stores them.
RAW = OutputType("raw", DType.RAW, np.dtype(np.uint8))


def _numpy_dtype(dtype: object) -> np.dtype[Any] | None:
    """Return `dtype` as NumPy sees it; None for the names here and for torch's dtypes, which are native."""
    if (isinstance(dtype, str) and dtype in OUTPUT_TYPES) or _is_torch_dtype(dtype):
        return None
    try:
        if dtype is not None:
            return np.dtype(dtype)  # type: ignore[call-overload, no-any-return]
    except (TypeError, ValueError, SyntaxError):  # NumPy parses some texts as Python
        pass
    raise TypeError(f"{dtype!r} is not a dtype")


def _is_torch_dtype(dtype: object) -> bool:
    return type(dtype).__module__.partition(".")[0] == "torch"


def dtype_name(dtype: object) -> str:
    """Return the plain name of a dtype: of a name, a scalar type, a NumPy, ml_dtypes or torch dtype."""
    known = _numpy_dtype(dtype)
    return str(dtype).removeprefix("torch.") if known is None else known.name


def output_type(dtype: object) -> OutputType:
    """Return the output type for a dtype; ValueError if rows cannot come out as that."""
    known = _numpy_dtype(dtype)
    name = dtype_name(dtype)
    if name not in OUTPUT_TYPES or (known is not None and not known.isnative):
        raise ValueError(f"rows come out as {', '.join(OUTPUT_TYPES)}, not as {dtype}")
    return OUTPUT_TYPES[name]


def widen_bfloat16(bits: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return the float32 values whose upper halves are `bits`, of dtype uint16."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def round_to(values: npt.NDArray[Any], kind: OutputType) -> npt.NDArray[Any]:
    """Return floats as `kind` stores them, rounded once, to nearest even.

    Parameters
    ----------
    values : ndarray of float16, float32 or float64
        Returned as they are if they are of that dtype already.
    """
    if kind.name != "bfloat16":
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            return values.astype(kind.storage, copy=False)
    bits = _odd_float32(values).view(np.uint32)
    # Rounding up carries into the exponent as it should. A NaN keeps its upper bits and becomes a quiet one.
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16
    nan = (bits & 0x7FFFFFFF) > 0x7F800000
    return np.where(nan, (bits >> 16) | 0x40, rounded).astype(np.uint16)


def _odd_float32(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return `values` as float32, rounded to odd: rounding that again to 16 bits equals rounding once."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        near = values.astype(np.float32)
        if values.dtype != np.float64:
            return near
        inexact = (near != values) & ~np.isnan(values)
        even = near.view(np.uint32) & 1 == 0
        other = np.nextafter(near, np.where(values > near, np.float32(np.inf), np.float32(-np.inf)))
    return np.where(inexact & even, other, near)


_RAW_TYPES = {
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "float64": "F64",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
}


def raw_type(dtype: object) -> tuple[TensorType, bool]:
    """Return the tensor type of a raw file's weights, and whether they are big-endian."""
    name = dtype_name(dtype)
    if name not in _RAW_TYPES:
        raise ValueError(f"raw weights may be {', '.join(_RAW_TYPES)}, not {name}")
    known = _numpy_dtype(dtype)
    native = known is None or known.isnative
    return tensor_type(_RAW_TYPES[name]), native == (sys.byteorder == "big")
