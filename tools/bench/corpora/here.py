"""One machine: on one processor and on two; killed, and resumed."""

from __future__ import annotations

import random
import signal
import subprocess
from pathlib import Path

from ..ceilings import ROOT
from ..show import Table, number
from .processes import encode, run


def compare(model: Path, corpus: Path, home: Path, rows: int) -> Table:
    """Run the command on one processor and on two."""
    size = corpus.stat().st_size / 1e6
    table = Table(
        f"{rows:,} documents ({size:.0f} MB of Parquet) to vectors of 256 as Parquet",
        ["processors", "documents a second", "seconds", "of processors", "peak memory, MB"],
    )
    rates = []
    for cores in (1, 2):
        done = run(encode(model, corpus, home / f"on-{cores}", "--threads", str(cores)), cores)
        rates.append(rows / done.found["seconds"])
        figures = map(number, (rates[-1], done.seconds, done.processor))
        table.rows.append([str(cores), *figures, str(done.memory)])
    same = _same(home / "on-1", home / "on-2")
    table.note = f"Two are {rates[1] / rates[0]:.2f} times as fast as one; the bytes are {same}."
    return table


def killed(model: Path, corpus: Path, home: Path, kills: int) -> str:
    """Kill a run at random times and resume it, until it is done; compare it with an undisturbed one."""
    out, numbers = home / "killed", random.Random(2)
    part_size = ["--part-size", "32MiB"]
    whole = run(encode(model, corpus, home / "whole", *part_size), 2)
    seconds = whole.found["seconds"]
    n_killed = 0
    while n_killed < kills:
        call = encode(model, corpus, out, "--resume", *part_size)
        process = subprocess.Popen(call, stdout=subprocess.DEVNULL, cwd=ROOT)
        try:
            # On the average each of them does less than its share, so that all of them are killed.
            process.wait(whole.seconds - seconds + numbers.random() * 1.2 * seconds / kills)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            n_killed += process.wait() == -signal.SIGKILL
            continue
        break
    last = run(encode(model, corpus, out, "--resume", *part_size), 2).found
    return (
        f"killed {n_killed} times (SIGKILL), at random: of {last['rows']:,} rows the last run found "
        f"{last['resumed']:,} done; {len(last['parts'])} parts, and all bytes are "
        f"{_same(out, home / 'whole')} to those of an undisturbed run"
    )


def _same(one: Path, other: Path) -> str:
    names = sorted(path.name for path in one.iterdir())
    same = names == sorted(path.name for path in other.iterdir())
    return "equal" if same and all(_equal(one / name, other / name) for name in names) else "NOT EQUAL"


def _equal(one: Path, other: Path) -> bool:
    with open(one, "rb") as a, open(other, "rb") as b:
        while True:
            data = a.read(1 << 20)
            if data != b.read(1 << 20):
                return False
            if not data:
                return True
