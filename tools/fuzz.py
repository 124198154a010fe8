"""Fuzz the readers and decoders with libFuzzer, under AddressSanitizer and UndefinedBehaviorSanitizer.

Then the drivers of ``tools/drivers`` use the whole package at random.

Each target is a file of ``tests/fuzz``. It starts from the inputs in ``tests/fuzz/corpus``, from
well-formed ones that ``tests/fuzz/seeds.py`` makes, and from what earlier runs found
(``build/fuzz/corpus``). An input that crashes, hangs or takes too much memory is kept in
``build/fuzz/found``; the exit status is then 1. ``--keep`` puts the smallest inputs that reach all that
these reach into the archives of ``tests/fuzz/corpus``.

Usage: ``python -m tools.fuzz [--seconds N] [--jobs N] [--keep] [TARGET ...]``.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from . import fuzz_corpus
from .drivers import NAMES as DRIVERS
from .drivers import run as drive
from .native import ASAN, FUZZ, ROOT, Build, BuildError, targets

WORK = ROOT / "build" / "fuzz"
KEPT_BYTES = 40_000  # of a target, in the repository
KEPT_INPUT_BYTES = 1500
KEPT_INPUTS = 450
# What loops and sums are compared with no input has to hit; tracing it takes most of the time.
UNTRACED = dict.fromkeys(("base", "simd", "table", "fuzz"), ("-fno-sanitize-coverage=trace-cmp",))
LIMITS = ("-timeout=10", "-rss_limit_mb=2048", "-malloc_limit_mb=256", "-max_len=16384")


@dataclass
class Result:
    """What a run of a target came to."""

    target: str
    executions: int
    seconds: int
    coverage: int
    features: int
    inputs: int
    findings: list[Path]

    def line(self) -> str:
        """Return the figures as a line of a table."""
        rate = self.executions // max(self.seconds, 1)
        return (
            f"{self.target:12} {self.executions:12,} {rate:9,} {self.coverage:9,} {self.features:9,} "
            f"{self.inputs:7,} {len(self.findings):9,}"
        )


HEADER = (
    f"{'target':12} {'executions':>12} {'a second':>9} {'edges':>9} "
    f"{'features':>9} {'corpus':>7} {'findings':>9}"
)


def build(names: list[str]) -> None:
    """Compile the targets with clang."""
    clang = shutil.which("clang")
    if clang is None:
        raise BuildError("clang is not installed; Debian: apt-get install clang libclang-rt-14-dev")
    compiled = Build(WORK / "bin", [clang], ["-fsanitize=fuzzer-no-link", *ASAN], UNTRACED)
    for name in names:
        compiled.program(name, [FUZZ / f"{name}.c", FUZZ / "harness.c"], ["-fsanitize=fuzzer"])


def command(target: str, *arguments: object) -> list[str]:
    """Return the command that runs a target."""
    return [str(WORK / "bin" / target), *map(str, arguments)]


def run(target: str, seconds: int) -> Result:
    """Fuzz one target for some seconds."""
    own, found = WORK / "corpus" / target, WORK / "found" / target
    for folder in (own, found):
        folder.mkdir(parents=True, exist_ok=True)
    kept = unpacked(target)
    before = set(found.iterdir())
    dictionary = WORK / "seeds" / f"{target}.dict"
    words = [f"-dict={dictionary}"] if dictionary.exists() else []
    inputs = [path for path in (own, kept, WORK / "seeds" / target) if path.is_dir()]
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as scratch:
        log = WORK / f"{target}.log"
        with log.open("w") as output:
            subprocess.run(
                command(
                    target,
                    f"-max_total_time={seconds}",
                    f"-artifact_prefix={found}/",
                    "-print_final_stats=1",
                    *LIMITS,
                    *words,
                    *inputs,
                ),
                stdout=output,
                stderr=output,
                check=False,
                env={**os.environ, "PYEMBED_FUZZ_FOLDER": scratch},
            )
    text = log.read_text(errors="replace")
    progress = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)/", text) or [("0", "0", "0")]
    executed = re.search(r"stat::number_of_executed_units:\s*(\d+)", text)
    lasted = re.search(r"Done \d+ runs in (\d+) second", text)
    findings = sorted(set(found.iterdir()) - before)
    if lasted is None and not findings:
        raise BuildError(f"{target} did not end well; see {log}")
    coverage, features, corpus = map(int, progress[-1])
    n = int(executed[1]) if executed else 0
    return Result(target, n, int(lasted[1]) if lasted else seconds, coverage, features, corpus, findings)


def unpacked(target: str) -> Path:
    """Return a folder with the inputs that the repository keeps of a target."""
    folder = WORK / "kept" / target
    shutil.rmtree(folder, ignore_errors=True)
    fuzz_corpus.unpack(target, folder)
    return folder


def keep(target: str) -> None:
    """Renew a target's corpus in the repository: the smallest inputs that reach what all of them reach.

    Those that show a bug, which have names of their own, stay.
    """
    merged = WORK / "merged" / target
    shutil.rmtree(merged, ignore_errors=True)
    merged.mkdir(parents=True)
    sources = [unpacked(target), WORK / "corpus" / target]
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "PYEMBED_FUZZ_FOLDER": scratch}
        subprocess.run(
            command(target, "-merge=1", *LIMITS, merged, *sources),
            capture_output=True,
            check=True,
            env=environment,
        )
    before = fuzz_corpus.read(target)
    inputs = {name: content for name, content in before.items() if name != fuzz_corpus.content_name(content)}
    left = KEPT_BYTES
    for path in sorted(merged.iterdir(), key=lambda path: path.stat().st_size)[:KEPT_INPUTS]:
        size = path.stat().st_size
        if size > KEPT_INPUT_BYTES or size > left:
            break
        left -= size
        content = path.read_bytes()
        inputs[fuzz_corpus.content_name(content)] = content
    fuzz_corpus.write(target, inputs)


def main() -> int:
    """Run the command line."""
    known = [*targets(), *DRIVERS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("target", nargs="*", help=f"of {', '.join(known)}; all without one")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--jobs", type=int, default=1, help="targets at the same time")
    parser.add_argument("--keep", action="store_true", help="renew tests/fuzz/corpus afterwards")
    arguments = parser.parse_args()
    names = arguments.target or known
    drivers = [name for name in names if name in DRIVERS]
    if not set(names) <= set(known):
        parser.error(f"unknown target among {', '.join(names)}; known: {', '.join(known)}")
    failed = False
    if fuzzed := [name for name in names if name not in DRIVERS]:
        code = fuzz(fuzzed, arguments.seconds, arguments.jobs, arguments.keep)
        if code == 2:
            return code
        failed = code != 0
    for name in drivers:
        result = drive(name, random.SystemRandom().randrange(1 << 32), seconds=arguments.seconds)
        print(result.line(), flush=True)
        failed = failed or bool(result.findings)
    return 1 if failed else 0


def fuzz(names: list[str], seconds: int, jobs: int, keeps: bool) -> int:
    """Build and fuzz some targets, print what came of it, and return the exit status."""
    subprocess.run([sys.executable, FUZZ / "seeds.py", WORK / "seeds"], check=True)
    try:
        build(names)
        print(HEADER, flush=True)
        findings = []
        with ThreadPoolExecutor(jobs) as pool:
            for result in pool.map(lambda name: run(name, seconds), names):
                print(result.line(), flush=True)
                findings += result.findings
    except BuildError as error:
        print(error, file=sys.stderr)
        return 2
    for path in findings:
        print(f"found: {path.relative_to(ROOT)}; the log is {WORK.name}/{path.parent.name}.log")
    if keeps:
        for name in names:
            keep(name)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
