"""Pooled rows against sequential float32 sums in NumPy, bit for bit."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyembed
from tests.helpers import oracles
from tests.helpers.gguf_bytes import GGUFBytes

N_ROWS = 41
TYPES = sorted(oracles.TYPES)
MODES = ["mean", "sum", "max"]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pyembed.EmbeddingTable]:
    """Return one open table a type, of widths that end inside vectors and blocks of columns."""
    rng = np.random.default_rng(11)
    result = {}
    for name in TYPES:
        type_id, weights, _ = oracles.TYPES[name]
        n_columns = {1: 613, 32: 608, 64: 576}.get(weights, weights * 3)
        blocks = oracles.random_blocks(name, N_ROWS * n_columns // weights, rng)
        path = tmp_path_factory.mktemp("tables") / f"{name}.gguf"
        path.write_bytes(bytes(GGUFBytes().tensor("t", (N_ROWS, n_columns), type_id, blocks.tobytes())))
        result[name] = pyembed.open_table(path, tensor="t")
    return result


def norm_of(vector: np.ndarray) -> float:
    """The squares of columns c, c + 16, ... are added in float64, then the sixteen sums in their order."""
    padded = np.zeros(-(-vector.size // 16) * 16)
    padded[: vector.size] = vector
    lanes = np.zeros(16)
    for squares in (padded * padded).reshape(-1, 16):
        lanes += squares
    total = 0.0
    for lane in lanes:
        total += lane
    return float(np.sqrt(total))


def expected(
    rows: np.ndarray,
    ids: np.ndarray,
    offsets: np.ndarray,
    mode: str,
    weights: np.ndarray | None = None,
    normalize: bool = False,
) -> np.ndarray:
    """Pool as ``simd/generic/sums.h`` defines it."""
    out = np.zeros((len(offsets) - 1, rows.shape[1]), np.float32)
    with np.errstate(all="ignore"):
        for bag, (begin, end) in enumerate(itertools.pairwise(offsets)):
            total = out[bag]
            for at in range(begin, end):
                row = rows[ids[at]]
                if mode == "max":
                    total[:] = row if at == begin else np.where((row > total) | np.isnan(row), row, total)
                else:
                    total += row if weights is None else weights[at] * row
            if mode == "mean" and end > begin:
                total /= np.float32(end - begin)
            norm = norm_of(total) if normalize else 0
            if norm != 0:
                total[:] = total.astype(np.float64) / norm
    return out


def assert_same(actual: np.ndarray, wanted: np.ndarray) -> None:
    assert actual.dtype == np.float32
    assert actual.shape == wanted.shape
    nan = np.isnan(wanted)
    np.testing.assert_array_equal(np.isnan(actual), nan)
    np.testing.assert_array_equal(actual.view(np.uint32)[~nan], wanted.view(np.uint32)[~nan])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", TYPES)
def test_every_type(tables, name: str, mode: str) -> None:
    table = tables[name]
    rng = np.random.default_rng(1)
    rows = table.gather(np.arange(N_ROWS))
    offsets = np.array([0, 0, 1, 5, 5, 42, 140], np.int64)
    ids = rng.integers(0, N_ROWS, 140)
    weights = None if mode == "max" else rng.standard_normal(140).astype(np.float32)
    assert_same(table.pool(ids, offsets, mode=mode), expected(rows, ids, offsets, mode))
    pooled = table.pool(ids, offsets, mode=mode, weights=weights, normalize=True)
    assert_same(pooled, expected(rows, ids, offsets, mode, weights, True))


BAGS = st.lists(st.integers(0, 40), max_size=9).map(lambda lengths: np.cumsum([0, *lengths]))


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(["F32", "F16", "BF16", "F64", "I8", "Q8_0", "Q4_K", "MXFP4"]),
    mode=st.sampled_from(MODES),
    offsets=BAGS,
    seed=st.integers(0, 2**32),
    weighted=st.booleans(),
    normalize=st.booleans(),
    threads=st.sampled_from([1, 2, 3]),
    id_type=st.sampled_from(["int8", "uint16", "int32", "int64", "uint64"]),
)
def test_bags_of_every_length(
    tables, name, mode, offsets, seed, weighted, normalize, threads, id_type
) -> None:
    table = tables[name]
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, N_ROWS, offsets[-1]).astype(id_type)
    weights = rng.standard_normal(offsets[-1]).astype(np.float32) if weighted and mode != "max" else None
    pooled = table.pool(ids, offsets, mode=mode, weights=weights, normalize=normalize, threads=threads)
    rows = table.gather(np.arange(N_ROWS))
    assert_same(pooled, expected(rows, ids, offsets, mode, weights, normalize))


def test_many_bags_of_a_large_table(tmp_path: Path) -> None:
    """Past the caches, by several threads, with rows fetched ahead across the ends of bags."""
    rng = np.random.default_rng(5)
    rows = rng.standard_normal((150_000, 160)).astype(np.float16)
    np.save(tmp_path / "rows.npy", rows)
    lengths = rng.integers(0, 70, 700)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ids = rng.integers(0, len(rows), offsets[-1]).astype(np.int32)
    with pyembed.open_table(tmp_path / "rows.npy") as table:
        pooled = [table.pool(ids, offsets, threads=threads) for threads in (1, 4)]
    wanted = expected(rows.astype(np.float32), ids, offsets, "mean")
    assert_same(pooled[0], wanted)
    assert_same(pooled[1], wanted)


def test_a_bag_too_long_for_one_portion(tmp_path: Path) -> None:
    """It is pooled in parts, and the bags around it are not disturbed."""
    rows = np.random.default_rng(6).standard_normal((50, 400)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    n = 90_000  # about 290 MB of rows and sums
    ids = np.random.default_rng(7).integers(0, 50, n + 20)
    offsets = np.array([0, 10, n + 10, n + 10, n + 20])
    with pyembed.open_table(tmp_path / "rows.npy") as table:
        for mode in MODES:
            assert_same(table.pool(ids, offsets, mode=mode), expected(rows, ids, offsets, mode))


def test_the_same_bits_on_every_back_end() -> None:
    program = (
        "import sys, numpy, pyembed\n"
        "from tests.tables.test_pool import MODES\n"
        "ids = numpy.random.default_rng(3).integers(0, 5000, 999); offsets = [0, 3, 3, 500, 999]\n"
        "table = pyembed.load_model(pyembed.demo_model()).table\n"
        "weights = numpy.random.default_rng(4).standard_normal(999)\n"
        "for mode in MODES:\n"
        "    for w in (None, weights)[: 1 if mode == 'max' else 2]:\n"
        "        out = table.pool(ids, offsets, mode=mode, weights=w, normalize=True)\n"
        "        sys.stdout.write(out.tobytes().hex())\n"
    )
    results = set()
    for isa in ("avx512", "avx2", "neon", "portable"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYEMBED_ISA": isa},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
        )
        if "cannot run" not in done.stderr:
            assert done.returncode == 0, done.stderr
            results.add(done.stdout)
    assert len(results) == 1
    assert len(results.pop()) == 5 * 4 * 128 * 8


def test_special_numbers(tmp_path: Path) -> None:
    rows = np.array(
        [[-0.0, 3e38, np.nan, 1e-45, np.inf], [0.0, 3e38, 1, 0, -np.inf], [-0.0, 1, 2, 0, 5]], np.float32
    )
    np.save(tmp_path / "rows.npy", rows)
    ids, offsets = np.array([0, 1, 0, 2, 1, 2, 2, 0]), np.array([0, 2, 4, 6, 7, 8])
    with pyembed.open_table(tmp_path / "rows.npy") as table:
        for mode in MODES:
            for normalize in (False, True):
                pooled = table.pool(ids, offsets, mode=mode, normalize=normalize)
                assert_same(pooled, expected(rows, ids, offsets, mode, normalize=normalize))
        huge = table.pool([0, 1], [0, 2], mode="max", normalize=True)
        assert np.isnan(huge[0, 2])


def test_a_table_of_the_other_byte_order(tmp_path: Path) -> None:
    rows = np.random.default_rng(8).standard_normal((9, 700)).astype(np.float32)
    for kind in (">f4", ">f2"):
        np.save(tmp_path / "rows.npy", rows.astype(kind))
        with pyembed.open_table(tmp_path / "rows.npy") as table:
            for mode in MODES:
                pooled = table.pool([8, 0, 1, 4, 4, 4, 2], [0, 6, 7], mode=mode)
                stored = rows.astype(kind).astype(np.float32)
                assert_same(
                    pooled, expected(stored, np.array([8, 0, 1, 4, 4, 4, 2]), np.array([0, 6, 7]), mode)
                )


def test_a_norm_beyond_float32_is_divided_by(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.full((1, 64), 3e38, np.float32))
    np.save(tmp_path / "tiny.npy", np.full((1, 64), 1e-45, np.float32))
    for name in ("rows", "tiny"):
        with pyembed.open_table(tmp_path / f"{name}.npy") as table:
            np.testing.assert_allclose(table.pool([0], [0, 1], normalize=True), 0.125, rtol=1e-6)


def test_nothing_to_pool(tables) -> None:
    table = tables["Q8_0"]
    for mode in MODES:
        assert table.pool([], [0], mode=mode).shape == (0, table.shape[1])
        pooled = table.pool([], [0, 0, 0], mode=mode, normalize=True)
        assert pooled.shape == (2, table.shape[1])
        assert not pooled.any()


def test_outputs(tables) -> None:
    table = tables["F16"]
    wanted = table.pool([1, 2, 3], [0, 2, 3])
    out = np.full((2, table.shape[1]), 7, np.float32)
    assert table.pool([1, 2, 3], [0, 2, 3], out=out) is out
    assert_same(out, wanted)
    wide = np.full((2, 2 * table.shape[1]), 7, np.float32)
    table.pool([1, 2, 3], [0, 2, 3], out=wide[:, : table.shape[1]])
    assert_same(np.ascontiguousarray(wide[:, : table.shape[1]]), wanted)
    assert (wide[:, table.shape[1] :] == 7).all()
    weights = np.ones(table.shape[1], np.float32)  # in the memory that is written
    ids = np.zeros(table.shape[1], np.int64)
    once = table.pool(ids, [0, ids.size], weights=weights.copy())
    table.pool(ids, [0, ids.size], weights=weights, out=weights.reshape(1, -1))
    assert_same(weights.reshape(1, -1), once)


def test_torch_tensors(tables) -> None:
    torch = pytest.importorskip("torch")
    table = tables["F32"]
    rng = np.random.default_rng(9)
    ids, offsets = rng.integers(0, N_ROWS, 60), np.array([0, 10, 10, 35, 60])
    weights = torch.from_numpy(rng.standard_normal(60))
    out = torch.zeros(4, table.shape[1])
    pooled = table.pool(
        torch.from_numpy(ids), torch.from_numpy(offsets), mode="sum", weights=weights, out=out
    )
    assert pooled is out
    assert_same(out.numpy(), table.pool(ids, offsets, mode="sum", weights=weights.float().numpy()))


def test_embedding_bag_of_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(10)
    rows = rng.standard_normal((N_ROWS, 96)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    ids, offsets = rng.integers(0, N_ROWS, 60), np.array([0, 10, 10, 35, 60])
    with pyembed.open_table(tmp_path / "rows.npy") as table:
        for mode in MODES:
            bag = torch.nn.EmbeddingBag.from_pretrained(
                torch.from_numpy(rows), mode=mode, include_last_offset=True
            )
            wanted = bag(torch.from_numpy(ids), torch.from_numpy(offsets)).numpy()
            np.testing.assert_allclose(table.pool(ids, offsets, mode=mode), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        ([1, 3], "position 0 is 1"),
        ([-1, 3], "position 0 is -1"),
        ([0, 2, 1, 3], "position 2 is 1, below the one before it, 2"),
        ([0, 4, 3], "position 1 is 4, but there are 3 ids"),
        ([0, 2], "position 1, the last, is 2; it must be the number of ids, 3"),
        ([0], "position 0, the last, is 0"),
        ([], "shape"),
        ([[0, 3]], "shape"),
        (np.array([0, -(2**63), 3]), "position 1 is -9223372036854775808"),
    ],
)
def test_bad_offsets(tables, offsets: object, message: str) -> None:
    out = np.full((3, tables["F32"].shape[1]), 5, np.float32)
    with pytest.raises(ValueError, match=message):
        tables["F32"].pool([1, 2, 3], offsets)
    assert (out == 5).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"ids": [1, N_ROWS]}, IndexError, "id 41 at position 1"),
        ({"ids": [-1, 2]}, IndexError, "id -1 at position 0"),
        ({"ids": [[1, 2]]}, ValueError, "one row"),
        ({"ids": [1.0, 2.0]}, TypeError, "integers"),
        ({"offsets": [0.0, 2.0]}, TypeError, "offsets must be integers"),
        ({"offsets": [0, 2**70]}, IndexError, "offset"),
        ({"offsets": np.array([0, 2**63], np.uint64)}, IndexError, "offset"),
        ({"mode": "median"}, ValueError, "mode is 'median'"),
        ({"mode": "max", "weights": [1.0, 2.0]}, ValueError, "maximum takes no weights"),
        ({"weights": [1.0]}, ValueError, r"shape \(1,\)"),
        ({"weights": ["a", "b"]}, TypeError, "numbers"),
        ({"out": np.zeros((2, 613), np.float32)}, ValueError, "out has shape"),
        ({"out": np.zeros((1, 613))}, TypeError, "float64"),
        ({"threads": 0}, ValueError, "threads is 0"),
    ],
)
def test_bad_arguments(tables, arguments: dict[str, object], error: type[Exception], message: str) -> None:
    given = {"ids": [1, 2], "offsets": [0, 2], **arguments}
    with pytest.raises(error, match=message):
        tables["F32"].pool(given.pop("ids"), given.pop("offsets"), **given)


def test_nothing_is_written_where_an_id_is_wrong(tables) -> None:
    table = tables["F32"]
    out = np.full((2, table.shape[1]), 5, np.float32)
    with pytest.raises(IndexError):
        table.pool([1, 2, 99], [0, 2, 3], out=out)
    assert (out == 5).all()


def test_a_closed_table() -> None:
    model = pyembed.load_model(pyembed.demo_model())
    table = model.table
    model.close()
    with pytest.raises(pyembed.ClosedError):
        table.pool([1], [0, 1])


def test_ids_that_change_meanwhile(tmp_path: Path) -> None:
    """The answer is an error or rows, never memory outside the table."""
    np.save(tmp_path / "rows.npy", np.ones((10, 64), np.float32))
    ids, offsets = np.zeros(200_000, np.int64), np.arange(0, 200_001, 50)
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            ids[::1000] = 2**40
            ids[::1000] = 0

    with pyembed.open_table(tmp_path / "rows.npy") as table:
        thread = threading.Thread(target=change)
        thread.start()
        try:
            for _ in range(30):
                try:
                    table.pool(ids, offsets)
                except (IndexError, ValueError):
                    continue
        finally:
            stop.set()
            thread.join()
