"""Run the tests under sanitizers.

``asan`` compiles the extension module with AddressSanitizer and UndefinedBehaviorSanitizer, into an
environment of its own below ``build``, and runs the Python tests with it; those that compile C programs
do so as ever. ``tsan`` runs threads that gather, open, close, look up and check at the same time under
ThreadSanitizer, with every back end of this machine.

Usage: ``python -m tools.sanitize {asan,tsan} [PYTEST-ARGUMENT ...]``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from .native import PROGRAMS, ROOT, BuildError, find_compiler, shared_build

WORK = ROOT / "build" / "asan"
ROUNDS = 400


def runtimes(compiler: list[str]) -> str:
    """Return the paths of libraries that have to be loaded first of all, AddressSanitizer's before others.

    Other extension modules throw C++ exceptions, which AddressSanitizer looks at: it has to find the library
    for them when it starts.
    """
    found = []
    for name in ("libasan.so", "libstdc++.so.6"):
        command = [*compiler, f"-print-file-name={name}"]
        path = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        if os.path.isabs(path):
            found.append(os.path.realpath(path))
        elif name == "libasan.so":
            raise BuildError(f"{' '.join(compiler)} has no libasan.so; gcc has one")
    return ":".join(found)


def environment() -> Path:
    """Return the Python of an environment with this one's packages and a pyembed compiled anew."""
    python: Path = WORK / "venv" / "bin" / "python"
    if not python.exists():
        venv.create(WORK / "venv", with_pip=False, symlinks=True)
    site = next((WORK / "venv" / "lib").glob("python*/site-packages"))
    # Only a path: what makes this environment find the sources' pyembed is a hook that is not taken over.
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    define = "cmake.define.PYEMBED_SANITIZE=address,undefined"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "-q",
        "--no-deps",
        "--force-reinstall",
    ]
    settings = ["--config-settings", define, "--config-settings", f"build-dir={WORK / 'build'}"]
    subprocess.run([*pip, *settings, "-e", str(ROOT)], check=True)
    return python


def asan(arguments: list[str]) -> int:
    """Run the Python tests with a sanitized extension module."""
    compiler = find_compiler("gcc", "cc")
    if compiler is None:
        raise BuildError("no C compiler is installed")
    options = ("detect_leaks=0", "abort_on_error=1", "allocator_may_return_null=1", "handle_sigbus=0")
    preloaded = {
        # The interpreter keeps much until its end, which is not our leak; the C programs look for leaks.
        # What pytest keeps of output is lost where the process ends: reports have files of their own.
        "ASAN_OPTIONS": ":".join((*options, f"log_path={WORK / 'report'}", "log_exe_name=1")),
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "LD_PRELOAD": runtimes(compiler),
    }
    python = environment()
    for old in WORK.glob("report.*"):
        old.unlink()
    command = [str(python), "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    code = subprocess.run(command, cwd=ROOT, env={**os.environ, **preloaded}, check=False).returncode
    for report in sorted(WORK.glob("report.*")):
        print(f"{report}:\n{report.read_text('utf-8', 'replace')}", file=sys.stderr)
    return code


def tsan() -> int:
    """Run the threads' program under ThreadSanitizer."""
    program = shared_build("tsan").program("threads", [PROGRAMS / "threads.c"])
    # Some kernels spread addresses wider than ThreadSanitizer bears.
    fixed = ["setarch", "-R"] if shutil.which("setarch") else []
    for isa in ("", "portable"):
        print(f"back end: {isa or 'the best'}", flush=True)
        done = subprocess.run(
            [*fixed, program, ROOT / "pyembed" / "data" / "demo.gguf", str(ROUNDS)],
            env={**os.environ, **({"PYEMBED_ISA": isa} if isa else {})},
            check=False,
        )
        if done.returncode != 0:
            return done.returncode
    return 0


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("sanitizer", choices=("asan", "tsan"))
    chosen, rest = parser.parse_known_args()
    try:
        return asan(rest) if chosen.sanitizer == "asan" else tsan()
    except BuildError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
