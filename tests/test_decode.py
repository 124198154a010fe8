"""Every tensor type, bit for bit, against golden files, other implementations and the formulas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import oracles
import pyembed
from gguf_bytes import GGUFBytes

GOLDEN = Path(__file__).parent / "golden"
TYPES = sorted(oracles.TYPES)


def gather_all(
    path: Path, name: str, blocks: np.ndarray, n_columns: int, *, big_endian: bool = False
) -> np.ndarray:
    """Write `blocks` as one table of rows of `n_columns`, and gather all of its rows."""
    type_id, weights, _ = oracles.TYPES[name]
    shape = (blocks.shape[0] * weights // n_columns, n_columns)
    path.write_bytes(
        bytes(GGUFBytes(big_endian=big_endian).tensor("table", shape, type_id, blocks.tobytes()))
    )
    with pyembed.open_table(path, tensor="table") as table:
        assert table.shape == shape
        assert table.type == name
        assert table.n_bytes == blocks.size
        return table.gather(np.arange(shape[0]))


def test_types_are_those_of_the_format() -> None:
    from pyembed.dtypes import TENSOR_TYPES

    known = {kind.name: (kind.id, kind.block_weights, kind.block_bytes) for kind in TENSOR_TYPES.values()}
    assert known == oracles.TYPES
    assert len(known) == 35


@pytest.mark.parametrize("name", TYPES)
def test_golden(name: str, tmp_path: Path) -> None:
    golden = np.load(GOLDEN / f"{name.lower()}.npz")
    got = gather_all(tmp_path / "t.gguf", name, golden["blocks"], oracles.TYPES[name][1])
    oracles.assert_bit_equal(got, golden["values"])


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("kind", ["random", "finite"])
def test_formula(name: str, kind: str, tmp_path: Path, rng: np.random.Generator) -> None:
    make = oracles.random_blocks if kind == "random" else oracles.finite_blocks
    blocks = make(name, 3 * 700, rng)
    got = gather_all(tmp_path / "t.gguf", name, blocks, 3 * oracles.TYPES[name][1])
    oracles.assert_bit_equal(got.reshape(len(blocks), -1), oracles.formula_dequantize(name, blocks))


@pytest.mark.parametrize("name", TYPES)
def test_gguf_py(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    blocks = np.concatenate([oracles.random_blocks(name, 1500, rng), oracles.finite_blocks(name, 1500, rng)])
    expected = oracles.gguf_py_dequantize(name, blocks)
    if expected is None:
        pytest.skip(f"gguf-py has no decoder of {name}")
    oracles.assert_bit_equal(gather_all(tmp_path / "t.gguf", name, blocks, oracles.TYPES[name][1]), expected)


@pytest.mark.parametrize("name", TYPES)
def test_ggml(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    blocks = [oracles.random_blocks(name, 1500, rng), oracles.finite_blocks(name, 1500, rng)]
    quantised = oracles.ggml_quantize(name, rng.standard_normal((8, 1024), dtype=np.float32))
    if quantised is not None:
        blocks.append(quantised.reshape(-1, oracles.TYPES[name][2]))
    all_blocks = np.concatenate(blocks)
    expected = oracles.ggml_dequantize(name, all_blocks)
    if expected is None:
        pytest.skip(f"the installed ggml has no decoder of {name}")
    oracles.assert_bit_equal(
        gather_all(tmp_path / "t.gguf", name, all_blocks, oracles.TYPES[name][1]), expected
    )


# Where the 16-, 32- and 64-bit words of each block lie: (offset, width, count), from the published layouts.
WORDS = {
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


def swapped(name: str, blocks: np.ndarray) -> np.ndarray:
    result = blocks.copy()
    for offset, width, count in WORDS[name]:
        words = blocks[:, offset : offset + width * count].reshape(len(blocks), count, width)
        result[:, offset : offset + width * count] = words[:, :, ::-1].reshape(len(blocks), -1)
    return result


@pytest.mark.parametrize("name", TYPES)
def test_big_endian_payload(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    blocks = oracles.random_blocks(name, 5 * 40, rng)
    n_columns = 5 * oracles.TYPES[name][1]
    little = gather_all(tmp_path / "little.gguf", name, blocks, n_columns)
    big = gather_all(tmp_path / "big.gguf", name, swapped(name, blocks), n_columns, big_endian=True)
    oracles.assert_bit_equal(big, little)
