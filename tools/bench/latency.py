"""How long single gathers take under load: p50 to p99.9 from several threads, through C and through Python.

``make latency SECONDS=60`` runs it; the table is one of 128,256 x 4096 F16 rows, far larger than the caches.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import threading
import time
from pathlib import Path

import numpy as np

import pyembed

from ..native import library_sources
from . import machine
from . import tables as made
from .ceilings import ROOT, compiler
from .measure import Json
from .show import Table, number

THREADS = 8
BATCHES = (1, 16, 512)
_KEPT_CALLS = 500_000  # of each thread: the last ones
_QUANTILES = (0.5, 0.99, 0.999, 1.0)


def build() -> Path:
    """Compile the C client together with the library."""
    output = ROOT / "build" / "bench" / "latency"
    output.parent.mkdir(parents=True, exist_ok=True)
    csrc = ROOT / "csrc"
    flags = ["-O3", "-std=c11", "-ffp-contract=off", "-D_POSIX_C_SOURCE=200809L"]
    sources = [Path(__file__).with_suffix(".c"), *library_sources()]
    command = [*(compiler() or ["cc"]), *flags, f"-I{csrc / 'include'}", f"-I{csrc}", *map(str, sources)]
    subprocess.run([*command, "-lpthread", "-lm", "-o", str(output)], check=True)
    return output


def through_c(client: Path, path: Path, n_ids: int, seconds: int) -> Json:
    """Return calls and microseconds of gathers through C."""
    command = [str(client), str(path), str(THREADS), str(n_ids), str(seconds)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return _figures(int(printed[0]), [float(value) for value in printed[1:]], seconds, n_ids)


def through_python(path: Path, n_ids: int, seconds: int) -> Json:
    """Return calls and microseconds of gathers into ``out=`` from Python threads."""
    taken: list[np.ndarray] = []
    n_calls: list[int] = []
    with pyembed.load_model(path, validate="off") as model:
        table = model.table

        def serve(seed: int) -> None:
            random = np.random.default_rng(seed)
            ids = random.integers(0, len(table), (4096, n_ids), dtype=np.int32)
            out = np.zeros((n_ids, table.shape[1]), np.float32)
            times = np.zeros(_KEPT_CALLS, np.int64)
            clock, call, begin = time.perf_counter_ns, 0, 0
            end = clock() + seconds * 1_000_000_000
            while begin < end:
                batch = ids[call % 4096]
                begin = clock()
                table.gather(batch, out=out, threads=1)
                times[call % _KEPT_CALLS] = clock() - begin
                call += 1
            taken.append(times[:call])
            n_calls.append(call)

        threads = [threading.Thread(target=serve, args=(seed,)) for seed in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    times = np.concatenate(taken) / 1e3
    return _figures(sum(n_calls), [float(value) for value in np.quantile(times, _QUANTILES)], seconds, n_ids)


def _figures(n_calls: int, quantiles: list[float], seconds: int, n_ids: int) -> Json:
    names = ("p50", "p99", "p99.9", "longest")
    return {
        "rows a call": n_ids,
        "calls": n_calls,
        "rows a second": n_calls * n_ids / seconds,
        **dict(zip(names, quantiles, strict=True)),
    }


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="how long each line is measured")
    arguments = parser.parse_args()
    client = build()
    results = []
    with made.table_file("F16", 128256, 4096) as file:
        if file is None:
            raise SystemExit("no room for a table of 1 GB in /dev/shm")
        for n_ids in BATCHES:
            results.append({"through": "C", **through_c(client, file.path, n_ids, arguments.seconds)})
            results.append({"through": "Python, out=", **through_python(file.path, n_ids, arguments.seconds)})
    columns = ("p50", "p99", "p99.9", "longest")
    table = Table(
        f"Gathers from {THREADS} threads on {os.cpu_count()} processors, {arguments.seconds} s a line",
        ["through", "rows a call", "rows a second", *(f"{name}, us" for name in columns)],
        left=1,
    )
    for result in results:
        shown = [number(result["rows a second"]), *(number(result[name]) for name in columns)]
        table.rows.append([result["through"], str(result["rows a call"]), *shown])
    table.print()
    output = ROOT / "build" / "latency.json"
    output.write_text(json.dumps({"isa": machine.isa(), "results": results}, indent=2))


if __name__ == "__main__":
    main()
