"""The health of tables in which everything that is wrong was put there on purpose."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from pyembed.cli import main
from pyembed.health import PERCENTILES, Health, examine
from tests.helpers.gguf_bytes import ARRAY, I32, STRING, Array, GGUFBytes
from tests.helpers.model_files import TOKEN_TABLE, rows_of_floats, write_model

N, COLUMNS = 2000, 64
UNUSED = range(100, 140)
SECRETLY = [7, 1500, 1999]


def rows_with_faults(rng: np.random.Generator) -> np.ndarray:
    """Return trained rows, and among them unused, untrained, empty, broken and double ones."""
    rows = rng.standard_normal((N, COLUMNS)).astype(np.float32) + 0.2
    start = rng.standard_normal(COLUMNS)
    for row in [*UNUSED, *SECRETLY]:
        rows[row] = 0.3 * start + 0.02 * rng.standard_normal(COLUMNS)
    rows[20] = rows[21] = 0
    rows[30, 5], rows[31, 0] = np.nan, -np.inf
    rows[40] = rows[41] = rows[1000]
    rows[50] = rows[51] + 0.05 * rng.standard_normal(COLUMNS)
    rows[52] = rows[51] + 0.05 * rng.standard_normal(COLUMNS)
    rows[60] = rows[61] * 1.0001
    rows[70] *= 100
    return rows


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = rows_with_faults(np.random.default_rng(5))
    tokens = [f"[unused{row}]" if row in UNUSED else f"t{row}" for row in range(N)]
    folder = tmp_path_factory.mktemp("health")
    tensors = {TOKEN_TABLE: rows, "output.weight": rows, "blk.0.x": rows_of_floats(1000, COLUMNS)}
    return write_model(folder / "m.gguf", model="bert", tokens=tokens, tensors=tensors)


@pytest.fixture(scope="module")
def health(path: Path) -> Health:
    with pyembed.load_model(path, validate="off") as model:
        return examine(model)


def test_rows_that_are_nothing(health: Health) -> None:
    assert health.zero == (20, 21)
    assert health.not_finite == (30, 31)


def test_duplicates(health: Health) -> None:
    assert health.exact == ((40, 41, 1000),)
    clusters = {cluster.ids: cluster.cosine for cluster in health.near}
    assert set(clusters) >= {(50, 51, 52), (60, 61)}
    assert clusters[60, 61] == pytest.approx(1, abs=1e-6)
    assert not any({40, 41} & set(ids) for ids in clusters), (
        "of rows that are the same, the first stands for all"
    )
    assert health.near_is_complete


def test_near_duplicates_are_those_of_a_full_comparison(path: Path, health: Health) -> None:
    with pyembed.load_model(path, validate="off") as model:
        rows = model.table[:].astype(np.float64)
    rows -= np.delete(rows, [30, 31], axis=0).mean(axis=0)
    rows[[20, 21, 30, 31, 41, 1000]] = 0
    norms = np.linalg.norm(rows, axis=1)
    cosines = rows @ rows.T / np.maximum(1e-30, norms[:, None] * norms)
    pairs = {(a, b) for a, b in np.argwhere(np.triu(cosines, 1) >= 0.98).tolist()}
    linked = {(a, b) for cluster in health.near for a in cluster.ids for b in cluster.ids if a < b}
    assert pairs <= linked
    for cluster in health.near:
        inside = [pair for pair in pairs if pair[0] in cluster.ids]
        assert min(cosines[pair] for pair in inside) == pytest.approx(cluster.cosine, rel=1e-6, abs=0.005)


def test_untrained(health: Health) -> None:
    assert health.untrained.known == tuple(UNUSED)
    assert sorted(row.id for row in health.untrained.rows) == SECRETLY
    assert {row.text for row in health.untrained.rows} == {"t7", "t1500", "t1999"}
    assert health.untrained.min_cosine is not None
    assert health.untrained.min_cosine > 0.9


def test_norms(path: Path, health: Health) -> None:
    with pyembed.load_model(path, validate="off") as model:
        rows = np.delete(model.table[:].astype(np.float64), [20, 21, 30, 31], axis=0)
    norms = np.linalg.norm(rows, axis=1)
    np.testing.assert_allclose(health.norms.percentiles, np.percentile(norms, PERCENTILES), rtol=1e-6)
    assert health.norms.highest[0].id == 70
    assert health.norms.highest[0].norm == pytest.approx(norms.max())
    assert [row.norm for row in health.norms.lowest] == pytest.approx(np.sort(norms)[:10].tolist())
    assert len(health.norms.highest) == 10


def test_share_and_tied(path: Path, health: Health) -> None:
    weights = N * COLUMNS
    assert health.share.table_weights == weights
    assert health.share.all_weights == 2 * weights + 1000 * COLUMNS
    assert health.share.table_bytes == 4 * weights
    assert health.share.all_bytes == 4 * health.share.all_weights
    assert health.tied == "bytes"


@pytest.mark.parametrize(
    ("output", "tied"),
    [
        (None, "absent"),
        (rows_of_floats(4, 8), "bytes"),
        (rows_of_floats(4, 8, seed=1), "no"),
        (rows_of_floats(4, 8).astype(np.float16), "no"),
    ],
)
def test_tied(output: np.ndarray | None, tied: str, tmp_path: Path) -> None:
    tensors = {TOKEN_TABLE: rows_of_floats(4, 8)} | ({} if output is None else {"output.weight": output})
    path = write_model(tmp_path / "m.gguf", model="llama", tokens=list("abcd"), tensors=tensors)
    with pyembed.load_model(path, validate="off") as model:
        assert examine(model).tied == tied
    path = write_model(tmp_path / "b.gguf", architecture="bert", tensors={TOKEN_TABLE: rows_of_floats(4, 8)})
    with pyembed.load_model(path, validate="off") as model:
        assert examine(model).tied is None


def test_unused_by_type_by_name_and_without_a_token(tmp_path: Path) -> None:
    tokens = [
        "a",
        "b",
        "<unused7>",
        "<|reserved_special_token_3|>",
        "[PAD32001]",
        "<|dummy_1|>",
        "unused",
        "<pad>",
    ]
    builder = GGUFBytes().add("general.architecture", STRING, "llama")
    builder.add("tokenizer.ggml.tokens", ARRAY, Array(STRING, tokens))
    builder.add("tokenizer.ggml.token_type", ARRAY, Array(I32, [1, 5, *[1] * 6]))
    rows = rows_of_floats(10, 4).tobytes()
    (tmp_path / "m.gguf").write_bytes(bytes(builder.tensor(TOKEN_TABLE, (10, 4), 0, rows)))
    with pyembed.load_model(tmp_path / "m.gguf", validate="off") as model:
        untrained = examine(model).untrained
    assert untrained.known == (1, 2, 3, 4, 5, 8, 9)
    assert (untrained.min_cosine, untrained.rows) == (None, ())


def test_unused_rows_that_do_not_look_alike_tell_nothing(tmp_path: Path) -> None:
    tokens = [f"<unused{row}>" if row < 30 else f"t{row}" for row in range(300)]
    rows = rows_of_floats(300, 64)
    path = write_model(tmp_path / "m.gguf", model="llama", tokens=tokens, tensors={TOKEN_TABLE: rows})
    with pyembed.load_model(path, validate="off") as model:
        untrained = examine(model).untrained
    assert len(untrained.known) == 30
    assert (untrained.min_cosine, untrained.rows) == (None, ())


def test_wide_rows_are_folded_and_found_all_the_same(tmp_path: Path, rng: np.random.Generator) -> None:
    rows = rng.standard_normal((400, 1500)).astype(np.float32)
    for row in range(0, 60, 2):
        rows[row] = rows[row + 1] + 0.14 * rng.standard_normal(1500)  # a cosine of about 0.99
    np.save(tmp_path / "m.npy", rows)
    with pyembed.open_table(tmp_path / "m.npy") as table:
        assert {cluster.ids for cluster in examine(table).near} == {(row, row + 1) for row in range(0, 60, 2)}


def test_a_large_common_part_makes_no_duplicates(tmp_path: Path, rng: np.random.Generator) -> None:
    rows = 1 + 0.01 * rng.standard_normal((3000, 64)).astype(np.float32)
    rows[17] = rows[99] + 1e-4
    np.save(tmp_path / "m.npy", rows)
    with pyembed.open_table(tmp_path / "m.npy") as table:
        assert [cluster.ids for cluster in examine(table).near] == [(17, 99)]


def test_thousands_of_near_duplicates(tmp_path: Path, rng: np.random.Generator) -> None:
    rows = rng.standard_normal((4000, 64)).astype(np.float32)
    rows[:2000] = rows[0] + 0.01 * rng.standard_normal((2000, 64))
    np.save(tmp_path / "m.npy", rows)
    with pyembed.open_table(tmp_path / "m.npy") as table:
        (cluster,) = examine(table).near
    assert cluster.ids == tuple(range(2000))


def test_only_the_likeliest_of_too_many_candidates(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyembed.analysis.near_duplicates._MAX_WEIGHTS", COLUMNS)
    with pyembed.load_model(path, validate="off") as model:
        health = examine(model)
    assert not health.near_is_complete
    assert [len(cluster.ids) for cluster in health.near] == [2]


@pytest.mark.parametrize(
    "rows", [np.zeros((5, 3)), np.full((5, 3), np.nan), np.ones((1, 1)), np.full((4, 2), 3e38)]
)
def test_tables_of_one_kind_of_row(rows: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", rows.astype(np.float32))
    with pyembed.open_table(tmp_path / "m.npy") as table:
        health = examine(table)
    assert len(health.zero) == (5 if not rows.any() else 0)
    assert len(health.not_finite) == (5 if np.isnan(rows).all() else 0)
    assert health.exact == (((0, 1, 2, 3),) if len(rows) == 4 else ())
    assert math.isnan(health.norms.percentiles[0]) == (len(rows) == 5)


def test_a_real_model(data_dir: Path) -> None:
    with pyembed.load_model(data_dir / "models/minilm-f16.gguf") as model:
        health = examine(model)
        texts = [row.text or "" for row in health.untrained.rows]
    assert len(health.untrained.known) == 994
    assert 300 < len(texts) < 1000
    ascii_words = [
        text for text in texts if text.removeprefix("▁").isascii() and text.removeprefix("▁").isalpha()
    ]
    assert len(ascii_words) < 0.1 * len(texts), "scripts that English text does not have"
    assert health.norms.lowest[0].text == "[MASK]"
    assert health.exact == ()


# -------------------------------------------------------------------------------------- wrong, command


@pytest.mark.parametrize("min_cosine", [0.5, 1.01, math.nan])
def test_cosines_out_of_range(min_cosine: float) -> None:
    with pyembed.load_model(pyembed.demo_model()) as model, pytest.raises(ValueError, match="min_cosine is"):
        examine(model, min_cosine=min_cosine)


def test_a_table_without_rows(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.zeros((0, 4), np.float32))
    with pyembed.open_table(tmp_path / "m.npy") as table, pytest.raises(ValueError, match="has no rows"):
        examine(table)


def test_progress() -> None:
    told: list[tuple[str, float]] = []
    with pyembed.load_model(pyembed.demo_model()) as model:
        examine(model, progress=lambda text, done: told.append((text, done)))
    assert ("reading rows", 1.0) in told
    assert told[-1] == ("comparing rows", 1.0)


def test_the_command(path: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["health", str(path)]) == 0
    text = capsys.readouterr().out
    assert "2: t20 (20), t21 (21)" in text
    assert "in effect: output.weight is the same bytes" in text
    assert "3 more, 0.1 % of the rows" in text
    assert main(["health", str(path), "--json"]) == 0
    facts: Any = json.loads(capsys.readouterr().out)
    assert facts["exact"] == [[40, 41, 1000]]
    assert facts["norms"]["highest"][0]["text"] == "t70"
    assert len(facts["untrained"]["known"]) == len(UNUSED)
    assert main(["health", "demo"]) == 0
    assert "unknown: too few" in capsys.readouterr().out
    np.save(tmp_path / "m.npy", np.full((3, 4), np.nan, np.float32))
    assert main(["health", str(tmp_path / "m.npy"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["norms"]["percentiles"]["50"] is None
    assert main(["health", str(path), "--tensor", "blk.0.x"]) == 0
    assert "blk.0.x, 1000 x 64 F32" in capsys.readouterr().out
    assert main(["health", str(path), "--tensor", "blk.0.y"]) == 2
    assert main(["health", "demo", "--min-cosine", "2"]) == 2


@pytest.mark.parametrize("name", ["minilm", "named", "at one point", "sound"])
def test_validation_counts_the_same_rows(
    name: str, tmp_path: Path, rng: np.random.Generator, request: pytest.FixtureRequest
) -> None:
    """What health lists is what validation warns of, whether or not tokens say which rows are unused."""
    if name == "minilm":
        path = request.getfixturevalue("data_dir") / "models/minilm-f16.gguf"
    else:
        with pyembed.load_model(pyembed.demo_model(), validate="off") as model:
            rows, texts = model.table.gather(np.arange(len(model.table))), list(model.vocabulary.tokens)
        point = rows.std() * rng.standard_normal(rows.shape[1]).astype(np.float32)
        for row in range(3000, 3200) if name != "sound" else ():
            rows[row] = point + 0.02 * rng.standard_normal(rows.shape[1]).astype(np.float32)
            if name == "named" and row >= 3150:
                texts[row] = f"[unused{row}]"
        path = write_model(tmp_path / "m.gguf", model="bert", tokens=texts, tensors={TOKEN_TABLE: rows})
    with pyembed.load_model(path, validate="off") as model:
        listed = sorted(row.id for row in examine(model).untrained.rows)
    warned = [f for f in pyembed.validate(path).findings if f.rule == "geometry/untrained"]
    if name == "sound":
        assert (listed, warned) == ([], [])
        return
    assert (warned[0].severity, warned[0].n_ids) == ("warning", len(listed))
    assert (warned[0].first_id, warned[0].last_id) == (listed[0], listed[-1])
    if name != "minilm":
        assert listed == list(range(3000, 3150 if name == "named" else 3200))
        assert [f.n_ids for f in warned[1:]] == ([50] if name == "named" else [])
