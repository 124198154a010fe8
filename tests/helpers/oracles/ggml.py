"""The ggml library itself as a reference decoder and quantiser, through ctypes.

The wheel of ``pywhispercpp`` contains ``libggml-base``, whose row functions are exported C functions. It
needs only the C and C++ run-time libraries and the OpenMP library from the same wheel. The environment
variable ``PYEMBED_GGML_BASE`` may name another build of the library, for instance a newer one.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .blocks import F32, TYPES, U8

_LIBRARY = re.compile(r"(lib)?ggml-base[^/\\]*\.(so(\.[0-9.]+)?|dylib|dll)")

#: Types without an entry in the quantiser that takes a chunk of rows; these have a function of their own.
_OWN_QUANTIZER = {"Q8_1": "quantize_row_q8_1_ref", "Q8_K": "quantize_row_q8_K_ref"}
#: Types that cannot be quantised without an importance matrix.
_NEEDS_IMPORTANCE = ("IQ2_XXS", "IQ2_XS", "IQ1_S")
_NOT_QUANTIZED = ("I8", "I16", "I32", "I64", "F64")


def _candidates() -> list[Path]:
    """Paths at which the library may be, best first."""
    override = os.environ.get("PYEMBED_GGML_BASE")
    if override:
        return [Path(override)]
    try:
        listed = importlib.metadata.distribution("pywhispercpp").files or []
    except importlib.metadata.PackageNotFoundError:
        return []
    found = [Path(str(entry.locate())) for entry in listed if _LIBRARY.fullmatch(entry.name)]
    present = [path for path in found if path.is_file()]
    # The copies beside the package's other libraries come first: they were linked to be found there.
    return sorted(present, key=lambda path: ("pywhispercpp.libs" not in path.parts, str(path)))


@cache
def ggml_library() -> tuple[ctypes.CDLL | None, str]:
    """Load the library once.

    Returns
    -------
    library : CDLL or None
        None where there is no usable library.
    note : str
        The path of the library, or the reason why there is none.
    """
    problems = []
    for path in _candidates():
        try:
            library = ctypes.CDLL(str(path), mode=ctypes.RTLD_LOCAL)
        except OSError as error:
            problems.append(str(error))
            continue
        for name, result, arguments in (
            ("ggml_type_size", ctypes.c_size_t, [ctypes.c_int]),
            ("ggml_blck_size", ctypes.c_int64, [ctypes.c_int]),
            (
                "ggml_quantize_chunk",
                ctypes.c_size_t,
                [ctypes.c_int, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 3, ctypes.c_void_p],
            ),
        ):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        return library, str(path)
    return None, "; ".join(problems) or "pywhispercpp is not installed, or its wheel has no ggml library"


def _row_function(name: str) -> Any:
    """Return the exported function ``(const void *source, void *target, int64_t weights)``, or None."""
    library, _ = ggml_library()
    function = getattr(library, name, None) if library is not None else None
    if function is not None:
        function.restype = None
        function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    return function


def _decoder_name(type_name: str) -> str:
    """Name of the C function that decodes rows of a type."""
    if type_name in ("F16", "BF16"):
        return {"F16": "ggml_fp16_to_fp32_row", "BF16": "ggml_bf16_to_fp32_row"}[type_name]
    return "dequantize_row_" + type_name.lower().replace("_k", "_K")


def _check_layout(library: ctypes.CDLL, type_name: str) -> None:
    """Fail if the library has another block size; a call would then run past the arrays."""
    type_id, weights, block_bytes = TYPES[type_name]
    have = (library.ggml_blck_size(type_id), library.ggml_type_size(type_id))
    if have != (weights, block_bytes):
        raise RuntimeError(f"{type_name}: blocks are {have} in ggml, not {(weights, block_bytes)}")


def ggml_dequantize(type_name: str, blocks: U8) -> F32 | None:
    """Decode blocks with ggml.

    Parameters
    ----------
    type_name : str
        Name of a type.
    blocks : ndarray
        uint8 ``[n, block_bytes]``.

    Returns
    -------
    ndarray or None
        float32 ``[n, weights]``; None where the library is absent or has no decoder for the type (always
        so for F32, F64, the integer types and Q8_1; Q2_0 is missing in older versions).
    """
    library, _ = ggml_library()
    function = _row_function(_decoder_name(type_name))
    if library is None or function is None:
        return None
    _check_layout(library, type_name)
    weights, block_bytes = TYPES[type_name][1:]
    source = np.ascontiguousarray(blocks, dtype=np.uint8)
    if source.ndim != 2 or source.shape[1] != block_bytes:
        raise ValueError(f"{type_name}: blocks of shape {source.shape}, not [n, {block_bytes}]")
    values = np.zeros((len(source), weights), dtype=np.float32)
    function(source.ctypes.data, values.ctypes.data, values.size)
    return values


def ggml_quantize(type_name: str, values: F32) -> U8 | None:
    """Quantise rows with ggml.

    Parameters
    ----------
    type_name : str
        Name of a type.
    values : ndarray
        float32 ``[n, width]``; the width is a multiple of the weights per block.

    Returns
    -------
    ndarray or None
        uint8 ``[n * width / weights, block_bytes]``, row after row; None where the library is absent or
        does not know the type. The three types that demand an importance matrix get one of all ones.
    """
    library, _ = ggml_library()
    known = type_name == "F32" or _row_function(_decoder_name(type_name)) is not None
    own = _row_function(_OWN_QUANTIZER[type_name]) if type_name in _OWN_QUANTIZER else None
    if library is None or type_name in _NOT_QUANTIZED or not (known or own is not None):
        return None
    _check_layout(library, type_name)
    type_id, weights, block_bytes = TYPES[type_name]
    source = np.ascontiguousarray(values, dtype=np.float32)
    rows, width = source.shape
    if width % weights:
        raise ValueError(f"{type_name}: a width of {width} is not a multiple of {weights}")
    blocks = np.zeros((source.size // weights, block_bytes), dtype=np.uint8)
    if own is not None:
        own(source.ctypes.data, blocks.ctypes.data, source.size)
        return blocks
    ones = np.ones(width, dtype=np.float32)
    importance = ones.ctypes.data if type_name in _NEEDS_IMPORTANCE else None
    # The call prepares the search tables of the IQ types by itself.
    size = library.ggml_quantize_chunk(
        type_id, source.ctypes.data, blocks.ctypes.data, 0, rows, width, importance
    )
    if size != blocks.nbytes:
        raise RuntimeError(f"{type_name}: ggml wrote {size} bytes, not {blocks.nbytes}")
    return blocks
