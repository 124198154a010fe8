"""Rows whose codes, scales and biases lie apart: every code and scale, and random rows, on every back end."""

from __future__ import annotations

import itertools
import json
import shutil
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.helpers.oracles import scaled
from tests.helpers.oracles.blocks import TYPES
from tests.helpers.oracles.compare import assert_bit_equal
from tests.helpers.oracles.scaled import ScaledRow
from tests.helpers.scaled_rows import require
from tools.native import PROGRAMS, Build

F32 = npt.NDArray[np.float32]

GROUPS = (0, 16, 32, 48, 64, 112, 128, 512, 1024, 1 << 40)
BITS = (2, 3, 4, 5, 6, 8)


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


def test_torch_has_the_same_numbers() -> None:
    torch = pytest.importorskip("torch")
    every = np.arange(256, dtype=np.uint8)
    for name, numbers in (
        ("float8_e4m3fn", scaled.e4m3),
        ("float8_e5m2", scaled.e5m2),
        ("float8_e8m0fnu", scaled.e8m0),
    ):
        values = torch.from_numpy(every.copy()).view(getattr(torch, name)).to(torch.float32)
        assert_bit_equal(values.numpy(), numbers(every))


# ---------------------------------------------------------------- what other implementations decode


def published(vectors: dict[str, Any]) -> Iterator[tuple[ScaledRow, F32]]:
    """Yield the rows in parts of a file of published examples."""

    def row(code: str, case: dict[str, Any], codes: str, f32: str, **how: Any) -> tuple[ScaledRow, F32]:
        scales, biases = (bytes.fromhex(how.pop(key, "")) for key in ("scale_bytes", "bias_bytes"))
        values = np.frombuffer(bytes.fromhex(case[f32]), "<f4")
        parts = (bytes.fromhex(case[codes]), scales, biases)
        return ScaledRow(len(values), code, parts=parts, **how), values

    def one_scale(name: str, code: str) -> tuple[ScaledRow, F32]:
        case = vectors[name]
        return row(code, case, "raw", "f32", scales="f32", scale_bytes=case["scale_f32"])

    yield from (one_scale("fp8_global", "e4m3"), one_scale("fp8_row_scale", "e4m3"))
    yield one_scale("int8_row_scale", "I8")
    case = vectors["nvfp4_row160"]
    nvfp4 = {"scales": "e4m3", "scale_bytes": case["block_scales"], "group": 16}
    [factor] = struct.unpack("<f", bytes.fromhex(case["global_f32"]))
    how = {**nvfp4, "factor_kind": "multiplies", "factor": factor}
    yield row("e2m1", case, "packed", "f32_block_first", **how)
    case = vectors["engram_row264"]
    case = {**case, "codes": case["row"][:512]}
    yield row("e4m3", case, "codes", "f32", scales="e8m0", scale_bytes=case["row"][512:], group=32)
    for case in vectors["mlx_affine"]:
        how = {"scales": "bf16", "scale_bytes": case["scales_bf16"], "group": case["group"]}
        how |= {"biases": "bf16", "bias_bytes": case["biases_bf16"], "n_bits": case["bits"]}
        yield row("bits", case, "words", "f32", **how)
    modes = {"mxfp4": ("e2m1", "e8m0", 32), "mxfp8": ("e4m3", "e8m0", 32), "nvfp4": ("e2m1", "e4m3", 16)}
    for case in vectors["mlx_fp"]:
        code, scales, group = modes[case["mode"]]
        yield row(code, case, "words", "f32", scales=scales, scale_bytes=case["scales"], group=group)


def test_published_rows(plain: tuple[Path], data_dir: Path) -> None:
    path = data_dir.parent / "facts" / "ngram_vectors.json"
    if not path.is_file():
        pytest.skip("published examples (facts/ngram_vectors.json) are not beside the test data")
    rows, expected = zip(*published(json.loads(path.read_text("utf-8"))["decode"]), strict=True)
    assert len(rows) > 15
    require(plain, rows, expected, "portable")


def test_mlx_decodes_alike(plain: tuple[Path]) -> None:
    mx = pytest.importorskip("mlx.core")
    rng = np.random.default_rng(6)
    rows, expected = [], []
    for n_bits, group in itertools.product(BITS, (32, 64, 128)):
        n = group * int(rng.integers(1, 12))
        codes = rng.integers(0, 1 << 32, n * n_bits // 32, dtype=np.uint32)
        scales, biases = (rng.standard_normal((2, n // group)) * [[0.03], [0.5]]).astype(np.float32)
        words, s, b = (mx.array(array.reshape(1, -1)) for array in (codes, scales, biases))
        expected.append(np.array(mx.dequantize(words, s, b, group_size=group, bits=n_bits))[0])
        parts = (codes.tobytes(), scales.tobytes(), biases.tobytes())
        rows.append(ScaledRow(n, "bits", n_bits, "f32", "f32", group, parts=parts))
    for mode, code, kind, group in (
        ("mxfp4", "e2m1", "e8m0", 32),
        ("mxfp8", "e4m3", "e8m0", 32),
        ("nvfp4", "e2m1", "e4m3", 16),
    ):
        w = mx.array(rng.standard_normal((1, 30 * 32)).astype(np.float32))
        words, s = mx.quantize(w, group_size=group, bits=8 if mode == "mxfp8" else 4, mode=mode)
        made = mx.dequantize(words, s, group_size=group, bits=8 if mode == "mxfp8" else 4, mode=mode)
        expected.append(np.array(made.astype(mx.float32))[0])  # exact in bfloat16
        parts = (np.array(words).tobytes(), np.array(s).tobytes(), b"")
        rows.append(ScaledRow(960, code, scales=kind, group=group, parts=parts))
    require(plain, rows, expected, "portable")


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
    codes = rng.bytes(n_codes)
    if row.code == "e4m3" and rng.random() < 0.5:  # whose NaNs are treated apart
        codes = codes.replace(b"\x7f", b"\x7e").replace(b"\xff", b"\x00")
    scales, biases = hard_bytes(rng, row.scales, n_scales), hard_bytes(rng, row.biases, n_biases)
    return replace(row, parts=(codes, scales, biases))


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


def test_a_nan_far_into_a_long_row(plain: tuple[Path]) -> None:
    """Codes are looked at before they are decoded, some thousands at a time."""
    rows = []
    for n, at in ((9001, 9000), (9001, 4096), (8192, 4095), (8192, 8191), (4112, 4111), (4112, 0)):
        for group in (0, 16, 32):
            codes = bytearray(np.random.default_rng(n).integers(0, 127, n, np.uint8).tobytes())
            codes[at] = 0xFF
            row = ScaledRow(n, "e4m3", scales="bf16", group=group)
            scales = np.full(row.part_bytes()[1] // 2, 0x3F9D, "<u2").tobytes()
            rows.append(replace(row, parts=(bytes(codes), scales, b"")))
    require(plain, rows, [row.weights() for row in rows], "portable")


def test_nothing_beside_a_row_is_read(asan_build: Build) -> None:
    rows = random_rows(3, 1)
    program = asan_build.program("scaled", [PROGRAMS / "scaled.c"])
    require([program], rows, [row.weights() for row in rows], "portable")


@pytest.mark.slow
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
