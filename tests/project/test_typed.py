"""Type checkers find slips in programs that use the package, and accept what is right."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).parent / "typed" / "uses.py"


@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed: the extra dev has it")
def test_slips_are_found(tmp_path: Path) -> None:
    options = ("--strict", "--no-error-summary", "--hide-error-context", f"--cache-dir={tmp_path}")
    command = [sys.executable, "-m", "mypy", *options, str(PROGRAM)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = PROGRAM.read_text("utf-8").splitlines()
    wrong = {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}
    found = {int(number) for number in re.findall(r"uses\.py:(\d+): error:", done.stdout)}
    assert wrong, "the program has slips"
    assert found == wrong, done.stdout + done.stderr
