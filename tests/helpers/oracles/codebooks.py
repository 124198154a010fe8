"""The constant tables that the formulas need.

Codebooks are taken from the generated C file and must have the SHA-256 repeated here, so an error in that
file cannot reach the reference values.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]

_SOURCE = Path(__file__).resolve().parents[3] / "csrc" / "simd" / "grids.c"

_HASHES = {
    "iq2_xxs": "05826b5d3e472a3a78f196be62ac78acf81df0f909626e12ab9fa2a5d490dd54",
    "iq2_xs": "06e47aaca60b4dc1d9b5a3f34540437058a6b142b4d7a59d5ded769b4d1bf1de",
    "iq2_s": "e1aa1473412b0552c2174c30ef22ab4073f6a181b85a17056e8249bd2932fd88",
    "iq3_xxs": "46e35f5a997efdee6c99ce57854c8a0d4f0ff8ca57e5e8a60c0793ea580acf5d",
    "iq3_s": "bd1af4945a1717c65610b0284e4628b9a1ba3b306fae3a06f6e5f597356e349f",
    "iq1_s": "07540ffc1aeaf6ad4d97e96b0fcc765aae39671d4ae4a27bbd0e796fde167c6a",
}

#: Sixteen levels of the non-linear 4-bit types.
LEVELS_NL: I64 = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113])
#: Twice the values of the 4-bit float E2M1; minus zero is plain zero.
LEVELS_FP4: I64 = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12])
#: Seven stored sign bits and an eighth that makes their number even.
SIGN_MASKS: I64 = np.array([i | (bin(i).count("1") % 2) * 128 for i in range(128)])


@cache
def codebook(name: str) -> I64:
    """Return a codebook as int64 ``[rows, columns]``."""
    text = _SOURCE.read_text("ascii")
    match = re.search(rf"pye_grid_{name}\[(\d+) [*+] \d+\] = \{{([^}}]*)\}}", text)
    if match is None:
        raise ValueError(f"{_SOURCE}: no table for {name}")
    n_rows, numbers = int(match[1]), re.findall(r"0x[0-9A-F]{4}|-?\d+", match[2])
    entries = np.array([int(number, 0) for number in numbers], dtype=np.int64)
    if numbers[0].startswith("0x"):  # eight pairs of bits each, and a zero behind the last
        entries = (entries[:n_rows, None] >> 2 * np.arange(8) & 3) - 1
    table = entries.reshape(n_rows, -1)
    if hashlib.sha256(table.astype(np.int8).tobytes()).hexdigest() != _HASHES[name]:
        raise ValueError(f"{_SOURCE}: the table for {name} is not the expected one")
    return table
