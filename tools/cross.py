"""Compile the C library for other systems, and run what can be run here.

Usage: ``python -m tools.cross [TARGET ...]``.  The compiler is ``zig cc`` of the package ``ziglang``, which
brings the headers and libraries of all targets; for Windows also MinGW's GCC.  ``examples/c/rows.c`` is
linked with the library; where this machine, or an emulator on it, runs the program, it has to print the rows
that the package has here.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from tempfile import TemporaryDirectory

import pyembed

from . import windows
from .native import ROOT, Build, BuildError, clean_environment

EXAMPLE = ROOT / "examples" / "c" / "rows.c"
#: Targets, with the flags that their systems need beside those of every build.
TARGETS = {
    "aarch64-linux-musl": ("-static",),
    "aarch64-macos": ("-D_DARWIN_C_SOURCE",),
    "x86_64-linux-musl": ("-static",),
}
#: Those whose library is built as `tools.windows` does, with the names that it has for their compilers.
WINDOWS = {"x86_64-w64-mingw32": "mingw", windows.TARGET: "zig"}


def runner(target: str) -> list[str] | None:
    """Return what runs a target's programs here: nothing on the machine itself, None where nothing can."""
    if target in WINDOWS:
        wine = windows.wine()
        return [wine] if wine else None
    machine, system, *_ = target.split("-")
    if system != sys.platform:
        return None
    if machine == platform.machine():
        return []
    emulator = shutil.which(f"qemu-{machine}")
    return [emulator] if emulator else None


def expected() -> str:
    """Return what the example prints, as the package has it."""
    with pyembed.load_model(pyembed.demo_model()) as model:
        rows = model.embed([178, 233])
    return f"{rows.shape[1]} columns, from {rows[0, 0]:g} to {rows[-1, -1]:g}\n"


def build_for(target: str) -> Build:
    """Return the library compiled for a target; raise BuildError."""
    if target in WINDOWS:
        return windows.build(WINDOWS[target])
    flags = ("-O2", "-Wall", "-Wextra", "-Werror", "-Wno-unused-command-line-argument", *TARGETS[target])
    return Build(ROOT / "build" / f"cross-{target}", [*windows.ZIG, "-target", target], flags)


def try_target(target: str) -> str:
    """Compile for a target, run what can be run, and return what was seen; raise BuildError."""
    build = build_for(target)
    program = build.program("rows.exe" if target in WINDOWS else "rows", [EXAMPLE])
    compiled = f"{len(build.library)} files compiled and linked"
    start = runner(target)
    if start is None:
        return f"{compiled}, not run: nothing here runs it"
    command = [*start, str(program), pyembed.demo_model()]
    with TemporaryDirectory() as prefix:
        environment = clean_environment(WINEPREFIX=prefix, **windows.QUIET)
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if (done.returncode, done.stdout) != (0, expected()):
        raise BuildError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return f"{compiled}, and run{' in ' + os.path.basename(start[0]) if start else ''}: the same rows"


def main(arguments: Sequence[str] | None = None) -> int:
    """Try all targets; return the exit code."""
    targets = sorted([*TARGETS, *WINDOWS])
    parser = argparse.ArgumentParser(description="Compile the C library for other systems.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(targets)}; default: all")
    chosen = parser.parse_args(arguments).targets or targets
    if unknown := set(chosen) - set(targets):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    failed = False
    for target in chosen:
        try:
            print(f"{target}: {try_target(target)}", flush=True)
        except BuildError as error:
            failed = True
            print(f"{target}: failed\n{error}", file=sys.stderr, flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
