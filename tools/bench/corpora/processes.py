"""Runs: programs on some of the processors, and what they took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from ..ceilings import ROOT
from ..measure import Json


class Run(NamedTuple):
    """What a program printed as JSON, and what it took.

    Attributes
    ----------
    found : dict
    seconds, processor : float
        On the clock, and of its processors and those of its children.
    memory : int
        The most that it had, in MB.
    """

    found: Json
    seconds: float
    processor: float
    memory: int


def run(command: list[str], cores: int) -> Run:
    """Run a program to its end on some of the processors."""
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    found: Json = json.loads(output[output.index(b"{") :])
    processor = usage.ru_utime + usage.ru_stime
    return Run(found, time.monotonic() - began, processor, usage.ru_maxrss // 1000)


def encode(model: Path, corpus: Path, out: Path, *options: str) -> list[str]:
    """Return the command line of a run."""
    call = [sys.executable, "-m", "pyembed", "encode", str(model), str(corpus), "--out", str(out), "--json"]
    return [*call, *options]


def child(name: str, *arguments: object) -> list[str]:
    """Return the command line of one of this package's functions, in a process of its own."""
    return [sys.executable, "-m", "tools.bench.corpora", "--child", name, *map(str, arguments)]
