"""Rows that are not in memory: random rows of a file on a disk, against fio, peers, and rows in memory."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import struct
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import pyembed
from pyembed.core.handle import Source
from pyembed.core.records import RawLayout

from .. import disk, machine
from ..measure import Json, Race, Spread, race
from ..show import Table, median, number, spread, times
from . import Settings

WIDTHS = (160, 264, 2304)
COUNTS = (8192, 65536)
REQUESTS = (16, 24)
#: What a layer takes before the rows are needed.
LAYER_SECONDS = 2e-3
PREFILL_ROWS = 65536
WARM_BYTES = 256 << 20


def run(settings: Settings) -> Json:
    """Measure."""
    if not sys.platform.startswith("linux") or not disk.has_fio():
        return {"skipped": "needs Linux and fio"}
    with disk.file_of((2 if settings.quick else 6) << 30) as path:
        if path is None:
            return {"skipped": "no room on the disk"}
        rounds, seconds = (2, 1.0) if settings.quick else (7, 1.5)
        found = _against_fio(path, rounds, seconds)
        found["requests"] = [_requests(path, n, 50 if settings.quick else 400) for n in REQUESTS]
        found["peers"] = _peers(path, 256)
        found["hidden"] = _hidden(path, 50 if settings.quick else 300)
        found["warm"] = _warm(path, 9 if settings.quick else 41)
        return {"GiB": path.stat().st_size / 2**30, **found}


#: Names of the tables whose rows are in memory: mapped, and mapped and locked.
RIVALS = ("asks", "locked")
TYPE_F16 = 1


class _Rows:
    """The file as rows of float16, and ids that no two calls share."""

    def __init__(self, path: Path, width: int, **options: Any) -> None:
        self.path, self.width = path, width
        self.n = path.stat().st_size // width
        self.random = np.random.default_rng()
        self.table = pyembed.open_table(path, shape=(self.n, width // 2), dtype="float16", **options)

    def ids(self, n: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        return self.random.integers(0, self.n, n)

    def n_pages(self, ids: np.ndarray[Any, Any]) -> int:
        first, last = ids * self.width // disk.PAGE, ((ids + 1) * self.width - 1) // disk.PAGE
        return len(np.unique(np.concatenate([first, last])))  # rows are no wider than a page

    def cold(self) -> None:
        """Open the table anew, and drive the file out of memory."""
        self.table.close()
        disk.drop(self.path)
        self.table = pyembed.open_table(self.path, shape=(self.n, self.width // 2), dtype="float16")


def _seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def _against_fio(path: Path, rounds: int, seconds: float) -> Json:
    cases = [(width, n) for width in WIDTHS for n in COUNTS]
    speeds: dict[tuple[int, int], list[float]] = {case: [] for case in cases}
    pages: dict[tuple[int, int], list[float]] = {case: [] for case in cases}
    fio: dict[str, list[float]] = {name: [] for name in disk.ENGINES}
    same: dict[tuple[int, int], list[float]] = {case: [] for case in cases}
    best: dict[tuple[int, int], list[float]] = {case: [] for case in cases}
    for _ in range(rounds):
        now = {name: disk.iops(path, options, seconds) for name, options in disk.ENGINES.items()}
        for name, value in now.items():
            if value is not None:
                fio[name].append(value)
        for width, n in cases:
            rows = _Rows(path, width)
            rows.cold()
            ids, out = rows.ids(n), np.empty((n, width // 2), np.float16)
            taken = _seconds(lambda rows=rows, ids=ids, out=out: rows.table.gather(ids, out=out))  # type: ignore[misc]
            rows.table.close()
            n_pages = rows.n_pages(ids)
            speeds[width, n].append(n / taken)
            pages[width, n].append(n_pages / taken)
            same[width, n].append(n_pages / taken / (now[disk.SAME] or 1))
            best[width, n].append(n_pages / taken / max(value or 1 for value in now.values()))
    return {
        "fio": {name: Spread.of(values).json() for name, values in fio.items() if values},
        "one at a time": disk.iops(path, disk.ONE_AT_A_TIME, seconds),
        "gathers": [
            {
                "row bytes": width,
                "rows": n,
                "rows/s": Spread.of(speeds[width, n]).json(),
                "pages/s": Spread.of(pages[width, n]).json(),
                "of the same": Spread.of(same[width, n]).json(),
                "of the best": Spread.of(best[width, n]).json(),
            }
            for width, n in cases
        ],
    }


def _requests(path: Path, n: int, count: int) -> Json:
    rows = _Rows(path, 160)
    rows.cold()
    out = np.empty((n, 80), np.float16)
    taken = [_seconds(lambda: rows.table.gather(rows.ids(n), out=out)) for _ in range(count)]
    rows.table.close()
    p50, p99 = np.percentile(taken, (50, 99))
    return {"rows": n, "ms p50": float(p50 * 1e3), "ms p99": float(p99 * 1e3)}


def _peers(path: Path, n: int) -> list[Json]:
    """Time gathers of a few rows: what faults one page after the other takes its time."""
    found = []
    ways: dict[str, Callable[[_Rows], Callable[[Any], object]]] = {
        "this library": _ours,
        "NumPy memmap": _memmap,
    }
    if importlib.util.find_spec("torch"):
        ways["torch indexing, mapped"] = _torch
    if importlib.util.find_spec("safetensors"):
        ways["safetensors slices"] = _safetensors
    for width in (160, 2304):
        rows = _Rows(path, width)
        for name, make in ways.items():
            rows.cold()
            read = make(rows)
            disk.drop(path)
            ids = rows.ids(n)
            taken = _seconds(partial(read, ids))
            found.append({"peer": name, "row bytes": width, "rows": n, "rows/s": n / taken})
        rows.table.close()
    return found


def _ours(rows: _Rows) -> Callable[[Any], object]:
    return lambda ids: rows.table.gather(ids, dtype="float16")


def _memmap(rows: _Rows) -> Callable[[Any], object]:
    mapped = np.memmap(rows.path, np.float16, "r", shape=(rows.n, rows.width // 2))
    return lambda ids: mapped[ids]


def _torch(rows: _Rows) -> Callable[[Any], object]:
    import torch

    size = rows.n * rows.width // 2
    mapped = torch.from_file(str(rows.path), shared=False, size=size, dtype=torch.float16)
    mapped = mapped.view(rows.n, rows.width // 2)
    return lambda ids: mapped[torch.from_numpy(ids)]


def _safetensors(rows: _Rows) -> Callable[[Any], object]:
    """Slices of a safetensors file that begins with a header and goes on as this file does."""
    import safetensors

    shape = [rows.n, rows.width // 2]
    header = {"t": {"dtype": "F16", "shape": shape, "data_offsets": [0, rows.n * rows.width]}}
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % disk.PAGE)
    path = rows.path.with_suffix(".safetensors")
    with path.open("wb") as file, rows.path.open("rb") as source:
        file.write(struct.pack("<Q", len(text)) + text)
        left = rows.n * rows.width
        while left:
            left -= file.write(source.read(min(left, 64 << 20)))
        file.flush()
    disk.drop(path)

    def read(ids: Any) -> object:
        with safetensors.safe_open(str(path), "np") as opened:
            part = opened.get_slice("t")
            found = [part[int(i)] for i in ids]
        path.unlink()
        return found

    return read


def _arithmetic(seconds: float) -> Callable[[], object]:
    """Return work of about that long on one core, which lets other threads run."""
    data, n_bytes = bytes(64 << 20), 1 << 20
    taken = min(_seconds(lambda: hashlib.sha256(data[:n_bytes]).digest()) for _ in range(5))
    part = memoryview(data)[: max(4096, int(n_bytes * seconds / taken))]
    return lambda: hashlib.sha256(part).digest()


def _hidden(path: Path, count: int) -> Json:
    """Ask a layer ahead: of decoding, how long is waited; of a prefill, how much longer it takes."""
    rows = _Rows(path, 160)
    rows.cold()
    layer = _arithmetic(LAYER_SECONDS)
    reading = [_seconds(lambda: rows.table.gather(rows.ids(16))) for _ in range(count)]
    waiting = []
    for _ in range(count):
        ticket = rows.table.submit(rows.ids(16))
        layer()
        waiting.append(_seconds(ticket.wait))
    ratios = []
    for _ in range(3 if count < 100 else 7):
        rows.cold()
        alone = _seconds(lambda: rows.table.gather(rows.ids(PREFILL_ROWS), dtype="float16"))
        rows.cold()
        compute = _arithmetic(alone)
        computing = _seconds(compute)
        ticket = rows.table.submit(rows.ids(PREFILL_ROWS), dtype="float16")
        together = _seconds(lambda ticket=ticket, compute=compute: (compute(), ticket.wait()))  # type: ignore[misc]
        ratios.append(together / max(alone, computing))
    rows.table.close()
    return {
        "waiting": float(np.sum(waiting) / np.sum(reading)),
        "reading ms": float(np.median(reading) * 1e3),
        "prefill": Spread.of(ratios).json(),
    }


def _warm(path: Path, rounds: int) -> list[Json]:
    """Rows in memory: the same file mapped, and mapped and locked, which is never asked about.

    Where two mappings lie decides some percent, so either is opened first half of the time.
    """
    found = []
    small = path.with_name("warm.bin")
    with path.open("rb") as source, small.open("wb") as file:
        file.write(source.read(WARM_BYTES))
    try:
        for width in WIDTHS:
            times: dict[int, list[Race]] = {n: [] for n in (1, 16, 24, 8192)}
            for modes in (("mmap", "mmap+mlock"), ("mmap+mlock", "mmap")) * 3:
                tables = {mode: _in_memory(small, width, mode) for mode in modes}
                for n, races in times.items():
                    races.append(_warm_race(tables["mmap"], tables["mmap+mlock"], n, rounds))
                for table in tables.values():
                    table.close()
            for n, races in times.items():
                both = Race({name: [t for race in races for t in race.times[name]] for name in RIVALS})
                found.append(
                    {
                        "row bytes": width,
                        "rows": n,
                        "us a row": both.microseconds("asks", n),
                        "of before": both.ratio("asks", "locked"),
                    }
                )
    except OSError:  # memory that cannot be locked
        return found
    finally:
        small.unlink()
    return found


def _in_memory(path: Path, width: int, mode: str) -> pyembed.EmbeddingTable:
    """Open rows of a file (the loader has no way to lock a raw one), and read all of them."""
    rows = path.stat().st_size // width
    raw = RawLayout(rows, width // 2, TYPE_F16, big_endian=False, offset=0)
    table = pyembed.EmbeddingTable(
        Source(path, format="raw", load_mode=mode, raw=raw), "data", owns_source=True
    )
    table.gather(np.arange(rows), dtype="float16")
    return table


def _warm_race(asks: pyembed.EmbeddingTable, locked: pyembed.EmbeddingTable, n: int, rounds: int) -> Race:
    ids = np.random.default_rng(n).integers(0, asks.shape[0], n)
    out = np.empty((n, asks.shape[1]), np.float16)
    names = {"asks": asks.gather, "locked": locked.gather, "ids": ids, "out": out}
    calls = {name: f"{name}(ids, out=out, dtype='float16'{machine.ONE_THREAD})" for name in RIVALS}
    return race(calls, rounds=rounds, names=names)


def tables(data: Json) -> list[Table]:
    """Lay the figures out."""
    if "skipped" in data:
        return [Table(f"Rows that are not in memory: skipped, {data['skipped']}", [])]
    engines = "; ".join(f"{name} {spread(figure)}" for name, figure in data["fio"].items())
    gathers = Table(
        f"Rows that are not in memory: random rows of a file of {number(data['GiB'])} GiB",
        ["bytes a row", "rows", "rows/s", "pages/s", "of fio, buffered", "of fio's best"],
        note=f"fio, random reads of 4 KiB a second, in the same rounds: {engines}.",
    )
    for found in data["gathers"]:
        gathers.rows.append(
            [
                f"{found['row bytes']:,}",
                f"{found['rows']:,}",
                spread(found["rows/s"]),
                spread(found["pages/s"]),
                times(found["of the same"]),
                times(found["of the best"]),
            ]
        )
    one = 1e3 / data["one at a time"] if data["one at a time"] else None
    requests = Table(
        "Single requests that are not in memory, 160 bytes a row",
        ["rows", "ms p50", "ms p99", "one read of the device, ms"],
    )
    for found in data["requests"]:
        bound = number(one) if one else "-"
        requests.rows.append([str(found["rows"]), number(found["ms p50"]), number(found["ms p99"]), bound])
    peers = Table("Peers, rows that are not in memory", ["peer", "bytes a row", "rows", "rows/s"])
    for found in data["peers"]:
        peers.rows.append(
            [found["peer"], f"{found['row bytes']:,}", str(found["rows"]), number(found["rows/s"])]
        )
    hidden = data["hidden"]
    asked = Table(
        "Asked for ahead",
        ["what", "figure"],
        [
            ["decoding, 16 rows asked for 2 ms ahead: waiting, of reading", number(hidden["waiting"])],
            [
                "a prefill of 65,536 rows: time, of the longer of reading and computing",
                times(hidden["prefill"]),
            ],
        ],
    )
    warm = Table(
        "Rows in memory: a mapping, against one that is locked",
        ["bytes a row", "rows", "us a row", "of the other"],
    )
    for found in data["warm"]:
        figures = [median(found["us a row"]), times(found["of before"])]
        warm.rows.append([f"{found['row bytes']:,}", f"{found['rows']:,}", *figures])
    return [gathers, requests, peers, asked, warm]
