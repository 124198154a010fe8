"""The formula of every tensor type, written plainly.

Each type has a function ``f(x, i)`` that returns element ``i`` of every block: ``x`` is uint8
``[n, block_bytes]``, the result float32 ``[n]``. Nothing is shared between elements and nothing is
optimised; the point is that one can read a formula and compare it with the description of the layout.
Integers are exact and every floating-point operation is a single-precision one. Where two factors are
grouped by a helper variable, this is the grouping of the format's definition.

Names in the formulas: ``d`` is the scale of a block and ``m`` its minimum; elements of a block of 256 are
numbered ``i``, and lie in 8 groups of 32, each of these four runs of 8.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from .blocks import F32, TYPES, U8
from .codebooks import LEVELS_FP4, LEVELS_NL, SIGN_MASKS, codebook

I64 = npt.NDArray[np.int64]


# Fields of a block; all are little-endian and o is the offset in bytes.


def _byte(x: U8, o: int) -> I64:
    return x[:, o].astype(np.int64)


def _signed(x: U8, o: int) -> I64:
    value = _byte(x, o)
    return np.where(value < 128, value, value - 256)


def _word(x: U8, o: int) -> I64:
    return _byte(x, o) + 256 * _byte(x, o + 1)


def _quad(x: U8, o: int) -> I64:
    return _word(x, o) + 65536 * _word(x, o + 2)


def _low(byte: I64) -> I64:
    return byte % 16


def _high(byte: I64) -> I64:
    return byte // 16


def _bits(value: I64, first: int, count: int) -> I64:
    """Field of ``count`` bits, counted from the lowest bit."""
    return (value >> first) & ((1 << count) - 1)


def _float(value: I64) -> F32:
    return value.astype(np.float32)


def _half_of(bits: I64) -> F32:
    """Value of an IEEE half: conversion is exact."""
    return bits.astype(np.uint16).view(np.float16).astype(np.float32)


def _half(x: U8, o: int) -> F32:
    return _half_of(_word(x, o))


def _single(x: U8, o: int) -> F32:
    return _quad(x, o).astype(np.uint32).view(np.float32)


def _split(x: U8, o: int, i: int) -> I64:
    """Element i of 32 nibbles in 16 bytes: low nibbles are the first half, high nibbles the second."""
    byte = _byte(x, o + i % 16)
    return _low(byte) if i < 16 else _high(byte)


# Types of one weight: the stored number, converted to single precision.


def _wide(x: U8) -> npt.NDArray[np.uint64]:
    """Eight bytes as an unsigned integer."""
    low, high = _quad(x, 0).astype(np.uint64), _quad(x, 4).astype(np.uint64)
    value: npt.NDArray[np.uint64] = low | (high << np.uint64(32))
    return value


def _f32(x: U8, i: int) -> F32:
    return _single(x, 0)


def _f16(x: U8, i: int) -> F32:
    return _half(x, 0)


def _bf16(x: U8, i: int) -> F32:
    return (_word(x, 0) << 16).astype(np.uint32).view(np.float32)


def _f64(x: U8, i: int) -> F32:
    return _wide(x).view(np.float64).astype(np.float32)


def _i8(x: U8, i: int) -> F32:
    return _float(_signed(x, 0))


def _i16(x: U8, i: int) -> F32:
    return _float(_byte(x, 0) + 256 * _signed(x, 1))


def _i32(x: U8, i: int) -> F32:
    return _float(_quad(x, 0).astype(np.uint32).view(np.int32).astype(np.int64))


def _i64(x: U8, i: int) -> F32:
    return _float(_wide(x).view(np.int64))


# Simple blocks: one scale, perhaps an offset.


def _q1_0(x: U8, i: int) -> F32:
    d = _half(x, 0)
    return np.where(_bits(_byte(x, 2 + i // 8), i % 8, 1) == 1, d, -d)


def _q2_0(x: U8, i: int) -> F32:
    code = _bits(_byte(x, 2 + i // 4), 2 * (i % 4), 2)
    return _float(code - 1) * _half(x, 0)


def _q4_0(x: U8, i: int) -> F32:
    return _float(_split(x, 2, i) - 8) * _half(x, 0)


def _q4_1(x: U8, i: int) -> F32:
    return _float(_split(x, 4, i)) * _half(x, 0) + _half(x, 2)


def _q5_0(x: U8, i: int) -> F32:
    q = _split(x, 6, i) + 16 * _bits(_quad(x, 2), i, 1)
    return _float(q - 16) * _half(x, 0)


def _q5_1(x: U8, i: int) -> F32:
    q = _split(x, 8, i) + 16 * _bits(_quad(x, 4), i, 1)
    return _float(q) * _half(x, 0) + _half(x, 2)


def _q8_0(x: U8, i: int) -> F32:
    return _float(_signed(x, 2 + i)) * _half(x, 0)


def _q8_1(x: U8, i: int) -> F32:
    # The second half caches the scaled sum of the weights and is not needed.
    return _float(_signed(x, 4 + i)) * _half(x, 0)


def _q8_k(x: U8, i: int) -> F32:
    # Sixteen cached sums follow the weights and are not needed.
    return _single(x, 0) * _float(_signed(x, 4 + i))


def _iq4_nl(x: U8, i: int) -> F32:
    return _half(x, 0) * _float(LEVELS_NL[_split(x, 2, i)])


def _mxfp4(x: U8, i: int) -> F32:
    # A power of two, half of what E8M0 means because the levels are doubled; no exponent is special.
    scale: F32 = np.ldexp(np.float32(1), (_byte(x, 0) - 128).astype(np.int32))
    return _float(LEVELS_FP4[_split(x, 1, i)]) * scale


def _nvfp4(x: U8, i: int) -> F32:
    sub, k = i // 16, i % 16
    scale_byte = _byte(x, sub)
    # E4M3 without its sign, halved because the levels are doubled.
    exponent, mantissa = _bits(scale_byte, 3, 4), _bits(scale_byte, 0, 3)
    normal = np.ldexp(_float(8 + mantissa), (exponent - 10).astype(np.int32))
    value = np.where(exponent == 0, np.ldexp(_float(mantissa), -9), normal)
    # The seven low bits all set are a NaN of the format, read as zero; with the top bit, as a number.
    scale: F32 = np.where(scale_byte == 0x7F, np.float32(0), value * np.float32(0.5))
    byte = _byte(x, 4 + 8 * sub + k % 8)
    return _float(LEVELS_FP4[_low(byte) if k < 8 else _high(byte)]) * scale


# Ternary blocks.


def _tq1_0(x: U8, i: int) -> F32:
    # Five base-3 digits in a byte (four in the last bytes), scaled so that a multiplication exposes one.
    if i < 160:
        byte, power = _byte(x, i % 32), i // 32
    elif i < 240:
        byte, power = _byte(x, 32 + (i - 160) % 16), (i - 160) // 16
    else:
        byte, power = _byte(x, 48 + (i - 240) % 4), (i - 240) // 4
    digit = 3 * (byte * 3**power % 256) // 256
    return _float(digit - 1) * _half(x, 52)


def _tq2_0(x: U8, i: int) -> F32:
    code = _bits(_byte(x, 32 * (i // 128) + i % 32), 2 * (i // 32 % 4), 2)
    return _float(code - 1) * _half(x, 64)


# K types: 256 weights in sub-blocks with integer scales of their own.


def _code_2bit(x: U8, o: int, i: int) -> I64:
    """Element i of 256 codes of 2 bits in 64 bytes: a half of 128 takes 32 bytes, low bits first."""
    return _bits(_byte(x, o + 32 * (i // 128) + i % 32), 2 * (i // 32 % 4), 2)


def _q2_k(x: U8, i: int) -> F32:
    pair = _byte(x, i // 16)
    scale = _half(x, 80) * _float(_low(pair))
    minimum = _half(x, 82) * _float(_high(pair))
    return scale * _float(_code_2bit(x, 16, i)) - minimum


def _q3_k(x: U8, i: int) -> F32:
    # The third bit is stored inverted: four is subtracted where it is clear.
    third = _bits(_byte(x, i % 32), i // 32, 1)
    q = _code_2bit(x, 32, i) - 4 * (1 - third)
    k = i // 16
    low = _low(_byte(x, 96 + k)) if k < 8 else _high(_byte(x, 96 + k - 8))
    scale = low + 16 * _bits(_byte(x, 96 + 8 + k % 4), 2 * (k // 4), 2)
    return _half(x, 108) * _float(scale - 32) * _float(q)


def _scale_min(x: U8, k: int) -> tuple[I64, I64]:
    """Scale and minimum k of the eight 6-bit pairs at byte 4."""
    if k < 4:
        return _bits(_byte(x, 4 + k), 0, 6), _bits(_byte(x, 4 + k + 4), 0, 6)
    shared = _byte(x, 4 + k + 4)
    return (
        _low(shared) + 16 * _bits(_byte(x, 4 + k - 4), 6, 2),
        _high(shared) + 16 * _bits(_byte(x, 4 + k), 6, 2),
    )


def _nibble_64(x: U8, o: int, i: int) -> I64:
    """Element i of 256 nibbles: 32 bytes hold 64, low nibbles the first 32."""
    byte = _byte(x, o + 32 * (i // 64) + i % 32)
    return _low(byte) if i // 32 % 2 == 0 else _high(byte)


def _q4_k(x: U8, i: int) -> F32:
    scale, minimum = _scale_min(x, i // 32)
    product = _half(x, 0) * _float(scale) * _float(_nibble_64(x, 16, i))
    return product - _half(x, 2) * _float(minimum)


def _q5_k(x: U8, i: int) -> F32:
    scale, minimum = _scale_min(x, i // 32)
    q = _nibble_64(x, 48, i) + 16 * _bits(_byte(x, 16 + i % 32), i // 32, 1)
    return _half(x, 0) * _float(scale) * _float(q) - _half(x, 2) * _float(minimum)


def _q6_k(x: U8, i: int) -> F32:
    half, group = i // 128, i // 32 % 4
    byte = _byte(x, 64 * half + 32 * (group % 2) + i % 32)
    low = _low(byte) if group < 2 else _high(byte)
    q = low + 16 * _bits(_byte(x, 128 + 32 * half + i % 32), 2 * group, 2) - 32
    return _half(x, 208) * _float(_signed(x, 192 + i // 16)) * _float(q)


# IQ types: rows of a codebook. Below, b is the group of 32, r the run of 8 in it and j the place there.


def _place(i: int) -> tuple[int, int, int]:
    return i // 32, i // 8 % 4, i % 8


def _sign(mask: I64, j: int) -> F32:
    return _float(1 - 2 * _bits(mask, j, 1))


def _iq2_xxs(x: U8, i: int) -> F32:
    b, r, j = _place(i)
    tail = _quad(x, 2 + 8 * b + 4)
    level = codebook("iq2_xxs")[_byte(x, 2 + 8 * b + r), j]
    scale: F32 = _half(x, 0) * (np.float32(0.5) + _float(tail >> 28)) * np.float32(0.25)
    return scale * _float(level) * _sign(SIGN_MASKS[_bits(tail, 7 * r, 7)], j)


def _iq2_scale(x: U8, o: int, b: int, r: int) -> F32:
    """Scale of a run of 8 for IQ2_XS and IQ2_S: a nibble for each 16 weights, from byte ``o``."""
    byte = _byte(x, o + b)
    nibble = _low(byte) if r < 2 else _high(byte)
    scale: F32 = _half(x, 0) * (np.float32(0.5) + _float(nibble)) * np.float32(0.25)
    return scale


def _iq2_xs(x: U8, i: int) -> F32:
    b, r, j = _place(i)
    word = _word(x, 2 + 2 * (4 * b + r))
    level = codebook("iq2_xs")[_bits(word, 0, 9), j]
    return _iq2_scale(x, 66, b, r) * _float(level) * _sign(SIGN_MASKS[word >> 9], j)


def _iq2_s(x: U8, i: int) -> F32:
    b, r, j = _place(i)
    row = _byte(x, 2 + 4 * b + r) + 256 * _bits(_byte(x, 66 + b), 2 * r, 2)
    sign = _sign(_byte(x, 34 + 4 * b + r), j)
    return _iq2_scale(x, 74, b, r) * _float(codebook("iq2_s")[row, j]) * sign


def _iq3_xxs(x: U8, i: int) -> F32:
    b, r, j = _place(i)
    tail = _quad(x, 66 + 4 * b)
    level = codebook("iq3_xxs")[_byte(x, 2 + 8 * b + 2 * r + j // 4), j % 4]
    scale: F32 = _half(x, 0) * (np.float32(0.5) + _float(tail >> 28)) * np.float32(0.5)
    return scale * _float(level) * _sign(SIGN_MASKS[_bits(tail, 7 * r, 7)], j)


def _iq3_s(x: U8, i: int) -> F32:
    b, r, j = _place(i)
    quarter = 2 * r + j // 4
    row = _byte(x, 2 + 8 * b + quarter) + 256 * _bits(_byte(x, 66 + b), quarter, 1)
    nibble = _bits(_byte(x, 106 + b // 2), 4 * (b % 2), 4)
    scale = _half(x, 0) * _float(1 + 2 * nibble)
    return scale * _float(codebook("iq3_s")[row, j % 4]) * _sign(_byte(x, 74 + 4 * b + r), j)


def _shifted(row: I64, j: int, minus: I64) -> F32:
    """Level of the 1-bit types: -1, 0 or 1, moved by an eighth either way."""
    eighth = np.float32(0.125)
    delta: F32 = np.where(minus == 1, -eighth, eighth)
    return _float(codebook("iq1_s")[row, j]) + delta


def _iq1_s(x: U8, i: int) -> F32:
    b, r, j = _place(i)
    word = _word(x, 34 + 2 * b)
    row = _byte(x, 2 + 4 * b + r) + 256 * _bits(word, 3 * r, 3)
    scale = _half(x, 0) * _float(2 * _bits(word, 12, 3) + 1)
    return scale * _shifted(row, j, _bits(word, 15, 1))


def _iq1_m(x: U8, i: int) -> F32:
    b, r, j = _place(i)
    words = [_word(x, 48 + 2 * k) for k in range(4)]
    d = _half_of(sum(((word >> 12) << (4 * k) for k, word in enumerate(words)), np.zeros_like(words[0])))
    extra = _bits(_byte(x, 32 + 2 * b + r // 2), 4 * (r % 2), 4)
    row = _byte(x, 4 * b + r) + 256 * (extra % 8)
    scale = d * _float(2 * _bits(words[b // 2], 6 * (b % 2) + 3 * (r // 2), 3) + 1)
    return scale * _shifted(row, j, extra // 8)


def _iq4_xs(x: U8, i: int) -> F32:
    b = i // 32
    k = _bits(_byte(x, 4 + b // 2), 4 * (b % 2), 4) + 16 * _bits(_word(x, 2), 2 * b, 2)
    return _half(x, 0) * _float(k - 32) * _float(LEVELS_NL[_split(x, 8 + 16 * b, i % 32)])


_ELEMENT: dict[str, Callable[[U8, int], F32]] = {
    **{"F32": _f32, "F16": _f16, "BF16": _bf16, "F64": _f64},
    **{"I8": _i8, "I16": _i16, "I32": _i32, "I64": _i64},
    **{"Q1_0": _q1_0, "Q2_0": _q2_0, "Q4_0": _q4_0, "Q4_1": _q4_1, "Q5_0": _q5_0, "Q5_1": _q5_1},
    **{"Q8_0": _q8_0, "Q8_1": _q8_1, "Q8_K": _q8_k},
    **{"IQ4_NL": _iq4_nl, "MXFP4": _mxfp4, "NVFP4": _nvfp4, "TQ1_0": _tq1_0, "TQ2_0": _tq2_0},
    **{"Q2_K": _q2_k, "Q3_K": _q3_k, "Q4_K": _q4_k, "Q5_K": _q5_k, "Q6_K": _q6_k},
    **{"IQ2_XXS": _iq2_xxs, "IQ2_XS": _iq2_xs, "IQ2_S": _iq2_s, "IQ3_XXS": _iq3_xxs, "IQ3_S": _iq3_s},
    **{"IQ1_S": _iq1_s, "IQ1_M": _iq1_m, "IQ4_XS": _iq4_xs},
}


def formula_dequantize(type_name: str, blocks: U8) -> F32:
    """Decode blocks of any type by its formula.

    Parameters
    ----------
    type_name : str
        Name of a type.
    blocks : ndarray
        uint8 ``[n, block_bytes]``.

    Returns
    -------
    ndarray
        float32 ``[n, weights]``.
    """
    element, weights = _ELEMENT[type_name], TYPES[type_name][1]
    values = np.empty((len(blocks), weights), dtype=np.float32)
    with np.errstate(all="ignore"):
        for i in range(weights):
            column = element(blocks, i)
            if column.dtype != np.float32:
                raise AssertionError(f"{type_name}: the formula gave {column.dtype}")
            values[:, i] = column
    return values
