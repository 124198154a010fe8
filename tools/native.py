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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"
FUZZ = ROOT / "tests" / "fuzz"
PROGRAMS = ROOT / "tests" / "csrc" / "programs"
FLAGS = (
    "-std=c11",
    "-g1",  # the lines of a stack trace; all that a debugger wants takes twice as long
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


@dataclass(frozen=True)
class Kind:
    """A way to compile the library that tests and tools share."""

    flags: tuple[str, ...]
    compilers: tuple[str, ...] = ("cc", "gcc", "clang")
    folder_flags: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: FOLDER_FLAGS)


KINDS = {
    # Optimising what UBSan adds to the kernels takes longer than all else; unoptimised, it checks no less.
    "asan": Kind(ASAN, folder_flags={**FOLDER_FLAGS, "simd": ("-O0",)}),
    "neon": Kind(("-O2", "-static"), ("aarch64-linux-gnu-gcc",)),
    "plain": Kind(("-O2",)),
    "tsan": Kind(("-fsanitize=thread", "-Wno-tsan")),
}
INSTALLED = "installed"  # built by CMake, as users build it


class BuildError(RuntimeError):
    """A compiler said no; the message is what it said."""


def find_compiler(*names: str) -> list[str] | None:
    """Return the first compiler that is installed, as the words of a command; ``$CC`` goes before ``cc``."""
    own = os.environ.get("CC", "") if "cc" in names else ""
    for name in (own, *names):
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


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time build in a folder; others wait."""
    import fcntl  # builds are made on POSIX; tests that use what was built come here on Windows too

    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def library_sources(system: str = "posix") -> list[Path]:
    """Return the library's sources; ``system`` is the folder of ``csrc/base`` with what differs."""
    return sorted([*CSRC.glob("*/*.c"), *(CSRC / "base" / system).glob("*.c")])


class Build:
    """Object files of the library in a folder, compiled once, and programs linked with them.

    They are compiled through ccache where it is installed, and anew where a source, the flags or the
    compiler changed. Several processes may use a folder at the same time: one compiles, the others wait.

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
    system : str
        The folder in ``csrc/base`` with what differs between systems.

    Attributes
    ----------
    library : list of Path
        The object files, ``FOLDER-NAME-STAMP.o`` for ``csrc/FOLDER/NAME.c``.
    """

    def __init__(
        self,
        folder: Path,
        compiler: Sequence[str],
        flags: Sequence[str] = (),
        folder_flags: Mapping[str, Sequence[str]] | None = None,
        system: str = "posix",
    ) -> None:
        self.folder = folder
        self._compiler = list(compiler)
        self._flags = [*FLAGS, *flags]
        self._folder_flags = folder_flags or {}
        self._libraries = ("-lpthread", "-lm") if system == "posix" else ("-lws2_32",)
        self._cache = [] if "ccache" in compiler or shutil.which("ccache") is None else ["ccache"]
        folder.mkdir(parents=True, exist_ok=True)
        self._stamp = hashlib.sha256(
            repr((self._version(), self._flags, self._folder_flags)).encode()
        ).hexdigest()[:8]
        with locked(folder), ThreadPoolExecutor(2) as pool:
            self.library = list(pool.map(self._compile, library_sources(system)))

    def _version(self) -> str:
        asked = [*self._compiler, "--version"]  # some write a file beside the answer
        return subprocess.run(asked, capture_output=True, text=True, check=False, cwd=self.folder).stdout

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
        sources = [source, *CSRC.rglob("*.h"), *CSRC.rglob("*.def"), *source.parent.rglob("*.h")]
        newest = max(path.stat().st_mtime for path in sources)
        if not compiled.exists() or compiled.stat().st_mtime < newest:
            own = self._folder_flags.get(source.parent.name, ())
            self._run([*self._cache, *self._compiler], [*self._flags, *own, "-c", source], compiled)
        return compiled

    def program(self, name: str, sources: Iterable[Path], link: Sequence[str] = ()) -> Path:
        """Link a program of the library and some sources, and return its path."""
        objects = [self._compile(source) for source in sources]
        program = self.folder / name
        self._run(self._compiler, [*self._flags, *link, *objects, *self.library, *self._libraries], program)
        return program


def compiler_of(kind: str) -> list[str] | None:
    """Return the command that compiles a kind, or None where none is installed."""
    return find_compiler(*(KINDS[kind].compilers if kind in KINDS else ("cc", "gcc", "clang")))


def shared_build(kind: str) -> Build:
    """Return the library compiled in one of the `KINDS`, which everybody shares; raise BuildError."""
    compiler = compiler_of(kind)
    if compiler is None:
        raise BuildError(f"none of {', '.join(KINDS[kind].compilers)} is installed")
    folder = ROOT / "build" / f"lib-{kind}"
    return Build(folder, compiler, KINDS[kind].flags, KINDS[kind].folder_flags)


def find_cmake() -> str | None:
    """Return the path of CMake, from the system or from this Python's environment."""
    return shutil.which("cmake") or shutil.which("cmake", path=str(Path(sys.executable).parent))


def build_with_cmake() -> Path:
    """Compile the library as users do, unless it is compiled, and return CMake's folder; raise BuildError."""
    cmake, compiler = find_cmake(), compiler_of(INSTALLED)
    if cmake is None or compiler is None:
        raise BuildError("CMake and a C compiler are needed")
    key = hashlib.sha256(repr((cmake, compiler)).encode()).hexdigest()[:8]
    folder = ROOT / "build" / f"lib-{INSTALLED}-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        for arguments in (("-S", CSRC, "-B", folder), ("--build", folder, "--parallel", "2")):
            command = [cmake, *map(str, arguments)]
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, env=clean_environment()
            )
            if done.returncode != 0:
                raise BuildError(done.stdout + done.stderr)
    return folder


def main() -> int:
    """Run the command line."""
    try:
        for kind in sys.argv[1:]:
            if kind == INSTALLED:
                build_with_cmake()
            else:
                shared_build(kind)
            print(kind, flush=True)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
