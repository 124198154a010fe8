"""Workflows run what somebody looked at, with the rights that they need and no others."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import pyembed

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned(path: Path) -> None:
    uses = re.findall(r"uses: *(.*)", path.read_text("utf-8"))
    assert uses
    for action in uses:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)*", action), action


def test_one_commit_an_action() -> None:
    pins: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for name, commit in re.findall(r"uses: *(\S+)@(.*)", path.read_text("utf-8")):
            pins.setdefault(name, set()).add(commit)
    assert {name: commits for name, commits in pins.items() if len(commits) > 1} == {}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_rights_are_given_to_jobs(path: Path) -> None:
    text = path.read_text("utf-8")
    assert "\npermissions: {}\n" in text
    assert text.count("persist-credentials: false") == text.count("actions/checkout@")
    # Texts of strangers, such as a branch's name, never become a part of a script.
    scripts = re.findall(r"run: (?:\|\n(?:(?: {10}.*)?\n)+|.*)", text)
    assert [script for script in scripts if "${{" in script] == []


def test_their_tasks_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for path in WORKFLOWS:
        for task in re.findall(r"run: make ([\w-]+)", path.read_text("utf-8")):
            assert f"\n{task}:" in makefile, f"{path.name}: make {task}"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_schema(path: Path) -> None:
    if find_spec("check_jsonschema") is None:
        pytest.skip("check-jsonschema is not installed: make workflows installs it")
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.github-workflows",
        str(path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_one_version_everywhere() -> None:
    version = pyembed.__version__
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
    heading = re.search(r"^## \[(.*?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert heading is not None
    assert heading[1] == version
    assert f"rev: v{version}" in (ROOT / "docs" / "deploying-validation.md").read_text("utf-8")


def test_records_are_of_versions() -> None:
    for path in (ROOT / "docs" / "benchmarks").glob("*.json"):
        machine = json.loads(path.read_text("utf-8"))["machine"]
        assert machine["pyembed"] == path.stem
        assert {"processor", "cores", "memory", "system", "compiler", "peers"} <= set(machine)
