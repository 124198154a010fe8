"""Independent references that decoded rows are compared with.

There are three: the ``gguf`` package, the ggml library, and the plain formulas of the file format. None
of them uses any code of this project, except that the formulas read the codebooks of the IQ types from
``csrc/simd/grids.c`` after verifying their hashes.
"""

from .blocks import (
    HALF_SCALES,
    TYPES,
    byte_swapped,
    finite_blocks,
    half_scale_count,
    random_blocks,
    write_half_scales,
)
from .codes import KINDS as CODED_TYPES
from .codes import coded_scores
from .compare import assert_bit_equal
from .formula import formula_dequantize
from .ggml import ggml_dequantize, ggml_library, ggml_quantize
from .gguf_py import gguf_py_dequantize

__all__ = [
    "CODED_TYPES",
    "HALF_SCALES",
    "TYPES",
    "assert_bit_equal",
    "byte_swapped",
    "coded_scores",
    "finite_blocks",
    "formula_dequantize",
    "ggml_dequantize",
    "ggml_library",
    "ggml_quantize",
    "gguf_py_dequantize",
    "half_scale_count",
    "random_blocks",
    "write_half_scales",
]
