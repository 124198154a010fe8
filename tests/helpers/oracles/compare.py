"""Comparison of decoded rows, bit for bit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]


def assert_bit_equal(a: F32, b: F32) -> None:
    """Fail unless two float32 arrays are equal bit for bit.

    Zeros must have the same sign. A NaN equals any other NaN: its sign and payload depend on the compiler
    and the instruction set, also in the reference implementations.

    Parameters
    ----------
    a, b : ndarray
        float32 arrays of the same shape.

    Raises
    ------
    AssertionError
        Says how many elements differ, and where the first is with both values.
    """
    for name, array in (("first", a), ("second", b)):
        if array.dtype != np.float32:
            raise AssertionError(f"the {name} array is {array.dtype}, not float32")
    if a.shape != b.shape:
        raise AssertionError(f"shapes differ: {a.shape} and {b.shape}")
    bits_a = np.ascontiguousarray(a).view(np.uint32)
    bits_b = np.ascontiguousarray(b).view(np.uint32)
    differs = (bits_a != bits_b) & ~(np.isnan(a) & np.isnan(b))
    if not differs.any():
        return
    index = tuple(int(k) for k in np.argwhere(differs)[0])
    raise AssertionError(
        f"{int(differs.sum())} of {differs.size} elements differ, first at {index}: "
        f"0x{int(bits_a[index]):08X} ({a[index]!r}) and 0x{int(bits_b[index]):08X} ({b[index]!r})"
    )
