"""The README's example in C is built and run by the commands that stand there."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

import pyembed
from tests.helpers.installed import Installed, run, tool
from tools.native import clean_environment

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def test_the_lines_shown_are_those_of_the_program() -> None:
    (shown,) = re.findall(r"^```c\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    assert shown in (ROOT / "examples/c/rows.c").read_text("utf-8")
    assert shown.count("\n") == 8


def test_its_commands(installed: Installed, tmp_path: Path) -> None:
    (commands,) = re.findall(
        r"^```sh\nmake install PREFIX=build/c .*?\n(.*?)^```", README, re.DOTALL | re.MULTILINE
    )
    compiling, running = map(shlex.split, commands.splitlines())
    (tmp_path / "build").mkdir()
    (tmp_path / "build/c").symlink_to(installed.prefix)
    if installed.lib.name != "lib":
        pytest.skip("the library was installed into another folder than make install chooses")
    for name in ("examples", "pyembed"):
        (tmp_path / name).symlink_to(ROOT / name)
    subprocess.run([tool("cc", "gcc"), *compiling[1:]], cwd=tmp_path, check=True)
    environment = clean_environment()
    done = subprocess.run(running, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    with pyembed.load_model(pyembed.demo_model()) as model:
        rows = model.embed([178, 233])
    assert done.stdout == f"{rows.shape[1]} columns, from {rows[0, 0]:g} to {rows[-1, -1]:g}\n"
    missing = subprocess.run(
        [*running[:1], "none.gguf"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert missing.returncode == 1
    assert "cannot open the file" in missing.stderr
    assert run(tmp_path / "build/rows", pyembed.demo_model()) == done.stdout
