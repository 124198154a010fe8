"""The tensor types and ways of making blocks of them.

In this package a *block* is one row of a uint8 array ``[n, block_bytes]``; it holds a fixed number of
weights. The table is written out by hand, so that it can be compared with what the library says.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]

#: name: (type id in the file, weights per block, bytes per block)
TYPES: dict[str, tuple[int, int, int]] = {
    "F32": (0, 1, 4),
    "F16": (1, 1, 2),
    "Q4_0": (2, 32, 18),
    "Q4_1": (3, 32, 20),
    "Q5_0": (6, 32, 22),
    "Q5_1": (7, 32, 24),
    "Q8_0": (8, 32, 34),
    "Q8_1": (9, 32, 36),
    "Q2_K": (10, 256, 84),
    "Q3_K": (11, 256, 110),
    "Q4_K": (12, 256, 144),
    "Q5_K": (13, 256, 176),
    "Q6_K": (14, 256, 210),
    "Q8_K": (15, 256, 292),
    "IQ2_XXS": (16, 256, 66),
    "IQ2_XS": (17, 256, 74),
    "IQ3_XXS": (18, 256, 98),
    "IQ1_S": (19, 256, 50),
    "IQ4_NL": (20, 32, 18),
    "IQ3_S": (21, 256, 110),
    "IQ2_S": (22, 256, 82),
    "IQ4_XS": (23, 256, 136),
    "I8": (24, 1, 1),
    "I16": (25, 1, 2),
    "I32": (26, 1, 4),
    "I64": (27, 1, 8),
    "F64": (28, 1, 8),
    "IQ1_M": (29, 256, 56),
    "BF16": (30, 1, 2),
    "TQ1_0": (34, 256, 54),
    "TQ2_0": (35, 256, 66),
    "MXFP4": (39, 32, 17),
    "NVFP4": (40, 64, 36),
    "Q1_0": (41, 128, 18),
    "Q2_0": (42, 64, 18),
}

#: Byte offsets of the IEEE half scales of a block (of the value itself for F16). IQ1_M scatters its one
#: half over four words, see ``write_half_scales``; types that are not listed have no half scale.
HALF_SCALES: dict[str, tuple[int, ...]] = {
    "F16": (0,),
    "Q4_0": (0,),
    "Q4_1": (0, 2),
    "Q5_0": (0,),
    "Q5_1": (0, 2),
    "Q8_0": (0,),
    "Q8_1": (0, 2),
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
    "IQ2_XXS": (0,),
    "IQ2_XS": (0,),
    "IQ3_XXS": (0,),
    "IQ1_S": (0,),
    "IQ4_NL": (0,),
    "IQ3_S": (0,),
    "IQ2_S": (0,),
    "IQ4_XS": (0,),
    "IQ1_M": (48,),
    "TQ1_0": (52,),
    "TQ2_0": (64,),
    "Q1_0": (0,),
    "Q2_0": (0,),
}


def half_scale_count(type_name: str) -> int:
    """Return how many IEEE half scales a block of the type has."""
    return len(HALF_SCALES.get(type_name, ()))


def write_half_scales(type_name: str, blocks: U8, bits: Sequence[int] | npt.NDArray[np.integer]) -> None:
    """Overwrite the half scales of blocks in place.

    Parameters
    ----------
    type_name : str
        Name of a type.
    blocks : ndarray
        uint8 ``[n, block_bytes]``.
    bits : array_like
        Bit patterns of the halves, ``[scales]`` or ``[n, scales]``.
    """
    table = np.asarray(bits, dtype=np.int64)
    patterns = np.broadcast_to(table, (len(blocks), half_scale_count(type_name)))
    if type_name == "IQ1_M":
        # Word k, at byte 48 + 2 k, carries bits 4 k .. 4 k + 3 in its top four bits.
        for k in range(4):
            high = blocks[:, 49 + 2 * k]
            high[:] = (high & 15) | (((patterns[:, 0] >> (4 * k)) & 15) << 4).astype(np.uint8)
        return
    for column, offset in enumerate(HALF_SCALES.get(type_name, ())):
        blocks[:, offset] = (patterns[:, column] & 0xFF).astype(np.uint8)
        blocks[:, offset + 1] = (patterns[:, column] >> 8).astype(np.uint8)


def random_blocks(type_name: str, n: int, rng: np.random.Generator) -> U8:
    """Return ``n`` blocks of random bytes, uint8 ``[n, block_bytes]``; any bytes are a valid block."""
    return rng.integers(0, 256, size=(n, TYPES[type_name][2]), dtype=np.uint8)


def _random_ieee(
    rng: np.random.Generator, n: int, mantissa_bits: int, bias: int, exponents: tuple[int, int]
) -> npt.NDArray[np.uint64]:
    """Bit patterns ``[n]`` of floats of either sign with powers of two in the given range, ends included."""
    low, high = exponents
    sign_shift = mantissa_bits + int(2 * bias + 1).bit_length()
    sign = rng.integers(0, 2, size=n, dtype=np.uint64) << np.uint64(sign_shift)
    exponent = rng.integers(bias + low, bias + high + 1, size=n, dtype=np.uint64) << np.uint64(mantissa_bits)
    mantissa = rng.integers(0, 1 << mantissa_bits, size=n, dtype=np.uint64)
    patterns: npt.NDArray[np.uint64] = sign | exponent | mantissa
    return patterns


def finite_blocks(type_name: str, n: int, rng: np.random.Generator) -> U8:
    """Return ``n`` blocks, uint8 ``[n, block_bytes]``, random but with moderate scales.

    Every scale is finite with magnitude from 2^-10 up to 2^5 (the value itself for the floating-point
    types of one weight), so all decoded weights are finite. Integer types are plain random bytes.
    """
    blocks = random_blocks(type_name, n, rng)
    moderate = (-10, 4)
    count = half_scale_count(type_name)
    if count:
        write_half_scales(type_name, blocks, _random_ieee(rng, n * count, 10, 15, moderate).reshape(n, count))
    elif type_name in ("F32", "Q8_K"):
        blocks[:, :4] = _random_ieee(rng, n, 23, 127, moderate).astype("<u4").view(np.uint8).reshape(n, 4)
    elif type_name == "BF16":
        blocks[:] = _random_ieee(rng, n, 7, 127, moderate).astype("<u2").view(np.uint8).reshape(n, 2)
    elif type_name == "F64":
        blocks[:] = _random_ieee(rng, n, 52, 1023, moderate).astype("<u8").view(np.uint8).reshape(n, 8)
    elif type_name == "MXFP4":
        blocks[:, 0] = rng.integers(118, 133, size=n, dtype=np.uint8)
    return blocks


# Where the 16-, 32- and 64-bit words of each block lie: (offset, width, count), from the published layouts.
_WORDS: dict[str, list[tuple[int, int, int]]] = {
    "F32": [(0, 4, 1)], "F16": [(0, 2, 1)], "BF16": [(0, 2, 1)], "F64": [(0, 8, 1)],
    "I8": [], "I16": [(0, 2, 1)], "I32": [(0, 4, 1)], "I64": [(0, 8, 1)],
    "Q1_0": [(0, 2, 1)], "Q2_0": [(0, 2, 1)], "Q4_0": [(0, 2, 1)], "Q4_1": [(0, 2, 2)],
    "Q5_0": [(0, 2, 1), (2, 4, 1)], "Q5_1": [(0, 2, 2), (4, 4, 1)], "Q8_0": [(0, 2, 1)], "Q8_1": [(0, 2, 2)],
    "Q2_K": [(80, 2, 2)], "Q3_K": [(108, 2, 1)], "Q4_K": [(0, 2, 2)], "Q5_K": [(0, 2, 2)],
    "Q6_K": [(208, 2, 1)],
    "Q8_K": [(0, 4, 1), (260, 2, 16)],
    "IQ2_XXS": [(0, 2, 1), (2, 4, 16)], "IQ2_XS": [(0, 2, 33)], "IQ2_S": [(0, 2, 1)],
    "IQ3_XXS": [(0, 2, 1), (66, 4, 8)], "IQ3_S": [(0, 2, 1)], "IQ1_S": [(0, 2, 1), (34, 2, 8)],
    "IQ1_M": [(48, 2, 4)], "IQ4_NL": [(0, 2, 1)], "IQ4_XS": [(0, 2, 2)],
    "TQ1_0": [(52, 2, 1)], "TQ2_0": [(64, 2, 1)], "MXFP4": [], "NVFP4": [],
}  # fmt: skip


def byte_swapped(name: str, blocks: U8) -> U8:
    """Return blocks as they lie in a file of the other byte order."""
    result = blocks.copy()
    for offset, width, count in _WORDS[name]:
        words = blocks[:, offset : offset + width * count].reshape(len(blocks), count, width)
        result[:, offset : offset + width * count] = words[:, :, ::-1].reshape(len(blocks), -1)
    return result
