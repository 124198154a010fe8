"""Measures a changed copy of a large model beside `cp`, and a change in place.

Usage: ``python -m tools.bench.edited_copy [--gib N] [--folder DIR] [--rounds N]``. Source and copies lie in
one folder; each copy is on the disk (fsync) before its time ends.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import pyembed
from tests.helpers.gguf_bytes import ARRAY, STRING, U32, Array, GGUFBytes


def write_large(path: Path, n_bytes: int) -> None:
    """Write a model of random bytes, so that no part of it is sparse."""
    rows = n_bytes // 4096
    builder = GGUFBytes().add("general.architecture", STRING, "llama").add("a.number", U32, 7)
    builder.add("tokenizer.ggml.tokens", ARRAY, Array(STRING, [f"token {i}" for i in range(128_000)]))
    builder.tensor("blk.0.ffn_up.weight", (rows, 1024), 0)
    block = np.random.default_rng(0).bytes(64 << 20)
    with open(path, "wb") as file:
        header = bytes(builder)
        file.write(header)
        left = rows * 4096
        while left:
            file.write(block[: min(left, len(block))])
            left -= min(left, len(block))
        os.fsync(file.fileno())


def copy(path: Path, out: Path) -> None:
    """Copy as `cp` does, and wait for the disk."""
    subprocess.run(["cp", "--reflink=never", "--sparse=never", path, out], check=True)
    descriptor = os.open(out, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def changed_copy(path: Path, out: Path) -> None:
    """Write a copy with one key changed."""
    with pyembed.edit(path) as edit:
        edit.set_typed("general.name", "string", "a name that was not there")
        edit.write(out)


def seconds(work: Callable[[], object]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gib", type=float, default=4)
    parser.add_argument("--folder", default=None)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        path, out = Path(folder) / "m.gguf", Path(folder) / "out.gguf"
        write_large(path, int(given.gib * 2**30))
        times: dict[str, list[float]] = {"cp": [], "edit": []}
        for _ in range(given.rounds):
            for name, work in (("cp", copy), ("edit", changed_copy)):
                times[name].append(seconds(lambda work=work: work(path, out)))  # type: ignore[misc]
                out.unlink()
        best = {name: min(found) for name, found in times.items()}
        for name, found in times.items():
            print(f"{name}: " + ", ".join(f"{one:.2f}" for one in found) + " s")
        print(f"ratio of the best: {best['edit'] / best['cp']:.2f}")
        in_place = []
        for number in range(10):

            def change(number: int = number) -> None:
                with pyembed.edit(path) as edit:
                    edit.set_typed("a.number", "u32", number)
                    assert edit.overwrite().in_header

            in_place.append(seconds(change))
        print(f"in place: {1e3 * float(np.median(in_place)):.1f} ms, at most {1e3 * max(in_place):.1f} ms")


if __name__ == "__main__":
    main()
