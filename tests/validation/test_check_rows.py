"""Faults of rows found by scanning scales are those that decoding every weight finds, in every type."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import pyembed
from pyembed.core.dtypes import TENSOR_TYPES, TensorType
from pyembed.tables.checking import RowFault
from tests.helpers.gguf_bytes import GGUFBytes
from tests.helpers.oracles.ggml import ggml_library

N_ROWS = 400
TYPES = list(TENSOR_TYPES.values())
FLOATS = {"F32": "f4", "F16": "f2", "F64": "f8", "BF16": "u2"}


def columns_of(kind: TensorType) -> int:
    """Return few columns, so that among rows of random bytes many have no fault."""
    return 8 if kind.block_weights == 1 else 2 * kind.block_weights


def rows_of_bytes(kind: TensorType, seed: int = 0) -> np.ndarray:
    """Return rows of random bytes, some of zeros, some that repeat, some with a scale near the largest."""
    row_bytes = kind.n_bytes(1, columns_of(kind))
    assert row_bytes is not None
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 256, (N_ROWS, row_bytes), np.uint8)
    rows[10:14] = 0
    rows[20:23] = rows[19]
    if kind.name == "MXFP4":
        rows[30:60, 0] = rows[30:60, 17] = np.repeat([0, 127, 252, 253, 254, 255], 5)
        rows[30:60:5, 1:17] = rows[30:60:5, 18:] = 0
    if kind.name in ("Q8_K", "F32"):
        rows[30:230, 2:4] = rng.integers(0x7A00, 0x7F80, 200).astype("<u2")[:, None].view(np.uint8)
    if kind.name == "F64":
        for i, value in enumerate([3.4028234e38, 3.4028235677973366e38, 3.5e38, 1e39, -1e308, 1.0] * 4):
            rows[30 + i] = np.full(8, value, "<f8").view(np.uint8)
    if kind.name in FLOATS:
        rows[300:310] = np.resize(rows[5, : row_bytes // 8], row_bytes)  # one number throughout
    return rows


@pytest.fixture(params=TYPES, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> TensorType:
    found: TensorType = request.param
    return found


@pytest.fixture(params=["little", "big"])
def table(
    request: pytest.FixtureRequest, kind: TensorType, tmp_path: Path
) -> Iterator[pyembed.EmbeddingTable]:
    builder = GGUFBytes(big_endian=request.param == "big")
    builder.tensor("t", (N_ROWS, columns_of(kind)), kind.id, rows_of_bytes(kind).tobytes())
    (tmp_path / "m.gguf").write_bytes(bytes(builder))
    with pyembed.open_table(tmp_path / "m.gguf", tensor="t") as opened:
        yield opened


def test_faults_are_those_of_the_decoded_rows(table: pyembed.EmbeddingTable) -> None:
    faults, hashes = table.check_rows(0, N_ROWS)
    rows = table[:]
    expected = {
        RowFault.NAN: np.isnan(rows).any(axis=1),
        RowFault.INFINITE: np.isinf(rows).any(axis=1),
        RowFault.ZERO: (rows == 0).all(axis=1),
        RowFault.EQUAL: (rows == rows[:, :1]).all(axis=1),
    }
    for fault, is_there in expected.items():
        np.testing.assert_array_equal((faults & int(fault)) != 0, is_there, err_msg=str(fault))
    assert hashes.size == 0
    for first, n in ((0, 0), (0, 1), (17, 30), (N_ROWS - 1, 1), (N_ROWS, 0)):
        np.testing.assert_array_equal(table.check_rows(first, n)[0], faults[first : first + n])


def test_refused_is_what_ggml_refuses(kind: TensorType, tmp_path: Path) -> None:
    library, why = ggml_library()
    if library is None or not hasattr(library, "ggml_validate_row_data"):
        pytest.skip(f"ggml is not there to ask: {why}")
    if kind.name == "Q2_0":
        pytest.skip("the installed ggml does not know Q2_0")
    validate = library.ggml_validate_row_data
    validate.restype, validate.argtypes = ctypes.c_bool, (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)
    rows = rows_of_bytes(kind, seed=1)
    builder = GGUFBytes().tensor("t", (N_ROWS, columns_of(kind)), kind.id, rows.tobytes())
    (tmp_path / "m.gguf").write_bytes(bytes(builder))
    expected = [not validate(kind.id, row.tobytes(), row.size) for row in rows]
    with pyembed.open_table(tmp_path / "m.gguf", tensor="t") as table:
        refused = (table.check_rows(0, N_ROWS)[0] & int(RowFault.REFUSED)) != 0
    np.testing.assert_array_equal(refused, expected)


def test_hashes_are_equal_where_rows_are(table: pyembed.EmbeddingTable) -> None:
    _, hashes = table.check_rows(0, N_ROWS, key=bytes(range(16)))
    _, others = table.check_rows(0, N_ROWS, key=bytes(16))
    raw = rows_of_bytes(TENSOR_TYPES[next(k.id for k in TYPES if k.name == table.type)])
    _, first, groups = np.unique(raw, axis=0, return_index=True, return_inverse=True)
    np.testing.assert_array_equal(hashes, hashes[first][groups.ravel()])
    assert len(np.unique(hashes)) == len(first) < N_ROWS
    assert not np.array_equal(hashes, others)


def test_ranges_that_are_not_there(tmp_path: Path) -> None:
    builder = GGUFBytes().tensor("t", (3, 4), 0, bytes(48)).tensor("none", (3, 0), 0, b"")
    (tmp_path / "m.gguf").write_bytes(bytes(builder))
    with pyembed.open_table(tmp_path / "m.gguf", tensor="t") as table:
        for first, n in ((0, 4), (3, 1), (4, 0), (2**63, 0), (1, 2**40)):
            with pytest.raises(IndexError, match="not all there"):
                table.check_rows(first, n)
    with pyembed.open_table(tmp_path / "m.gguf", tensor="none") as table:
        assert table.check_rows(0, 3)[0].tolist() == [0, 0, 0]
