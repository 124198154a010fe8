"""The scan as a property: scores are those of NumPy in float64, and the best k those of a full sort."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pyembed
from tests.helpers import oracles
from tests.helpers.gguf_bytes import GGUFBytes

TYPES = sorted(oracles.TYPES)
N_ROWS = 83
#: What is promised of a dot product, relative to the sum of the products' magnitudes; its rounding included.
EXACT = 1e-6


def write_table(
    path: Path, name: str, n_columns: int, blocks: np.ndarray, *, big_endian: bool = False
) -> Path:
    type_id, _, _ = oracles.TYPES[name]
    builder = GGUFBytes(big_endian=big_endian)
    path.write_bytes(bytes(builder.tensor("t", (N_ROWS, n_columns), type_id, blocks.tobytes())))
    return path


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory):
    """Return one open table a type of finite rows, 600 to 896 columns wide, and all of them in float64."""
    rng = np.random.default_rng(20)
    folder = tmp_path_factory.mktemp("tables")
    result = {}
    for name in TYPES:
        weights = oracles.TYPES[name][1]
        n_columns = 601 if weights == 1 else 768 if weights == 256 else 896
        blocks = oracles.finite_blocks(name, N_ROWS * n_columns // weights, rng)
        rows = oracles.formula_dequantize(name, blocks).reshape(N_ROWS, n_columns).astype(np.float64)
        result[name] = (
            pyembed.open_table(write_table(folder / name, name, n_columns, blocks), tensor="t"),
            rows,
        )
    return result


def as_table(path: Path, rows: np.ndarray) -> pyembed.EmbeddingTable:
    np.save(path, rows)
    return pyembed.open_table(path)


def full_sort(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the ids of the best k, ties by id, NaN never."""
    order = np.lexsort((np.arange(len(scores)), -scores.astype(np.float64)))
    return order[~np.isnan(scores[order])][:k]


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("n_queries", [1, 2, 7])
def test_every_type_against_float64(tables, name: str, n_queries: int) -> None:
    table, rows = tables[name]
    queries = np.random.default_rng(1).standard_normal((n_queries, rows.shape[1])).astype(np.float32)
    with np.errstate(all="ignore"):
        magnitudes = np.abs(queries.astype(np.float64)) @ np.abs(rows).T
        expected = queries.astype(np.float64) @ rows.T
        cosines = expected / np.outer(
            np.linalg.norm(queries.astype(np.float64), axis=1), np.linalg.norm(rows, axis=1)
        )
    fits = magnitudes < 1e37  # larger sums may leave float32
    got = table.scores(queries)
    assert got.dtype == np.float32
    assert got.shape == expected.shape
    assert (np.abs(got - expected)[fits] <= EXACT * magnitudes[fits]).all()
    fits &= np.isfinite(cosines) & (magnitudes > 1e-30)
    assert (np.abs(table.scores(queries, "cosine") - cosines)[fits] <= EXACT).all()
    np.testing.assert_allclose(table.norms, np.linalg.norm(rows, axis=1).astype(np.float32), rtol=1e-7)


@pytest.mark.parametrize("name", ["F16", "Q4_K", "Q8_0", "IQ2_XXS", "I64"])
def test_bits_depend_on_nothing_else(tables, name: str) -> None:
    """A score is the same alone and in a batch, of all rows and of some, for any number of threads."""
    table, rows = tables[name]
    queries = np.random.default_rng(2).standard_normal((11, rows.shape[1])).astype(np.float32)
    for metric in ("dot", "cosine"):
        expected = np.concatenate([table.scores(query, metric, threads=1) for query in queries]).view(
            np.uint32
        )
        ids = np.random.default_rng(3).integers(0, N_ROWS, 40)
        for threads in (1, 2, 3, 4):
            for n in (1, 2, 3, 4, 11):
                assert (
                    table.scores(queries[:n], metric, threads=threads).view(np.uint32) == expected[:n]
                ).all()
            some = table.scores(queries, metric, ids=ids, threads=threads)
            assert (some.view(np.uint32) == expected[:, ids]).all()
            top = table.top(queries, N_ROWS, metric, threads=threads)
            assert (top.scores.view(np.uint32) == np.take_along_axis(expected, top.ids, 1)).all()


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("name", sorted(oracles.CODED_TYPES))
def test_products_of_codes_are_what_is_defined(name: str, big_endian: bool, tmp_path: Path) -> None:
    """Bit for bit: more than one block of columns, the last of one group or of three, or of 256 columns."""
    _, weights, block_bytes = oracles.TYPES[name]
    rng = np.random.default_rng(11)
    for n_columns in (1024 + 32, 2048 + 96) if weights == 32 else (1280, 2048):
        blocks = oracles.finite_blocks(name, N_ROWS * n_columns // weights, rng)
        queries = rng.standard_normal((5, n_columns)).astype(np.float32)
        queries[1, 5] = 3e4
        queries[2, :1024] = 0
        queries[3] *= np.float32(1e-42)
        queries[4] = np.eye(n_columns, dtype=np.float32)[n_columns - 2]
        rows = blocks.reshape(N_ROWS, n_columns // weights * block_bytes)
        expected = np.stack([oracles.coded_scores(name, rows, query) for query in queries])
        if big_endian:
            blocks = oracles.byte_swapped(name, blocks)
        path = write_table(tmp_path / "t.gguf", name, n_columns, blocks, big_endian=big_endian)
        with pyembed.open_table(path, tensor="t") as table:
            assert (table.scores(queries).view(np.uint32) == expected.view(np.uint32)).all()
            one = np.concatenate([table.scores(query) for query in queries])
            assert (one.view(np.uint32) == expected.view(np.uint32)).all()
            weights_of = table.gather(np.arange(N_ROWS))[:, n_columns - 2]
            if oracles.CODED_TYPES[name].minima is None:  # one column is asked for: nothing is rounded
                np.testing.assert_array_equal(expected[4], weights_of)


def test_back_ends_agree(tables, tmp_path: Path) -> None:
    """Scores of every type, from another back end in a process of its own, bit for bit."""
    paths = [table.path for table, _ in tables.values()]
    program = (
        "import sys, numpy as np, pyembed\n"
        "for path in sys.stdin.read().split():\n"
        "    with pyembed.open_table(path, tensor='t') as table:\n"
        "        queries = np.random.default_rng(4).standard_normal((5, table.shape[1])).astype(np.float32)\n"
        "        for metric in ('dot', 'cosine'):\n"
        "            scores = [table.scores(queries, metric), table.scores(queries[0], metric)]\n"
        "            sys.stdout.buffer.write(np.concatenate(scores).tobytes())\n"
    )
    outputs = []
    for isa in ("portable", None):
        environment = {**os.environ, **({"PYEMBED_ISA": isa} if isa else {})}
        done = subprocess.run(
            [sys.executable, "-c", program],
            input="\n".join(paths).encode(),
            capture_output=True,
            env=environment,
            check=True,
        )
        outputs.append(done.stdout)
    assert len(outputs[0]) > 1000
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("metric", ["dot", "cosine"])
def test_top_is_a_full_sort(tmp_path: Path, metric: str, threads: int) -> None:
    """With ties everywhere, zero rows, infinities and NaN."""
    rng = np.random.default_rng(5)
    rows = rng.integers(-1, 2, (5000, 3)).astype(np.float32)
    rows[[17, 4000]] = np.nan
    rows[33, 0] = np.inf
    rows[34] = [np.inf, -np.inf, 0]
    queries = np.array([[1, 2, 0], [1, 1, 1], [0, 0, 0], [1, 0.5, 3]], np.float32)
    with as_table(tmp_path / "t.npy", rows) as table:
        scores = table.scores(queries, metric, threads=threads)
        for k in (1, 2, 10, 4990):
            top = table.top(queries, k, metric, threads=threads)
            for query in range(len(queries)):
                expected = full_sort(scores[query], k)
                assert top.ids[query].tolist() == expected.tolist()
                assert (top.scores[query] == scores[query][expected]).all()
        assert top.n_nan.tolist() == np.isnan(scores).sum(axis=1).tolist()
        assert (np.isnan(scores[:, [17, 4000, 34]])).all()
        full = table.top(queries, 5000, metric, threads=threads)
        n = int(full.n_nan[0])
        assert n >= 3
        assert (full.ids[0, -n:] == -1).all()
        assert np.isnan(full.scores[0, -n:]).all()
        out = table.top(queries, 5, metric, exclude=full.ids[0, :7], threads=threads)
        assert out.ids[0].tolist() == full.ids[0, 7:12].tolist()
        some = rng.permutation(5000)[:700]
        subset = table.top(queries, 20, metric, ids=some, exclude=some[:100], threads=threads)
        kept = np.sort(some[100:])
        assert subset.ids[3].tolist() == kept[full_sort(scores[3, kept], 20)].tolist()


def test_zero_rows_have_cosine_0(tmp_path: Path) -> None:
    rows = np.array([[0, 0], [3, 4], [1e-23, 0], [1e30, 1e30], [-5, 0]], np.float32)
    with as_table(tmp_path / "t.npy", rows) as table:
        assert (
            table.norms.tolist()
            == np.linalg.norm(rows.astype(np.float64), axis=1).astype(np.float32).tolist()
        )
        assert not table.norms.flags.writeable
        expected = np.array([[0, 0.6, 1, 2**-0.5, -1]], np.float32)
        np.testing.assert_allclose(table.scores([1, 0], "cosine"), expected, rtol=1e-7)
        assert (table.scores([0, 0], "cosine") == 0).all()
        assert table.scores([1, 0], "cosine").max() <= 1


@pytest.mark.parametrize("name", TYPES)
def test_the_other_byte_order(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    blocks = oracles.finite_blocks(name, N_ROWS * 512 // oracles.TYPES[name][1], rng)
    little = write_table(tmp_path / "little.gguf", name, 512, blocks)
    big = write_table(tmp_path / "big.gguf", name, 512, oracles.byte_swapped(name, blocks), big_endian=True)
    queries = rng.standard_normal((5, 512))
    with pyembed.open_table(little, tensor="t") as a, pyembed.open_table(big, tensor="t") as b:
        for some in (queries[:1], queries):
            assert (a.scores(some).view(np.uint32) == b.scores(some).view(np.uint32)).all()
        assert (a.norms == b.norms).all()


@pytest.mark.parametrize("shape", [(0, 64), (5, 0), (1, 1)])
def test_degenerate_tables(shape: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "t.gguf"
    path.write_bytes(bytes(GGUFBytes().tensor("t", shape, 1, bytes(2 * shape[0] * shape[1]))))
    with pyembed.open_table(path, tensor="t") as table:
        for metric in ("dot", "cosine"):
            assert (table.scores(np.ones((2, shape[1])), metric) == np.zeros((2, shape[0]))).all()
        assert table.scores(np.ones((0, shape[1]))).shape == (0, shape[0])
        assert table.norms.tolist() == [0] * shape[0]
        with pytest.raises(ValueError, match=f"k is {shape[0] + 1}; expected 1 to {shape[0]}"):
            table.top(np.ones(shape[1]), shape[0] + 1)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"query": [1, 2, 3, 4]}, ValueError, "4 wide; the rows of the table are 3 wide"),
        ({"query": [[[1, 2, 3]]]}, ValueError, r"shape \(1, 1, 3\)"),
        ({"query": [1, float("nan"), 3]}, ValueError, "query 0 is not finite: column 1 is NaN"),
        ({"query": [[1, 2, 3], [1, 2, -float("inf")]]}, ValueError, "query 1 .* column 2 is infinite"),
        ({"query": [1, 2, 1e300]}, ValueError, "column 2 is infinite"),
        ({"query": ["a", "b", "c"]}, TypeError, "must be numbers"),
        ({"query": [True, False, True]}, TypeError, "must be numbers"),
        ({"query": [1, 2, 3], "k": 0}, ValueError, "k is 0; expected 1 to 4"),
        ({"query": [1, 2, 3], "k": 5}, ValueError, "k is 5; expected 1 to 4"),
        ({"query": [1, 2, 3], "k": -1}, ValueError, "k is -1"),
        ({"query": [1, 2, 3], "k": 1.5}, TypeError, "k is a float"),
        ({"query": [1, 2, 3], "k": True}, TypeError, "k is a bool"),
        ({"query": [1, 2, 3], "k": 3, "ids": [0, 1]}, ValueError, "k is 3; expected 1 to 2"),
        ({"query": [1, 2, 3], "metric": "l2"}, ValueError, "metric is 'l2'; expected one of dot, cosine"),
        ({"query": [1, 2, 3], "ids": [0, 4]}, IndexError, "id 4 at position 1 .* 4 rows"),
        ({"query": [1, 2, 3], "exclude": [-1]}, IndexError, "id -1 at position 0"),
        ({"query": [1, 2, 3], "threads": 0}, ValueError, "threads is 0"),
    ],
)
def test_bad_calls(arguments: dict, error: type, match: str, tmp_path: Path) -> None:
    with (
        as_table(tmp_path / "t.npy", np.eye(4, 3, dtype=np.float32)) as table,
        pytest.raises(error, match=match),
    ):
        table.top(**{"k": 1, **arguments})


def test_out_and_closing(tmp_path: Path) -> None:
    table = as_table(tmp_path / "t.npy", np.eye(4, 3, dtype=np.float32))
    out = np.zeros((1, 4), np.float32)
    assert table.scores([1, 2, 3], out=out) is out
    assert out.tolist() == [[1, 2, 3, 0]]
    for bad in (np.zeros((1, 4)), [[0.0] * 4]):
        with pytest.raises(TypeError, match="float32"):
            table.scores([1, 2, 3], out=bad)
    with pytest.raises(ValueError, match="expected \\(1, 4\\)"):
        table.scores([1, 2, 3], out=np.zeros(4, np.float32))
    table.close()
    for call in (lambda: table.scores([1, 2, 3]), lambda: table.top([1, 2, 3], 1), lambda: table.norms):
        with pytest.raises(ValueError, match="is closed"):
            call()


@pytest.mark.parametrize("threads", [1, 2])
def test_progress_and_cancelling(tmp_path: Path, threads: int) -> None:
    with as_table(tmp_path / "t.npy", np.ones((4000, 512), np.float32)) as table:
        told: list[tuple[str, float]] = []
        table.scores(np.ones(512), threads=threads, progress=lambda text, done: told.append((text, done)))
        assert told or threads == 2  # the calling thread reports, and the other one may have been faster
        assert all(text == "scanning rows" and 0 <= done <= 1 for text, done in told)
        with pytest.raises(pyembed.LoadCancelledError):
            table.scores(np.ones(512), threads=1, progress=lambda text, done: False)

        def fails(text: str, done: float) -> None:
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            table.top(np.ones(512), 3, threads=1, progress=fails)
