"""Dot products of rows of codes as ``csrc/simd/generic/coded.h`` words them, bit for bit, in NumPy.

Codes, scales and minima are not unpacked once more: they are what the formulas of the types make of blocks
whose other fields have been set to one or zero.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .blocks import TYPES
from .formula import formula_dequantize

Array = npt.NDArray[Any]

ONE, MINUS_ONE, ZERO = b"\x00\x3c", b"\x00\xbc", b"\x00\x00"

#: Which columns of a group of 32 share a sum, and into which of 16 lanes it goes, of even and of odd groups.
_J = np.arange(8)
_FOUR = np.stack([4 * _J, 4 * _J + 1, 4 * _J + 2, 4 * _J + 3], 1)
_SPLIT = np.stack([2 * _J, 2 * _J + 1, 16 + 2 * _J, 17 + 2 * _J], 1)


class Kind(NamedTuple):
    """How a type is probed.

    ``codes``, ``scales`` and ``minima`` are what is written over which bytes of a block, so that its
    weights become them.
    """

    columns: Array
    wide: bool
    codes: dict[int, bytes]
    scales: dict[int, bytes]
    minima: dict[int, bytes] | None = None
    shared: int = 32  #: columns that share a minimum


KINDS: dict[str, Kind] = {
    "Q4_0": Kind(_SPLIT, False, {0: ONE}, {2: b"\x99" * 16}),
    "Q4_1": Kind(_SPLIT, False, {0: ONE + ZERO}, {2: ZERO, 4: b"\x11" * 16}, {0: ZERO}),
    "Q5_0": Kind(_FOUR, False, {0: ONE}, {2: b"\xff" * 4 + b"\x11" * 16}),
    "Q5_1": Kind(_FOUR, False, {0: ONE + ZERO}, {2: ZERO + bytes(4) + b"\x11" * 16}, {0: ZERO}),
    "Q8_0": Kind(_SPLIT, True, {0: ONE}, {2: b"\x01" * 32}),
    "IQ4_NL": Kind(_SPLIT, True, {0: ONE}, {2: b"\x88" * 16}),
    "MXFP4": Kind(_SPLIT, False, {0: b"\x80"}, {1: b"\x11" * 16}),
    "Q2_K": Kind(
        _FOUR,
        False,
        {0: b"\x01" * 16, 80: ONE + ZERO},
        {16: b"\x55" * 64, 82: ZERO},
        {16: bytes(64), 80: ZERO},
        16,
    ),
    "Q3_K": Kind(_FOUR, False, {96: b"\x11" * 8 + b"\xaa" * 4, 108: ONE}, {0: b"\xff" * 32 + b"\x55" * 64}),
    "Q4_K": Kind(
        _SPLIT,
        False,
        {0: ONE + ZERO, 4: b"\x01" * 4 + bytes(4) + b"\x01" * 4},
        {2: ZERO, 16: b"\x11" * 128},
        {0: ZERO, 16: bytes(128)},
    ),
    "Q5_K": Kind(
        _FOUR,
        False,
        {0: ONE + ZERO, 4: b"\x01" * 4 + bytes(4) + b"\x01" * 4},
        {2: ZERO, 16: bytes(32) + b"\x11" * 128},
        {0: ZERO, 16: bytes(160)},
    ),
    "Q6_K": Kind(_FOUR, False, {192: b"\x01" * 16, 208: ONE}, {0: b"\x11" * 128 + b"\xaa" * 64}),
}


def _probe(name: str, blocks: Array, fields: dict[int, bytes]) -> Array:
    """Return the weights of blocks with some bytes replaced."""
    changed = blocks.copy()
    for offset, value in fields.items():
        changed[:, offset : offset + len(value)] = np.frombuffer(value, np.uint8)
    return formula_dequantize(name, changed)


def fuse(x: Array, y: Array, z: Array) -> Array:
    """Return ``x * y + z`` of float32 with one rounding.

    The product is exact in float64; the sum is rounded to odd (Boldo and Melquiond, 2008), so that a second
    rounding does no harm.
    """
    product = x.astype(np.float64) * y
    total = product + z
    rest = total - product
    error = (product - (total - rest)) + (z - rest)
    bits = total.view(np.int64).copy()
    bits -= ((error < 0) & (total > 0)) | ((error > 0) & (total < 0))
    bits |= error != 0
    return bits.view(np.float64).astype(np.float32)


def whole_query(x: Array) -> tuple[Array, float]:
    """Return a block of a query in whole numbers, and the power of two that one of them is worth."""
    exponent = 200
    while np.abs(np.rint(np.ldexp(x.astype(np.float64), exponent))).max(initial=0) >= 2**23:
        exponent -= 1
    if not x.any():
        exponent = 0
    return np.rint(np.ldexp(x.astype(np.float64), exponent)).astype(np.int64), 2.0**-exponent


def coded_scores(name: str, blocks: Array, query: Array) -> Array:
    """Return the scores of rows of finite blocks, [rows][blocks of a row * bytes], against one query."""
    kind, n_rows = KINDS[name], len(blocks)
    rows = blocks.reshape(-1, TYPES[name][2])
    codes = _probe(name, rows, kind.codes).reshape(n_rows, -1).astype(np.int64)
    scales = _probe(name, rows, kind.scales).reshape(n_rows, -1)
    minima = None if kind.minima is None else _probe(name, rows, kind.minima).reshape(n_rows, -1)
    totals = np.zeros((n_rows, 8))
    for start in range(0, len(query), 1024):
        whole, unit = whole_query(query[start : start + 1024])
        lanes = np.zeros((n_rows, 16), np.float32)
        for group in range(len(whole) // 32):
            columns = 32 * group + kind.columns
            for part, to in _parts(kind, columns, group):
                sums = (codes[:, start + part] * whole[part]).sum(axis=2)
                scale = scales[:, start + part[:, 0]].astype(np.float32)
                lanes[:, to] = fuse(sums.astype(np.float32), scale, lanes[:, to])
        if minima is not None:
            sums = whole.reshape(-1, kind.shared).sum(axis=1).astype(np.float32)
            for i, total in enumerate(sums):
                minimum = minima[:, start + i * kind.shared].astype(np.float32)
                lanes[:, i % 16] = fuse(total[None], minimum, lanes[:, i % 16])
        totals += (lanes[:, :8] + lanes[:, 8:]).astype(np.float64) * unit
    four = totals[:, :4] + totals[:, 4:]
    return ((four[:, 0] + four[:, 2]) + (four[:, 1] + four[:, 3])).astype(np.float32)


def _parts(kind: Kind, columns: Array, group: int) -> list[tuple[Array, slice]]:
    if kind.wide:
        return [(columns[:, :2], slice(0, 8)), (columns[:, 2:], slice(8, 16))]
    return [(columns, slice(0, 8) if group % 2 == 0 else slice(8, 16))]
