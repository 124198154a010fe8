"""Mutate real files and see that nothing comes of it but an error or a model: no crash, no hang, no memory.

Each file is copied into memory, bytes of the copy are changed at random, and what is left is opened and
asked for everything, in a process that may take no more memory than the file's size and 64 MiB. See
``tests/csrc/programs/mutate.c``.

Usage: ``python -m tools.mutate [--single N] [--multi N] [FILE ...]``; the numbers are for each file.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from . import test_data
from .native import FUZZ, PROGRAMS, ROOT, Build, BuildError, clean_environment, shared_build

DEMO = ROOT / "pyembed" / "data" / "demo.gguf"
VOCABULARIES = ("bert-bge", "llama-spm", "phi-3")


@dataclass
class Outcome:
    """What mutations of a file came to."""

    path: Path
    accepted: int
    rejected: int
    slowest_ms: int


def default_files() -> list[Path]:
    """Return the demo model, and three of the real vocabularies where they are."""
    folder = test_data.find()
    names = [folder / "vocab" / f"ggml-vocab-{name}.gguf" for name in VOCABULARIES] if folder else []
    return [DEMO, *(path for path in names if path.exists())]


def program(build: Build) -> Path:
    """Link the program that mutates."""
    return build.program("mutate", [PROGRAMS / "mutate.c", FUZZ / "harness.c"])


def mutate(mutator: Path, files: Iterable[Path], single: int, multi: int, seed: int = 1) -> list[Outcome]:
    """Run the program on each file; raise CalledProcessError with what it said where it did not end well."""
    outcomes = []
    for path in files:
        with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as scratch:
            copy = f"{scratch}/copy{path.suffix}"  # a safetensors file is known by its name
            command = [str(mutator), copy, str(path), str(single), str(multi), str(seed)]
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, env=clean_environment()
            )
        if done.returncode != 0:
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        outcomes.append(Outcome(path, *map(int, done.stdout.split())))
    return outcomes


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("file", nargs="*", type=Path, help="without one: the demo model, three vocabularies")
    parser.add_argument("--single", type=int, default=25_000, help="mutations of one byte")
    parser.add_argument("--multi", type=int, default=2_500, help="mutations of 2 to 16 bytes")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    try:
        mutator = program(shared_build("plain"))
        print(f"{'file':32} {'accepted':>10} {'rejected':>10} {'slowest':>10}", flush=True)
        for path in arguments.file or default_files():
            [outcome] = mutate(mutator, [path], arguments.single, arguments.multi, arguments.seed)
            print(
                f"{path.name:32} {outcome.accepted:10,} {outcome.rejected:10,} {outcome.slowest_ms:7} ms",
                flush=True,
            )
    except BuildError as error:
        print(error, file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(f"{path.name}: status {error.returncode}\n{error.stdout}{error.stderr}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
