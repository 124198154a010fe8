"""A file on a disk that can be driven out of memory, and what fio makes of that disk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from . import ceilings

PAGE = 4096
_POOL_BYTES = 64 << 20

#: Options of fio by name: the mechanism that the library uses first, buffered reads by many threads.
ENGINES = {
    "buffered, 64 threads": ["--ioengine=psync", "--numjobs=64", "--direct=0", "--invalidate=1"],
    "direct, 64 threads": ["--ioengine=psync", "--numjobs=64", "--direct=1"],
    "io_uring, depth 64": ["--ioengine=io_uring", "--iodepth=64", "--direct=1"],
    "io_uring, depth 256": ["--ioengine=io_uring", "--iodepth=256", "--direct=1"],
}
SAME = "buffered, 64 threads"
ONE_AT_A_TIME = ["--ioengine=psync", "--numjobs=1", "--direct=1"]


@contextmanager
def file_of(n_bytes: int) -> Iterator[Path | None]:
    """Write a file below ``build``, which is on a disk, for the time of a block; None without room for it."""
    parent = ceilings.ROOT / "build"
    parent.mkdir(exist_ok=True)
    if shutil.disk_usage(parent).free < n_bytes + (4 << 30):
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="cold-", dir=parent) as folder:
        path = Path(folder) / "table.bin"
        pool = np.random.default_rng(5).integers(0, 0x7C00, _POOL_BYTES // 2, dtype=np.uint16).tobytes()
        with path.open("wb") as file:
            for left in range(n_bytes, 0, -_POOL_BYTES):
                file.write(pool[:left])
            os.fsync(file.fileno())
        yield path


def drop(path: Path) -> None:
    """Drive a file out of the page cache."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def has_fio() -> bool:
    """Return whether fio is installed."""
    return shutil.which("fio") is not None


def iops(path: Path, options: list[str], seconds: float) -> float | None:
    """Return how many random pages a second fio reads; None if it cannot, io_uring being forbidden."""
    command = ["fio", "--name=x", f"--filename={path}", "--rw=randread", f"--bs={PAGE}", "--thread"]
    command += [f"--runtime={seconds}", "--time_based", "--group_reporting", "--output-format=json", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return None
    report = json.loads(done.stdout[done.stdout.index("{") :])
    return float(report["jobs"][0]["read"]["iops"])
