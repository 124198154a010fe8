"""The ``gguf`` package as a reference decoder."""

from __future__ import annotations

import numpy as np

from .blocks import F32, TYPES, U8


def gguf_py_dequantize(type_name: str, blocks: U8) -> F32 | None:
    """Decode blocks with the ``gguf`` package.

    Parameters
    ----------
    type_name : str
        Name of a type.
    blocks : ndarray
        uint8 ``[n, block_bytes]``.

    Returns
    -------
    ndarray or None
        float32 ``[n, weights]``; None where the package is not installed, does not know the type, has no
        decoder for it, or has another block size (its Q8_1 differs from the file format).
    """
    try:
        import gguf
    except ImportError:
        return None
    type_id, weights, block_bytes = TYPES[type_name]
    try:
        qtype = gguf.GGMLQuantizationType(type_id)
    except ValueError:
        return None
    if gguf.GGML_QUANT_SIZES.get(qtype) != (weights, block_bytes):
        return None
    if len(blocks) == 0:
        return np.empty((0, weights), np.float32)
    try:
        with np.errstate(all="ignore"):
            # One long row: the package works through rows in small groups.
            values = gguf.quants.dequantize(np.ascontiguousarray(blocks).reshape(1, -1), qtype)
    except NotImplementedError:
        return None
    return np.ascontiguousarray(values, dtype=np.float32).reshape(len(blocks), weights)
