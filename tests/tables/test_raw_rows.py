"""Rows as the file stores them, and the windows of ranks."""

from __future__ import annotations

import ctypes
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyembed
from tests.helpers import oracles
from tests.helpers.gguf_bytes import GGUFBytes
from tests.helpers.oracles.scaled import ScaledRow
from tests.helpers.scaled_tables import make_table, save

N_ROWS = 37
TYPES = ["F32", "F16", "BF16", "Q4_0", "Q8_0", "Q6_K", "IQ4_XS", "MXFP4"]
DTYPES = ["float32", "float16", "bfloat16", "raw"]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[pyembed.EmbeddingTable, np.ndarray]]:
    """Return one open table a type, and the bytes of its rows."""
    rng = np.random.default_rng(7)
    result = {}
    for name in TYPES:
        type_id, weights, block_bytes = oracles.TYPES[name]
        n_columns = weights * 3 if weights > 1 else 77
        blocks = oracles.random_blocks(name, N_ROWS * n_columns // weights, rng)
        path = tmp_path_factory.mktemp("tables") / f"{name}.gguf"
        path.write_bytes(bytes(GGUFBytes().tensor("t", (N_ROWS, n_columns), type_id, blocks.tobytes())))
        stored = np.frombuffer(blocks.tobytes(), np.uint8).reshape(N_ROWS, -1)
        assert stored.shape[1] == n_columns // weights * block_bytes
        result[name] = pyembed.open_table(path, tensor="t"), stored
    return result


@pytest.mark.parametrize("name", TYPES)
def test_raw_rows_are_the_stored_bytes(tables, name: str) -> None:
    table, stored = tables[name]
    assert table.raw_bytes == (stored.shape[1], 0)
    assert table.raw_stride == stored.shape[1]
    ids = np.array([[0, 36, 5], [5, 1, 0]], np.int32)
    rows = table.gather(ids, dtype="raw")
    assert rows.dtype == np.uint8
    assert rows.shape == (2, 3, stored.shape[1])
    np.testing.assert_array_equal(rows, stored[ids])
    np.testing.assert_array_equal(table.gather([3], dtype="raw"), stored[[3]])
    np.testing.assert_array_equal(table.gather(4, dtype="raw"), stored[4])


@pytest.mark.parametrize("threads", [1, 3])
def test_raw_rows_of_a_table_larger_than_the_caches(tmp_path: Path, threads: int) -> None:
    """They are written past the caches, by several threads, with rows fetched ahead."""
    stored = np.random.default_rng(1).integers(0, 256, (120_000, 266), np.uint8)
    path = tmp_path / "rows.npy"
    np.save(path, stored.view(np.float16))
    ids = np.random.default_rng(2).integers(-5, 120_010, 300_000)
    with pyembed.open_table(path) as table:
        padded = np.full((len(ids), 300), 77, np.uint8)
        out = padded[:, 3:269]
        assert table.gather(ids, out=out, threads=threads, window=(100, 110_000)) is out
    inside = (ids >= 100) & (ids < 110_000)
    assert 0 < inside.sum() < len(ids)
    np.testing.assert_array_equal(out[inside], stored[ids[inside]])
    assert not out[~inside].any()
    assert (padded[:, :3] == 77).all()
    assert (padded[:, 269:] == 77).all()


def test_raw_rows_keep_the_files_byte_order(tmp_path: Path) -> None:
    weights = np.arange(12, dtype=">f4").reshape(3, 4)
    np.save(tmp_path / "big.npy", weights)
    with pyembed.open_table(tmp_path / "big.npy") as table:
        raw = table.gather([2, 0], dtype="raw")
    np.testing.assert_array_equal(raw.view(">f4"), weights[[2, 0]])


def test_outputs_for_raw_rows(tables) -> None:
    table, stored = tables["Q8_0"]
    ids = [4, 4, 9]
    plain = np.zeros((3, table.raw_stride), np.uint8)
    assert table.gather(ids, out=plain) is plain  # uint8 says so
    np.testing.assert_array_equal(plain, stored[ids])
    pinned = (ctypes.c_uint8 * (3 * table.raw_stride))()
    shaped = np.ctypeslib.as_array(pinned).reshape(plain.shape)
    table.gather(ids, out=memoryview(shaped), dtype="raw")
    np.testing.assert_array_equal(shaped, stored[ids])
    codes, scales = np.zeros_like(plain), np.zeros((3, 0), np.uint8)
    pair = (codes, scales)
    assert table.gather(ids, out=pair) is pair
    np.testing.assert_array_equal(codes, stored[ids])
    model = pyembed.load_model(pyembed.demo_model())
    np.testing.assert_array_equal(model.embed([3], dtype="raw"), model.table.gather([3], dtype="raw"))
    with pytest.raises(ValueError, match="nothing done to them"):
        model.embed([3], dtype="raw", mask=[True])


def test_a_token_stride(tables) -> None:
    """Heads side by side for each token, tokens further apart: no single stride describes their rows."""
    table, stored = tables["Q4_0"]
    ids = np.array([[1, 2], [36, 0], [7, 7]], np.int64)
    buffer = np.full((3, 2 * table.raw_stride + 11), 9, np.uint8)
    out = np.lib.stride_tricks.as_strided(
        buffer, (3, 2, table.raw_stride), (buffer.shape[1], table.raw_stride, 1)
    )
    table.gather(ids, out=out)
    np.testing.assert_array_equal(out, stored[ids])
    assert (buffer[:, 2 * table.raw_stride :] == 9).all()


def test_torch_tensors_for_raw_rows(tables) -> None:
    torch = pytest.importorskip("torch")
    table, stored = tables["Q6_K"]
    ids = torch.tensor([[1, 2, 3], [4, 5, 6]])[:, ::2]  # strided, as heads of a rank are
    out = torch.zeros(2, 2, table.raw_stride, dtype=torch.uint8)
    assert table.gather(ids, out=out) is out
    np.testing.assert_array_equal(out.numpy(), stored[ids.numpy()])
    wide = torch.zeros(2, table.raw_stride + 8, dtype=torch.uint8)
    table.gather([7, 8], out=(wide[:, : table.raw_stride], wide[:, table.raw_stride : table.raw_stride]))
    np.testing.assert_array_equal(wide[:, :-8].numpy(), stored[[7, 8]])
    assert not wide[:, -8:].any()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"dtype": "float32", "out": ("codes", "scales")}, ValueError, 'expected "raw"'),
        ({"out": ("codes",)}, ValueError, "tuple of 1"),
        ({"out": ("codes", "codes")}, ValueError, r"expected \(2, 0\)"),
        ({"out": ("halves", "scales")}, TypeError, "expected uint8"),
        ({"out": ("short", "scales")}, ValueError, "out has shape"),
        ({"out": ("frozen", "scales")}, ValueError, "read-only"),
        ({"dtype": "rav"}, TypeError, "rav"),
    ],
)
def test_refused_outputs(tables, options: dict[str, object], error: type[Exception], message: str) -> None:
    table, _ = tables["Q8_0"]
    stride = table.raw_stride
    arrays = {
        "codes": np.zeros((2, stride), np.uint8),
        "scales": np.zeros((2, 0), np.uint8),
        "halves": np.zeros((2, stride), np.float16),
        "short": np.zeros((2, stride - 1), np.uint8),
        "frozen": np.zeros((2, stride), np.uint8),
    }
    arrays["frozen"].flags.writeable = False
    if isinstance(options.get("out"), tuple):
        options = {**options, "out": tuple(arrays[part] for part in options["out"])}
    with pytest.raises(error, match=message):
        table.gather([1, 2], **options)


# ------------------------------------------------------------------------------------ several parts

PARTS = {
    "FP8, a scale a row": (ScaledRow(100, "e4m3", scales="f32"), "row"),
    "MXFP4": (ScaledRow(64, "e2m1", scales="e8m0", group=32), "group"),
}


@pytest.mark.parametrize("name", PARTS)
def test_codes_and_scales_apart(name: str, tmp_path: Path) -> None:
    row, sharing = PARTS[name]
    made = make_table(row, 31, sharing)
    tensors = {"embed_tokens.weight": made.codes(), "embed_tokens.weight_scale": made.beside(1)}
    codes, scales = (
        np.stack([np.frombuffer(one.parts[part], np.uint8) for one in made.rows]) for part in (0, 1)
    )
    ids = np.array([[30, 0, 7], [-1, 31, 7]])
    with pyembed.open_table(save(tmp_path / "t.safetensors", tensors)) as table:
        assert table.raw_bytes == (codes.shape[1], scales.shape[1])
        assert table.raw_bytes == (table.layout.code_bytes, table.layout.scale_bytes)
        out = (np.ones((2, 3, codes.shape[1]), np.uint8), np.ones((2, 3, scales.shape[1]), np.uint8))
        assert table.gather(ids, out=out, window=(0, 31)) is out
        joined = table.gather(ids, dtype="raw", window=(0, 31))
        for found, stored in ((out[0], codes), (out[1], scales), (joined, np.hstack([codes, scales]))):
            np.testing.assert_array_equal(found[0], stored[ids[0]])
            np.testing.assert_array_equal(found[1, 2], stored[7])
            assert not found[1, :2].any()
        packed = np.zeros((3, table.raw_stride + 4), np.uint8)
        views = (packed[:, : codes.shape[1]], packed[:, codes.shape[1] : table.raw_stride])
        table.gather([3, 4, 5], out=views)  # columns of one array
        np.testing.assert_array_equal(packed[:, :-4], np.hstack([codes, scales])[3:6])
        with pytest.raises(ValueError, match="overlap in memory"):
            table.gather([3], out=(packed[:1, : codes.shape[1]], packed[:1, : scales.shape[1]]))
        # And what a device makes of them is what comes out as floats.
        assert table.gather([30, 7]).tobytes() == made.weights()[[30, 7]].tobytes()


def test_shards_with_a_scale_of_their_own(tmp_path: Path) -> None:
    """A row has a copy of it; one that the whole table shares is in no row."""
    row = ScaledRow(48, "e4m3", scales="f32")
    parts = [make_table(row, n, "table", seed) for seed, n in enumerate((5, 5, 2))]
    tensors = {}
    for number, part in enumerate(parts):
        tensors[f"embed_tokens.shard_{number}.weight"] = part.codes()
        tensors[f"embed_tokens.shard_{number}.weight_scale"] = part.beside(1)
    stored = np.stack([np.frombuffer(b"".join(r.parts), np.uint8) for part in parts for r in part.rows])
    with pyembed.open_table(save(tmp_path / "t.safetensors", tensors)) as table:
        assert table.shape == (12, 48)
        assert table.raw_bytes == (48, 4)
        np.testing.assert_array_equal(table.gather(np.arange(12), dtype="raw"), stored)
    alone = {"embed_tokens.weight": parts[0].codes(), "embed_tokens.weight_scale": parts[0].beside(1)}
    with pyembed.open_table(save(tmp_path / "one.safetensors", alone)) as table:
        assert table.raw_bytes == (48, 0)
        np.testing.assert_array_equal(table.gather(np.arange(5), dtype="raw"), stored[:5, :48])


# ----------------------------------------------------------------------------------------- windows

IDS = st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-3, N_ROWS + 3), max_size=12)


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(TYPES),
    dtype=st.sampled_from(DTYPES),
    ids=IDS,
    bounds=st.tuples(st.integers(0, N_ROWS), st.integers(0, N_ROWS)).map(lambda pair: tuple(sorted(pair))),
    given_out=st.booleans(),
)
def test_a_window(
    tables, name: str, dtype: str, ids: list[int], bounds: tuple[int, int], given_out: bool
) -> None:
    table, _ = tables[name]
    every = table.gather(np.arange(N_ROWS), dtype=dtype)
    array = np.array(ids, np.int64)
    out = np.full((len(ids), every.shape[1]), 99, every.dtype) if given_out else None
    rows = table.gather(array, window=bounds, dtype=dtype, out=out)
    expected = np.zeros((len(ids), every.shape[1]), every.dtype)
    for i, number in enumerate(ids):
        if bounds[0] <= number < bounds[1]:
            expected[i] = every[number]
    assert rows.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_ids_of_every_kind_outside_a_window(tables, dtype: str) -> None:
    table, stored = tables["F16"]
    info = np.iinfo(dtype)
    ids = np.array([info.min, info.max, 3, 4, 5], dtype)
    rows = table.gather(ids, window=(4, 5), dtype="raw")
    assert not rows[[0, 1, 2, 4]].any()
    np.testing.assert_array_equal(rows[3], stored[4])


def test_integers_beyond_64_bits_are_outside_every_window(tables) -> None:
    table, stored = tables["F32"]
    rows = table.gather([2**70, -(2**70), 2**63, 5], window=(0, N_ROWS), dtype="raw")
    assert not rows[:3].any()
    np.testing.assert_array_equal(rows[3], stored[5])
    with pytest.raises(IndexError):
        table.gather([2**70, 5])


def test_the_windows_of_all_ranks_make_the_table(tables) -> None:
    table, _ = tables["Q6_K"]
    ids = np.random.default_rng(3).integers(0, N_ROWS, 200)
    bounds = [0, 10, 10, 23, N_ROWS]
    parts = [table.gather(ids, window=pair) for pair in itertools.pairwise(bounds)]
    whole = table.gather(ids)
    # In one of them each row is itself, in all others zero: a sum over ranks changes no bit.
    assert sum(part.view(np.uint32) for part in parts).tobytes() == whole.tobytes()


@pytest.mark.parametrize("window", [(-1, 3), (5, 4), (0, N_ROWS + 1), (0, 2**80)])
def test_windows_outside_the_table(tables, window: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="window is"):
        tables["F32"][0].gather([1], window=window)


@pytest.mark.parametrize("window", [3, (1,), (1, 2, 3), (0.0, 3.0), (False, 3), "ab"])
def test_windows_that_are_none(tables, window: object) -> None:
    with pytest.raises(TypeError, match="window is"):
        tables["F32"][0].gather([1], window=window)


def test_embed_takes_a_window() -> None:
    with pyembed.load_model(pyembed.demo_model()) as model:
        rows = model.embed([5, 9, -1], window=(6, 12))
        np.testing.assert_array_equal(rows[1], model.embed(9))
        assert not rows[[0, 2]].any()
        vector = np.ones(model.n_embd, np.float32)
        rows = model.embed([5, 9, -1], window=(6, 12), replace={2: vector}, mask=[True, True, True])
        np.testing.assert_array_equal(rows[1], model.embed(9))
        np.testing.assert_array_equal(rows[2], vector)
        assert not rows[0].any()


def test_rows_outside_a_window_are_not_counted_as_read() -> None:
    with pyembed.load_model(pyembed.demo_model()) as model:
        before = model.stats()
        model.table.gather([1, 2, 3, -4], window=(2, 4), dtype="raw")
        after, stride = model.stats(), model.table.raw_stride
    assert after.n_rows - before.n_rows == 4
    assert after.n_bytes_read - before.n_bytes_read == 2 * stride
    assert after.n_bytes_written - before.n_bytes_written == 4 * stride
