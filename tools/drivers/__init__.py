"""Drivers: random use of the package, case after case, each with what must hold whatever happens.

A driver is a module with a function ``case(rng, folder, tally)``. It does one random thing in an empty
folder, counts in `tally` what it did, and raises AssertionError where a promise was not kept. The same seed
and number give the same case, but for what depends on time.

Usage: ``python -m tools.drivers [--seconds N] [--seed N] [--only CASE] [DRIVER ...]``.
"""

from __future__ import annotations

import importlib
import shutil
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

NAMES = ("api", "commands", "references", "outputs", "signals", "forks")
MAX_FINDINGS = 5

Tally = Counter[str]
Case = Callable[[np.random.Generator, Path, Tally], None]


@dataclass
class Result:
    """What a run of a driver came to."""

    name: str
    n_cases: int = 0
    seconds: float = 0.0
    tally: Tally = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Return the figures as a line."""
        counts = ", ".join(f"{n} {what}" for what, n in sorted(self.tally.items()))
        return (
            f"{self.name:12} {self.n_cases:7,} cases in {self.seconds:5.0f} s, "
            f"{len(self.findings)} findings ({counts})"
        )


def run(
    name: str,
    seed: int,
    *,
    seconds: float | None = None,
    cases: int | None = None,
    first: int = 0,
    report: Callable[[str], None] = print,
) -> Result:
    """Run a driver for some seconds, or for a number of cases."""
    case: Case = importlib.import_module(f"{__name__}.{name}").case
    result = Result(name)
    begin = time.monotonic()
    number = first
    while cases is None or number < first + cases:
        if seconds is not None and time.monotonic() - begin >= seconds:
            break
        folder = Path(tempfile.mkdtemp(prefix="pyembed-drive-"))
        try:
            case(np.random.default_rng([seed, number]), folder, result.tally)
        except AssertionError:
            finding = f"{name}, --seed {seed} --only {number}:\n{traceback.format_exc()}"
            result.findings.append(finding)
            report(finding)
            if len(result.findings) == MAX_FINDINGS:
                break
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        result.n_cases += 1
        number += 1
    result.seconds = time.monotonic() - begin
    return result
