"""Rows of a real table against another quantisation of it, with rows moved."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

import pyembed
from pyembed.validation import Finding, Report, kinds
from tests.helpers.oracles.ggml import ggml_library, ggml_quantize

N = 30522


@pytest.fixture(autouse=True)
def reference_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out other kinds of evidence, which take longer and have tests of their own."""
    alone = [kind for kind in kinds.KINDS if kind.module.EVIDENCE.name == "reference"]
    monkeypatch.setattr(kinds, "KINDS", tuple(alone))


@pytest.fixture(scope="module")
def minilm(data_dir: Path) -> Path:
    return data_dir / "models" / "minilm-f16.gguf"


@pytest.fixture(scope="module")
def rows(minilm: Path) -> np.ndarray:
    with pyembed.load_model(minilm) as model:
        return model.table[:]


def write(minilm: Path, path: Path, rows: np.ndarray, kind: str) -> Path:
    """Write the model with other rows of another type, its metadata with gguf-py."""
    with pyembed.load_model(minilm) as model:
        tokens = model.vocabulary
        writer = gguf.GGUFWriter(path, "bert")
        writer.add_tokenizer_model("bert")
        writer.add_token_list([token.text for token in tokens])
        writer.add_token_types(tokens.types.tolist())
    if kind == "F32":
        writer.add_tensor("token_embd.weight", np.ascontiguousarray(rows))
    else:
        if ggml_library()[0] is None:
            pytest.skip("the quantiser needs pywhispercpp")
        blocks = ggml_quantize(kind, rows)
        assert blocks is not None
        data = blocks.reshape(len(rows), -1)
        writer.add_tensor("token_embd.weight", data, raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def validate(path: Path, reference: Path) -> Report:
    with pyembed.load_model(path, validate="off") as model:
        return model.validate("full", reference)


def of_rows(report: Report) -> list[Finding]:
    return [finding for finding in report.findings if finding.rule.startswith("reference/rows")]


@pytest.mark.parametrize("kind", ["F32", "Q8_0", "Q5_1", "Q4_0"])
def test_clean_copies_are_equal_up_to_quantisation(minilm, rows, tmp_path, kind) -> None:
    report = validate(write(minilm, tmp_path / "copy.gguf", rows, kind), minilm)
    assert of_rows(report) == []
    text = next(v.text for v in report.verdicts if v.evidence == "reference")
    assert f"all {N} rows compared are equal up to quantisation" in text


@pytest.mark.parametrize("kind", ["F32", "Q8_0", "Q4_0"])
@pytest.mark.parametrize("pair", [(101, 102), (2332, 29000), (100, 1999)])
def test_two_exchanged_rows_are_found(minilm, rows, tmp_path, kind, pair) -> None:
    moved = rows.copy()
    moved[list(pair)] = rows[list(pair[::-1])]
    found = of_rows(validate(write(minilm, tmp_path / "swapped.gguf", moved, kind), minilm))
    assert [(f.rule, f.severity, f.first_id, f.last_id) for f in found] == [
        ("reference/rows-moved", "error", *pair)
    ]


@pytest.mark.parametrize(("first", "shift"), [(0, 1), (5000, 3), (20000, 100), (1500, -2)])
def test_a_shifted_tail_is_found(minilm, rows, tmp_path, first, shift) -> None:
    moved = rows.copy()
    if shift > 0:  # rows were inserted: the row of token i lies at i + shift
        moved[first + shift :] = rows[first : N - shift]
    else:
        moved[first:shift] = rows[first - shift :]
    found = of_rows(validate(write(minilm, tmp_path / "shifted.gguf", moved, "Q4_0"), minilm))
    runs = [f for f in found if f.rule == "reference/rows-shifted"]
    assert [f.shift for f in runs] == [shift]
    expected = (first + shift, N - 1 - shift) if shift > 0 else (first - shift, N - 1 + shift)
    assert (runs[0].first_id, runs[0].last_id) == expected
    assert runs[0].severity == "error"


def test_a_permuted_table_names_where_rows_lie(minilm, rows, tmp_path, rng) -> None:
    order = rng.permutation(N)
    report = validate(write(minilm, tmp_path / "permuted.gguf", rows[order], "Q8_0"), minilm)
    found = of_rows(report)
    assert not report.ok
    assert found[0].rule == "reference/rows-moved"
    assert found[0].n_ids is not None
    assert found[0].n_ids > 4000
    assert not any(f.rule == "reference/rows-shifted" for f in found)


def test_changed_rows_are_no_moved_rows(minilm, rows, tmp_path, rng) -> None:
    changed = rows.copy()
    changed[[2000, 2500]] = rng.standard_normal((2, rows.shape[1])) * rows.std()
    found = of_rows(validate(write(minilm, tmp_path / "changed.gguf", changed, "Q8_0"), minilm))
    assert [(f.rule, f.severity, f.first_id, f.last_id, f.n_ids) for f in found] == [
        ("reference/rows-changed", "warning", 2000, 2500, 2)
    ]


def test_a_scaled_table_is_told_from_a_moved_one(minilm, rows, tmp_path) -> None:
    found = of_rows(validate(write(minilm, tmp_path / "scaled.gguf", rows * 19.6, "F32"), minilm))
    assert [(f.rule, f.severity) for f in found] == [("reference/rows-scaled", "warning")]
    assert "19.6 times" in found[0].message


def test_rows_that_are_not_finite_are_changed(minilm, rows, tmp_path) -> None:
    broken = rows.copy()
    broken[7] = np.nan
    broken[9, 3] = np.inf
    found = of_rows(validate(write(minilm, tmp_path / "nan.gguf", broken, "F32"), minilm))
    assert [(f.rule, f.first_id, f.last_id) for f in found] == [("reference/rows-changed", 7, 9)]


def test_other_widths_are_not_compared(minilm, rows, tmp_path) -> None:
    found = of_rows(validate(write(minilm, tmp_path / "narrow.gguf", rows[:, :128], "F32"), minilm))
    assert [f.rule for f in found] == ["reference/rows-width"]


def test_safetensors_are_compared_row_by_row(minilm, rows, tmp_path) -> None:
    save_file = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed").save_file
    moved = rows.copy()
    moved[[5, 2005]] = rows[[2005, 5]]
    save_file({"embeddings.word_embeddings.weight": moved}, tmp_path / "model.safetensors")
    found = of_rows(validate(minilm, tmp_path / "model.safetensors"))
    assert [(f.rule, f.first_id, f.last_id) for f in found] == [("reference/rows-moved", 5, 2005)]
