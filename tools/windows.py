"""The C library for 64-bit Windows, built here by two compilers, and its programs under Wine.

Usage: ``python -m tools.windows [COMPILER ...]`` compiles it with each of `COMPILERS` that is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from .native import ROOT, Build, BuildError, clean_environment

#: MinGW's GCC keeps vectors of 32 and 64 bytes on a stack that is aligned to 16 (GCC's bug 54412): its
#: assembler is asked for instructions that do not mind. msvcrt's printf does not know C99's formats.
_FLAGS = {
    "mingw": ("-Wa,-muse-unaligned-vector-move", "-D__USE_MINGW_ANSI_STDIO=1", "-static"),
    "zig": ("-Wno-unused-command-line-argument", "-Wno-nullability-completeness"),
}
COMPILERS = tuple(sorted(_FLAGS))
ZIG = (sys.executable, "-m", "ziglang", "cc")
TARGET = "x86_64-windows-gnu"
#: Wine's environment: no words of its own, and no browser or .NET, which it would ask to install.
QUIET = {"WINEDEBUG": "-all", "WINEDLLOVERRIDES": "mscoree=;mshtml="}


def compiler_of(name: str) -> list[str] | None:
    """Return the command of one of the `COMPILERS`, or None where it is not installed."""
    if name == "zig":
        return [*ZIG, "-target", TARGET] if find_spec("ziglang") else None
    found = shutil.which("x86_64-w64-mingw32-gcc")
    return [found] if found else None


def flags_of(name: str) -> tuple[str, ...]:
    """Return the flags that one of the `COMPILERS` needs, and its warnings as errors."""
    return ("-Wall", "-Wextra", "-Werror", *_FLAGS[name])


def build(name: str) -> Build:
    """Return the library as one of the `COMPILERS` makes it; raise BuildError."""
    compiler = compiler_of(name)
    if compiler is None:
        raise BuildError(f"{name} is not installed (ziglang from PyPI; Debian: gcc-mingw-w64-x86-64)")
    folder = ROOT / "build" / f"windows-{name}"
    return Build(folder, compiler, ("-O2", *flags_of(name)), system="windows")


def wine() -> str | None:
    """Return the path of Wine, or None where it is not installed."""
    return shutil.which("wine64") or shutil.which("wine64", path="/usr/lib/wine") or shutil.which("wine")


class Wine:
    """A Windows of its own in a folder, in which programs run.

    Parameters
    ----------
    folder : Path
        Where its disk is; made by the first program, which takes some seconds.
    """

    def __init__(self, folder: Path) -> None:
        found = wine()
        if found is None:
            raise BuildError("Wine is not installed (Debian: wine64)")
        self._wine = found
        self.environment = clean_environment(WINEPREFIX=str(folder), **QUIET)

    def command(self, program: Path, *arguments: object) -> list[str]:
        """Return the words that start a program."""
        return [self._wine, str(program), *map(str, arguments)]

    def run(
        self, program: Path, *arguments: object, given: bytes = b"", timeout: float = 300
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program to its end."""
        return subprocess.run(
            self.command(program, *arguments),
            input=given,
            capture_output=True,
            check=False,
            timeout=timeout,
            env=self.environment,
        )

    def close(self) -> None:
        """End what Wine left running for the next program."""
        server = shutil.which("wineserver") or str(Path(self._wine).resolve().parent / "wineserver64")
        if os.access(server, os.X_OK):
            subprocess.run([server, "-k"], env=self.environment, check=False, capture_output=True)


def path(of: Path) -> str:
    """Return the name that a file here has in Wine."""
    return "Z:" + str(of.resolve()).replace("/", "\\")


def main() -> int:
    """Run the command line."""
    try:
        for name in sys.argv[1:] or [name for name in COMPILERS if compiler_of(name)]:
            print(f"{name}: {len(build(name).library)} files compiled", flush=True)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
