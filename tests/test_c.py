"""The C side by itself: the header in both languages, and the back ends against each other."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import pyembed

ROOT = Path(__file__).parent.parent
CSRC = ROOT / "csrc"
SOURCES = sorted(CSRC.glob("*/*.c"))
FLAGS = [
    "-std=c11",
    "-O2",
    "-ffp-contract=off",
    "-D_POSIX_C_SOURCE=200809L",
    f"-I{CSRC / 'include'}",
    f"-I{CSRC}",
]
LIBRARIES = ["-lpthread", "-lm"]


def compiler(*names: str) -> str:
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    pytest.skip(f"none of {', '.join(names)} is installed")


def run(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("names", "language", "standard"), [(("cc", "gcc"), "c", "c11"), (("c++", "g++"), "c++", "c++17")]
)
def test_header_stands_alone(names: tuple[str, ...], language: str, standard: str, tmp_path: Path) -> None:
    source = tmp_path / "header.txt"
    source.write_text("#include <pyembed.h>\n")
    warnings = ["-Wall", "-Wextra", "-pedantic", "-Werror"]
    run(
        compiler(*names),
        "-x",
        language,
        f"-std={standard}",
        *warnings,
        f"-I{CSRC / 'include'}",
        "-fsyntax-only",
        source,
    )


def test_back_ends_agree(tmp_path: Path) -> None:
    program = tmp_path / "differential"
    run(
        compiler(os.environ.get("CC", "cc"), "gcc"),
        *FLAGS,
        ROOT / "tests/c/differential.c",
        *SOURCES,
        *LIBRARIES,
        "-o",
        program,
    )
    assert "portable: equal" in run(program, 1000)


def test_neon_agrees_under_emulation(tmp_path: Path) -> None:
    program = tmp_path / "differential"
    cross, emulator = compiler("aarch64-linux-gnu-gcc"), compiler("qemu-aarch64", "qemu-aarch64-static")
    run(
        cross, *FLAGS, "-static", ROOT / "tests/c/differential.c", *SOURCES, "-lpthread", "-lm", "-o", program
    )
    assert "neon: equal" in run(emulator, program, 200)


def test_an_allocator_of_the_callers(tmp_path: Path) -> None:
    program = tmp_path / "allocator"
    source = ROOT / "tests/c/allocator.c"
    run(compiler("cc", "gcc"), *FLAGS, "-g", source, *SOURCES, *LIBRARIES, "-o", program)
    printed = run(program, pyembed.demo_model())
    assert int(printed.split()[0]) > 10
