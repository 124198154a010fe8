"""The README's programs run as they stand there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pyembed
from tests.helpers.installed import Installed, run, tool
from tools.native import clean_environment

ROOT = Path(__file__).parents[2]


def snippet(language: str) -> str:
    found = re.search(
        rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    assert found is not None
    return found[1]


def test_python() -> None:
    pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    command = [sys.executable, "-W", "error", "-c", snippet("python")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with pyembed.load_model(pyembed.demo_model()) as model:
        ids = model.tokenize("open the file")
    assert done.stdout.startswith(f"{ids} ({len(ids)}, 128) ['▁files', ")


def test_c(installed: Installed, tmp_path: Path) -> None:
    includes = "".join(f"#include {name}\n" for name in re.findall(r"<\w+\.h>", snippet("c")))
    program = f"{includes}int main(void) {{\n{snippet('c')}return rows[0] == rows[info.n_columns];\n}}\n"
    (tmp_path / "example.c").write_text(program)
    example = tmp_path / "example"
    flags = installed.flags("--cflags", "--libs")
    run(tool("cc", "gcc"), "-std=c11", tmp_path / "example.c", *flags, "-o", example)
    environment = clean_environment(LD_LIBRARY_PATH=str(installed.lib))
    missing = subprocess.run(
        [example], cwd=tmp_path, capture_output=True, text=True, check=False, env=environment
    )
    assert missing.returncode == 1
    assert "cannot open the file" in missing.stderr
    shutil.copy(pyembed.demo_model(), tmp_path / "model.gguf")
    assert subprocess.run([example], cwd=tmp_path, check=False, env=environment).returncode == 0
