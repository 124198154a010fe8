"""Arrays as ``.npy`` bytes, written so that an error of the file arrives as it is.

`numpy.save` writes regular files past Python, and turns a full disk into an OSError without a number.
"""

from __future__ import annotations

from typing import IO, Any

import numpy as np
import numpy.typing as npt

_CHUNK_BYTES = 16 << 20


def write_header(file: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Write what precedes the numbers of an array in C order."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def write_array(file: IO[bytes], array: npt.NDArray[Any]) -> None:
    """Write an array as one ``.npy`` file."""
    array = np.ascontiguousarray(array)
    write_header(file, array.dtype, array.shape)
    data = array.reshape(-1).view(np.uint8).data
    for first in range(0, len(data), _CHUNK_BYTES):
        file.write(data[first : first + _CHUNK_BYTES])
