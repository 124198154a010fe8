"""Locks: the same model passes, any other is refused, and the refusal says in which field."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from pyembed.cli import main
from tests.helpers.model_files import TOKEN_TABLE, rows_of_floats, write_model

TOKENS = ["<unk>", "<s>", "</s>", "▁king", "▁queen", "▁man"]
ROWS = rows_of_floats(6, 32)


def write(path: Path, **changes: Any) -> Path:
    options: dict[str, Any] = {
        "model": "llama",
        "tokens": TOKENS,
        "types": [2, 3, 3, 1, 1, 1],
        "tensors": {TOKEN_TABLE: ROWS},
    }
    return write_model(path, **(options | changes))


@pytest.fixture
def locked(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    path = write(tmp_path / "model.gguf")
    with pyembed.load_model(path) as model:
        return path, pyembed.make_lock(model)


def test_the_same_model_passes(locked: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    path, lock = locked
    (tmp_path / "model.lock").write_text(json.dumps(lock))
    with pyembed.load_model(path, lock=tmp_path / "model.lock") as model:
        assert pyembed.check_lock(model, lock, every_row=True) == []
    assert lock["table"]["rows"] == "sha256:" + hashlib.sha256(ROWS.tobytes()).hexdigest()


CHANGED: list[tuple[str, dict[str, Any]]] = [
    ("vocabulary.digest", {"tokens": [*TOKENS[:4], TOKENS[5], TOKENS[4]]}),
    ("vocabulary.n_tokens", {"tokens": [*TOKENS, "▁woman"], "types": None, "tensors": {TOKEN_TABLE: ROWS}}),
    ("vocabulary.special.eos", {"add": lambda writer: writer.add_eos_token_id(1)}),
    ("vocabulary.pre", {"pre": "other"}),
    ("architecture", {"architecture": "gemma"}),
    ("table.shape", {"tensors": {TOKEN_TABLE: ROWS[:, :16]}}),
    ("table.type", {"tensors": {TOKEN_TABLE: ROWS.astype(np.float16)}}),
    ("table.sample", {"tensors": {TOKEN_TABLE: ROWS[::-1].copy()}}),
]


@pytest.mark.parametrize(("field", "changes"), CHANGED, ids=[field for field, _ in CHANGED])
def test_another_model_is_refused(
    locked: tuple[Path, dict[str, Any]], tmp_path: Path, field: str, changes: dict[str, Any]
) -> None:
    other = write(tmp_path / "other.gguf", **changes)
    with pytest.raises(pyembed.LockError, match=field.replace(".", r"\.")) as caught:
        pyembed.load_model(other, lock=locked[1], validate="off")
    assert field in [name for name, _, _ in caught.value.differences]
    assert caught.value.path == str(other)
    assert isinstance(caught.value, pyembed.VocabularyError)


def test_a_single_changed_row_is_found_by_reading_every_row(tmp_path: Path) -> None:
    rows = rows_of_floats(2000, 8)
    tokens = [f"t{index}" for index in range(2000)]
    with pyembed.load_model(
        write(tmp_path / "a.gguf", tokens=tokens, types=None, tensors={TOKEN_TABLE: rows})
    ) as model:
        lock = pyembed.make_lock(model)
    step = lock["table"]["sample_step"]
    assert step > 1
    rows[step + 1, 0] += 1
    with pyembed.load_model(
        write(tmp_path / "b.gguf", tokens=tokens, types=None, tensors={TOKEN_TABLE: rows}), lock=lock
    ) as model:
        assert [field for field, _, _ in pyembed.check_lock(model, lock, every_row=True)] == ["table.rows"]


def test_another_quantisation_can_be_allowed(tmp_path: Path) -> None:
    with pyembed.load_model(write(tmp_path / "a.gguf")) as model:
        lock = pyembed.make_lock(model, any_quantisation=True)
    half = write(tmp_path / "b.gguf", tensors={TOKEN_TABLE: ROWS.astype(np.float16)})
    pyembed.load_model(half, lock=lock).close()
    swapped = write(tmp_path / "c.gguf", tokens=[*TOKENS[:4], TOKENS[5], TOKENS[4]])
    with pytest.raises(pyembed.LockError, match=r"vocabulary\.digest"):
        pyembed.load_model(swapped, lock=lock)


def test_an_output_table_is_locked_too(tmp_path: Path) -> None:
    tensors = {TOKEN_TABLE: ROWS, "output.weight": ROWS * 2}
    with pyembed.load_model(write(tmp_path / "a.gguf", tensors=tensors)) as model:
        lock = pyembed.make_lock(model)
    assert lock["output_table"]["name"] == "output.weight"
    with pytest.raises(pyembed.LockError, match=r"output_table"):
        pyembed.load_model(write(tmp_path / "b.gguf"), lock=lock)


def test_a_model_without_a_vocabulary(locked: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    bare = write(tmp_path / "bare.gguf", tokens=None, types=None)
    with pytest.raises(pyembed.LockError, match="vocabulary is None"):
        pyembed.load_model(bare, lock=locked[1])
    with pyembed.load_model(bare) as model:
        assert "vocabulary" not in pyembed.make_lock(model)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not JSON"),
        ("[" * 100000, "not JSON"),
        ("[]", "pyembed_lock"),
        ('{"pyembed_lock": 2}', "pyembed_lock"),
        ('{"pyembed_lock": 1, "vocabulary": 3}', "vocabulary is not an object"),
        ('{"pyembed_lock": 1, "vocabulary": {"digset": ""}}', "'digset' in vocabulary"),
        ('{"pyembed_lock": 1, "table": {"sample": "", "sample_step": 0}}', "sample_step is 0"),
        (" " * (1 << 21), "larger"),
    ],
)
def test_what_is_no_lock(tmp_path: Path, text: str, complaint: str) -> None:
    path = write(tmp_path / "model.gguf")
    (tmp_path / "bad.lock").write_text(text)
    with pytest.raises(ValueError, match=complaint):
        pyembed.load_model(path, lock=tmp_path / "bad.lock")


def test_a_lock_that_is_not_there(locked: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pyembed.load_model(locked[0], lock=tmp_path / "none.lock")


def test_the_lock_given_is_left_alone(locked: tuple[Path, dict[str, Any]]) -> None:
    before = copy.deepcopy(locked[1])
    pyembed.load_model(locked[0], lock=locked[1]).close()
    assert locked[1] == before


# ------------------------------------------------------------------------------------- command line


def test_command(
    locked: tuple[Path, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = locked[0]
    assert main(["lock", str(path)]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed) == locked[1]
    (tmp_path / "model.lock").write_text(printed)
    assert main(["lock", str(path), "--check", str(tmp_path / "model.lock")]) == 0
    assert "same" in capsys.readouterr().out
    other = write(tmp_path / "other.gguf", tensors={TOKEN_TABLE: ROWS + 1})
    assert main(["lock", str(other), "--check", str(tmp_path / "model.lock"), "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert [entry["field"] for entry in result["differences"]] == ["table.sample", "table.rows"]
    assert main(["lock", str(other), "--check", str(tmp_path / "none.lock")]) == 2
    capsys.readouterr()


# ----------------------------------------------------------------------------- digests of a table


def test_digest_of_every_so_many_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    np.save(path, ROWS)
    with pyembed.open_table(path) as table:
        for step in (1, 2, 4, 5, 6, 2**63):
            expected = hashlib.sha256(ROWS[:: min(step, 100)].tobytes()).hexdigest()
            assert table.digest(step) == f"sha256:{expected}"
        for step in (0, -1, 2**64):
            with pytest.raises(ValueError, match="step"):
                table.digest(step)
