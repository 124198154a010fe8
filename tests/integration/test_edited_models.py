"""llama.cpp loads edited models, and computes what the original's tokens and rows lead to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import pyembed
from tests.helpers.complete_models import write_complete_model
from tests.helpers.llama_cpp_engine import Engine
from tests.helpers.llama_cutter import LlamaCutter

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


def test_trimmed_to_a_text(model: Path, tmp_path: Path) -> None:
    """llama.cpp cuts the text into the same tokens as before, and computes the same from them."""
    text, kept = "The quick brown fox: 1234, na\u00efve caf\u00e9 \u4e2d\u6587\n\tx += 1\n", []
    (tmp_path / "text.txt").write_text(text)
    out = edited(
        model,
        tmp_path / "out.gguf",
        lambda edit: kept.append(edit.trim_to_text(tmp_path / "text.txt")),
    )
    with LlamaCutter(model) as old, LlamaCutter(out) as new:
        ids, new_ids = (np.array(cutter.cut([text])[0]) for cutter in (old, new))
    np.testing.assert_array_equal(kept[0][ids], new_ids)
    left = np.flatnonzero(kept[0] >= 0)
    assert len(left) < 1000
    np.testing.assert_array_equal(logits(out, new_ids), logits(model, ids)[:, left])


def test_named_tokens_with_rows_of_pieces(model: Path, tmp_path: Path) -> None:
    """llama.cpp finds the new token in texts; its logit is that of the mean row."""
    name = "<tool_call>"
    wide = edited(model, tmp_path / "wide.gguf", lambda edit: edit.resize(32001, "pieces", [name]))
    np.testing.assert_array_equal(logits(wide, IDS)[:, :32000], logits(model, IDS))
    with LlamaCutter(model) as old, LlamaCutter(wide) as new:
        (pieces,), (found,) = old.cut([name]), new.cut([f"a {name} b"])
    assert 32000 in found
    assert len(found) < len(pieces) + 3
    with pyembed.load_model(model) as named, pyembed.load_model(wide) as after:
        wanted = named.embed(pieces).mean(axis=0)
        np.testing.assert_allclose(after.embed([32000])[0], wanted, atol=0.02 * np.abs(wanted).max())


def test_another_type_of_the_table(model: Path, tmp_path: Path) -> None:
    out = edited(model, tmp_path / "out.gguf", lambda edit: edit.requantise("token", "F32"))
    expected, found = logits(model, IDS), logits(out, IDS)  # tied: the output table is another type too
    np.testing.assert_allclose(found, expected, atol=0.05 * float(np.abs(expected).max()))


def test_a_repaired_model_computes_what_the_original_does(model: Path, tmp_path: Path) -> None:
    with pyembed.load_model(model) as named:
        texts = list(named.vocabulary.tokens)
        types = named.vocabulary.types.tolist()
    damaged = {
        "tokens swapped": {
            "tokens": (
                "string[]",
                [*texts[:600], texts[20000], *texts[601:20000], texts[600], *texts[20001:]],
            )
        },
        "types": {"token_type": ("i32[]", [*types[:100], 1, *types[101:]])},
        "eos": {"eos_token_id": ("u32", 99_999)},
    }
    expected = logits(model, IDS)
    for changes in damaged.values():

        def damage(edit: pyembed.ModelEdit, changes: dict[str, tuple[str, object]] = changes) -> None:
            for key, (kind, value) in changes.items():
                edit.set_typed(f"tokenizer.ggml.{key}", kind, value)

        wrong = edited(model, tmp_path / "wrong.gguf", damage)
        out = tmp_path / "repaired.gguf"
        pyembed.repair(wrong, model).apply(out)
        assert out.read_bytes() == model.read_bytes()
        np.testing.assert_array_equal(logits(out, IDS), expected)


def test_rows_that_were_moved_are_back(model: Path, tmp_path: Path) -> None:
    data = bytearray(model.read_bytes())
    with pyembed.load_model(model) as named:
        info = named.tensors["token_embd.weight"]
        assert info.n_bytes is not None
        rows = np.frombuffer(bytes(data), np.uint8, info.n_bytes, info.offset).reshape(32000, -1)
    data[info.offset : info.offset + info.n_bytes] = np.roll(rows, 3, axis=0).tobytes()
    wrong, out = tmp_path / "wrong.gguf", tmp_path / "repaired.gguf"
    wrong.write_bytes(data)
    assert not np.array_equal(logits(wrong, IDS), logits(model, IDS))
    pyembed.repair(wrong, model).apply(out)
    np.testing.assert_array_equal(logits(out, IDS), logits(model, IDS))
