"""Tables of model2vec, in which several tokens may have one row, and each a weight."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pyembed
from tests.helpers.oracles.compare import assert_bit_equal
from tests.helpers.oracles.scaled import ScaledRow, e4m3, e5m2
from tests.helpers.scaled_tables import Stored, make_table, save


@pytest.mark.parametrize("name", ["embeddings", "embedding.weight"])
@pytest.mark.parametrize("dtype", ["<i8", "<i4", "<u4", "<u2", "|u1", "|i1"])
def test_rows_by_a_mapping(name: str, dtype: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows, mapping = rng.normal(size=(20, 7)).astype("<f2"), rng.integers(0, 20, 50)
    weights = rng.uniform(0, 2, 50)
    kind = np.dtype(dtype)
    stored = {
        name: Stored("F16", (20, 7), rows.tobytes()),
        "mapping": Stored(f"{kind.kind.upper()}{8 * kind.itemsize}", (50,), mapping.astype(kind).tobytes()),
    }
    path = tmp_path / "m.safetensors"
    with pyembed.open_table(save(path, stored)) as table:
        assert table.shape == (50, 7)
        assert_bit_equal(table[:], rows[mapping].astype(np.float32))
        assert table.layout.mapping
        assert table.layout.n_stored_rows == 20
    for text, size in (("F64", "<f8"), ("F32", "<f4")):
        stored["weights"] = Stored(text, (50,), weights.astype(size).tobytes())
        with pyembed.open_table(save(path, stored)) as table:
            expected = rows[mapping].astype(np.float32) * weights.astype(np.float32)[:, None]
            assert_bit_equal(table[:], expected)
            assert table.layout.weights
            assert "mapped to 20 stored rows" in str(table.layout)
    del stored["mapping"]
    with pytest.raises(pyembed.SafetensorsError, match="is not as long"):
        pyembed.open_table(save(path, stored))
    stored["weights"] = Stored("F32", (20,), weights[:20].astype("<f4").tobytes())
    with pyembed.open_table(save(path, stored)) as table:
        assert_bit_equal(table[:], rows.astype(np.float32) * weights[:20].astype(np.float32)[:, None])


@pytest.mark.parametrize("has_weights", [False, True])
@pytest.mark.parametrize("dtype", ["F16", "F32", "I8", "F8_E4M3", "F8_E5M2"])
def test_scans_of_mapped_rows(dtype: str, has_weights: bool, tmp_path: Path) -> None:
    """A row of the table may lie anywhere among those that are stored."""
    rng = np.random.default_rng(5)
    kind = {"F16": "<f2", "F32": "<f4", "I8": "|i1"}.get(dtype)
    mapping = rng.integers(0, 700, 3000)
    if kind is None:
        rows = rng.integers(0, 100, (700, 72), np.uint8)
        decoded = (e4m3 if dtype == "F8_E4M3" else e5m2)(rows)
    else:
        rows = (20 * rng.normal(size=(700, 72))).astype(kind)
        decoded = rows.astype(np.float32)
    weights = rng.uniform(0.5, 2, 3000).astype("<f4")
    stored = {
        "embeddings": Stored(dtype, rows.shape, rows.tobytes()),
        "mapping": Stored("I64", (3000,), mapping.astype("<i8").tobytes()),
    }
    expected = decoded[mapping]
    if has_weights:
        stored["weights"] = Stored("F32", (3000,), weights.tobytes())
        expected *= weights[:, None]
    query = rng.normal(size=(3, 72)).astype(np.float32)
    whole = save(tmp_path / "w.safetensors", {"w": Stored("F32", expected.shape, expected.tobytes())})
    path = save(tmp_path / "m.safetensors", stored)
    with pyembed.open_table(path, tensor="embeddings") as table, pyembed.open_table(whole) as plain:
        assert_bit_equal(table[:], expected)
        np.testing.assert_array_equal(table.scores(query), plain.scores(query))
        np.testing.assert_array_equal(table.top(query, 5, "cosine").ids, plain.top(query, 5, "cosine").ids)
        np.testing.assert_array_equal(table.norms, plain.norms)
        np.testing.assert_array_equal(table.check_rows(0, 3000)[0], plain.check_rows(0, 3000)[0])
        hashes = table.check_rows(0, 3000, key=bytes(16))[1]
        n_kinds = 3000 if has_weights else len(set(mapping.tolist()))
        assert len(set(hashes.tolist())) == n_kinds
        ids = rng.integers(0, 3000, 5000)
        np.testing.assert_array_equal(table.gather(ids, dtype="float16"), plain.gather(ids, dtype="float16"))


@pytest.mark.parametrize("bad", [-1, 20, 2**40, -(2**63)])
def test_a_mapping_out_of_the_table(bad: int, tmp_path: Path) -> None:
    mapping = np.zeros(50, "<i8")
    mapping[31] = bad
    stored = {
        "embeddings": Stored("F32", (20, 2), bytes(160)),
        "mapping": Stored("I64", (50,), mapping.tobytes()),
    }
    with pytest.raises(pyembed.SafetensorsError, match="'mapping': entry 31 ") as caught:
        pyembed.open_table(save(tmp_path / "m.safetensors", stored), tensor="embeddings")
    assert caught.value.offset is not None


def test_what_belongs_to_no_mapping(tmp_path: Path) -> None:
    rows = Stored("F32", (4, 2), np.arange(8, dtype="<f4").tobytes())
    path = tmp_path / "m.safetensors"
    with pytest.raises(pyembed.SafetensorsError, match="not a list of row numbers"):
        pyembed.open_table(
            save(path, {"embeddings": rows, "mapping": Stored("F32", (1,), bytes(4))}), tensor="embeddings"
        )
    shards = {f"embeddings.shard_{i}.weight": rows for i in range(2)}
    for name, part in (
        ("mapping", Stored("U8", (9,), bytes(9))),
        ("weights", Stored("F32", (8,), bytes(32))),
    ):
        with pytest.raises(pyembed.SafetensorsError, match="lies beside a table in shards"):
            pyembed.open_table(save(path, {**shards, name: part}), tensor="embeddings")
    scaled = make_table(ScaledRow(4, "I8", scales="f32"), 4, "row")
    both = {"embeddings": scaled.codes(), "embeddings.scale": scaled.beside(1)}
    with pytest.raises(pyembed.SafetensorsError, match="lies beside codes that have scales"):
        pyembed.open_table(save(path, {**both, "mapping": Stored("U8", (9,), bytes(9))}), tensor="embeddings")
    matrix = Stored("F32", (1, 2), bytes(8))
    with pyembed.open_table(
        save(path, {"embeddings": rows, "weights": matrix}), tensor="embeddings"
    ) as table:
        assert table.shape == (4, 2)
        assert not table.layout.weights


@pytest.mark.parametrize(
    ("part", "stored"),
    [
        ("mapping", Stored("I64", (1, 4), bytes(32))),
        ("mapping", Stored("I64", (), bytes(8))),
        ("weights", Stored("F32", (4, 1), bytes(16))),
    ],
)
def test_a_mapping_of_other_dimensions(part: str, stored: Stored, tmp_path: Path) -> None:
    """Rows never come out as if the mapping, or the weights, were not there."""
    rows = Stored("F32", (4, 2), bytes(32))
    path = save(tmp_path / "m.safetensors", {"embeddings": rows, part: stored})
    with pytest.raises(pyembed.SafetensorsError, match=f"'{part}'.* is not a list of"):
        pyembed.open_table(path, tensor="embeddings")
