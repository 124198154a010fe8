"""What the figures were measured on."""

from __future__ import annotations

import inspect
import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pyembed
from pyembed._native import ffi, lib

from . import ceilings, peers
from .measure import Json

#: Whether a gather takes a number of threads, and the argument for one.
HAS_THREADS = "threads" in inspect.signature(pyembed.EmbeddingTable.gather).parameters
ONE_THREAD = ", threads=1" if HAS_THREADS else ""

ISAS = ("avx512", "avx2", "neon", "portable")


def isa() -> str:
    """Return the back end in use in this process."""
    return str(ffi.string(lib.pye_isa()).decode("ascii"))


def isas() -> list[str]:
    """Return the back ends that run on this machine, best first."""
    return [name for name in ISAS if _runs(name)]


def _runs(name: str) -> bool:
    code = "from pyembed._native import ffi, lib; print(ffi.string(lib.pye_isa()).decode())"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYEMBED_ISA": name},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.strip() == name


def describe() -> Json:
    """Return the machine, the system and the versions of everything involved."""
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "caches": _caches(),
        "memory": _memory(),
        "isa": isa(),
        "isas": isas(),
        "system": f"{platform.system()} {platform.release()}",
        "huge pages": _chosen("/sys/kernel/mm/transparent_hugepage/enabled"),
        "huge pages in shared memory": _chosen("/sys/kernel/mm/transparent_hugepage/shmem_enabled"),
        "load before": round(os.getloadavg()[0], 2),
        "compiler": _compiler(),
        "python": platform.python_version(),
        "pyembed": pyembed.__version__,
        "peers": peers.versions(),
    }


def processor_time() -> tuple[int, int]:
    """Return the ticks that a hypervisor has given to others, and all ticks, since the system started."""
    try:
        ticks = [int(word) for word in Path("/proc/stat").read_text("ascii").partition("\n")[0].split()[1:9]]
    except (OSError, ValueError):
        return 0, 0
    return ticks[7], sum(ticks)


def stolen_since(before: tuple[int, int]) -> str:
    """Return the share of the time that a hypervisor gave to others since `before`."""
    stolen, total = (after - then for after, then in zip(processor_time(), before, strict=True))
    return f"{100 * stolen / total:.0f} %" if total else "unknown"


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    fields: dict[str, str] = {}
    for line in text.partition("\n\n")[0].splitlines():
        key, _, value = line.partition(":")
        fields[key.strip()] = value.strip()
    name = fields.get("model name", platform.machine())
    if "cpu family" in fields:
        name += f" (family {fields['cpu family']}, model {fields['model']})"
    return name


def _caches() -> str:
    found = []
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        except OSError:
            continue
        if kind != "Instruction":
            found.append(f"L{level} {size}")
    return ", ".join(found) or "unknown"


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / (1 << 30):.1f} GiB"
    except (ValueError, OSError):
        return "unknown"


def _chosen(path: str) -> str:
    try:
        return Path(path).read_text("ascii").partition("[")[2].partition("]")[0]
    except OSError:
        return "unknown"


def _compiler() -> str:
    command = ceilings.compiler()
    if command is None:
        return "none"
    result = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    return result.stdout.partition("\n")[0]
