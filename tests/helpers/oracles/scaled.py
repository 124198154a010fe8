"""Rows whose codes, scales and biases lie apart: the formulas of ``csrc/simd/scaling.h``, written plainly.

Small floats are computed from their fields, streams of bits are taken apart bit by bit, and a weight is a
few float32 operations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .blocks import TYPES
from .formula import formula_dequantize

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]

#: Bits a code, for those that are not numbers of a given length.
CODE_BITS = {"e4m3": 8, "e5m2": 8, "e2m1": 4}
#: Bytes of a scale or a bias.
NUMBER_BYTES = {"f32": 4, "f16": 2, "bf16": 2, "f64": 8, "e8m0": 1, "e4m3": 1}


def small_float(codes: U8, exponent_bits: int, fraction_bits: int) -> F32:
    """Return the numbers of 1 + `exponent_bits` + `fraction_bits` bits, as if all codes were finite."""
    bias = 2 ** (exponent_bits - 1) - 1
    wide = codes.astype(np.int64)
    fraction = wide % 2**fraction_bits
    exponent = wide // 2**fraction_bits % 2**exponent_bits
    sign = 1.0 - 2.0 * (wide >> (exponent_bits + fraction_bits) & 1)
    normal = np.ldexp(1.0 + fraction / 2**fraction_bits, (exponent - bias).astype(np.int32))
    subnormal = np.ldexp(fraction / 2**fraction_bits, 1 - bias)
    return (sign * np.where(exponent == 0, subnormal, normal)).astype(np.float32)


def e4m3(codes: U8) -> F32:
    """Return E4M3FN: no infinities, and a NaN of each sign."""
    return np.where(codes % 128 == 127, np.float32(np.nan), small_float(codes, 4, 3))


def e5m2(codes: U8) -> F32:
    """Return E5M2, whose last exponent is that of infinities and NaNs as in IEEE 754."""
    special = np.where(codes % 4 == 0, np.where(codes < 128, np.inf, -np.inf), np.nan).astype(np.float32)
    return np.where(codes // 4 % 32 == 31, special, small_float(codes, 5, 2))


def e2m1(codes: U8) -> F32:
    """Return E2M1, all of whose codes are finite."""
    return small_float(codes, 2, 1)


def e8m0(codes: U8) -> F32:
    """Return powers of two, and NaN for 255."""
    powers = np.ldexp(1.0, np.minimum(codes, 254).astype(np.int32) - 127).astype(np.float32)
    return np.where(codes == 255, np.float32(np.nan), powers)


def numbers(kind: str, stored: bytes) -> F32:
    """Return stored scales or biases as float32."""
    raw = np.frombuffer(stored, np.uint8)
    with np.errstate(all="ignore"):
        if kind == "e8m0":
            return e8m0(raw)
        if kind == "e4m3":
            return e4m3(raw)
        if kind == "bf16":
            return (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        return raw.view({"f32": np.float32, "f16": np.float16, "f64": np.float64}[kind]).astype(np.float32)


def bit_stream(stored: bytes, n_bits: int, n: int) -> U8:
    """Return `n` numbers of `n_bits` bits, lowest bit first."""
    bits = np.unpackbits(np.frombuffer(stored, np.uint8), bitorder="little")[: n * n_bits]
    powers = 1 << np.arange(n_bits)
    return (bits.reshape(n, n_bits) * powers).sum(axis=1).astype(np.uint8)


@dataclass(frozen=True)
class ScaledRow:
    """A row in parts.

    Attributes
    ----------
    code : str
        ``"e4m3"``, ``"e5m2"``, ``"e2m1"``, ``"bits"``, or a type of `TYPES`.
    n_bits : int
        Of ``"bits"``.
    scales, biases : str or None
        How they are stored: a key of `NUMBER_BYTES`.
    group : int
        Columns that share a scale and a bias; 0 is all.
    factor_kind : str
        ``""``, ``"multiplies"`` or ``"divides"``.
    parts : tuple of bytes
        Codes, scales and biases as they are stored.
    """

    n_columns: int
    code: str
    n_bits: int = 0
    scales: str | None = None
    biases: str | None = None
    group: int = 0
    factor_kind: str = ""
    factor: float = 1.0
    parts: tuple[bytes, bytes, bytes] = (b"", b"", b"")

    def part_bytes(self) -> tuple[int, int, int]:
        """Return how many bytes the parts of such a row have."""
        n_groups = -(-self.n_columns // self.group) if self.group else 1
        if self.code in TYPES:
            _, n_weights, block_bytes = TYPES[self.code]
            codes = self.n_columns // n_weights * block_bytes
        else:
            codes = -(-self.n_columns * (self.n_bits or CODE_BITS[self.code]) // 8)
        beside = (n_groups * NUMBER_BYTES[kind] if kind else 0 for kind in (self.scales, self.biases))
        return (codes, *beside)  # type: ignore[return-value]

    def codes(self) -> F32:
        """Return the numbers that the codes stand for."""
        stored, n = self.parts[0], self.n_columns
        raw = np.frombuffer(stored, np.uint8)
        if self.code in TYPES:
            return formula_dequantize(self.code, raw.reshape(-1, TYPES[self.code][2])).reshape(n)
        if self.code == "bits":
            return bit_stream(stored, self.n_bits, n).astype(np.float32)
        if self.code == "e2m1":
            return e2m1(bit_stream(stored, 4, n))
        return {"e4m3": e4m3, "e5m2": e5m2}[self.code](raw)

    def _of_columns(self, kind: str, stored: bytes) -> F32:
        return numbers(kind, stored)[np.arange(self.n_columns) // (self.group or self.n_columns)]

    def weights(self) -> F32:
        """Return the row: float32 ``[n_columns]``."""
        row = self.codes()
        with np.errstate(all="ignore"):
            if self.scales:
                row = row * self._of_columns(self.scales, self.parts[1])
            if self.biases:
                row = row + self._of_columns(self.biases, self.parts[2])
            if self.factor_kind == "multiplies":
                row = row * np.float32(self.factor)
            if self.factor_kind == "divides":
                row = row / np.float32(self.factor)
        return row
