"""The C library as others use it: installed, found by pkg-config and by CMake, linked into the examples."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

import pyembed
from tests.helpers.installed import Installed, run, tool
from tools.native import build_with_cmake

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples/c"
HEADER = (ROOT / "csrc/include/pyembed.h").read_text("utf-8")


@pytest.fixture(scope="session")
def built(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    build = tmp_path_factory.mktemp("examples")
    run(tool("cmake"), "-S", EXAMPLES, "-B", build, f"-DCMAKE_PREFIX_PATH={installed.prefix}")
    run(tool("cmake"), "--build", build)
    return build


@pytest.fixture(scope="session")
def linked(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("linked")
    flags = installed.flags("--cflags", "--libs")
    warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    server, cosine = folder / "batch_server", folder / "cosine"
    run(tool("cc", "gcc"), "-std=c11", *warnings, EXAMPLES / "batch_server.c", *flags, "-o", server)
    run(tool("c++", "g++"), "-std=c++17", *warnings, EXAMPLES / "cosine.cpp", *flags, "-o", cosine)
    return folder


@pytest.fixture(params=["cmake", "pkg-config"])
def examples(request: pytest.FixtureRequest, installed: Installed, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the compiled examples."""
    if request.param == "cmake":
        folder: Path = request.getfixturevalue("built")
    else:
        folder = request.getfixturevalue("linked")
        monkeypatch.setenv("LD_LIBRARY_PATH", str(installed.lib))
    return folder


# --------------------------------------------------------------------------------------- the examples


def test_server_loop(examples: Path) -> None:
    requests = [[1, 2, 3], [5000, 0], [], [99999], [7] * 5000, [-1, 3], [4]]
    sent = b"".join(struct.pack(f"=I{len(ids)}i", len(ids), *ids) for ids in requests)
    command = [examples / "batch_server", pyembed.demo_model()]
    done = subprocess.run(command, input=sent, capture_output=True, check=True)
    answer = done.stdout
    with pyembed.load_model(pyembed.demo_model()) as model:
        for ids in requests:
            (status,) = struct.unpack_from("=I", answer)
            answer = answer[4:]
            is_good = len(ids) <= 4096 and all(0 <= row < model.n_vocab for row in ids)
            assert (status == 0) == is_good
            if is_good:
                n = len(ids) * model.n_embd
                rows = np.frombuffer(answer, np.float32, n).reshape(len(ids), model.n_embd)
                np.testing.assert_array_equal(rows, model.embed(np.array(ids, np.int32)))
                answer = answer[4 * n :]
    assert answer == b""
    assert b"4 gathers, 6 rows" in done.stderr


def test_server_without_a_model(examples: Path, tmp_path: Path) -> None:
    done = subprocess.run([examples / "batch_server", tmp_path / "none"], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"cannot open the file" in done.stderr


def test_cosine_from_cplusplus(examples: Path) -> None:
    with pyembed.load_model(pyembed.demo_model()) as model:
        first, second = (model.vocabulary[model.vocabulary.find(word)] for word in ("file", "open"))
        a, b = model.embed([first.id, second.id]).astype(np.float64)
    expected = a @ b / np.sqrt((a @ a) * (b @ b))
    printed = run(examples / "cosine", pyembed.demo_model(), first.text, second.text)
    assert float(printed.split()[-1]) == pytest.approx(expected, abs=1e-5)
    command = [examples / "cosine", pyembed.demo_model(), "no such token", "x"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "no token is stored as 'no such token'" in refused.stderr


# --------------------------------------------------------------------- in packages, and in other builds


def test_destdir(installed: Installed, tmp_path: Path) -> None:
    command = [tool("cmake"), "--install", build_with_cmake(), "--prefix", "/usr"]
    printed = run(*command, DESTDIR=str(tmp_path))
    assert (tmp_path / "usr/include/pyembed.h").read_text("utf-8") == HEADER
    names = {path.name for path in (tmp_path / "usr").rglob("*") if path.is_file()}
    assert names == {path.name for path in installed.prefix.rglob("*") if path.is_file()}
    assert {line.split(": ")[1].startswith(f"{tmp_path}/") for line in printed.splitlines()[1:]} == {True}
    for text in [path.read_text("utf-8") for path in tmp_path.rglob("*.pc")]:
        assert str(tmp_path) not in text


def test_as_a_part_of_another_build(tmp_path: Path) -> None:
    guide = (ROOT / "docs/embedding-in-c.md").read_text("utf-8")
    (block,) = re.findall(r"```cmake\n(include\(FetchContent\).*?)```", guide, re.DOTALL)
    lines = ["cmake_minimum_required(VERSION 3.18...4.0)", "project(server LANGUAGES C)"]
    lines += [f"add_executable(server {EXAMPLES / 'rows.c'})", "install(TARGETS server)"]
    text = "\n".join([*lines, block.replace("/where/the/clone/is", str(ROOT))])
    (tmp_path / "CMakeLists.txt").write_text(text, "utf-8")
    build = tmp_path / "build"
    run(tool("cmake"), "-S", tmp_path, "-B", build)
    targets = run(tool("cmake"), "--build", build, "--target", "help")
    assert "server" in targets
    assert "pyembed_static" in targets
    (script,) = build.rglob("pyembed-build/cmake_install.cmake")
    assert "file(INSTALL" not in script.read_text("utf-8")


# ------------------------------------------------------------------------------------ symbols and ABI


def public_functions() -> set[str]:
    return set(re.findall(r"\bPYE_API\b[^;(]*?\b(pye_\w+)\s*\(", HEADER))


def symbols(file: Path, *options: str) -> set[str]:
    printed = run(tool("nm"), *options, "--defined-only", "--extern-only", file)
    return {line.split()[-1] for line in printed.splitlines() if len(line.split()) == 3}


def test_the_shared_library_exports_the_header_and_nothing_else(installed: Installed) -> None:
    assert symbols(installed.lib / "libpyembed.so", "-D") == public_functions()
    assert len(public_functions()) > 20


def test_the_static_library_claims_no_other_names(installed: Installed) -> None:
    assert {name for name in symbols(installed.lib / "libpyembed.a") if not name.startswith("pye_")} == set()


def test_versions_agree(installed: Installed) -> None:
    library = ctypes.CDLL(str(installed.lib / "libpyembed.so"))
    library.pye_version.restype = ctypes.c_char_p
    numbers = re.findall(r"#define PYE_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", HEADER)
    version = library.pye_version().decode()
    assert version == ".".join(numbers) == pyembed.__version__
    assert installed.flags("--modversion") == [version]
    dynamic = run(tool("readelf"), "-d", installed.lib / "libpyembed.so")
    major, minor, _ = numbers
    soname = f"libpyembed.so.{major}" if major != "0" else f"libpyembed.so.0.{minor}"
    assert f"[{soname}]" in dynamic


def test_two_copies_in_one_process(installed: Installed, tmp_path: Path) -> None:
    other = tmp_path / "libother.so"
    shutil.copy(installed.lib / "libpyembed.so", other)
    libraries = [ctypes.CDLL(str(path)) for path in (installed.lib / "libpyembed.so", other)]
    models = [ctypes.c_void_p(), ctypes.c_void_p()]
    path = os.fsencode(pyembed.demo_model())
    for library, model in zip(libraries, models, strict=True):
        assert library.pye_model_open(path, None, ctypes.byref(model), None) == 0
    for library, model in zip(libraries, models, strict=True):
        library.pye_model_n_tensors.restype = ctypes.c_size_t
        assert library.pye_model_n_tensors(model) > 0
        library.pye_model_close(model)


def test_the_library_runs_nothing_when_it_is_loaded(installed: Installed) -> None:
    """No constructor of ours: what is left is what the compiler's own start-up files bring."""
    printed = run(tool("nm"), installed.lib / "libpyembed.a")
    assert not re.search(r"\b_GLOBAL__sub_I|\.init_array", printed)
    sections = run(tool("readelf"), "-SW", installed.lib / "libpyembed.a")
    assert not re.search(r"\.(init_array|ctors|tdata|tbss)\b", sections)
