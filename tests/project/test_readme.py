"""The README's programs run as they stand there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pyembed

ROOT = Path(__file__).parents[2]
CSRC = ROOT / "csrc"


def snippet(language: str) -> str:
    found = re.search(
        rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    assert found is not None
    return found[1]


def test_python() -> None:
    command = [sys.executable, "-W", "error", "-c", snippet("python")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(2, 2, 128) ")


def test_c(tmp_path: Path) -> None:
    cc = shutil.which("cc") or pytest.skip("no C compiler is installed")
    includes = "".join(f"#include {name}\n" for name in re.findall(r"<\w+\.h>", snippet("c")))
    program = f"{includes}int main(void) {{\n{snippet('c')}return rows[0] == rows[info.n_columns];\n}}\n"
    (tmp_path / "example.c").write_text(program)
    flags = [
        "-std=c11",
        "-ffp-contract=off",
        "-D_POSIX_C_SOURCE=200809L",
        f"-I{CSRC / 'include'}",
        f"-I{CSRC}",
    ]
    sources = [str(path) for path in sorted(CSRC.glob("*/*.c"))]
    example = tmp_path / "example"
    command = [cc, *flags, str(tmp_path / "example.c"), *sources, "-lpthread", "-lm", "-o", str(example)]
    subprocess.run(command, check=True)
    missing = subprocess.run([example], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert missing.returncode == 1
    assert "cannot open the file" in missing.stderr
    shutil.copy(pyembed.demo_model(), tmp_path / "model.gguf")
    assert subprocess.run([example], cwd=tmp_path, check=False).returncode == 0
