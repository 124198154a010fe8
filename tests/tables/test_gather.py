"""The gather as a property: rows by id are the decoded table indexed by id, whatever the types and shapes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import shutil
import subprocess
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import pyembed
from tests.helpers import oracles
from tests.helpers.gguf_bytes import GGUFBytes

TYPES = sorted(oracles.TYPES)
N_ROWS = 37
ID_DTYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory):
    """Return one open table a type, and all of its rows as other implementations decode them."""
    rng = np.random.default_rng(20)
    result = {}
    for name in TYPES:
        type_id, weights, _ = oracles.TYPES[name]
        n_columns = weights * 3 if weights > 1 else 77
        blocks = oracles.random_blocks(name, N_ROWS * n_columns // weights, rng)
        path = tmp_path_factory.mktemp("tables") / f"{name}.gguf"
        path.write_bytes(bytes(GGUFBytes().tensor("t", (N_ROWS, n_columns), type_id, blocks.tobytes())))
        rows = oracles.formula_dequantize(name, blocks).reshape(N_ROWS, n_columns)
        result[name] = pyembed.open_table(path, tensor="t"), rows
    return result


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """Round to nearest even by exact arithmetic on the bits; a NaN keeps sign and payload, made quiet."""
    bits = values.view(np.uint32).astype(np.uint64)
    low, top = bits & 0xFFFF, bits >> 16
    up = (low > 0x8000) | ((low == 0x8000) & (top & 1 == 1))
    return np.where(np.isnan(values), top | 0x40, top + up).astype(np.uint16)


def expected_as(rows: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "float16":
        with np.errstate(over="ignore", under="ignore"):
            return rows.astype(np.float16)
    return to_bfloat16(rows) if dtype == "bfloat16" else rows


def assert_rows(got: np.ndarray, expected: np.ndarray, dtype: str) -> None:
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    width = np.uint32 if dtype == "float32" else np.uint16
    is_nan = np.isnan(expected) if dtype != "bfloat16" else (expected & 0x7FFF) > 0x7F80
    same = np.isnan(got) if dtype != "bfloat16" else (got & 0x7FFF) > 0x7F80
    np.testing.assert_array_equal(is_nan, same)
    np.testing.assert_array_equal(got.view(width)[~is_nan], expected.view(width)[~is_nan])


shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


@pytest.mark.parametrize("name", TYPES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_gather_is_indexing(tables, name: str, data: st.DataObject) -> None:
    table, rows = tables[name]
    dtype = data.draw(st.sampled_from(["float32", "float16", "bfloat16"]))
    id_dtype = data.draw(st.sampled_from(ID_DTYPES))
    ids = data.draw(hnp.arrays(id_dtype, shapes, elements=st.integers(0, N_ROWS - 1)))
    got = table.gather(ids, dtype=dtype)
    assert_rows(got, expected_as(rows, dtype)[ids], dtype)


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_out_with_gaps_between_rows(tables, name: str, dtype: str) -> None:
    table, rows = tables[name]
    expected = expected_as(rows, dtype)
    ids = np.array([[3, 0, 36], [3, 3, 17]])
    wide = np.full((2, 3, rows.shape[1] + 5), 7, dtype=expected.dtype)
    out = wide[:, :, 2:-3]
    assert table.gather(ids, out=out, dtype=dtype) is out
    assert_rows(out, expected[ids], dtype)
    assert (wide[:, :, :2] == 7).all()
    assert (wide[:, :, -3:] == 7).all()


def bad_ids() -> list[tuple[str, int]]:
    cases = []
    for id_dtype in ID_DTYPES:
        info = np.iinfo(id_dtype)
        for value in sorted({N_ROWS, -1, 127, int(info.min), int(info.max)}):
            if info.min <= value <= info.max and not 0 <= value < N_ROWS:
                cases.append((id_dtype, value))
    return cases


@pytest.mark.parametrize(("id_dtype", "value"), bad_ids())
def test_bad_id_writes_nothing(tables, id_dtype: str, value: int) -> None:
    table, rows = tables["Q4_0"]
    ids = np.array([0, 1, 2, value, value], dtype=id_dtype)
    out = np.full((5, rows.shape[1]), 7.0, dtype=np.float32)
    with pytest.raises(IndexError, match=rf"{value}\b.*position 3.*{N_ROWS} rows"):
        table.gather(ids, out=out)
    assert (out == 7.0).all()


def cache_bytes() -> int:
    """Return what the library takes for the size of the last cache."""
    size = Path("/sys/devices/system/cpu/cpu0/cache/index3/size")
    if size.is_file():
        return int(size.read_text().strip().removesuffix("K")) << 10
    return max(
        os.sysconf("SC_LEVEL3_CACHE_SIZE") if "SC_LEVEL3_CACHE_SIZE" in os.sysconf_names else 0, 16 << 20
    )


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize(
    ("dtype", "threads"), [("float32", 1), ("float32", 3), ("float16", 3), ("bfloat16", 1)]
)
def test_large_gathers(tables, name: str, dtype: str, threads: int) -> None:
    """Outputs larger than the caches are written past them, and shared out among threads."""
    table, rows = tables[name]
    expected = expected_as(rows, dtype)
    row_bytes = rows.shape[1] * expected.itemsize
    n = max(12 << 20, cache_bytes() // 8 + (1 << 20)) // row_bytes + 13
    ids = np.random.default_rng(5).integers(0, N_ROWS, n)
    memory = np.zeros(n * row_bytes + 128, np.uint8)
    line = -memory.ctypes.data % 64
    for first in (line, line + 16, line + expected.itemsize):
        out = memory[first : first + n * row_bytes].view(expected.dtype).reshape(n, -1)
        table.gather(ids, out=out, dtype=dtype, threads=threads)
        assert_rows(out[:200], expected[ids[:200]], dtype)
        assert_rows(out[-200:], expected[ids[-200:]], dtype)
        some = np.arange(0, n, 997)
        assert_rows(out[some], expected[ids[some]], dtype)
        assert not memory[:first].any()
        assert not memory[first + n * row_bytes :].any()
        memory[:] = 0


@pytest.mark.parametrize("n_columns", [77, 640, 2048])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_tables_larger_than_the_caches(tmp_path: Path, dtype: str, n_columns: int) -> None:
    """Coming rows are fetched while one is written, which changes nothing, the last one included."""
    n_rows = (cache_bytes() // 4 + (1 << 20)) // (2 * n_columns)
    rows = np.random.default_rng(8).standard_normal((n_rows, n_columns), dtype=np.float32).astype(np.float16)
    np.save(tmp_path / "rows.npy", rows)
    expected = expected_as(rows.astype(np.float32), dtype)
    with pyembed.open_table(tmp_path / "rows.npy") as table:
        for n in (1, 2, 3, 300):
            ids = np.random.default_rng(n).integers(0, n_rows, n)
            ids[-1] = n_rows - 1
            assert_rows(table.gather(ids, dtype=dtype), expected[ids], dtype)


@pytest.mark.parametrize("bad", [0, -1, 257, 1.5, "2"])
def test_bad_thread_counts(tables, bad: object) -> None:
    with pytest.raises((ValueError, TypeError), match="threads is"):
        tables["F16"][0].gather([0], threads=bad)


@pytest.mark.parametrize("threads", [1, 3])
def test_ids_that_change_meanwhile(tables, threads: int) -> None:
    """Whatever another thread does to the ids, no row outside the table is read."""
    table, _ = tables["F16"]
    ids = np.zeros(20_000, np.int64)
    done = threading.Event()

    def change() -> None:
        while not done.is_set():
            ids[-1] = 2**40
            ids[-1] = 0

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(300):
            with contextlib.suppress(IndexError, ValueError):
                table.gather(ids, threads=threads)
    finally:
        done.set()
        thread.join()


@pytest.mark.posix
def test_workers_after_fork(tables) -> None:
    table, rows = tables["Q8_0"]
    ids = np.arange(N_ROWS).repeat(50)
    table.gather(ids, threads=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads is the point here
        child = os.fork()
    if child == 0:
        same = (table.gather(ids, threads=2).view(np.uint32) == rows[ids].view(np.uint32)).mean() > 0.5
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert table.gather(ids, threads=2).shape == rows[ids].shape


@pytest.fixture(scope="module")
def set_float_mode(tmp_path_factory: pytest.TempPathFactory):
    """Return what sets the calling thread's MXCSR, and returns the value before."""
    cc = shutil.which("cc")
    if platform.machine() != "x86_64" or cc is None:
        pytest.skip("needs x86-64 and a C compiler")
    source = tmp_path_factory.mktemp("mode") / "mode.c"
    source.write_text(
        "#include <xmmintrin.h>\n"
        "unsigned set(unsigned mode) { unsigned was = _mm_getcsr(); _mm_setcsr(mode); return was; }\n"
    )
    subprocess.run([cc, "-shared", "-fPIC", "-O1", source, "-o", source.with_suffix(".so")], check=True)
    return ctypes.CDLL(str(source.with_suffix(".so"))).set


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("threads", [1, 2])
def test_the_callers_float_mode_changes_nothing(tables, set_float_mode, name: str, threads: int) -> None:
    table, rows = tables[name]
    ids = np.arange(N_ROWS).repeat(3)
    flush_and_round_up = 0x1F80 | 0x8040 | 0x4000
    before = set_float_mode(flush_and_round_up)
    try:
        got = table.gather(ids, threads=threads)
        narrow = table.gather(ids, dtype="bfloat16", threads=threads)
    finally:
        assert set_float_mode(before) & 0xFFC0 == flush_and_round_up
    assert_rows(got, rows[ids], "float32")
    assert_rows(narrow, to_bfloat16(rows)[ids], "bfloat16")


@pytest.mark.parametrize("name", ["Q6_K", "F16"])
def test_rows_of_a_three_dimensional_tensor(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    type_id, weights, _ = oracles.TYPES[name]
    n_columns = 256
    blocks = oracles.finite_blocks(name, 4 * 5 * n_columns // weights, rng)
    path = tmp_path / "t.gguf"
    builder = GGUFBytes().tensor("per_layer_token_embd.weight", (4, 5, n_columns), type_id, blocks.tobytes())
    path.write_bytes(bytes(builder))
    with pyembed.load_model(path) as model:
        assert model.tensors["per_layer_token_embd.weight"].shape == (4, 5, n_columns)
        table = model.open_table("per_layer_token_embd.weight")
        assert table.shape == (20, n_columns)
        rows = oracles.formula_dequantize(name, blocks).reshape(20, n_columns)
        oracles.assert_bit_equal(table.gather([19, 0, 7]), rows[[19, 0, 7]])


@pytest.mark.parametrize("shape", [(0, 64), (5, 0), (0, 0), (64,)])
def test_degenerate_tables(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "t.gguf"
    n = int(np.prod(shape))
    path.write_bytes(bytes(GGUFBytes().tensor("t", shape, 1, bytes(2 * n))))
    with pyembed.open_table(path, tensor="t") as table:
        rows = shape[0] if len(shape) > 1 else 1
        assert table.shape == (rows, shape[-1])
        assert table.gather(np.arange(rows)).shape == (rows, shape[-1])
        with pytest.raises(IndexError, match=f"{rows} rows"):
            table.gather([rows])


def test_rows_at_odd_addresses(tmp_path: Path, rng: np.random.Generator) -> None:
    """MXFP4 rows are 17 bytes a block, and nothing guarantees that a tensor begins at a round offset."""
    blocks = oracles.random_blocks("MXFP4", 9, rng)
    path = tmp_path / "t.gguf"
    path.write_bytes(bytes(GGUFBytes().tensor("t", (3, 96), 39, b"\0" * 3 + blocks.tobytes(), offset=3)))
    with pyembed.open_table(path, tensor="t") as table:
        expected = oracles.formula_dequantize("MXFP4", blocks).reshape(3, 96)
        oracles.assert_bit_equal(table.gather([2, 1, 0]), expected[[2, 1, 0]])
