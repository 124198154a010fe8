"""The programs and commands in the documents run as they stand there, page by page, from top to bottom."""

from __future__ import annotations

import doctest
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from pyembed.cli import main
from tests.helpers.tokenizer_files import word_piece, write_json
from tools import test_data

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
BLOCK = re.compile(r"^```([\w-]+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
RUN = {"python", "pycon", "sh"}

#: Blocks that do not run here, by page and how they begin, and why.
ELSEWHERE = {
    ("README.md", "python3 -m venv"): "it installs the package: CI runs it in a fresh environment",
    ("README.md", "make install"): "test_readme.py builds and runs the example",
    ("README.md", "make demo"): "CI runs both commands",
    ("conditional-memory.md", "table = pyembed.open_table"): "the model has 320 million rows",
    ("conditional-memory.md", "codes = torch"): "pinned memory needs a GPU: tests/tables/test_raw_rows.py",
    (
        "embedding-in-c.md",
        "make install",
    ): "tests/csrc/test_install.py does that",
    ("embedding-in-c.md", "cmake -S csrc -B build/mingw"): "tests/csrc/test_windows.py does that",
    ("performance.md", "make bench"): "it takes minutes",
    (
        "repair.md",
        "pyembed edit model.gguf --out fixed.gguf set",
    ): "tests/editing has such a model",
    ("repair.md", 'with pyembed.edit("model.gguf")'): "likewise",
    ("repair.md", "pyembed repair model.gguf"): "a model with both of these faults: tests/mending",
    ("repair.md", "pyembed edit model.gguf --out wide.gguf"): "tests/editing/test_surgery.py",
}
#: Pages whose programs other tests run, which have engines, servers and browsers.
OTHER_TESTS = {
    "serving.md": "tests/integration/test_serving_guide.py",
    "server.md": "tests/serve/test_clients.py",
    "explorer.md": "tests/serve/test_explorer.py",
    "corpora.md": "tests/corpora/test_page.py",
}


def _models(folder: Path) -> dict[str, Any]:
    """Put models and a reference where pages have theirs."""
    for name in ("model.gguf", "original.gguf", "model-q4_0.gguf", "model-f16.gguf"):
        shutil.copy(pyembed.demo_model(), folder / name)
    with pyembed.load_model(pyembed.demo_model()) as model:
        (folder / "tokenizer.json").write_text(model.tokenizer_json(), "utf-8")
    return {"pyembed": pyembed}


def _cold_rows(_: Path) -> dict[str, Any]:
    table = pyembed.open_table(pyembed.demo_model())
    return {"table": table, "ids": np.arange(16), "run_layer_0": lambda: None}


def _encoders(folder: Path) -> dict[str, Any]:
    pytest.importorskip("tokenizers", reason="the extra text is not installed")
    from tests.helpers.encoders import save_model2vec, word_tokenizer

    tokenizer = word_tokenizer()
    (folder / "potion-base-8M").mkdir()
    table = np.ones((tokenizer.get_vocab_size(), 8), np.float32)
    save_model2vec(folder / "potion-base-8M", table, tokenizer, {"normalize": True})
    (folder / "many.txt").write_text("word1 word2\nword3\n", "utf-8")
    return {}


def _hashed_rows(folder: Path) -> dict[str, Any]:
    pytest.importorskip("gguf", reason="gguf is not installed")
    from tests.helpers.ngram_files import write_small

    path, _ = write_small(folder, np.random.default_rng(0))
    path.rename(folder / "Qwen3.8-Flash-Next.gguf")
    ids = np.array([5, 6, 7, 8])
    return {"pyembed": pyembed, "ids": ids, "prompt": ids, "draft": ids[:2], "n_accepted": 1}


def _repair(folder: Path) -> dict[str, Any]:
    names = _models(folder)
    with pyembed.load_model(pyembed.demo_model()) as model:
        types = list(model.metadata["tokenizer.ggml.token_type"])
    with pyembed.edit(folder / "original.gguf") as changes:
        changes.set_typed(
            "tokenizer.ggml.token_type", "i32[]", [1, 1, 1, *types[3:]]
        )  # no longer control tokens
        (folder / "model.gguf").unlink()
        changes.write(folder / "model.gguf")
    return names


def _text(folder: Path) -> dict[str, Any]:
    pytest.importorskip("tokenizers", reason="the extra text is not installed")
    return _models(folder)


def _published(folder: Path) -> dict[str, Any]:
    real = test_data.find()
    if real is None:
        pytest.skip(test_data.MISSING)
    pytest.importorskip("sklearn", reason="the extra plot is not installed")
    (folder / "build").mkdir()
    (folder / "build" / "test-data").symlink_to(real)
    return {}


SETUPS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "cold-rows.md": _cold_rows,
    "comparing.md": _models,
    "conditional-memory.md": _hashed_rows,
    "encoders.md": _encoders,
    "exporting.md": lambda _: {},
    "first-steps.md": _text,
    "published-examples.md": _published,
    "questions.md": _text,
    "README.md": _text,
    "repair.md": _repair,
    "text.md": _text,
}


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return language and text of the blocks of a page that are to run here."""
    found = BLOCK.findall(page.read_text("utf-8"))
    known = [start for name, start in ELSEWHERE if name == page.name]
    return [(kind, text) for kind, text in found if kind in RUN and not text.startswith(tuple(known))]


def run_commands(text: str) -> None:
    """Run commands of a shell's block, each in this process: they have to end well."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            assert words[0] == "pyembed", f"say in ELSEWHERE why this does not run: {line}"
            assert main(words[1:]) == 0, line


def run_session(text: str, names: dict[str, Any], page: str) -> None:
    """Run an interactive example: it has to print what stands there."""
    if np.array(0).dtype == np.int32:  # NumPy 1 on Windows does not print the type of its own integers
        text = text.replace(", dtype=int32)", ")")
    test = doctest.DocTestParser().get_doctest(text, names, page, page, 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    report: list[str] = []
    runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)


SLOW = {"published-examples.md"}  # pictures are drawn
WITH_PROGRAMS = [
    pytest.param(page, id=page.name, marks=[pytest.mark.slow] if page.name in SLOW else [])
    for page in PAGES
    if page.name not in OTHER_TESTS and blocks(page)
]


@pytest.mark.parametrize("page", WITH_PROGRAMS)
def test_programs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = SETUPS[page.name](tmp_path)
    for kind, text in blocks(page):
        if kind == "sh":
            run_commands(text)
        elif kind == "pycon":
            run_session(text, names, page.name)
        else:
            exec(compile(text, page.name, "exec"), names)
    for value in names.values():
        if isinstance(value, pyembed.Model | pyembed.EmbeddingTable):
            value.close()


@pytest.mark.parametrize(("page", "start"), ELSEWHERE)
def test_what_runs_elsewhere_is_still_there(page: str, start: str) -> None:
    (path,) = [path for path in PAGES if path.name == page]
    assert any(text.startswith(start) for _, text in BLOCK.findall(path.read_text("utf-8")))


@pytest.mark.parametrize(("page", "test"), OTHER_TESTS.items())
def test_pages_of_other_tests_are_theirs(page: str, test: str) -> None:
    assert (ROOT / "docs" / page).exists()
    assert page.removesuffix(".md") in (ROOT / test).read_text("utf-8")


def test_commands_have_a_language() -> None:
    for page in PAGES:
        fences = re.findall(r"^```(.*)\n(.*)$", page.read_text("utf-8"), re.MULTILINE)
        bare = [first for language, first in fences[::1] if not language and first.startswith("pyembed ")]
        assert bare == [], f"{page.name}: write sh behind the fence of {bare}"


def test_a_command_that_fails_is_seen(tmp_path: Path) -> None:
    reference = write_json(tmp_path / "tokenizer.json", word_piece())
    with pytest.raises(AssertionError, match="validate demo"):
        run_commands(f"pyembed validate demo --reference {reference}")
    with pytest.raises(AssertionError, match="say in ELSEWHERE"):
        run_commands("make bench")
    with pytest.raises(AssertionError, match="Expected"):
        run_session(">>> 1 + 1\n3\n", {}, "page")
