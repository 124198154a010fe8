"""Tables of several tensors where the package uses tables: commands, exports, pickles, references, torch."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from pyembed.cli import main
from pyembed.health import examine
from tests.helpers.model_files import write_model
from tests.helpers.oracles.compare import assert_bit_equal
from tests.helpers.oracles.scaled import ScaledRow
from tests.helpers.scaled_tables import ScaledTable, Stored, make_table, save, save_set

BASE = "model.embed_tokens"
NVFP4 = ScaledRow(64, "e2m1", scales="e4m3", group=16, factor_kind="multiplies", factor=0.5)
LAYOUT = "F4; F8_E4M3 scales, one for 16 columns; times 0.5; in 3 shards of 5 rows"


@pytest.fixture
def table() -> ScaledTable:
    return make_table(NVFP4, 12, "group")


@pytest.fixture
def folder(table: ScaledTable, tmp_path: Path) -> Path:
    """Return a folder with a token table in three shards and two files, and a layer."""
    files: list[dict[str, Stored]] = [{"layer.weight": Stored("F32", (16, 8), bytes(512))}, {}]
    for i, (first, end) in enumerate([(0, 5), (5, 10), (10, 12)]):
        shard = table.part(first, end)
        files[i % 2] |= {
            f"{BASE}.shard_{i}.weight": shard.codes(),
            f"{BASE}.shard_{i}.weight_scale": shard.beside(1),
        }
    files[1][f"{BASE}.weight_scale_2"] = Stored("F32", (1,), np.float32(0.5).tobytes())
    path = tmp_path / "model"
    path.mkdir()
    return save_set(path, files)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


def test_commands(
    folder: Path, table: ScaledTable, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    facts = json.loads(run(capsys, "info", folder, "--json"))["token_table"]
    assert (facts["name"], facts["why"]) == (BASE, None)
    assert facts["stored"]["layout"] == LAYOUT
    assert facts["stored"]["shape"] == [12, 64]
    assert facts["stored"]["n_bytes"] == 12 * 36 + 4
    assert LAYOUT in run(capsys, "info", folder)
    size = json.loads(run(capsys, "size", folder, "--json"))
    assert (size["rows"], size["columns"], size["type"], size["layout"]) == (12, 64, "F4", LAYOUT)
    assert LAYOUT in run(capsys, "size", folder, "--tensor", BASE)
    shard = json.loads(run(capsys, "size", folder, "--tensor", f"{BASE}.shard_2.weight", "--json"))
    assert (shard["rows"], shard["columns"]) == (2, 64)
    for tensor in ([], ["--tensor", BASE]):
        run(capsys, "embed", folder, "--ids", "11,0", "--out", tmp_path / "rows.npy", *tensor)
        assert_bit_equal(np.load(tmp_path / "rows.npy"), table.weights()[[11, 0]])
    run(capsys, "export", folder, tmp_path / "all.npy")
    assert_bit_equal(np.load(tmp_path / "all.npy"), table.weights())


def test_info_of_a_table_that_lost_a_part(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    only = tmp_path / "only.safetensors"
    (folder / "model-00002-of-00002.safetensors").rename(only)
    facts = json.loads(run(capsys, "info", only, "--json"))["token_table"]
    assert (facts["name"], facts["stored"]) == (None, None)
    (folder / "model-00001-of-00002.safetensors").replace(only)
    facts = json.loads(run(capsys, "info", only, "--json"))["token_table"]
    assert facts["name"] == BASE
    assert "shard 1 is missing" in facts["why"]
    assert "unusable" in run(capsys, "info", only)


def test_health(folder: Path, table: ScaledTable) -> None:
    with pyembed.open_table(folder) as opened:
        found = examine(opened)
    assert found.shape == (12, 64)
    assert (found.share.table_weights, found.share.all_weights) == (12 * 64, 12 * 64 + 16 * 8)
    assert (found.share.table_bytes, found.share.all_bytes) == (12 * 36 + 4, 12 * 36 + 4 + 512)
    shortest = found.norms.lowest[0]
    norms = np.linalg.norm(table.weights().astype(np.float64), axis=1)
    assert shortest.norm == pytest.approx(norms.min(), rel=1e-6)


def test_pickles(folder: Path, table: ScaledTable) -> None:
    with pyembed.open_table(folder) as opened:
        data = pickle.dumps(opened)
        with pickle.loads(data) as copy:
            assert copy.name == BASE
            assert copy.layout == opened.layout
            assert_bit_equal(copy[:], table.weights())
    path = folder / "model-00002-of-00002.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 0x40  # of the factor, or of a row
    path.write_bytes(raw)
    with pytest.raises(pyembed.FormatError, match="digest"):
        pickle.loads(data)


def test_torch(folder: Path, table: ScaledTable) -> None:
    torch: Any = pytest.importorskip("torch")
    with pyembed.open_table(folder) as opened:
        out = torch.empty(3, 64)
        opened.gather(torch.tensor([3, 11, 0]), out=out)
        assert_bit_equal(out.numpy(), table.weights()[[3, 11, 0]])


def test_layouts_are_data(folder: Path, tmp_path: Path) -> None:
    with pyembed.open_table(folder) as opened, pyembed.open_table(folder) as again:
        assert opened.layout == again.layout
        assert hash(opened.layout) == hash(again.layout)
        with pytest.raises(AttributeError):
            opened.layout.codes = "F16"  # type: ignore[misc]
    path = save(tmp_path / "m.safetensors", {"w": Stored("F16", (4, 2), bytes(16))})
    with pyembed.open_table(path) as plain:
        assert plain.layout.code_bytes == 4
        assert (plain.layout.scales, plain.layout.sharing, plain.layout.group) == (None, None, None)


def test_references_with_scales(tmp_path: Path) -> None:
    """Rows of a model are compared with those of a quantised one: their values, not their codes."""
    table = make_table(ScaledRow(64, "I8", scales="f32"), 300, "row")
    reference = save(
        tmp_path / "m.safetensors", {f"{BASE}.weight": table.codes(), f"{BASE}.weight_scale": table.beside(1)}
    )
    rows = table.weights()
    facts: dict[str, Any] = {
        "tokens": [f"t{i}" for i in range(300)],
        "scores": [0.0] * 300,
        "types": [1] * 300,
    }
    model = write_model(tmp_path / "a.gguf", model="llama", tensors={"token_embd.weight": rows}, **facts)
    assert not pyembed.compare(model, reference).findings
    rows = rows[[0, 1, 2, 3, 4, 9, 6, 7, 8, 5, *range(10, 300)]]
    model = write_model(tmp_path / "b.gguf", model="llama", tensors={"token_embd.weight": rows}, **facts)
    found = pyembed.compare(model, reference).findings
    assert [(f.rule, f.first_id, f.last_id) for f in found] == [("reference/rows-moved", 5, 9)]
