"""llama.cpp loads edited models, and computes what the original's tokens and rows lead to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import pyembed
from tests.helpers.complete_models import write_complete_model
from tests.helpers.llama_cpp_engine import Engine

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def model(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    vocabulary = data_dir / "vocab" / "ggml-vocab-llama-spm.gguf"
    with pyembed.load_model(vocabulary, vocab_only=True) as named:
        path = tmp_path_factory.mktemp("model") / "m.gguf"
        return write_complete_model(path, "llama", table_type="Q8_0", vocabulary=named)


IDS = np.array([1, 450, 3547, 310, 31999, 0])


def logits(path: Path, ids: np.ndarray) -> np.ndarray:
    with Engine(path) as engine:
        return engine.run(ids=ids)


def edited(model: Path, out: Path, change: Callable[[pyembed.ModelEdit], object]) -> Path:
    with pyembed.edit(model) as edit:
        change(edit)
        edit.write(out)
    return out


def test_metadata_tensors_and_alignment(model: Path, tmp_path: Path) -> None:
    def change(edit: pyembed.ModelEdit) -> None:
        edit.set_typed("general.name", "string", "x" * 1000)
        edit.set_typed("general.alignment", "u32", 256)
        edit.rename("tokenizer.ggml.scores", "tokenizer.ggml.old_scores")
        edit.rename("tokenizer.ggml.old_scores", "tokenizer.ggml.scores")

    out = edited(model, tmp_path / "out.gguf", change)
    np.testing.assert_array_equal(logits(out, IDS), logits(model, IDS))


def test_another_order_is_another_numbering(model: Path, tmp_path: Path) -> None:
    order = np.arange(32000)
    order[300:31000] = np.random.default_rng(4).permutation(order[300:31000])
    new_ids = np.argsort(order)
    out = edited(model, tmp_path / "out.gguf", lambda edit: edit.reorder(order))
    np.testing.assert_array_equal(logits(out, new_ids[IDS]), logits(model, IDS)[:, order])


def test_more_rows_and_fewer(model: Path, tmp_path: Path) -> None:
    expected = logits(model, IDS)
    wide = edited(model, tmp_path / "wide.gguf", lambda edit: edit.resize(32064))
    np.testing.assert_array_equal(logits(wide, IDS)[:, :32000], expected)
    back = edited(wide, tmp_path / "back.gguf", lambda edit: edit.resize(32000))
    assert back.read_bytes() == model.read_bytes()


def test_trimmed(model: Path, tmp_path: Path) -> None:
    kept: list[np.ndarray] = []
    out = edited(model, tmp_path / "out.gguf", lambda edit: kept.append(edit.trim([*IDS, *range(500, 900)])))
    new_ids = kept[0]
    left = np.flatnonzero(new_ids >= 0)
    np.testing.assert_array_equal(logits(out, new_ids[IDS]), logits(model, IDS)[:, left])


def test_another_type_of_the_table(model: Path, tmp_path: Path) -> None:
    out = edited(model, tmp_path / "out.gguf", lambda edit: edit.requantise("token", "F32"))
    expected, found = logits(model, IDS), logits(out, IDS)  # tied: the output table is another type too
    np.testing.assert_allclose(found, expected, atol=0.05 * float(np.abs(expected).max()))
