"""Files that tools generate are those that the tools generate."""

from __future__ import annotations

import importlib.util
import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tools import chart, make_examples, make_golden

TOOLS = Path(__file__).parents[2] / "tools"


def check(tool: str) -> None:
    command = [sys.executable, str(TOOLS / tool), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def need(*modules: str) -> None:
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")


def test_codebooks() -> None:
    need("gguf")
    check("make_grids.py")


def test_corpus() -> None:
    check("make_corpus.py")


def test_golden_files() -> None:
    need("gguf", "pywhispercpp")
    if platform.machine() != "x86_64":
        pytest.skip("the golden files' quantised rows were rounded as on x86-64")
    # In this process, where ggml has made the tables already that it quantises with.
    assert make_golden.main(["--check"]) == 0


def test_version_of_the_package_is_that_of_the_header() -> None:
    import pyembed

    header = (TOOLS.parent / "csrc/include/pyembed.h").read_text()
    parts = [line.split()[2] for line in header.splitlines() if line.startswith("#define PYE_VERSION_")]
    assert pyembed.__version__ == ".".join(parts)


def test_rules() -> None:
    check("make_rules.py")


def test_the_chart_is_that_of_the_newest_record() -> None:
    for path, drawn in chart.pictures().items():
        assert path.read_text("utf-8") == drawn, "python -m tools.chart draws it anew"


def test_a_chart_without_peers_has_nothing_to_show() -> None:
    record = json.loads(chart.newest().read_text("utf-8"))
    assert all(group.took[chart.OURS] > 0 and len(group.took) > 1 for group in chart.shown_groups(record))
    assert chart.shown_groups({"sections": []}) == []


def test_published_examples(data_dir: Path) -> None:
    assert make_examples.main(["--check"]) == 0, "python -m tools.make_examples writes the page anew"


def test_every_rule_is_whole() -> None:
    from pyembed.validation import KINDS, all_rules

    rules = [rule for kind in KINDS for rule in kind.module.EVIDENCE.rules]
    assert len(rules) == len(all_rules()), "two rules have the same name"
    for rule in rules:
        kind, slash, name = rule.name.partition("/")
        assert slash
        assert kind in {"container", "tensor", "vocabulary", "ngram", "reference", "text", "geometry"}
        assert name == name.lower().replace(" ", "-")
        assert not rule.title.endswith(".")
        assert all(text.endswith(".") for text in (rule.meaning, rule.cause, rule.advice)), rule.name
