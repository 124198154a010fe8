"""Many models at once: no report is lost, and what could not be read is named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pyembed
from pyembed.cli import main
from pyembed.files.model_folders import find_models
from pyembed.validation import KINDS


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return Path(shutil.copy(pyembed.demo_model(), tmp_path / "good.gguf"))


def test_reports_and_failures(good: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.gguf").write_bytes(b"GGUF broken")
    paths = [good, tmp_path / "missing.gguf", tmp_path / "empty", tmp_path / "bad.gguf"]
    told: list[tuple[str, float]] = []
    reports = pyembed.validate_all(
        paths, level="order", progress=lambda text, done: told.append((text, done))
    )
    assert isinstance(reports, pyembed.Reports)
    assert [(report.path, report.ok) for report in reports] == [
        (str(good), True),
        (str(tmp_path / "bad.gguf"), False),
    ]
    assert [Path(failure.path).name for failure in reports.failures] == ["empty", "missing.gguf"]
    with pytest.raises(FileNotFoundError) as missing:  # each system has its own words
        os.stat(paths[1])
    assert missing.value.strerror in reports.failures[1].message
    assert not reports.ok
    assert reports[0] is next(iter(reports))
    assert told == sorted(told, key=lambda one: one[1])
    facts = json.loads(reports.to_json())
    assert [report["ok"] for report in facts["reports"]] == [True, False]
    assert facts["ok"] is False
    assert {failure["path"] for failure in facts["failures"]} == {str(path) for path in paths[1:3]}
    (run,) = json.loads(reports.to_sarif())["runs"]
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    errors = [one for one in invocation["toolExecutionNotifications"] if one["level"] == "error"]
    assert len(errors) == 2
    assert {result["ruleId"] for result in run["results"]} == {"container/damaged"}


def test_all_is_well_only_if_something_was_seen(good: Path) -> None:
    reports = pyembed.validate_all([good], level="header")
    assert reports.ok
    assert json.loads(reports.to_sarif())["runs"][0]["invocations"][0]["executionSuccessful"] is True
    assert not pyembed.validate_all([]).ok


def test_a_wrong_reference_is_nobodys_fault(good: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pyembed.validate_all([good], reference=tmp_path / "no.json")
    (tmp_path / "odd.json").write_text("[]")
    with pytest.raises(pyembed.FormatError):
        pyembed.validate_all([good], reference=tmp_path / "odd.json")
    with pytest.raises(ValueError, match="no rule is named"):
        pyembed.validate_all([good], ignore=["x"])


def test_what_progress_raises_arrives(good: Path) -> None:
    def fail(text: str, done: float) -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        pyembed.validate_all([good, good], progress=fail)
    with pytest.raises(pyembed.LoadCancelledError):
        pyembed.validate_all([good], progress=lambda text, done: False)


def test_a_crash_on_one_file_is_that_files_failure(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = shutil.copy(good, tmp_path / "other.gguf")
    examine = KINDS[0].module.examine

    def crash(subject: Any, findings: Any) -> None:
        if subject.source.path == str(other):
            raise ZeroDivisionError("a fault of ours")
        examine(subject, findings)

    monkeypatch.setattr(KINDS[0].module, "examine", crash)
    reports = pyembed.validate_all([other, good], level="header")
    assert not reports.ok
    assert str(good) in [report.path for report in reports if report.ok]
    told = [failure.message for failure in reports.failures]
    told += [finding.message for report in reports for finding in report.findings]
    assert any("a fault of ours" in text for text in told)


# ------------------------------------------------------------------------------------------- folders


@pytest.mark.posix
def test_links_capitals_and_circles(good: Path, tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "models", tmp_path / "elsewhere"
    (folder / "deep").mkdir(parents=True)
    elsewhere.mkdir()
    shutil.copy(good, folder / "deep/A.GGUF")
    shutil.copy(good, elsewhere / "b.gguf")
    (folder / "linked").symlink_to(elsewhere)
    (folder / "also").symlink_to(elsewhere)
    (folder / "c.gguf").symlink_to(good)
    (folder / "deep/circle").symlink_to(folder)
    found = find_models(str(folder))
    assert [os.path.relpath(path, folder) for path in found.models] == [
        "c.gguf",
        "also/b.gguf",
        "deep/A.GGUF",
    ]
    assert found.failures == []


@pytest.fixture
def without_inodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make all files those of a drive that has no numbers for them, as some have that Windows knows."""
    stat = os.stat

    def zeroed(*arguments: Any, **options: Any) -> os.stat_result:
        found = stat(*arguments, **options)
        return os.stat_result((found.st_mode, 0, 0, *found[3:]))

    monkeypatch.setattr(os, "stat", zeroed)


@pytest.mark.usefixtures("without_inodes")
def test_folders_that_have_no_numbers_are_all_looked_into(good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    wanted = [Path("a.gguf"), Path("one/b.gguf"), Path("two/three/c.gguf")]
    for name in wanted:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(good, folder / name)
    found = find_models(str(folder))
    assert [Path(path).relative_to(folder) for path in found.models] == wanted
    assert found.failures == []


@pytest.mark.posix
@pytest.mark.usefixtures("without_inodes")
def test_circles_of_folders_that_have_no_numbers_end(good: Path, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    shutil.copy(good, tmp_path / "models/a.gguf")
    (tmp_path / "models/circle").symlink_to(tmp_path / "models")
    assert find_models(str(tmp_path / "models")).models == [str(tmp_path / "models/a.gguf")]


@pytest.mark.posix
def test_links_that_lead_nowhere_are_named(good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    shutil.copy(good, folder / "a.gguf")
    (folder / "gone").symlink_to(tmp_path / "not there")
    (folder / "self").symlink_to("self")
    (folder / "gone.gguf").symlink_to(tmp_path / "not there.gguf")
    reports = pyembed.validate_all([folder], level="header")
    assert len(reports) == 1
    assert {Path(failure.path).name for failure in reports.failures} == {"gone", "self", "gone.gguf"}


DROP = [
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
]


@pytest.mark.posix
def test_a_folder_that_cannot_be_read_is_named(good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    (folder / "locked").mkdir(parents=True)
    shutil.copy(good, folder / "a.gguf")
    (folder / "locked/bad.gguf").write_bytes(b"GGUF broken")
    (folder / "locked").chmod(0)
    drop = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root may read everything")
        drop = DROP
    command = [*drop, sys.executable, "-m", "pyembed", "validate", str(folder), "--level", "header"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert f"{folder / 'locked'}: cannot look into this folder: Permission denied" in done.stderr
    assert f"{folder / 'a.gguf'}: " in done.stdout


@pytest.mark.parametrize("format", ["text", "json", "sarif"])
def test_of_an_empty_folder_the_others_reports_are_not_lost(
    format: str, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    command = ["validate", str(tmp_path / "empty"), str(good), "--format", format, "--level", "header"]
    assert main(command) == 2
    captured = capsys.readouterr()
    assert captured.err == f"pyembed: error: {tmp_path / 'empty'}: no .gguf file is in this folder\n"
    names = {"text": str(good), "json": json.dumps(str(good)), "sarif": good.as_uri()}
    assert names[format] in captured.out
    if format == "json":
        lines = [json.loads(line) for line in captured.out.splitlines()]
        assert [line["ok"] for line in lines] == [True, False]
        assert lines[1] == {
            "path": str(tmp_path / "empty"),
            "ok": False,
            "error": "no .gguf file is in this folder",
        }
    if format == "sarif":
        assert '"executionSuccessful": false' in captured.out
