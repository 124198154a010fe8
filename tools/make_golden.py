"""Generate ``tests/tables/golden/<type>.npz``: a few blocks of every type with the values they decode to.

Each file holds ``blocks``, uint8 ``[n, block_bytes]``, and ``values``, float32 ``[n, weights]``. The values
come from references only, never from this project's decoder: from ggml where it has a decoder, else from
the ``gguf`` package, else from the formula of the type; all that exist must agree. Every NaN is stored as
0x7FC00000, since references differ in the sign and payload of a NaN.

The blocks mix random bytes, moderate scales, extreme scales, all-zero and all-one bytes and, where ggml
can quantise to the type, quantised Gaussian rows. Output is the same, byte for byte, on every run.

Usage: ``python tools/make_golden.py`` writes the files, ``--check`` compares them with a fresh generation.
"""

from __future__ import annotations

import argparse
import io
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "tests" / "tables" / "golden"
sys.path.insert(0, str(ROOT))

from tests.helpers import oracles  # noqa: E402

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]

SEED = 20240229
SINGLES = 96
QUIET_NAN = 0x7FC00000

# Pairs of halves: subnormals of either sign, minus zero, infinities, the greatest finite ones.
SUBNORMAL, MINUS_ZERO, MINUS_ZERO_LESS_ZERO = (0x0001, 0x83FF), (0x8000, 0x8000), (0x8000, 0x0000)
INFINITE, GREATEST = (0x7C00, 0xFC00), (0x7BFF, 0xFBFF)


def bytes_of(patterns: Iterable[int], width: int) -> U8:
    """Return little-endian patterns as bytes, uint8 ``[n, width]``; negative ones in two's complement."""
    mask = (1 << (8 * width)) - 1
    data = b"".join((p & mask).to_bytes(width, "little") for p in patterns)
    return np.frombuffer(data, dtype=np.uint8).reshape(-1, width)


def both_signs(patterns: Iterable[int], bits: int) -> list[int]:
    """Return each pattern followed by the same one with the sign bit set."""
    return [p | sign for p in patterns for sign in (0, 1 << (bits - 1))]


def special_integers(bits: int) -> list[int]:
    """Return the ends of the range, powers of two and their neighbours, and ties of rounding to float.

    Next to the ties are the numbers that come out wrong if they are rounded to double first.
    """
    top = 1 << (bits - 1)
    found = [0, 1, -1, 2, -2, top - 1, top - 2, -top, -top + 1]
    for k in (7, 15, 24, 30, 62):
        if k < bits - 1:
            step = 1 << max(0, k - 24)  # half the distance of the floats just above 2^k
            near = [(1 << k) + d for d in (0, 1, step, step + 1, 3 * step - 1, 3 * step)]
            found += [sign * value for value in near for sign in (1, -1)]
    return list(dict.fromkeys(found))


def special_floats(type_name: str) -> list[int]:
    """Return bit patterns of zeros, subnormals, ends of the range, infinities and NaNs of a float type."""
    if type_name == "F16":
        return both_signs([0, 1, 2, 0x3FF, 0x400, 0x3BFF, 0x3C00, 0x7BFF, 0x7C00, 0x7C01, 0x7E00, 0x7FFF], 16)
    if type_name == "BF16":
        return both_signs([0, 1, 2, 0x7F, 0x80, 0x3F80, 0x3F7F, 0x7F7F, 0x7F80, 0x7F81, 0x7FC0, 0x7FFF], 16)
    if type_name == "F32":
        low = [0, 1, 2, 0x7FFFFF, 0x800000, 0x3F7FFFFF, 0x3F800000]
        return both_signs([*low, 0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FC00000, 0x7FFFFFFF], 32)
    one = 0x3FF << 52
    ulp = 1 << 29  # distance of neighbouring floats, in units of a double
    float_max = ((1023 + 127) << 52) | (0x7FFFFF << 29)
    tiny = (1023 - 149) << 52  # least subnormal float
    least_normal = (1023 - 126) << 52
    patterns = [0, 1, (1 << 52) - 1, 1 << 52, 0x7FEF << 48 | 0xFFFFFFFFFFFF, 0x7FF << 52, (0x7FF << 52) | 1]
    patterns += [0x7FF8 << 48, one, one + ulp // 2, one + ulp // 2 + 1, one + ulp // 2 - 1]
    patterns += [one + 3 * ulp // 2, float_max, float_max + ulp // 2 - 1]
    patterns += [float_max + ulp // 2, float_max + ulp // 2 + 1]
    patterns += [tiny, tiny - (1 << 52), tiny - (1 << 52) + 1, tiny + (1 << 51), tiny + (1 << 51) + 1]
    patterns += [least_normal, least_normal - 1, least_normal - ulp, least_normal - 2 * ulp]
    return both_signs(patterns, 64)


def single_blocks(type_name: str, rng: np.random.Generator) -> U8:
    """Return ``SINGLES`` special and random values of a type of one weight."""
    width = oracles.TYPES[type_name][2]
    integer = type_name.startswith("I")
    patterns = special_integers(8 * width) if integer else special_floats(type_name)
    special = bytes_of(patterns, width)
    rest = SINGLES - len(special)
    if rest < 8:
        raise AssertionError(f"{type_name}: {len(special)} special values leave no room for random ones")
    moderate = oracles.finite_blocks(type_name, rest // 2, rng)
    return np.concatenate([special, moderate, oracles.random_blocks(type_name, rest - rest // 2, rng)])


def with_bytes(blocks: U8, offset: int, values: Iterable[int]) -> U8:
    """Return a copy of the blocks with the bytes at ``offset`` of each replaced."""
    changed: U8 = blocks.copy()
    data = np.array(list(values), dtype=np.uint8)
    changed[:, offset : offset + len(data)] = data
    return changed


def scale_blocks(type_name: str, rng: np.random.Generator) -> list[U8]:
    """Return blocks with extreme scales."""
    if type_name == "MXFP4":
        # Every code once among the low nibbles and once among the high ones.
        codes = np.array([k | (15 - k) << 4 for k in range(16)], dtype=np.uint8)
        block = np.concatenate([np.zeros(1, np.uint8), codes])[np.newaxis]
        return [with_bytes(block, 0, [e]) for e in (0, 1, 2, 3, 126, 127, 128, 251, 252, 253, 254, 255)]
    if type_name == "NVFP4":
        codes = np.array([k | (k ^ 9) << 4 for k in range(8)] * 4, dtype=np.uint8)
        block = np.concatenate([np.zeros(4, np.uint8), codes])[np.newaxis]
        special = [(0x00, 0x7F, 0x80, 0xFF), (0x7E, 0xFE, 0x38, 0x40)]
        ordinary = [(0x01, 0x07, 0x08, 0x0F), (0x81, 0x87, 0x88, 0x77)]
        return [with_bytes(block, 0, scales) for scales in special + ordinary]
    if type_name == "Q8_K":
        scales = bytes_of([0x807FFFFF, 0x80000000], 4)
        return [with_bytes(oracles.random_blocks(type_name, 1, rng), 0, s) for s in scales]
    count = oracles.half_scale_count(type_name)
    settings = [SUBNORMAL, MINUS_ZERO]
    if oracles.TYPES[type_name][1] < 256:
        settings += [INFINITE, GREATEST]
    if type_name in ("Q2_K", "Q4_K", "Q5_K"):
        # The minimum is subtracted: with this pair the result is minus zero.
        settings[1] = MINUS_ZERO_LESS_ZERO
    found = []
    for setting in settings:
        blocks = oracles.random_blocks(type_name, 1, rng)
        oracles.write_half_scales(type_name, blocks, setting[:count])
        found.append(blocks)
    return found


def golden_blocks(type_name: str) -> U8:
    """Return the blocks of a type, uint8 ``[n, block_bytes]``."""
    type_id, weights, block_bytes = oracles.TYPES[type_name]
    rng = np.random.Generator(np.random.PCG64([SEED, type_id]))
    if weights == 1:
        return single_blocks(type_name, rng)
    each = 1 if weights == 256 else 2
    parts = [np.zeros((1, block_bytes), np.uint8), np.full((1, block_bytes), 0xFF, np.uint8)]
    parts.append(oracles.random_blocks(type_name, each, rng))
    parts.append(oracles.finite_blocks(type_name, each, rng))
    parts += scale_blocks(type_name, rng)
    # Drawn as doubles and rounded once: the same numbers for every type of this width.
    rows = np.random.Generator(np.random.PCG64(SEED)).standard_normal((1, weights * each)).astype(np.float32)
    quantized = oracles.ggml_quantize(type_name, rows)
    if quantized is not None:
        parts.append(quantized)
    return np.concatenate(parts)


def golden_values(type_name: str, blocks: U8) -> F32:
    """Return what the references say about the blocks, float32 ``[n, weights]``, every NaN the same.

    Raises
    ------
    AssertionError
        Two references disagree.
    """
    decoded = [
        oracles.ggml_dequantize(type_name, blocks),
        oracles.gguf_py_dequantize(type_name, blocks),
        oracles.formula_dequantize(type_name, blocks),
    ]
    found = [values for values in decoded if values is not None]
    for other in found[1:]:
        oracles.assert_bit_equal(found[0], other)
    result: F32 = found[0].copy()
    result.view(np.uint32)[np.isnan(result)] = QUIET_NAN
    return result


def archive(arrays: dict[str, npt.NDArray[np.generic]]) -> bytes:
    """Return an ``.npz`` file: uncompressed and with fixed dates, hence reproducible."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as container:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            container.writestr(entry, member.getvalue())
    return target.getvalue()


def golden_file(type_name: str) -> bytes:
    """Return the content of the file of a type."""
    blocks = golden_blocks(type_name)
    values = golden_values(type_name, blocks).astype("<f4", copy=False)
    return archive({"blocks": np.ascontiguousarray(blocks), "values": values})


def main(argv: list[str] | None = None) -> int:
    """Write the golden files, or with ``--check`` report whether they are up to date."""
    parser = argparse.ArgumentParser(description="Generate the golden blocks of every tensor type.")
    parser.add_argument("--check", action="store_true", help="compare with the files instead of writing")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of the .npz files")
    options = parser.parse_args(argv)

    library, note = oracles.ggml_library()
    if library is None:
        print(f"make_golden: no ggml library: {note}", file=sys.stderr)
        return 2
    if oracles.gguf_py_dequantize("F32", np.zeros((1, 4), np.uint8)) is None:
        print("make_golden: the gguf package is not installed", file=sys.stderr)
        return 2

    files = {f"{name.lower()}.npz": golden_file(name) for name in oracles.TYPES}
    present = {path.name for path in options.output.glob("*.npz")}
    status = 0
    for name in sorted(present - set(files)):
        print(f"make_golden: {name} belongs to no type", file=sys.stderr)
        status = 1
    options.output.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = options.output / name
        if not options.check:
            path.write_bytes(content)
        elif name not in present or path.read_bytes() != content:
            print(f"make_golden: {path} is not what this tool generates", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    raise SystemExit(main())
