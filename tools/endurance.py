"""Random load over a table ten times its memory budget, rows checked, resident pages sampled twice a second.

``make endurance SECONDS=600 ARGS="--processes 8 --cgroup"``. Fails if a process has more of the table
mapped than 1.05 times its budget in any sample, or if a row is wrong. With ``--cgroup`` the processes run in
a memory cgroup of version 1 whose limit is smaller than the table, and than their budgets together.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import pyembed

COLUMNS = 40  # rows of 160 bytes
ROW_BYTES = COLUMNS * 4
TABLE_BUDGETS = 10
HOT_ROWS = 4096
SLACK = 1.05
PROCESS_BYTES = 96 << 20  # what a process needs beside the table
CGROUPS = Path("/sys/fs/cgroup/memory")
#: float32 holds whole numbers up to 2^24: rows repeat with this period.
PERIOD = 1 << 24


def expected(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return what the file holds in these rows."""
    rows: npt.NDArray[np.float32] = ((ids[:, None] * 7 + np.arange(COLUMNS)) % PERIOD).astype(np.float32)
    return rows


def write(path: Path, rows: int) -> None:
    """Write the table, and drive it out of the page cache."""
    with path.open("wb") as file:
        for first in range(0, rows, 1 << 18):
            expected(np.arange(first, min(rows, first + (1 << 18)))).tofile(file)
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def resident_bytes(path: Path) -> int:
    """Return what this process has mapped of a file."""
    total, inside = 0, False
    with open("/proc/self/smaps") as lines:
        for line in lines:
            first = line.split(" ", 1)[0]
            if "-" in first and not first.endswith(":"):
                inside = line.rstrip().endswith(str(path))
            elif inside and line.startswith("Rss:"):
                total += int(line.split()[1]) * 1024
    return total


def work(path: Path, rows: int, budget: int, seconds: float, seed: int, answers: Any) -> None:
    """Gather rows at random in two threads, by calls, hints and tickets; report the peak."""
    deadline = time.monotonic() + seconds
    wrong: list[str] = []
    table = pyembed.open_table(path, shape=(rows, COLUMNS), dtype="float32", memory_budget=budget)

    def load(number: int) -> None:
        rng = np.random.default_rng(seed * 2 + number)
        hot = rng.integers(0, rows, HOT_ROWS)
        while time.monotonic() < deadline and not wrong:
            n = int(rng.choice([16, 24, 512, 8192]))
            ids = np.concatenate([rng.integers(0, rows, n), rng.choice(hot, n // 4)])
            how = rng.integers(3)
            if how == 0:
                table.prefetch(ids)
            found = table.submit(ids).wait() if how == 1 else table.gather(ids)
            if not np.array_equal(found, expected(ids)):
                wrong.append(f"rows of {n} ids are not the file's")

    threads = [threading.Thread(target=load, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    peak = n_samples = 0
    while any(thread.is_alive() for thread in threads):
        peak = max(peak, resident_bytes(path))
        n_samples += 1
        time.sleep(0.5)
    answers.put((peak, n_samples, table.stats(), wrong))


@contextmanager
def limited(n_bytes: int | None) -> Iterator[None]:
    """Run what follows, and its children, in a memory cgroup of that limit."""
    if n_bytes is None:
        yield
        return
    group = CGROUPS / f"pyembed-endurance-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(n_bytes))
        (group / "cgroup.procs").write_text(str(os.getpid()))
        yield
        usage = int((group / "memory.max_usage_in_bytes").read_text())
        print(f"cgroup: at most {usage >> 20} MiB of {n_bytes >> 20} MiB")
    finally:
        for process in (group / "cgroup.procs").read_text().split():  # multiprocessing has helpers of its own
            (CGROUPS / "cgroup.procs").write_text(process)
        group.rmdir()


def run(arguments: argparse.Namespace) -> bool:
    """Return whether all processes kept their budgets and read the right rows."""
    budget = arguments.budget << 20
    rows = budget * TABLE_BUDGETS // ROW_BYTES
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder) / "table.bin"
        write(path, rows)
        limit = (
            (budget * arguments.processes // 2 + (96 << 20) * arguments.processes)
            if arguments.cgroup
            else None
        )
        with limited(limit):
            context = multiprocessing.get_context("spawn")
            answers = context.Queue()
            processes = [
                context.Process(target=work, args=(path, rows, budget, arguments.seconds, seed, answers))
                for seed in range(arguments.processes)
            ]
            for process in processes:
                process.start()
            found = [answers.get(timeout=arguments.seconds + 300) for _ in processes]
            for process in processes:
                process.join()
    good = True
    for peak, n_samples, stats, wrong in found:
        kept = peak <= SLACK * budget and not wrong
        good &= kept
        verdict = "kept" if kept else "NOT KEPT"
        print(
            f"{verdict}: peak {peak / budget:.3f} of the budget in {n_samples} samples,"
            f" {stats.n_rows} rows, hit rate {stats.hit_rate:.2f}, {stats.n_bytes_fetched >> 20} MiB fetched,"
            f" {stats.n_pages_evicted} pages evicted, forgotten {stats.n_forgotten} times",
            *wrong,
        )
    return good


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--budget", type=int, default=256, metavar="MIB")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--cgroup", action="store_true")
    parser.add_argument("--folder", type=Path, help="where the table is made; default: the temporary folder")
    arguments = parser.parse_args()
    if arguments.cgroup and not (CGROUPS / "memory.limit_in_bytes").is_file():
        print("skipped: memory cgroups of version 1 are not mounted here")
        return 0
    if arguments.cgroup and not os.access(CGROUPS, os.W_OK):
        print("skipped: this user may not make cgroups")
        return 0
    return 0 if run(arguments) else 1


if __name__ == "__main__":
    sys.exit(main())
