"""``pyembed plot``: pictures of words and ids, wrong calls, and what is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed")


import pyembed
from pyembed.cli import main
from tests.helpers.model_files import TOKEN_TABLE, rows_of_floats, write_model
from tests.helpers.pictures import texts


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tokens = ["[PAD]", "▁king", "▁queen", "ing", "▁cat", "▁dog", "▁paris", "▁$x$", "▁汉字", "▁a\x1bb"]
    tokens += [f"▁w{row}" for row in range(40)]
    rows = rows_of_floats(len(tokens), 16)
    rows[0] = 0
    path = tmp_path / "m.gguf"
    return write_model(path, architecture="bert", model="bert", tokens=tokens, tensors={TOKEN_TABLE: rows})


def run(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    assert main(["plot", *map(str, arguments)]) == code
    captured = capsys.readouterr()
    return captured.out if code == 0 else captured.err


def test_plot_rows(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.svg"
    assert "x.svg" in run(capsys, "rows", path, "king", "$x$", "--ids", "3,8,9", "--out", out)
    assert {"king", "$x$", "##ing", "a\\x1bb", "1", "7", "9"} <= set(texts(out))
    assert "Rows: m.gguf, 50 x 16 F32" in texts(out)
    assert "▁king (1)" in run(capsys, "rows", path, "king", "--title", "Mine", "--out", out)
    facts = json.loads(run(capsys, "rows", path, "king", "--title", "Mine", "--out", out, "--json"))
    assert facts == {"out": str(out), "tokens": [{"word": "king", "id": 1, "text": "▁king"}]}
    assert "Mine" in texts(out)


def test_plot_map(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.svg"
    groups = ("--group", "royalty=king,queen", "--group", "pets=cat,dog")
    run(capsys, "map", path, "paris", *groups, "--near", "w3", "--k", "4", "--method", "pca", "--out", out)
    found = set(texts(out))
    assert {"king", "queen", "cat", "dog", "paris", "royalty", "pets", "near w3", "words"} <= found
    with pyembed.load_model(path, validate="off") as model:
        near = [found.text for found in model.nearest("w3", k=4)]
    assert {
        (text or "").removeprefix("▁") for text in near if text not in ("▁汉字", "▁a\x1bb", "ing")
    } <= found


def test_plot_map_by_tsne(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    for name in "ab":
        run(capsys, "map", path, "--near", "king", "--out", tmp_path / f"{name}.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "t-SNE of 11 words: m.gguf, 50 x 16 F32" in texts(tmp_path / "a.svg")


def test_plot_norms(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "norms", path, "--out", tmp_path / "x.svg")
    assert {"[PAD]", "50 rows"} <= set(texts(tmp_path / "x.svg"))


def test_plot_similarity(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "similarity", path, "king", "queen", "--ids", "3", "--out", tmp_path / "x.svg")
    with pyembed.load_model(path, validate="off") as model:
        expected = f"{model.similarity('king', 'queen'):.2f}"
    assert texts(tmp_path / "x.svg").count(expected) >= 2


def test_a_table_without_vocabulary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "m.npy", rows_of_floats(9, 8))
    out = tmp_path / "x.svg"
    for kind in ("rows", "similarity"):
        run(capsys, kind, tmp_path / "m.npy", "--ids", "1,2,3", "--out", out)
        assert {"1", "2", "3"} <= set(texts(out))
    run(capsys, "norms", tmp_path / "m.npy", "--out", out)
    run(capsys, "map", tmp_path / "m.npy", "--ids", "1,2,3", "--method", "pca", "--out", out)
    assert "vocabulary" in run(capsys, "rows", tmp_path / "m.npy", "king", "--out", out, code=2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["rows", "demo", "file", "--out", "x.pdf"], "written as .png or .svg"),
        (["rows", "demo", "--out", "x.png"], "nothing was chosen"),
        (["map", "demo", "--out", "x.png"], "nothing was chosen"),
        (["rows", "demo", "strng", "--out", "x.png"], "near it: "),
        (["rows", "demo", "--ids", "99999", "--out", "x.png"], "99999"),
        (["rows", "demo", "--ids", ",".join(map(str, range(65))), "--out", "x.png"], "1 to 64"),
        (["map", "demo", "file", "string", "--out", "x.png"], "2 words: a map shows 3 to 500"),
        (["map", "demo", "--ids", "0,8,9", "--out", "x.png"], "zero or not finite"),
        (["map", "demo", "--group", "pets", "--out", "x.png"], "animals=cat,dog"),
        (["map", "demo", "--near", "file", "--k", "0", "--out", "x.png"], "k is 0"),
        (["similarity", "demo", "file", "--out", "x.png"], "1 words"),
        (["similarity", "demo", "file", "string", "--out", "/no/such/folder/x.png"], "/no/such/folder/x.png"),
        (["rows", "demo", "file"], "--out"),
        (["pie", "demo"], "pie"),
    ],
)
def test_wrong_calls(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert says in run(capsys, *arguments, code=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("missing", "arguments"),
    [
        ("matplotlib", ["rows", "demo", "file"]),
        ("sklearn.manifold", ["map", "demo", "file", "string", "class"]),
    ],
)
def test_what_to_install(missing: str, arguments: list[str], tmp_path: Path) -> None:
    script = f"import sys; sys.modules[{missing!r}] = None; from pyembed.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", script, "plot", *arguments, "--out", str(tmp_path / "x.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'pyembed-gguf[plot]'" in done.stderr


@pytest.mark.parametrize("kind", ["rows", "map", "norms", "similarity"])
def test_help(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"example: pyembed plot {kind} demo" in run(capsys, kind, "--help")
    assert ("means nothing" in run(capsys, kind, "--help")) == (kind == "map")


def test_letters_without_a_font(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strange = "\U0001fbc9"  # of an alphabet that hardly a font has
    tokens = [f"\u2581{strange}", "\u2581a\x07", "\u2581b"]
    path = write_model(
        tmp_path / "m.gguf", tokens=tokens, model="llama", tensors={TOKEN_TABLE: rows_of_floats(3, 8)}
    )
    assert main(["plot", "rows", str(path), "--ids", "0,1", "--out", str(tmp_path / "x.png")]) == 0
    said = capsys.readouterr().err
    assert "no font here has" in said
    assert "Noto" in said
    assert "x07" not in said
    assert main(["plot", "rows", str(path), "--ids", "1,2", "--out", str(tmp_path / "x.png")]) == 0
    assert capsys.readouterr().err == ""
