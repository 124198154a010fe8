"""Compiles the C library, and programs that use its inside, with flags of their own."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"
FUZZ = ROOT / "tests" / "fuzz"
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


class Build:
    """Object files of the library in a folder, compiled once, and programs linked with them.

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
        folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(2) as pool:
            self._library = list(pool.map(self._compile, sorted(CSRC.glob("*/*.c"))))

    def _run(self, *arguments: object) -> None:
        done = subprocess.run(
            [*self._compiler, *map(str, arguments)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise BuildError(done.stdout + done.stderr)

    def _compile(self, source: Path) -> Path:
        """Compile unless the object is newer than all sources that it may be made of."""
        compiled = self.folder / f"{source.parent.name}-{source.stem}.o"
        sources = [source, *CSRC.glob("*/*.h"), *CSRC.glob("*/*.def"), *source.parent.glob("*.h")]
        newest = max(path.stat().st_mtime for path in sources)
        if not compiled.exists() or compiled.stat().st_mtime < newest:
            own = self._folder_flags.get(source.parent.name, ())
            self._run(*self._flags, *own, "-c", source, "-o", compiled)
        return compiled

    def program(self, name: str, sources: Iterable[Path], link: Sequence[str] = ()) -> Path:
        """Link a program of the library and some sources, and return its path."""
        objects = [self._compile(source) for source in sources]
        program = self.folder / name
        self._run(*self._flags, *link, *objects, *self._library, "-lpthread", "-lm", "-o", program)
        return program
