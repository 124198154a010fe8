"""Rows in parts through ``tests/csrc/programs/scaled.c``, which asks every back end that runs."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tools.native import clean_environment

from .oracles.blocks import TYPES
from .oracles.compare import assert_bit_equal
from .oracles.scaled import ScaledRow

F32 = npt.NDArray[np.float32]

# As simd/scaling.h numbers them.
CODES = {"e4m3": 1, "e5m2": 2, "e2m1": 3, "bits": 4}
NUMBERS = {None: 0, "f32": 1, "f16": 2, "bf16": 3, "f64": 4, "e8m0": 5, "e4m3": 6}
FACTORS = {"": 0, "multiplies": 1, "divides": 2}


def case(row: ScaledRow) -> bytes:
    """Return a row as the program reads it."""
    assert tuple(map(len, row.parts)) == row.part_bytes()
    type_id = TYPES[row.code][0] if row.code in TYPES else -1
    return struct.pack(
        "=6ifI4Q",
        CODES.get(row.code, 0),
        type_id,
        row.n_bits,
        NUMBERS[row.scales],
        NUMBERS[row.biases],
        FACTORS[row.factor_kind],
        row.factor,
        row.n_columns,
        row.group,
        *map(len, row.parts),
    ) + b"".join(row.parts)


def decode(command: Sequence[object], rows: Sequence[ScaledRow]) -> tuple[list[F32], str]:
    """Return what the back ends of a program, which must agree, make of rows, and which they are."""
    done = subprocess.run(
        [str(word) for word in command],
        input=b"".join(map(case, rows)),
        capture_output=True,
        check=False,
        env=clean_environment(),
    )
    assert done.returncode == 0, done.stderr.decode()
    floats = np.frombuffer(done.stdout, np.float32)
    ends = np.cumsum([row.n_columns for row in rows])
    assert len(floats) == ends[-1]
    return np.split(floats, ends[:-1]), done.stderr.decode()


def require(command: Sequence[object], rows: Sequence[ScaledRow], expected: Sequence[F32], isa: str) -> None:
    """Fail unless the rows come out as expected, from a back end of that name too."""
    got, isas = decode(command, rows)
    assert f"{isa}: {len(rows)} rows" in isas
    for row, a, b in zip(rows, got, expected, strict=True):
        try:
            assert_bit_equal(a, b)
        except AssertionError as error:
            raise AssertionError(f"{replace(row, parts=(b'', b'', b''))}: {error}") from None
