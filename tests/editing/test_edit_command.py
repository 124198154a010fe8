"""``pyembed edit``: what a person types, reads and gets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import pyembed
from pyembed.cli import main
from tests.helpers.damaged_files import DAMAGED
from tests.helpers.gguf_bytes import ARRAY, F32, I8, I32, I64, STRING, U32, U64, Array, GGUFBytes


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["edit", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


def test_several_operations_in_one_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, template = tmp_path / "out.gguf", tmp_path / "template.jinja"
    template.write_bytes(b"{{ x }}\r\n\xff")
    code, text, err = run(
        *(capsys, "demo", "--out", out, "set", "general.name=string:New", "unset", "general.license"),
        *("set", f"tokenizer.chat_template=string@{template}", "requantise", "token=F16"),
    )
    assert (code, err) == (0, "")
    assert str(out) in text
    with pyembed.load_model(out) as model, pyembed.load_model(pyembed.demo_model()) as demo:
        assert model.metadata["general.name"] == "New"
        assert model.metadata["tokenizer.chat_template"] == "{{ x }}\r\n\udcff"
        assert "general.license" not in model.metadata
        assert model.table.type == "F16"
        assert model.vocabulary.digest == demo.vocabulary.digest


def test_in_place_and_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(Path(pyembed.demo_model()).read_bytes())
    code, text, _ = run(capsys, path, "--in-place", "set", "tokenizer.ggml.mask_token_id=u32:5", "--json")
    found = json.loads(text)
    assert (code, found["out"], found["in_header"], found["n_bytes"]) == (0, str(path), True, 1)
    with pyembed.load_model(path, validate="off") as model:
        assert model.vocabulary.special["mask"] == 5


def test_trim_writes_a_map(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids, out, new_ids = tmp_path / "ids.txt", tmp_path / "out.gguf", tmp_path / "map.json"
    ids.write_text("100, 2000\n5285")
    assert run(capsys, "demo", "--out", out, "trim", ids, "--map", new_ids)[0] == 0
    by_text = json.loads(new_ids.read_text())
    np.save(tmp_path / "ids.npy", np.array([[100, 2000], [5285, 100]]))
    assert run(capsys, "demo", "--out", tmp_path / "again.gguf", "trim", tmp_path / "ids.npy")[0] == 0
    assert (tmp_path / "again.gguf").read_bytes() == out.read_bytes()
    with pyembed.load_model(out) as model, pyembed.load_model(pyembed.demo_model()) as demo:
        assert len(by_text) == len(demo.vocabulary)
        for old in (100, 2000, 5285, *demo.vocabulary.special.values()):
            assert model.vocabulary[by_text[old]].text == demo.vocabulary[old].text
            np.testing.assert_array_equal(model.table[[by_text[old]]], demo.table[[old]])
        assert len(model.vocabulary) == sum(new >= 0 for new in by_text) < 200


def test_to_stdout(tmp_path: Path) -> None:
    import subprocess
    import sys

    command = [sys.executable, "-m", "pyembed", "edit", "demo", "--out", "-", "set", "general.name=string:x"]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    (tmp_path / "m.gguf").write_bytes(data)
    with pyembed.load_model(tmp_path / "m.gguf") as model:
        assert model.metadata["general.name"] == "x"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["demo", "set", "a=u32:1"], "name the new file with --out, or say --in-place"),
        (["demo", "--out", "x.gguf", "set", "a"], "is not KEY=TYPE:VALUE"),
        (["demo", "--out", "x.gguf", "set", "a=string@/does/not/exist"], "No such file"),
        (["demo", "--out", "x.gguf", "unset", "\x1b[2J"], r"no metadata key '\x1b[2J'"),
        (["demo", "--out", "x.gguf", "unset", "general.name", "--map", "m"], "--map is for trim"),
        (["demo", "--out", "x.gguf", "--in-place", "unset", "general.name"], "not allowed with"),
        (["demo", "--out", "x.gguf"], "required: OPERATION"),
        (["demo", "--out", "x.gguf", "trim", "/dev/null", "--map", "x.gguf"], "name the same file"),
        (["demo", "undo"], "no interrupted edit to undo"),
        (["demo", "--out", "x.gguf", "set", "a=f32:1e400"], "'1e400' does not fit type f32"),
        (["demo", "--out", "x.gguf", "trim", "/dev/null", "--map", "no/such"], "no/such: No such file"),
    ],
)
def test_wrong_calls_end_in_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_ids_that_holds_something_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "floats.npy", np.zeros(3))
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "text").write_text("1 two 3")
    (tmp_path / "huge").write_text("9" * 5000)
    (tmp_path / "beyond").write_text("5286")
    for name in ("floats.npy", "objects.npy", "text", "huge", "beyond"):
        code, _, err = run(capsys, "demo", "--out", tmp_path / "out", "trim", tmp_path / name)
        assert code == 2
        assert "not a list of ids" in err or "from 0 to 5285" in err
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------------------------- hostile models


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(DAMAGED[name][0])
    with pytest.raises(pyembed.FormatError):
        pyembed.edit(path)


def strange(**values: tuple[int, object]) -> bytes:
    """Return a model whose vocabulary says odd things."""
    given: dict[str, tuple[int, object]] = {
        "tokens": (ARRAY, Array(STRING, ["a", "b", "c", "d"])),
        "token_type": (ARRAY, Array(I32, [1, 1, 1, 1])),
        **values,
    }
    builder = (
        GGUFBytes().add("general.architecture", STRING, "llama").add("tokenizer.ggml.model", STRING, "gpt2")
    )
    for key, (kind, value) in given.items():
        builder.add(f"tokenizer.ggml.{key}", kind, value)
    return bytes(builder.tensor("token_embd.weight", (4, 4), 0, bytes(64)))


def shaped(shape: tuple[int, ...], kind: int, n_bytes: int) -> bytes:
    """Return a model of four tokens whose table has another shape or type."""
    builder = GGUFBytes().add("tokenizer.ggml.tokens", ARRAY, Array(STRING, ["a"] * 4))
    return bytes(builder.tensor("token_embd.weight", shape, kind, bytes(n_bytes)))


STRANGE = {
    "short types": strange(token_type=(ARRAY, Array(I32, [1]))),
    "types of strings": strange(token_type=(ARRAY, Array(STRING, ["1"] * 4))),
    "types of arrays": strange(token_type=(ARRAY, Array(ARRAY, [Array(I32, [1])] * 4))),
    "types as a number": strange(token_type=(U32, 4)),
    "scores that are NaN": strange(scores=(ARRAY, Array(F32, [float("nan")] * 4))),
    "tokens as numbers": strange(tokens=(ARRAY, Array(I32, [1, 2, 3, 4]))),
    "tokens as a text": strange(tokens=(STRING, "abcd")),
    "merges as numbers": strange(merges=(ARRAY, Array(I64, [1, 2]))),
    "merges without a space": strange(merges=(ARRAY, Array(STRING, ["", "ab", " ", "a  b"]))),
    "special ids beyond all": strange(bos_token_id=(U64, 2**64 - 1), eos_token_id=(I64, -5)),
    "special ids as texts": strange(bos_token_id=(STRING, "a"), eos_token_id=(F32, 1.0)),
    "ids to suppress beyond all": strange(suppress_tokens=(ARRAY, Array(I64, [-1, 2**62, 1]))),
    "ids to suppress as texts": strange(suppress_tokens=(ARRAY, Array(STRING, ["a"]))),
    "tokens twice": strange(tokens=(ARRAY, Array(STRING, ["a", "a", b"\xff", ""]))),
    "a table of one dimension": shaped((4,), 0, 16),
    "a table of three dimensions": shaped((4, 2, 2), 0, 64),
    "a table of an unknown type": shaped((4, 4), 99, 64),
    "fewer rows than tokens": shaped((2, 4), 0, 32),
    "no table": bytes(GGUFBytes().add("tokenizer.ggml.tokens", ARRAY, Array(STRING, ["a"] * 4))),
    "no tokens": bytes(GGUFBytes().add("a", I8, 1).tensor("token_embd.weight", (4, 4), 0, bytes(64))),
}  # fmt: skip


@pytest.mark.parametrize("name", STRANGE)
def test_surgery_on_strange_models_works_or_says_why_not(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, ids, order = tmp_path / "m.gguf", tmp_path / "ids", tmp_path / "vocab.txt"
    path.write_bytes(STRANGE[name])
    ids.write_text("1 2")
    order.write_text("[UNK]\na\n")
    for words in (
        ["resize", "6"], ["resize", "6=zeros"], ["resize", "2"], ["trim", ids], ["reorder", order],
        ["reorder", path], ["requantise", "token=F16"], ["requantise", "token=Q8_0"],
    ):  # fmt: skip
        out = tmp_path / "out.gguf"
        code, _, err = run(capsys, path, "--out", out, *words)
        assert code in (0, 2)
        if code == 0:
            pyembed.load_model(out, validate="off").close()
            out.unlink()
        else:
            assert err.startswith("pyembed: error: ")
            assert err.count("\n") == 1
        assert not out.exists()
        assert path.read_bytes() == STRANGE[name]
