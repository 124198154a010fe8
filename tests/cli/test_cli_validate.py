"""``pyembed validate``: formats, several models and folders, exit codes."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import pyembed
from pyembed.cli import main
from tests.helpers.model_files import TOKEN_TABLE, rows_of_floats, write_model


def run(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    assert main(["validate", *map(str, arguments)]) == code
    return capsys.readouterr().out


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return Path(shutil.copy(pyembed.demo_model(), tmp_path / "good.gguf"))


@pytest.fixture
def damaged(tmp_path: Path, good: Path) -> Path:
    path = tmp_path / "damaged.gguf"
    path.write_bytes(good.read_bytes()[:5000])
    return path


def test_text(good: Path, damaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, good, damaged, code=1)
    assert f"{good}: unverified" in text
    assert f"{damaged}: wrong (1 error)" in text
    assert "container/damaged" in text
    assert "at byte" in text
    assert "llama.cpp: would refuse" in text
    assert text.endswith("2 models: 1 wrong, 1 unverified\n")


def test_the_text_is_that_of_the_report(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, good) == f"{pyembed.validate(good)}\n"


@pytest.mark.parametrize("form", ["text", "json", "sarif"])
def test_why_the_exit_code_is_1(form: str, good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    form_of = ("--format", form)
    assert main(["validate", str(good), *form_of, "--fail-on", "note"]) == 1
    why = "2 findings of severity error or warning or note, by --fail-on note"
    assert capsys.readouterr().err == f"pyembed: {good}: exit code 1: {why}\n"
    assert main(["validate", str(good), *form_of, "--require-evidence"]) == 1
    why = "it is unverified, by --require-evidence"
    assert capsys.readouterr().err == f"pyembed: {good}: exit code 1: {why}\n"
    assert main(["validate", str(good), *form_of, "--fail-on", "warning"]) == 0
    assert capsys.readouterr().err == ""


def test_json_is_an_object_a_line(good: Path, damaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = run(capsys, good, damaged, "--format", "json", "--level", "order", code=1).splitlines()
    first, second = map(json.loads, lines)
    assert (first["path"], first["ok"], first["level"]) == (str(good), True, "order")
    assert second["ok"] is False
    (finding,) = second["findings"]
    assert finding["rule"] == "container/damaged"
    assert finding["severity"] == "error"
    assert finding["offset"] > 0
    assert {"message", "first_id", "last_id", "shift"} <= finding.keys()


def test_a_report_says_the_same_as_the_command(damaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = pyembed.validate(damaged)
    assert json.loads(report.to_json()) == json.loads(run(capsys, damaged, "--format", "json", code=1))
    assert json.loads(report.to_sarif()) == json.loads(run(capsys, damaged, "--format", "sarif", code=1))


def test_sarif_fits_its_schema(good: Path, damaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Classes that were generated from the standard's schema, and that refuse members it does not know.
    pytest.importorskip("pydantic_sarif", reason="pydantic-sarif is not installed")
    model = importlib.import_module("pydantic_sarif.model")
    swapped = damaged.with_name("a name, with ümlaut.gguf")
    write_model(swapped, tokens=["a", "a", "b"], model="gpt2", tensors={TOKEN_TABLE: rows_of_floats(3, 32)})
    text = run(capsys, good, damaged, swapped, "--format", "sarif", "--fail-on", "note", code=1)
    log: Any = model.StaticAnalysisResultsFormatSarifVersion210JsonSchema.model_validate_json(text)
    (analysis,) = log.runs
    rules = [rule.id for rule in analysis.tool.driver.rules]
    assert "container/damaged" in rules
    results = json.loads(text)["runs"][0]["results"]
    assert [rules[result["ruleIndex"]] for result in results] == [result["ruleId"] for result in results]
    assert len(analysis.results) == len(results) > 0


def test_folders_and_split_sets(tmp_path: Path, good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "models"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(good, folder / "deep/model.gguf")
    for number in (1, 2):
        write_model(
            folder / f"set-{number:05d}-of-00002.gguf",
            tensors={f"t{number}": rows_of_floats(3, 32)},
            add=lambda writer, number=number: (
                writer.add_uint16("split.no", number - 1),
                writer.add_uint16("split.count", 2),
                writer.add_int32("split.tensors.count", 2),
            ),
        )
    (folder / "notes.txt").write_text("no model")
    lines = run(capsys, folder, "--format", "json", "--level", "header", "--ignore", "container/damaged")
    names = [Path(json.loads(line)["path"]).name for line in lines.splitlines()]
    assert names == ["set-00001-of-00002.gguf", "model.gguf"]
    (tmp_path / "empty").mkdir()
    assert main(["validate", str(tmp_path / "empty")]) == 2
    assert "no .gguf file" in capsys.readouterr().err


def test_fail_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_model(
        tmp_path / "m.gguf",
        model="gpt2",
        pre="gpt-2",
        tokens=["a", "b"],
        types=[1, 1],
        tensors={TOKEN_TABLE: rows_of_floats(2, 32)},
    )
    report = pyembed.validate(path)
    severities = {finding.severity.value for finding in report.findings}
    order = ["error", "warning", "note"]
    for index, least in enumerate(order):
        expected = 1 if severities & set(order[: index + 1]) else 0
        run(capsys, path, "--fail-on", least, code=expected)


def test_what_cannot_be_read(good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "missing.gguf"
    assert main(["validate", str(missing)]) == 2
    assert str(missing) in capsys.readouterr().err
    assert main(["validate", str(missing), str(good)]) == 2
    captured = capsys.readouterr()
    assert f"{good}: unverified" in captured.out
    assert str(missing) in captured.err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["demo", "--ignore", "container/damagd"], "container/damaged"),
        (["demo", "--level", "deep"], "invalid choice"),
        (["demo", "--format", "xml"], "invalid choice"),
        ([], "required"),
    ],
)
def test_wrong_calls(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", *arguments]) == 2
    assert complaint in capsys.readouterr().err
