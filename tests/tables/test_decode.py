"""Every tensor type, bit for bit, against golden files, other implementations and the formulas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pyembed
from tests.helpers import oracles
from tests.helpers.gguf_bytes import GGUFBytes

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
    from pyembed.core.dtypes import TENSOR_TYPES

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


@pytest.mark.parametrize("name", TYPES)
def test_big_endian_payload(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    blocks = oracles.random_blocks(name, 5 * 40, rng)
    n_columns = 5 * oracles.TYPES[name][1]
    little = gather_all(tmp_path / "little.gguf", name, blocks, n_columns)
    big = gather_all(
        tmp_path / "big.gguf", name, oracles.byte_swapped(name, blocks), n_columns, big_endian=True
    )
    oracles.assert_bit_equal(big, little)
