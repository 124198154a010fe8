"""Rows whose codes, scales and biases lie apart: every code and scale, and random rows, on every back end."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.helpers.oracles import scaled
from tests.helpers.oracles.blocks import TYPES
from tests.helpers.oracles.compare import assert_bit_equal
from tests.helpers.oracles.scaled import ScaledRow
from tools.native import PROGRAMS, Build, clean_environment

F32 = npt.NDArray[np.float32]

# As simd/scaling.h numbers them.
CODES = {"e4m3": 1, "e5m2": 2, "e2m1": 3, "bits": 4}
NUMBERS = {None: 0, "f32": 1, "f16": 2, "bf16": 3, "f64": 4, "e8m0": 5, "e4m3": 6}
FACTORS = {"": 0, "multiplies": 1, "divides": 2}

GROUPS = (0, 16, 32, 48, 64, 112, 128, 512, 1024, 1 << 40)
BITS = (2, 3, 4, 5, 6, 8)


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


@pytest.fixture(scope="module")
def plain(plain_build: Build) -> tuple[Path]:
    return (plain_build.program("scaled", [PROGRAMS / "scaled.c"]),)


# -------------------------------------------------------------------------- every code, every scale


def every_code() -> Iterator[tuple[ScaledRow, F32]]:
    """Yield rows of all codes of every kind, and their values as another implementation has them."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    every = np.arange(256, dtype=np.uint8)
    nibbles = every[:16]
    for code, codes, name in (
        ("e4m3", every, "float8_e4m3fn"),
        ("e5m2", every, "float8_e5m2"),
        ("e2m1", nibbles, "float4_e2m1fn"),
    ):
        stored = (codes[0::2] | codes[1::2] << 4 if code == "e2m1" else codes).tobytes()
        values = codes.view(getattr(ml_dtypes, name)).astype(np.float32)
        yield ScaledRow(len(codes), code, parts=(stored, b"", b"")), values
    for n_bits in BITS:
        codes = every[: 1 << n_bits]
        bits = np.unpackbits(codes[:, None], axis=1, bitorder="little")[:, :n_bits]
        stored = np.packbits(bits, bitorder="little").tobytes()
        yield ScaledRow(len(codes), "bits", n_bits, parts=(stored, b"", b"")), codes.astype(np.float32)
    yield ScaledRow(256, "I8", parts=(every.tobytes(), b"", b"")), every.view(np.int8).astype(np.float32)
    for kind, name in (("e4m3", "float8_e4m3fn"), ("e8m0", "float8_e8m0fnu")):
        values = np.repeat(every.view(getattr(ml_dtypes, name)).astype(np.float32), 16)
        ones = np.full(256 * 16, 1, np.int8).tobytes()
        yield ScaledRow(4096, "I8", scales=kind, group=16, parts=(ones, every.tobytes(), b"")), values


def test_every_code_and_scale(plain: tuple[Path]) -> None:
    rows, expected = zip(*every_code(), strict=True)
    require(plain, rows, expected, "portable")


def test_the_oracle_knows_every_code_and_scale() -> None:
    for row, values in every_code():
        assert_bit_equal(row.weights(), values)


# -------------------------------------------------------------------------------------- random rows


def hard_bytes(rng: np.random.Generator, kind: str | None, n_bytes: int) -> bytes:
    """Return stored scales: any bits, or the magnitudes that tables have, a few of them special."""
    if kind in (None, "e8m0", "e4m3") or rng.random() < 0.3:
        return rng.bytes(n_bytes)
    floats = (rng.standard_normal(n_bytes) * 10.0 ** rng.integers(-3, 3)).astype(np.float32)
    special = np.array([0, -0.0, np.nan, np.inf, 1e-40, 3e38, 2.0**120], np.float32)
    floats = np.where(rng.random(n_bytes) < 0.05, rng.choice(special, n_bytes), floats)
    with np.errstate(over="ignore"):
        as_stored = {"f32": np.float32, "f16": np.float16, "f64": np.float64, "bf16": np.uint32}[kind]
        if kind == "bf16":
            return (floats.view(np.uint32) >> 16).astype(np.uint16).tobytes()[:n_bytes]
        return floats.astype(as_stored).tobytes()[:n_bytes]


def filled(rng: np.random.Generator, row: ScaledRow) -> ScaledRow:
    """Return a row with random parts."""
    n_codes, n_scales, n_biases = row.part_bytes()
    scales = hard_bytes(rng, row.scales, n_scales)
    return replace(row, parts=(rng.bytes(n_codes), scales, hard_bytes(rng, row.biases, n_biases)))


def widths(rng: np.random.Generator, code: str) -> int:
    n_weights = TYPES[code][1] if code in TYPES else 1
    if n_weights > 1:
        return n_weights * int(rng.integers(1, 1 + 1400 // n_weights))
    return int(rng.choice([rng.integers(1, 301), rng.integers(1, 2300), 7, 100, 160, 256]))


def endings(rng: np.random.Generator) -> Iterator[dict[str, object]]:
    """Yield scales, biases and factors: all kinds of them."""
    groups = iter(rng.permutation(np.tile(GROUPS, 10)).tolist())
    yield {}
    for scales in scaled.NUMBER_BYTES:
        yield {"scales": scales, "group": next(groups)}
        for biases in ("f32", "f16", "bf16"):
            yield {"scales": scales, "biases": biases, "group": next(groups)}
        for kind in ("multiplies", "divides"):
            factor = float(np.float32(rng.choice([rng.standard_normal(), 2.0**-130, 1e30, 384.7])))
            yield {"scales": scales, "factor_kind": kind, "factor": factor, "group": next(groups)}


def random_rows(seed: int, rounds: int) -> list[ScaledRow]:
    """Return rows of every kind of code with every ending."""
    rng = np.random.default_rng(seed)
    kinds = [("e4m3", 0), ("e5m2", 0), ("e2m1", 0), *(("bits", n) for n in BITS), *((t, 0) for t in TYPES)]
    return [
        filled(rng, ScaledRow(widths(rng, code), code, n_bits, **ending))  # type: ignore[arg-type]
        for _ in range(rounds)
        for code, n_bits in kinds
        for ending in endings(rng)
    ]


def test_random_rows(plain: tuple[Path]) -> None:
    rows = random_rows(1, 3)
    require(plain, rows, [row.weights() for row in rows], "portable")


@pytest.mark.parametrize("code", ["e4m3", "e5m2", "e2m1", *(f"bits{n}" for n in BITS), "I8", "F16"])
def test_every_width(plain: tuple[Path], code: str) -> None:
    rng = np.random.default_rng(2)
    n_bits = int(code[4:]) if code.startswith("bits") else 0
    name = "bits" if n_bits else code
    rows = [
        filled(rng, ScaledRow(n, name, n_bits, scales="f32", biases=biases, group=int(rng.choice(GROUPS))))
        for n in range(1, 301)
        for biases in (None, "f32")
    ]
    require(plain, rows, [row.weights() for row in rows], "portable")


def test_nothing_beside_a_row_is_read(asan_build: Build) -> None:
    rows = random_rows(3, 1)
    program = asan_build.program("scaled", [PROGRAMS / "scaled.c"])
    require([program], rows, [row.weights() for row in rows], "portable")


def test_avx512_in_plain_c(plain_build: Build) -> None:
    if not Path("/usr/include/simde/x86/avx512.h").is_file():
        pytest.skip("SIMDe is not installed (Debian: libsimde-dev)")
    sources = [PROGRAMS / "scaled.c", PROGRAMS / "emulated" / "avx512.c"]
    program = plain_build.program("scaled-emulated", sources)
    rows = random_rows(4, 1)
    require([program], rows, [row.weights() for row in rows], "avx512_emulated")


def test_neon_under_emulation(neon_build: Build) -> None:
    emulator = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
    if emulator is None:
        pytest.skip("qemu-aarch64 is not installed")
    rows = random_rows(5, 1)
    program = neon_build.program("scaled", [PROGRAMS / "scaled.c"])
    require([emulator, program], rows, [row.weights() for row in rows], "neon")
