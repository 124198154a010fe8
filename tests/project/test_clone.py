"""What a newcomer does in a fresh clone, before anything is compiled there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import _pyembed_command
import pyembed

#: What a clone has, and an installation beside what is compiled.
SOURCES = [Path(module.__file__).parent for module in (pyembed, _pyembed_command)]


def in_clone(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder that holds the package as a clone does, without what is installed."""
    clone = tmp_path / "clone"
    if not clone.exists():
        ignored = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__", "data")
        for package in SOURCES:
            shutil.copytree(package, clone / package.name, ignore=ignored)
    command = [sys.executable, "-S", *arguments]  # -S: an editable installation would be found first
    return subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [("-c", "import pyembed"), ("-m", "pyembed", "info", "demo")])
def test_sources_that_are_not_compiled_say_so_in_one_line(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = in_clone(tmp_path, *arguments)
    assert done.returncode == 1
    last = done.stderr.rstrip().splitlines()[-1]
    assert f"{tmp_path / 'clone' / 'pyembed'} holds the sources of pyembed" in last
    assert "run Python in another folder" in last
    assert "pip install -e ." in last
    assert "During handling" not in done.stderr


def test_other_modules_that_are_missing_are_named(tmp_path: Path) -> None:
    stands_in = "import sys, types; module = types.ModuleType('pyembed._native'); "
    stands_in += "module.ffi = module.lib = None; sys.modules['pyembed._native'] = module; import pyembed"
    done = in_clone(tmp_path, "-c", stands_in)
    assert "No module named 'numpy'" in done.stderr.rstrip().splitlines()[-1]
