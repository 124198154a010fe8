"""The limits of the machine: `ceilings.c`, compiled for it and called through ctypes."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .measure import fastest

ROOT = Path(__file__).resolve().parents[2]
Array: TypeAlias = npt.NDArray[Any]
Call: TypeAlias = Callable[[], object]

_SOURCE = Path(__file__).with_name("ceilings.c")
_READ_VARIANTS = (0, 1, 2, 3, 4, 8, 101, 102, 104, 208, 216)
_PREFETCHES = ("", ", once", ", far")


def compiler() -> list[str] | None:
    """Return the C compiler as a command; None if there is none."""
    command = os.environ.get("CC", "cc").split()
    return command if shutil.which(command[0]) else None


@cache
def library() -> ctypes.CDLL:
    """Compile the loops, unless that was done already, and load them."""
    command = compiler()
    if command is None:
        raise RuntimeError("the benchmark needs a C compiler: set CC, or install one as cc")
    key = hashlib.sha256(_SOURCE.read_bytes() + " ".join(command).encode() + _processor()).hexdigest()[:12]
    output = ROOT / "build" / "bench" / f"ceilings-{key}.so"
    if not output.exists():
        output.parent.mkdir(parents=True, exist_ok=True)
        part = output.with_suffix(f".{os.getpid()}")
        subprocess.run(
            [*command, "-O3", "-march=native", "-shared", "-fPIC", "-o", str(part), str(_SOURCE)], check=True
        )
        part.replace(output)
    loaded = ctypes.CDLL(str(output))
    pointer, size, integer = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    for name, result, arguments in (
        ("ceiling_copy", None, [integer, pointer, pointer, size, size, pointer]),
        ("ceiling_fill", None, [integer, pointer, size]),
        ("ceiling_read", ctypes.c_uint64, [pointer, size]),
        ("ceiling_read_rows", ctypes.c_uint64, [integer, pointer, pointer, size, size]),
        ("ceiling_calls", integer, [pointer, pointer, pointer, size, pointer, pointer, size]),
    ):
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


def _processor() -> bytes:
    try:
        return Path("/proc/cpuinfo").read_bytes().split(b"\n\n")[0].partition(b"flags")[2].partition(b"\n")[0]
    except OSError:
        return b""


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count() or 1)


def together(calls: list[Call]) -> Call:
    """Return a call that makes all of `calls`, each in a thread of its own."""
    if len(calls) == 1:
        return calls[0]
    pool = _pool()

    def run() -> None:
        for future in [pool.submit(call) for call in calls]:
            future.result()

    return run


def compute(n_threads: int) -> Call:
    """Return a loop that stays within the first-level cache, run by `threads` threads at once."""
    function = library().ceiling_read_rows
    ids = np.zeros(40_000, np.int64)

    def one() -> None:
        row = aligned(8192)
        function(0, row.ctypes.data, ids.ctypes.data, len(ids), len(row))

    return together([one] * n_threads)


def aligned(n_bytes: int) -> npt.NDArray[np.uint8]:
    """Return zeroed memory that begins at a multiple of 4096 bytes and is all there."""
    raw = np.empty(n_bytes + 4096, np.uint8)
    start = -raw.ctypes.data % 4096
    memory = raw[start : start + n_bytes]
    memory.fill(0)
    return memory


def copy_rows(source: Array, ids: Array, out: Array) -> tuple[Call, str]:
    """Return the fastest plain copy of float32 rows, and its name."""
    calls: dict[str, Call] = {
        name: partial(
            library().ceiling_copy, variant, source.ctypes.data, ids.ctypes.data, len(ids), source.shape[1],
            out.ctypes.data,
        )
        for variant, name in enumerate(("memcpy", "loop"))
    }  # fmt: skip
    name = fastest(calls, 15)
    return calls[name], name


def fill(out: Array, n_threads: int = 1) -> tuple[Call, str]:
    """Return the fastest fill of memory that starts at a multiple of 64 bytes, and its name."""
    address, n_bytes = out.ctypes.data, out.nbytes
    part = -(-n_bytes // n_threads // 64) * 64
    parts = [(address + at, min(part, n_bytes - at)) for at in range(0, n_bytes, part)]
    calls = {
        name: together([partial(library().ceiling_fill, variant, at, size) for at, size in parts])
        for variant, name in enumerate(("memset", "non-temporal"))
    }
    name = fastest(calls)
    return calls[name], name


def read_rows(
    table: Array, next_ids: Callable[[], Array], row_bytes: int, n_threads: int = 1
) -> tuple[Call, str]:
    """Return the fastest read of the rows that `next_ids` names anew each time, and its name."""
    address, function = table.ctypes.data, library().ceiling_read_rows

    def call(variant: int) -> Call:
        def read(ids: Array) -> None:
            function(variant, address, ids.ctypes.data, len(ids), row_bytes)

        def run() -> None:
            ids = next_ids()
            if n_threads == 1:
                read(ids)
            else:
                together([partial(read, part) for part in np.array_split(ids, n_threads)])()

        return run

    names = {f"{v % 100} ahead{_PREFETCHES[v // 100]}" if v else "no prefetch": v for v in _READ_VARIANTS}
    name = fastest({name: call(variant) for name, variant in names.items()})
    return call(names[name]), name


def read_all(table: Array, n_threads: int = 1) -> Call:
    """Return a read of all bytes, one after the other; the first one brings the pages in."""
    address, part = table.ctypes.data, -(-table.nbytes // n_threads)
    starts = range(0, table.nbytes, part)
    function = library().ceiling_read
    return together([partial(function, address + at, min(part, table.nbytes - at)) for at in starts])
