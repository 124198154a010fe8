"""`pyembed.compare`: what is the same, what differs, and what could not be compared."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

import pyembed
from pyembed.cli import main
from tests.helpers.model_files import rows_of_floats, write_model
from tests.helpers.tokenizer_files import POINTER, WORDS, word_piece, write_json, write_safetensors

N, WIDTH = len(WORDS), 32
TABLE = "embeddings.word_embeddings.weight"
ROWS = rows_of_floats(N, WIDTH)
EXCHANGED = ROWS[[*range(150), 151, 150, *range(152, N)]]
STORED = [text if n < 5 else "\u2581" + text for n, text in enumerate(WORDS)]


def write_bert(path: Path, rows: np.ndarray = ROWS, **options: object) -> Path:
    return write_model(
        path,
        architecture="bert",
        model="bert",
        tokens=STORED,
        types=[3] * 5 + [1] * (N - 5),
        tensors={"token_embd.weight": rows},
        **options,  # type: ignore[arg-type]
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_bert(tmp_path / "model.gguf")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a tokenizer, to which tests add weights."""
    path = tmp_path / "hf"
    path.mkdir()
    write_json(path / "tokenizer.json", word_piece())
    return path


def weights(rows: np.ndarray = EXCHANGED, name: str = TABLE) -> dict[str, tuple[str, np.ndarray]]:
    return {name: ("F32", rows), "encoder.layer.0.attention.q.weight": ("F32", ROWS[:WIDTH])}


def rules_of(found: pyembed.Comparison) -> list[str]:
    return [finding.rule.split("/")[1] for finding in found.findings]


# -------------------------------------------------------------------------------- where rows are found

NAMES = [
    "model.safetensors",
    "consolidated.safetensors",
    "model-00001-of-00001.safetensors",
    "consolidated-00001-of-00001.safetensors",
    "weights-of-another-name.safetensors",
]


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_a_folder_are_compared(model: Path, folder: Path, name: str) -> None:
    write_safetensors(folder / name, weights())
    found = pyembed.compare(model, folder)
    assert [(f.rule, f.first_id, f.last_id) for f in found.findings] == [("reference/rows-moved", 150, 151)]
    write_safetensors(folder / name, weights(ROWS))
    assert pyembed.compare(model, folder).same


def test_shards_without_an_index_are_searched_for_the_table(model: Path, folder: Path) -> None:
    layer = {"encoder.layer.5.attention.q.weight": ("F32", ROWS[:WIDTH])}
    write_safetensors(folder / "model-00001-of-00003.safetensors", layer)
    write_safetensors(folder / "model-00002-of-00003.safetensors", {TABLE: ("F32", EXCHANGED)})
    assert rules_of(pyembed.compare(model, folder)) == ["rows-moved"]
    (folder / "model-00002-of-00003.safetensors").unlink()
    found = pyembed.compare(model, folder)
    assert not found.same
    assert not found.differ
    assert "2 of 3 shards are missing" in found.not_compared[0].why


def test_an_index_whose_shard_is_missing_is_said(model: Path, folder: Path) -> None:
    write_json(
        folder / "model.safetensors.index.json", {"weight_map": {TABLE: "model-00001-of-00002.safetensors"}}
    )
    found = pyembed.compare(model, folder)
    assert not found.same
    assert "a part of the set is missing" in found.not_compared[0].why


# -------------------------------------------------------------------------------- where rows cannot be read

UNREAD = {
    "fp8 of another kind": {TABLE: ("F8_E4M3FNUZ", np.zeros((N, WIDTH), np.uint8))},
    "mlx": {
        TABLE: ("U32", np.zeros((N, WIDTH // 8), np.uint32)),
        f"{TABLE[:-6]}scales": ("F32", ROWS[:, :1]),
    },
    "unknown name": {"a.b.c": ("F32", EXCHANGED), "d.e.f": ("F32", ROWS[:WIDTH])},
}


@pytest.mark.parametrize("kind", UNREAD)
def test_rows_that_cannot_be_read_are_not_agreement(
    model: Path, folder: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_safetensors(folder / "model.safetensors", UNREAD[kind])
    found = pyembed.compare(model, folder)
    assert (found.same, found.differ, bool(found)) == (False, False, False)
    assert [part.part for part in found.not_compared] == ["rows"]
    assert str(folder / "model.safetensors") in found.not_compared[0].why
    assert str(found).endswith("not known to be the same: rows were not compared")
    report = pyembed.validate(model, reference=folder)
    assert ("reference/rows-not-compared", "warning") in {(f.rule, f.severity) for f in report.findings}
    assert main(["diff", str(model), str(folder)]) == 1
    assert "not known to be the same: rows were not compared" in capsys.readouterr().out
    assert main(["diff", "--json", str(model), str(folder)]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed == found.to_dict()
    assert printed["same"] is False
    assert printed["not_compared"] == [{"part": "rows", "why": found.not_compared[0].why, "n_ids": None}]


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth", "tf_model.h5"])
def test_weights_of_other_formats_are_named(model: Path, folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"weights")
    found = pyembed.compare(model, folder)
    assert not found.same
    assert name in found.not_compared[0].why


@pytest.mark.posix
@pytest.mark.parametrize(
    "name", ["model.safetensors", "model-00001-of-00002.safetensors", "pytorch_model.bin"]
)
def test_a_link_to_a_missing_file_is_not_agreement(model: Path, folder: Path, name: str) -> None:
    (folder / name).symlink_to(folder / "blobs" / "4f5d")
    found = pyembed.compare(model, folder)
    assert not found.same
    assert f"{name}: a link to a file that is missing" in found.not_compared[0].why


def test_an_unfinished_download_is_not_agreement(model: Path, folder: Path) -> None:
    (folder / "model.safetensors.incomplete").write_bytes(b"\0" * 100)
    found = pyembed.compare(model, folder)
    assert not found.same
    assert "model.safetensors.incomplete: an unfinished download" in found.not_compared[0].why


def test_an_adapter_is_not_the_table(model: Path, folder: Path) -> None:
    write_safetensors(folder / "adapter_model.safetensors", {"lora_A.weight": ("F32", ROWS[:8])})
    assert "adapter_model.safetensors" in pyembed.compare(model, folder).not_compared[0].why


def test_a_tokenizer_alone_has_no_rows_to_miss(model: Path, folder: Path) -> None:
    found = pyembed.compare(model, folder)
    assert found.same
    assert found.not_compared == ()


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "model-00001-of-00001.safetensors"])
def test_a_git_lfs_pointer_is_an_error(model: Path, folder: Path, name: str) -> None:
    (folder / name).write_bytes(POINTER)
    with pytest.raises(pyembed.FormatError, match=f"{name}: .*a Git LFS pointer"):
        pyembed.compare(model, folder)
    assert main(["diff", str(model), str(folder)]) == 2


def test_truncated_weights_are_an_error(model: Path, folder: Path) -> None:
    path = write_safetensors(folder / "model.safetensors", weights())
    os.truncate(path, 9000)
    with pytest.raises(pyembed.FormatError, match="cut short"):
        pyembed.compare(model, folder)


def test_a_gguf_whose_table_cannot_be_decoded_is_not_agreement(model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(model.read_bytes().replace(b"token_embd.weight", b"token_embd.weighs"))
    for a, b in ((model, other), (other, model)):
        found = pyembed.compare(a, b)
        assert not found.same
        assert [part.part for part in found.not_compared] == ["rows"]


def test_a_reference_of_zeros_does_not_make_a_model_wrong(model: Path, tmp_path: Path) -> None:
    zeros = write_bert(tmp_path / "zeros.gguf", np.zeros_like(ROWS))
    found = pyembed.compare(model, zeros)
    assert [part.why for part in found.not_compared] == [
        "the reference's are zeros wherever they were looked at"
    ]
    assert pyembed.validate(model, reference=zeros).ok
    assert rules_of(pyembed.compare(zeros, model)) == ["rows-unrelated"]


def test_tokens_without_a_row_on_one_side_are_counted(model: Path, folder: Path) -> None:
    write_safetensors(folder / "model.safetensors", {TABLE: ("F32", ROWS[:120])})
    found = pyembed.compare(model, folder)
    assert not found.same
    assert found.not_compared[0].n_ids == N - 120
    assert "the model's table has 200 rows, the reference's 120" in found.not_compared[0].why


def test_padded_tables_are_not_the_same_and_not_wrong(model: Path, folder: Path) -> None:
    padded = np.concatenate([ROWS, np.zeros((56, WIDTH), np.float32)])
    write_safetensors(folder / "model.safetensors", {TABLE: ("F32", padded)})
    found = pyembed.compare(model, folder)
    assert [(f.rule, f.severity) for f in found.findings] == [("reference/row-count", "note")]
    assert pyembed.validate(model, level="full", reference=folder).ok
    alone = pyembed.compare(model, folder / "model.safetensors")
    assert rules_of(alone) == ["row-count"]


def test_rows_are_left_out_below_level_full(model: Path, folder: Path) -> None:
    write_safetensors(folder / "model.safetensors", weights())
    report = pyembed.validate(model, level="order", reference=folder)
    assert not [f for f in report.findings if f.rule.startswith("reference/")]
    text = next(verdict.text for verdict in report.verdicts if verdict.evidence == "reference")
    assert 'rows were not compared: rows are compared at level "full" only' in text


# -------------------------------------------------------------------------------- rows that changed


def tables(tmp_path: Path, rows: np.ndarray) -> Path:
    tokens = [f"\u2581word{n}" for n in range(len(rows))]
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.gguf"
    return write_model(path, model="llama", tokens=tokens, tensors={"token_embd.weight": rows})


@pytest.mark.parametrize("n", [5000, 9000])
def test_rows_that_were_trained_further_did_not_move(tmp_path: Path, n: int) -> None:
    """Most of them are longer than before, and that is not a factor of all rows."""
    rng = np.random.default_rng(n)
    rows = rows_of_floats(12000, 64)
    tuned = rows.copy()
    picked = np.sort(rng.choice(12000, n, replace=False))
    tuned[picked] += 0.7 * rng.standard_normal((n, 64)).astype(np.float32)
    found = pyembed.compare(tables(tmp_path, tuned), tables(tmp_path, rows))
    assert [(f.rule, f.severity, f.n_ids) for f in found.findings] == [
        ("reference/rows-changed", "warning", n)
    ]
    assert (found.findings[0].first_id, found.findings[0].last_id) == (picked[0], picked[-1])
    assert f"{n} of 12000 rows compared changed, and none moved" in str(found)


def test_the_table_of_another_model_is_called_that(tmp_path: Path) -> None:
    a, b = tables(tmp_path, rows_of_floats(5000, 64)), tables(tmp_path, rows_of_floats(5000, 64, seed=1))
    found = pyembed.compare(a, b)
    assert [(f.rule, f.severity, f.n_ids) for f in found.findings] == [
        ("reference/rows-unrelated", "error", 5000)
    ]
    assert "the table is another model's" in str(found)


@pytest.mark.parametrize("size", [1e-4, 1e-5, 1e-6, 1e-7, 3e-8])
def test_rows_that_a_type_rounds_to_nothing_are_not_changed(tmp_path: Path, size: float) -> None:
    """Rows that were never trained may be almost zero: float16 has little or nothing left of them."""
    rows = 0.02 * rows_of_floats(3000, 64)
    rows[2000:2200] *= size / 0.02
    found = pyembed.compare(tables(tmp_path, rows.astype(np.float16)), tables(tmp_path, rows))
    assert found.findings == ()
    lost = rows.copy()
    lost[[7, 2100]] = rows[[2100, 7]]
    found = pyembed.compare(tables(tmp_path, lost.astype(np.float16)), tables(tmp_path, rows))
    assert [f.rule for f in found.findings] != []
    assert 7 in {f.first_id for f in found.findings}


def test_rows_in_another_basis_are_not_another_model(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows = rows_of_floats(3000, 64) + 2 * rng.standard_normal(64).astype(np.float32)
    basis = np.linalg.qr(rng.standard_normal((64, 64)))[0]
    turned = (rows @ basis + 0.05 * rng.standard_normal(rows.shape)).astype(np.float32)
    found = pyembed.compare(tables(tmp_path, turned), tables(tmp_path, rows))
    assert [(f.rule, f.severity) for f in found.findings] == [("reference/rows-rotated", "warning")]
    exchanged = turned[rng.permutation(3000)]
    found = pyembed.compare(tables(tmp_path, exchanged), tables(tmp_path, rows))
    assert rules_of(found) == ["rows-unrelated"]


def test_a_large_permutation_is_extrapolated(tmp_path: Path, rng: np.random.Generator) -> None:
    rows = rows_of_floats(12000, 64)
    found = pyembed.compare(tables(tmp_path, rows[rng.permutation(12000)]), tables(tmp_path, rows))
    assert set(rules_of(found)) == {"rows-moved"}
    assert "more rows lie at other ids, judged by the 4096 that were looked up" in str(found)


# -------------------------------------------------------------------------------- the function


def test_metadata_and_tensors_are_data(tmp_path: Path) -> None:
    def add(writer: object, values: list[int]) -> None:
        writer.add_array("x.list", values)  # type: ignore[attr-defined]
        writer.add_bool("x.flag", values[0] == 0)  # type: ignore[attr-defined]

    a = write_bert(tmp_path / "a.gguf", add=lambda writer: add(writer, [*range(30), 1]))
    b = write_bert(tmp_path / "b.gguf", add=lambda writer: add(writer, [*range(30), 2]))
    found = pyembed.compare(a, b)
    # Beyond what is shown, too.
    assert list(found.metadata) == ["x.list"]
    assert found.metadata["x.list"] == ("31 elements, [30:] is 1", "31 elements, [30:] is 2")
    assert not found.same
    assert json.loads(found.to_json())["metadata"]["x.list"] == list(found.metadata["x.list"])
    with pytest.raises(AttributeError):
        found.path = "b"  # type: ignore[misc]
    same = pyembed.compare(a, a)
    assert same.same
    assert bool(same)
    assert str(same).endswith("\nthe same")


def test_progress_is_reported_and_cancels(model: Path) -> None:
    seen: list[tuple[str, float]] = []
    pyembed.compare(model, model, progress=lambda text, done: seen.append((text, done)))
    assert any(text == "comparing rows" for text, _ in seen)
    assert all(0 <= done <= 1 for _, done in seen)
    with pytest.raises(pyembed.LoadCancelledError):
        pyembed.compare(model, model, progress=lambda text, done: False)


def test_a_digest_may_be_either_side(model: Path) -> None:
    with pyembed.load_model(model, validate="off") as opened:
        digest = opened.vocabulary.digest
    assert pyembed.compare(model, digest).same
    assert pyembed.compare(digest, model).same
    assert rules_of(pyembed.compare("sha256:" + "0" * 64, model)) == ["digest"]


def test_a_gguf_beside_its_tokenizer_is_not_the_reference(model: Path, folder: Path) -> None:
    (folder / "model.gguf").write_bytes(model.read_bytes())
    assert pyembed.compare(model, folder).same


def test_ids_with_gaps_have_to_be_second(model: Path, folder: Path) -> None:
    ranks = folder / "ranks"
    ranks.write_text("YQ== 0\nYg== 5\n", "utf-8")
    with pytest.raises(ValueError, match="its ids have gaps"):
        pyembed.compare(ranks, model)


def test_rows_out_of_place_are_not_pinned(model: Path, folder: Path) -> None:
    path = write_safetensors(folder / "model.safetensors", weights())
    assert pyembed.validate(model, reference=folder).pinned.by_evidence["reference"] == N - 2
    write_safetensors(path, weights(ROWS))
    assert pyembed.validate(model, reference=folder).pinned.by_evidence["reference"] == N
    write_safetensors(path, weights(rows_of_floats(N, WIDTH, seed=5)))
    assert "reference" not in pyembed.validate(model, reference=folder).pinned.by_evidence
