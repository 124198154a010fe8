"""Sends random requests, made of its own OpenAPI description, to ``pyembed serve``: none may make it fail.

Usage: ``python -m tools.fuzz_http [--seconds N] [--seed N]``
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from .http_requests import Request, requests_of, violation
from .servers import Server, running

_MAX_FINDINGS = 5
_AT_ONCE = 100


def fuzz(server: Server, seed: int, seconds: float) -> tuple[Counter[int], list[str]]:
    """Send requests for some seconds; return how often each status came, and what was wrong."""
    description = server.get("/openapi.json").value
    statuses: Counter[int] = Counter()
    findings: list[str] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end and len(findings) < _MAX_FINDINGS:
        for request in requests_of(description, seed, _AT_ONCE):
            answer = server.ask(request.method, request.path, request.body, request.headers)
            statuses[answer.status] += 1
            wrong = violation(description, request, answer.status, answer.value)
            if wrong:
                findings.append(f"seed {seed}, {_shown(request)}: {answer.status}, {wrong}")
        seed += 1
    faults = [record for record in server.records() if record["event"] == "fault"]
    return statuses, [*findings, *(str(fault.get("traceback")) for fault in faults)]


def _shown(request: Request) -> str:
    return f"{request.method} {request.path} {(request.body or b'')[:300]!r}"


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz_http", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None, help="default: another each time")
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.npy"
        np.save(rows, np.random.default_rng(1).standard_normal((500, 16), np.float32))
        with running("demo", f"rows={rows}") as server:
            statuses, findings = fuzz(server, seed, arguments.seconds)
    counts = ", ".join(f"{n} of {status}" for status, n in sorted(statuses.items()))
    print(f"{sum(statuses.values())} requests, {len(findings)} findings ({counts})")
    print("\n".join(findings))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
