"""The C library has floors, and no circles: neither of includes nor of calls; every header compiles alone."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tools.native import CSRC, FLAGS, Build, clean_environment, find_compiler

MAY_INCLUDE = {
    "base": {"base"},
    "format": {"base", "format"},
    "ngram": {"base", "ngram"},
    "simd": {"base", "simd"},
    "vocabulary": {"base", "format", "vocabulary"},
    "layout": {"base", "format", "simd", "layout"},
    "table": {"base", "format", "simd", "layout", "table"},
}
SOURCES = sorted(path for path in CSRC.rglob("*.[ch]") if path.parent != CSRC / "include")
# What differs between systems: each of these folders implements the same headers of csrc/base.
SYSTEMS = (CSRC / "base" / "posix", CSRC / "base" / "windows")
# Of C itself, and of what processors and their compilers have on every system.
C_HEADERS = {
    *("assert", "errno", "float", "inttypes", "limits", "math", "stdalign", "stdarg", "stdatomic", "stdbool"),
    *("stddef", "stdint", "stdio", "stdlib", "string", "time"),
    *("arm_neon", "cpuid", "emmintrin", "immintrin", "xmmintrin"),
}
SYSTEM_MACROS = r"_WIN(?:32|64)|__MINGW|_MSC_VER|__linux|__APPLE__|__unix|_GNU_SOURCE|_POSIX_|MADV_|MAP_|RWF_"
# Templates: they are compiled after the primitives of an instruction set, and only then.
GENERIC = CSRC / "simd" / "generic"
HEADERS = [path for path in SOURCES if path.suffix == ".h" and path.parent != GENERIC]
X86 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma", "-mf16c"]

Graph = defaultdict[str, set[str]]


def included(path: Path) -> list[Path]:
    """Return the headers of the library that a file includes, but for the public one."""
    names = re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text("utf-8"), re.MULTILINE)
    return [CSRC / name for name in names if name != "pyembed.h"]


def room(path: Path) -> str:
    """Return what a source and the header of its name have in common, such as ``table/scan_rows``."""
    folder = path.parent.parent if path.parent in SYSTEMS else path.parent
    return f"{folder.relative_to(CSRC).as_posix()}/{path.name.split('.')[0]}"


def includes() -> Graph:
    found: Graph = defaultdict(set)
    for path in SOURCES:
        found[room(path)] |= {room(other) for other in included(path)} - {room(path)}
    return found


def calls(build: Build) -> Graph:
    """Return for each room those whose functions or data it uses, as object files say."""
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("nm is not installed")
    defined: dict[str, str] = {}
    wanted: Graph = defaultdict(set)
    for path in build.library:
        folder, name, _ = path.name.split("-")
        folder = "base" if folder in {system.name for system in SYSTEMS} else folder
        listed = subprocess.run([nm, "-P", "-g", path], capture_output=True, text=True, check=True)
        for line in listed.stdout.splitlines():
            symbol, kind = line.split()[:2]
            if kind == "U":
                wanted[f"{folder}/{name}"].add(symbol)
            else:
                defined[symbol] = f"{folder}/{name}"
    found: Graph = defaultdict(set)
    for caller, symbols in wanted.items():
        found[caller] = {defined[symbol] for symbol in symbols if symbol in defined} - {caller}
    assert sum(map(len, found.values())) > 100, "nm listed next to nothing"
    return found


def circle(graph: Graph) -> list[str]:
    """Return the rooms of a circle, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def test_includes_point_downwards() -> None:
    wrong = []
    for path in SOURCES:
        folder = path.relative_to(CSRC).parts[0]
        for other in included(path):
            assert other.is_file(), f"{path} includes {other}"
            if other.relative_to(CSRC).parts[0] not in MAY_INCLUDE[folder]:
                wrong.append(f"{path.relative_to(CSRC)} includes {other.relative_to(CSRC)}")
    assert wrong == []


def test_only_the_systems_folders_know_a_system() -> None:
    """Neither a header nor a macro of an operating system anywhere else."""
    wrong = []
    for path in [*SOURCES, CSRC / "include" / "pyembed.h"]:
        if path.parent in SYSTEMS:
            continue
        text = path.read_text("utf-8")
        own = re.findall(r"^\s*#\s*include\s+<([^>]+)\.h>", text, re.MULTILINE)
        wrong += [f"{path.relative_to(CSRC)} includes <{name}.h>" for name in own if name not in C_HEADERS]
        if path.name != "pyembed.h":  # how symbols are exported
            asked = re.findall(rf"^\s*#\s*(?:el)?if.*?\b({SYSTEM_MACROS})", text, re.MULTILINE)
            wrong += [f"{path.relative_to(CSRC)} asks for {name}" for name in asked]
    assert wrong == []


def test_every_system_has_the_same_files() -> None:
    posix, windows = ({path.stem for path in folder.glob("*.c")} for folder in SYSTEMS)
    assert posix <= {path.stem for path in (CSRC / "base").glob("*.h")}
    assert windows - {path.stem for path in SYSTEMS[1].glob("*.h")} == posix


def test_templates_name_no_instruction_set() -> None:
    wrong = []
    for path in GENERIC.iterdir():
        others = [other for other in included(path) if re.search("avx|neon|portable|x86", other.name)]
        wrong += [f"{path.name} includes {other.name}" for other in others]
    assert wrong == []


def test_no_circle_of_includes() -> None:
    assert circle(includes()) == []


def test_no_circle_of_calls(plain_build: Build) -> None:
    graph = includes()
    for caller, called in calls(plain_build).items():
        graph[caller] |= called
    assert circle(graph) == []


def test_a_circle_is_found() -> None:
    graph: Graph = defaultdict(set, {"a/x": {"a/y"}, "a/y": {"b/z"}, "b/z": {"a/x"}, "b/w": {"a/x"}})
    assert set(circle(graph)) == {"a/x", "a/y", "b/z"}


def intrinsics(path: Path) -> set[str]:
    """Return the headers of intrinsics that a header includes, itself or through others."""
    own = re.findall("<((?:imm|xmm|emm)intrin|arm_neon).h>", path.read_text("utf-8"))
    return set(own).union(*map(intrinsics, included(path)))


def compiler_of(path: Path) -> list[str]:
    """Return the command of a compiler for the processors, and the system, that a header is for."""
    if path.parent.name == "windows":
        mingw = shutil.which("x86_64-w64-mingw32-gcc")
        if mingw is None:
            pytest.skip("no compiler for Windows is installed (Debian: gcc-mingw-w64-x86-64)")
        return [mingw]
    needed = intrinsics(path)
    if "arm_neon" in needed and platform.machine() not in ("aarch64", "arm64"):
        found = shutil.which("aarch64-linux-gnu-gcc")
        if found is None:
            pytest.skip("no compiler for Arm is installed (Debian: gcc-aarch64-linux-gnu)")
        return [found]
    here = find_compiler("cc", "gcc", "clang")
    if here is None:
        pytest.skip("no C compiler is installed")
    if "immintrin" in needed:
        if platform.machine() not in ("x86_64", "AMD64"):
            pytest.skip("for x86 only")
        return [*here, *X86]
    return here


@pytest.mark.parametrize("path", HEADERS, ids=room)
def test_header_compiles_alone(path: Path) -> None:
    command = [*compiler_of(path), *FLAGS, "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c"]
    # Through another file: a header that is compiled by itself is warned about.
    text = f'#include "{path.relative_to(CSRC)}"\n'
    done = subprocess.run(
        [*command, "-"], input=text, capture_output=True, text=True, check=False, env=clean_environment()
    )
    assert done.returncode == 0, done.stderr
