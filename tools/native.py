"""Compiles the C library, and programs that use its inside, with flags of their own.

Usage: ``python -m tools.native KIND ...`` compiles the library in the ways that the tests and tools share,
and prints the name of each when it is done.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"
FUZZ = ROOT / "tests" / "fuzz"
PROGRAMS = ROOT / "tests" / "csrc" / "programs"
FLAGS = (
    "-std=c11",
    "-g",
    "-O1",
    "-ffp-contract=off",
    "-fno-omit-frame-pointer",
    "-D_POSIX_C_SOURCE=200809L",
    f"-I{CSRC / 'include'}",
    f"-I{CSRC}",
)
ASAN = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
#: Sources in folders of these names are compiled with more flags.
FOLDER_FLAGS = {"emulated": ("-O0", f"-I{PROGRAMS / 'emulated' / 'include'}")}  # more would take a minute
KINDS = {"asan": ASAN, "plain": ("-O2",), "tsan": ("-fsanitize=thread", "-Wno-tsan")}


class BuildError(RuntimeError):
    """A compiler said no; the message is what it said."""


def find_compiler(*names: str) -> list[str] | None:
    """Return the first compiler that is installed, as the words of a command; ``$CC`` goes first."""
    for name in (os.environ.get("CC", ""), *names):
        words = shlex.split(name)
        if words and shutil.which(words[0]):
            return words
    return None


def targets() -> list[str]:
    """Return the names of all fuzz targets: the files of their folder that are not shared."""
    return sorted(path.stem for path in FUZZ.glob("*.c") if path.stem not in ("harness", "replay"))


def clean_environment(**more: str) -> dict[str, str]:
    """Return the environment for C programs: a library that this process had to load is not for them."""
    return {**{key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}, **more}


class Build:
    """Object files of the library in a folder, compiled once, and programs linked with them.

    They are compiled through ccache where it is installed, and anew where a source, the flags or the
    compiler changed. Several processes may use a folder at the same time.

    Parameters
    ----------
    folder : Path
        Where everything goes.
    compiler : sequence of str
        Such as ``["ccache", "gcc"]``.
    flags : sequence of str
        Beside `FLAGS`, for compiling and linking.
    folder_flags : mapping of str to sequence of str
        More of them, for compiling the sources in the folders of these names.
    """

    def __init__(
        self,
        folder: Path,
        compiler: Sequence[str],
        flags: Sequence[str] = (),
        folder_flags: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.folder = folder
        self._compiler = list(compiler)
        self._flags = [*FLAGS, *flags]
        self._folder_flags = folder_flags or {}
        self._cache = [] if "ccache" in compiler or shutil.which("ccache") is None else ["ccache"]
        self._stamp = hashlib.sha256(
            repr((self._version(), self._flags, self._folder_flags)).encode()
        ).hexdigest()[:8]
        folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(2) as pool:
            self._library = list(pool.map(self._compile, sorted(CSRC.glob("*/*.c"))))

    def _version(self) -> str:
        asked = [*self._compiler, "--version"]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout

    def _run(self, command: Sequence[str], arguments: Iterable[object], result: Path) -> None:
        """Have the command make a file, which is there whole or not at all."""
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            made = Path(scratch) / result.name
            done = subprocess.run(
                [*command, *map(str, arguments), "-o", str(made)],
                capture_output=True,
                text=True,
                check=False,
                env=clean_environment(),
            )
            if done.returncode != 0:
                raise BuildError(done.stdout + done.stderr)
            made.replace(result)

    def _compile(self, source: Path) -> Path:
        """Compile unless the object is newer than all sources that it may be made of."""
        compiled = self.folder / f"{source.parent.name}-{source.stem}-{self._stamp}.o"
        sources = [source, *CSRC.glob("*/*.h"), *CSRC.glob("*/*.def"), *source.parent.rglob("*.h")]
        newest = max(path.stat().st_mtime for path in sources)
        if not compiled.exists() or compiled.stat().st_mtime < newest:
            own = self._folder_flags.get(source.parent.name, ())
            self._run([*self._cache, *self._compiler], [*self._flags, *own, "-c", source], compiled)
        return compiled

    def program(self, name: str, sources: Iterable[Path], link: Sequence[str] = ()) -> Path:
        """Link a program of the library and some sources, and return its path."""
        objects = [self._compile(source) for source in sources]
        program = self.folder / name
        libraries = ("-lpthread", "-lm")
        self._run(self._compiler, [*self._flags, *link, *objects, *self._library, *libraries], program)
        return program


def shared_build(kind: str) -> Build:
    """Return the library compiled in one of the `KINDS`, which everybody shares; raise BuildError."""
    compiler = find_compiler("cc", "gcc", "clang")
    if compiler is None:
        raise BuildError("no C compiler is installed")
    return Build(ROOT / "build" / f"lib-{kind}", compiler, KINDS[kind], FOLDER_FLAGS)


def main() -> int:
    """Run the command line."""
    try:
        for kind in sys.argv[1:]:
            shared_build(kind)
            print(kind, flush=True)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
