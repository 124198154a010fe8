"""The C library on Windows: built by MinGW and by zig; its programs give under Wine what they give here."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import pyembed
from tests.csrc.test_sanitizers import ALLOCATORS, files_of_every_kind
from tests.csrc.test_universal_hash import defined, question, random_key
from tests.helpers.gguf_bytes import GGUFBytes
from tests.helpers.oracles.blocks import TYPES
from tests.helpers.oracles.compare import assert_bit_equal
from tests.helpers.oracles.scaled import ScaledRow
from tests.helpers.scaled_rows import case
from tools import windows
from tools.native import CSRC, PROGRAMS, ROOT, Build, clean_environment, find_cmake

GOLDEN = ROOT / "tests" / "tables" / "golden"

pytestmark = pytest.mark.windows


@pytest.fixture(scope="module", params=windows.COMPILERS)
def build(request: pytest.FixtureRequest) -> Build:
    if windows.compiler_of(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return windows.build(request.param)


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[windows.Wine]:
    if windows.wine() is None:
        pytest.skip("Wine is not installed (Debian: wine64)")
    made = windows.Wine(tmp_path_factory.mktemp("wine"))
    yield made
    made.close()


def program(build: Build, name: str, *link: str) -> Path:
    return build.program(f"{name}.exe", [PROGRAMS / f"{name}.c"], link)


def run(wine: windows.Wine, program: Path, *arguments: object, given: bytes = b"") -> str:
    done = wine.run(program, *arguments, given=given)
    assert done.returncode == 0, (done.stdout[-2000:] + done.stderr[-2000:]).decode("utf-8", "replace")
    return done.stdout.decode().replace("\r\n", "\n")


def run_here(program: Path, *arguments: object) -> str:
    words = [str(program), *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=clean_environment())
    return done.stdout


# -------------------------------------------------------------------------------------- the same bits


def golden_model(path: Path) -> Path:
    """Write a model of the blocks in the golden files, a tensor a type."""
    model = GGUFBytes()
    for name, facts in TYPES.items():
        stored = GOLDEN / f"{name.lower()}.npz"
        if stored.is_file():
            blocks = np.load(stored)["blocks"]
            n_weights = np.load(stored)["values"].shape[1]
            model.tensor(name, (len(blocks), n_weights), facts[0], blocks.tobytes())
    path.write_bytes(bytes(model))
    return path


def test_outputs_are_those_of_this_machine(
    build: Build, wine: windows.Wine, plain_build: Build, tmp_path: Path
) -> None:
    files = [Path(pyembed.demo_model()), golden_model(tmp_path / "golden.gguf")]
    files += files_of_every_kind(tmp_path)
    here = run_here(plain_build.program("outputs", [PROGRAMS / "outputs.c"]), *files)
    assert here.count("status 0") > 250
    assert run(wine, program(build, "outputs"), *map(windows.path, files)) == here


def test_outputs_of_a_real_table(
    build: Build, wine: windows.Wine, plain_build: Build, data_dir: Path
) -> None:
    file = data_dir / "models" / "minilm-f16.gguf"
    here = run_here(plain_build.program("outputs", [PROGRAMS / "outputs.c"]), file)
    assert "30522 tokens" in here
    assert run(wine, program(build, "outputs"), windows.path(file)) == here


def test_back_ends_agree(build: Build, wine: windows.Wine) -> None:
    printed = run(wine, program(build, "differential"), 300)
    assert "portable: equal" in printed
    flags = Path("/proc/cpuinfo").read_text("ascii").split()
    assert ("avx2: equal" in printed) == ("avx2" in flags), printed


def test_rows_whose_scales_lie_apart(build: Build, wine: windows.Wine) -> None:
    source = random.Random(3)
    codes, scales = source.randbytes(64 * 32), np.linspace(0.1, 3, 64, dtype=np.float16).tobytes()
    rows = [ScaledRow(2048, "I8", scales="f16", group=32, parts=(codes, scales, b""))]
    rows += [ScaledRow(4096, "bits", 4, scales="f16", group=64, parts=(codes, scales, b""))]
    done = wine.run(program(build, "scaled"), given=b"".join(map(case, rows)))
    assert done.returncode == 0, done.stderr.decode()
    assert b"portable: 2 rows" in done.stderr
    expected = np.concatenate([row.weights() for row in rows])
    assert_bit_equal(np.frombuffer(done.stdout, np.float32), expected)


def test_raw_rows_of_several_parts(build: Build, wine: windows.Wine) -> None:
    assert "raw rows: equal" in run(
        wine, program(build, "raw_rows"), windows.path(Path(pyembed.demo_model()))
    )


def test_the_hash_is_that_of_its_definition(build: Build, wine: windows.Wine) -> None:
    source = random.Random(2)
    texts = [source.randbytes(n) for n in [*range(40), 511, 3000]]  # with bytes that a text stream changes
    key = random_key(source)
    done = wine.run(program(build, "universal_hash"), given=question(key, texts))
    assert np.frombuffer(done.stdout, np.uint64).tolist() == [defined(key, text) for text in texts]


# ------------------------------------------------------------------------------- failures and threads


def test_every_allocation_may_fail(build: Build, wine: windows.Wine, tmp_path: Path) -> None:
    if "zig" in build.folder.name:
        pytest.skip("zig's linker replaces no functions for Windows")
    wrap = "-Wl," + ",".join(f"--wrap={name}" for name in ALLOCATORS)
    files = map(windows.path, files_of_every_kind(tmp_path))
    assert int(run(wine, program(build, "failures", wrap), *files).split()[0]) > 350


def test_an_allocator_of_the_callers(build: Build, wine: windows.Wine) -> None:
    printed = run(wine, program(build, "allocator"), windows.path(Path(pyembed.demo_model())))
    assert int(printed.split()[0]) > 10


def test_threads_do_everything_at_once(build: Build, wine: windows.Wine) -> None:
    assert "8 threads" in run(wine, program(build, "threads"), windows.path(Path(pyembed.demo_model())), 40)


def test_tickets(build: Build, wine: windows.Wine, tmp_path: Path) -> None:
    rows, columns = 50_000, 40
    file = tmp_path / "rows.bin"
    (np.arange(rows, dtype=np.float32)[:, None] * 7 + np.arange(columns, dtype=np.float32)).tofile(file)
    printed = run(wine, program(build, "tickets"), windows.path(file), rows, columns, 1000)
    assert "1000 tickets" in printed


# ------------------------------------------------------------------------------------ pages that go


def test_pages_that_cannot_be_read(build: Build, wine: windows.Wine) -> None:
    """The exception that the system raises for them, raised by hand."""
    file = windows.path(Path(pyembed.demo_model()))
    assert "4 threads were refused" in run(wine, program(build, "guarded"), file, "raise")


def test_exceptions_of_others_are_passed_on(build: Build, wine: windows.Wine) -> None:
    file = windows.path(Path(pyembed.demo_model()))
    done = wine.run(program(build, "guarded"), file, "foreign")
    # Wine's own last handler does not always leave a code behind.
    assert done.returncode != 0 or b"Unhandled exception" in done.stderr
    assert b"reading" not in done.stdout


def test_a_file_that_is_truncated_under_load(build: Build, wine: windows.Wine, tmp_path: Path) -> None:
    """From outside Wine: Windows itself refuses to shorten a file that is mapped."""
    file = tmp_path / "model.gguf"
    shutil.copy(pyembed.demo_model(), file)
    command = wine.command(program(build, "guarded"), windows.path(file), "wait")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=wine.environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "reading"
        time.sleep(0.3)
        os.truncate(file, 3000)
        rest, errors = process.communicate(timeout=120)
    assert process.returncode == 0, rest + errors
    assert "4 threads were refused" in rest


# ----------------------------------------------------------------------------------------------- paths

IO, ARGUMENT, FORMAT, SAFETENSORS = 1, 3, 5, 7
ENOENT, EACCES, EISDIR, EILSEQ = 2, 13, 21, 42


def opened(wine: windows.Wine, build: Build, *lines: str | bytes) -> list[tuple[int, int, int, str]]:
    """Return what came of opening paths: status, errno, tensors and message."""
    given = b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines)
    printed = run(wine, program(build, "paths"), given=given).splitlines()
    return [
        (int(status), int(number), int(n), message)
        for status, number, n, message in (line.split(" ", 3) for line in printed)
    ]


def test_paths_of_every_kind(build: Build, wine: windows.Wine, tmp_path: Path) -> None:
    demo = Path(pyembed.demo_model())
    unicode = tmp_path / "Modèle 模型 🜁.gguf"
    deep = tmp_path.joinpath(*["a folder with a long name"] * 14)
    deep.mkdir(parents=True)
    shutil.copy(demo, unicode)
    shutil.copy(demo, deep / "model.gguf")
    files_of_every_kind(deep)
    long = windows.path(deep / "model.gguf")
    assert len(long) > 260 + 80
    good = [
        windows.path(unicode),
        windows.path(unicode).replace("\\", "/"),
        long,
        "\\\\?\\" + long,
        windows.path(deep / "set"),
        windows.path(deep / "set" / "model.safetensors.index.json"),
        windows.path(deep / "s-00001-of-00003.gguf"),
    ]
    results = opened(wine, build, *(f"open {path}" for path in good))
    assert [status for status, *_ in results] == [0] * len(good), results
    assert results[4][2] == 2
    assert results[6][2] == 3


def test_paths_that_lead_nowhere(build: Build, wine: windows.Wine, tmp_path: Path) -> None:
    """What the system says is in its own words, but for what this library adds."""
    folder = windows.path(tmp_path)
    bad: list[tuple[str | bytes, int, int, str]] = [
        (folder + "\\none.gguf", IO, ENOENT, "cannot open the file: "),
        (folder + "\\none\\none.gguf", IO, ENOENT, "cannot open the file: "),
        (folder + "\\" + "x" * 300 + ".gguf", IO, ENOENT, "cannot open the file: "),
        ("\\\\localhost\\nowhere\\model.gguf", IO, ENOENT, "cannot open the file: "),
        ("\\\\?\\UNC\\localhost\\nowhere\\model.gguf", IO, ENOENT, "cannot open the file: "),
        (b"Z:\\caf\xe9.gguf", IO, EILSEQ, "the path is not valid UTF-8"),
        (b"Z:\\\xed\xa0\x80.gguf", IO, EILSEQ, "the path is not valid UTF-8"),  # half a surrogate pair
        (b"Z:\\\xff" * 9000, IO, EILSEQ, "the path is not valid UTF-8"),
        ("NUL", FORMAT, 0, "not a regular file"),
        ("", IO, ENOENT, "cannot open the file: "),
        (folder, FORMAT, 0, "no other *.safetensors"),
    ]
    lines = [b"open " + (path.encode() if isinstance(path, str) else path) for path, *_ in bad]
    for (path, status, number, words), result in zip(bad, opened(wine, build, *lines), strict=True):
        assert (result[0], result[1]) == (status, number), (path, result)
        assert words in result[3], (path, result)


def test_an_index_names_files_beside_itself_only(build: Build, wine: windows.Wine, tmp_path: Path) -> None:
    """A colon leads to another drive, or to a stream of a file."""
    names = ("C:a.safetensors", "a.safetensors:b", "C:\\a.safetensors", "..\\a.safetensors")
    for i, name in enumerate(names):
        index = tmp_path / f"{i}.index.json"
        index.write_text(json.dumps({"weight_map": {"w": name}}))
    lines = (f"open {windows.path(tmp_path / f'{i}.index.json')}" for i in range(len(names)))
    for status, _, _, message in opened(wine, build, *lines):
        assert status == SAFETENSORS
        assert "is not the name of a file beside the index" in message


def test_a_file_that_another_program_holds(build: Build, wine: windows.Wine, tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    shutil.copy(pyembed.demo_model(), file)
    path = windows.path(file)
    held, free = opened(wine, build, f"hold {path}", f"open {path}", "release", f"open {path}")
    assert held[:2] == (IO, EACCES)
    assert "another program holds it without sharing: close it there" in held[3]
    assert free[0] == 0


def test_a_budget_is_refused(build: Build, wine: windows.Wine) -> None:
    file = windows.path(Path(pyembed.demo_model()))
    [(status, _, _, message)] = opened(wine, build, f"budget {file}")
    assert status == ARGUMENT
    assert "open the file without a budget" in message


# ------------------------------------------------------------------------------------------- the DLL


def test_a_program_with_the_dll(wine: windows.Wine, tmp_path: Path) -> None:
    """As docs/embedding-in-c.md builds it: all functions of the header, and no library that Windows lacks."""
    cmake, gcc = find_cmake(), windows.compiler_of("mingw")
    objdump = shutil.which("x86_64-w64-mingw32-objdump")
    if cmake is None or gcc is None or objdump is None:
        pytest.skip("CMake or MinGW is not installed")
    folder = ROOT / "build" / "windows-cmake"
    system = ["-DCMAKE_SYSTEM_NAME=Windows", f"-DCMAKE_C_COMPILER={gcc[0]}"]
    run_here(Path(cmake), "-S", CSRC, "-B", folder, *system)
    run_here(Path(cmake), "--build", folder, "--target", "pyembed", "--parallel", "2")
    listed = run_here(Path(objdump), "-p", folder / "libpyembed.dll")
    header = (CSRC / "include" / "pyembed.h").read_text("utf-8")
    functions = set(re.findall(r"^PYE_API [^(]*?(pye_\w+)\(", header, re.MULTILINE))
    exported = set(re.findall(r"^\s+\[ *\d+\].* (\w+)$", listed, re.MULTILINE)) - {"RVA"}  # of the addresses
    assert exported == functions
    needed = {name.lower() for name in re.findall(r"DLL Name: (\S+)", listed)}
    assert needed <= {"advapi32.dll", "kernel32.dll", "msvcrt.dll"}
    shutil.copy(folder / "libpyembed.dll", tmp_path)
    example = tmp_path / "rows.exe"
    flags = ["-DPYE_DLL", "-Wall", "-Werror", f"-I{CSRC / 'include'}", "-o", example]
    run_here(Path(gcc[0]), ROOT / "examples/c/rows.c", folder / "libpyembed.dll.a", *flags)
    printed = run(wine, example, windows.path(Path(pyembed.demo_model())))
    with pyembed.load_model(pyembed.demo_model()) as model:
        rows = model.embed([178, 233])
    assert printed == f"{rows.shape[1]} columns, from {rows[0, 0]:g} to {rows[-1, -1]:g}\n"
