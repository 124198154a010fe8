"""The C side by itself: the header in both languages, the back ends against each other, mutated files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import pyembed
from tools import mutate, windows
from tools.native import CSRC, PROGRAMS, Build, clean_environment


def compiler(*names: str) -> str:
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    pytest.skip(f"none of {', '.join(names)} is installed")


def run(*command: object) -> str:
    words = [str(part) for part in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=clean_environment())
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


def test_sources_for_windows_compile() -> None:
    """What differs there; make test-windows compiles and runs all of it."""
    command = [*windows.flags_of("mingw"), f"-I{CSRC / 'include'}", f"-I{CSRC}", "-std=c11", "-fsyntax-only"]
    sources = sorted((CSRC / "base" / "windows").glob("*.c"))
    assert len(sources) > 5
    run(compiler("x86_64-w64-mingw32-gcc"), *command, "-Wconversion", "-Wshadow", *sources)


def test_back_ends_agree(plain_build: Build) -> None:
    program = plain_build.program("differential", [PROGRAMS / "differential.c"])
    assert "portable: equal" in run(program, 1000)


def test_neon_agrees_under_emulation(neon_build: Build) -> None:
    emulator = compiler("qemu-aarch64", "qemu-aarch64-static")
    program = neon_build.program("differential", [PROGRAMS / "differential.c"])
    assert "neon: equal" in run(emulator, program, 200)


def test_avx512_agrees_in_plain_c(plain_build: Build) -> None:
    """Its intrinsics as functions of SIMDe, so that no machine needs to have them."""
    if not Path("/usr/include/simde/x86/avx512.h").is_file():
        pytest.skip("SIMDe is not installed (Debian: libsimde-dev)")
    sources = [PROGRAMS / "differential.c", PROGRAMS / "emulated" / "avx512.c"]
    program = plain_build.program("differential-emulated", sources)
    assert "avx512_emulated: equal" in run(program, 50)


def test_an_allocator_of_the_callers(plain_build: Build) -> None:
    program = plain_build.program("allocator", [PROGRAMS / "allocator.c"])
    printed = run(program, pyembed.demo_model())
    assert int(printed.split()[0]) > 10


def test_raw_rows_of_several_parts(plain_build: Build) -> None:
    program = plain_build.program("raw_rows", [PROGRAMS / "raw_rows.c"])
    assert "raw rows: equal" in run(program, pyembed.demo_model())


def test_mutations_do_no_harm(plain_build: Build) -> None:
    demo = Path(pyembed.demo_model())
    [outcome] = mutate.mutate(mutate.program(plain_build), [demo], single=400, multi=100)
    assert outcome.accepted + outcome.rejected == 500
    assert outcome.accepted > 0
    assert outcome.rejected > 0
