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
_EXAMPLE = re.compile(r"^```yaml\n(name: .*?)^```$", re.MULTILINE | re.DOTALL)


def texts() -> list[tuple[str, str]]:
    """Return the workflows of the project, and those that its pages show as examples, by name."""
    examples = [
        (page.name, text)
        for page in (ROOT / "docs").glob("*.md")
        for text in _EXAMPLE.findall(page.read_text("utf-8"))
    ]
    return [*((path.stem, path.read_text("utf-8")) for path in WORKFLOWS), *examples]


TEXTS = texts()
NAMES = [name for name, _ in TEXTS]


def test_every_action_of_a_page_is_in_an_example() -> None:
    pages = [path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md")]
    examples = [text for name, text in TEXTS if name.endswith(".md")]
    assert examples
    assert sum(page.count("uses: ") for page in pages) == sum(text.count("uses: ") for text in examples)


@pytest.mark.parametrize("text", [text for _, text in TEXTS], ids=NAMES)
def test_actions_are_pinned(text: str) -> None:
    uses = re.findall(r"uses: *(.*)", text)
    assert uses
    for action in uses:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)*", action), action


def test_one_commit_an_action() -> None:
    pins: dict[str, set[str]] = {}
    for _, text in TEXTS:
        for name, commit in re.findall(r"uses: *(\S+)@(.*)", text):
            pins.setdefault(name, set()).add(commit)
    assert {name: commits for name, commits in pins.items() if len(commits) > 1} == {}


@pytest.mark.parametrize("text", [text for _, text in TEXTS], ids=NAMES)
def test_rights_are_given_to_jobs(text: str) -> None:
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


@pytest.mark.parametrize("text", [text for _, text in TEXTS], ids=NAMES)
def test_schema(text: str, tmp_path: Path) -> None:
    if find_spec("check_jsonschema") is None:
        pytest.skip("check-jsonschema is not installed: make workflows installs it")
    path = tmp_path / "workflow.yml"
    path.write_text(text, "utf-8")
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
