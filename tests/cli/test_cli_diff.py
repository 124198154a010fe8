"""The command ``pyembed diff``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyembed.cli import main
from tests.helpers.model_files import rows_of_floats, write_model

TOKENS = ["<unk>", "<s>", "</s>", *(f"t{n}" for n in range(97))]
TYPES = [2, 3, 3] + 97 * [1]


def write(path: Path, **options: object) -> Path:
    rows = options.pop("rows", rows_of_floats(100, 32))
    return write_model(
        path,
        **{
            "model": "llama",
            "tokens": TOKENS,
            "types": TYPES,
            "tensors": {"token_embd.weight": rows},
            **options,
        },  # type: ignore[arg-type]
    )


def diff(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, object]]:
    code = main(["diff", "--json", *map(str, arguments)])
    out = capsys.readouterr().out
    return code, json.loads(out) if out else {}


def test_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write(tmp_path / "a.gguf"), write(tmp_path / "b.gguf")
    code, found = diff(capsys, a, b)
    assert (code, found["same"], found["findings"], found["metadata"], found["tensors"]) == (
        0,
        True,
        [],
        {},
        [],
    )
    assert main(["diff", str(a), str(b)]) == 0
    assert "all 100 tokens are those of the gguf file; all 100 rows" in capsys.readouterr().out
    assert main(["diff", "demo", "demo"]) == 0


def test_exchanged_rows_metadata_and_tensors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = rows_of_floats(100, 32)
    moved = rows.copy()
    moved[[1, 2]] = rows[[2, 1]]
    a = write(tmp_path / "a.gguf", rows=moved, pre="x", tensors={"token_embd.weight": moved, "new": rows})
    b = write(tmp_path / "b.gguf")
    code, found = diff(capsys, a, b)
    assert code == 1
    assert [(f["rule"], f["first_id"], f["last_id"]) for f in found["findings"]] == [  # type: ignore[index, attr-defined]
        ("reference/rows-moved", 1, 2)
    ]
    assert found["metadata"] == {"tokenizer.ggml.pre": ["x", None]}
    assert found["tensors"] == [{"name": "new", "shapes": [[100, 32], None], "types": ["F32", None]}]
    assert main(["diff", str(a), str(b)]) == 1
    assert "are exchanged" in capsys.readouterr().out


def test_a_tokenizer_against_a_tokenizer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "vocab.txt", tmp_path / "other"
    first.write_text("[UNK]\na\nb\n##c\n", "utf-8")
    second.write_text("[UNK]\nb\na\n##c\n", "utf-8")
    assert diff(capsys, first, first)[0] == 0
    code, found = diff(capsys, first, second)
    assert code == 1
    assert [f["rule"] for f in found["findings"]] == ["reference/permuted"]  # type: ignore[index, attr-defined]


def test_wrong_calls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = write(tmp_path / "a.gguf")
    (tmp_path / "odd").write_text("odd", "utf-8")
    assert main(["diff", str(a), str(tmp_path / "odd")]) == 2
    assert "not a kind of reference that is known" in capsys.readouterr().err
    assert main(["diff", str(a), str(tmp_path / "absent")]) == 2
    assert main(["diff", str(a)]) == 2
