"""What a console and a notebook show of what the package returns: no text of a file does harm."""

from __future__ import annotations

import html
import pickle
from pathlib import Path

import pytest

import pyembed
from pyembed.core.system import HOLDS_OPEN_FILES
from tests.helpers.model_files import TOKEN_TABLE, rows_of_floats, write_model

EVIL = ["<script>alert(1)</script>", "\x1b[31m", "\u202eabc", "plain"]
#: What a page has to escape, and a file can be called.
NAME = "&copy" if HOLDS_OPEN_FILES else "<i>"


@pytest.fixture
def model(tmp_path: Path):
    path = write_model(
        tmp_path / f"{NAME}.gguf",
        architecture="<b>x</b>\x1b[2J",
        tokens=EVIL,
        model="gpt2",
        tensors={TOKEN_TABLE: rows_of_floats(4, 32)},
    )
    with pyembed.load_model(path, validate="off") as model:
        yield model


def harmless(text: str, page: bool = False) -> bool:
    return all(line.isprintable() for line in text.split("\n")) and not (page and "<script" in text)


def test_everything_is_harmless(model: pyembed.Model) -> None:
    found = model.nearest(3, 3)
    health = pyembed.health.examine(model)
    report = model.validate()
    for shown in (model, found, health, report, model.table, model.vocabulary):
        assert harmless(repr(shown)), repr(shown)
        assert harmless(str(shown)), str(shown)
        if hasattr(shown, "_repr_html_"):
            page = shown._repr_html_()
            assert harmless(page, True), page
            assert "<b>" not in page
            assert "<i>" not in page
            assert page.count("<table>") == page.count("</table>") >= 1
    assert "&lt;script&gt;" in found._repr_html_()
    assert f"{html.escape(NAME)}.gguf" in model._repr_html_()
    assert "4 x 32 F32" in model._repr_html_()
    model.close()
    assert "closed" in model._repr_html_()
    assert "closed" in repr(model)


def test_a_model_whose_vocabulary_is_broken(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf", tokens=["a", "a"], tensors={TOKEN_TABLE: rows_of_floats(2, 8)})
    with pyembed.load_model(path, validate="off") as model:
        assert "token table" in model._repr_html_()
        assert "architecture" in model._repr_html_()


def test_reports() -> None:
    report = pyembed.validate(pyembed.demo_model())
    assert report
    assert bool(report) is report.ok
    assert repr(report).endswith("demo.gguf: unverified (2 notes)>")
    lines = str(report).splitlines()
    assert lines[0] == f"{report.path}: unverified (2 notes)"
    assert any("tensor/zero-rows" in line for line in lines)
    assert f"  unverified: {report.summary}" in lines
    report.findings.append(pyembed.Finding("tensor/zero-rows", pyembed.Severity.ERROR, "bad"))
    assert not report
    assert not pyembed.validate_all([])
    reports = pyembed.validate_all([pyembed.demo_model(), "no\x1b such file"])
    assert not reports
    assert str(reports).startswith(str(reports[0]))
    head, _, words_of_the_system = str(reports).rpartition(": ")
    assert head.endswith("no\\x1b such file: cannot open the file")
    assert words_of_the_system == "No such file or directory" or HOLDS_OPEN_FILES
    assert words_of_the_system.isprintable()
    assert repr(reports).endswith("demo.gguf: unverified (2 notes)>], 1 failure>")


def test_neighbours() -> None:
    with pyembed.load_model(pyembed.demo_model()) as model:
        found = model.nearest("file", k=2)
        (by_state,) = model.geometry.logits([model.embed(94)], k=2)
    assert isinstance(found, list)
    assert repr(found).splitlines() == ["token    id   score", "▁files  178  0.6293", "▁open   233  0.6045"]
    assert found[0].text == "▁files"
    assert found == [*found]
    assert pickle.loads(pickle.dumps(found)) == found
    assert "<td>▁files</td>" in found._repr_html_()
    assert repr(type(found)()) == "no neighbours"
    assert isinstance(by_state, pyembed.Neighbours)


def test_health() -> None:
    with pyembed.load_model(pyembed.demo_model()) as model:
        health = pyembed.health.examine(model)
    assert repr(health).startswith("<Health of 'token_embd.weight' of ")
    assert "zero rows: 2, NaN or infinite: 0" in repr(health)
    assert len(repr(health)) < 400
    assert "<caption>shortest rows</caption>" in health._repr_html_()
