"""Count which corruptions of real vocabularies are detected, and write the table into ``docs/validation.md``.

Every corruption of ``tests/helpers/vocabulary_files.py`` is made in the vocabulary it names and validated at
level ``order``. It counts as detected where a finding has the expected rule, ids and shift. Random swaps,
deletions and insertions of learned tokens follow, whose expected finding is known too.

Usage: ``python -m tools.law_table [--random N] [--seed N]``, with the real vocabularies that `make test-data`
fetches.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

import pyembed
from pyembed.files.atomic_write import replacing
from tests.helpers.vocabulary_files import Corruption, Parts, corruptions, read_parts

from . import test_data

ROOT = Path(__file__).parent.parent

PAGE = ROOT / "docs/validation.md"
BEGIN, END = "<!-- laws: begin -->", "<!-- laws: end -->"
#: Where learned tokens begin and end, of the vocabularies that random corruptions are made in.
LEARNED = {
    "gpt-2": (256, 50_255),
    "qwen2": (256, 151_642),
    "llama-spm": (260, 29_870),
    "phi-3": (260, 29_870),
}


def random_corruptions(n: int, seed: int) -> list[Corruption]:
    """Return `n` random corruptions of each kind in each vocabulary."""
    numbers = random.Random(seed)
    made = []
    for name, (low, high) in LEARNED.items():
        for _ in range(n):
            a, b = sorted(numbers.sample(range(low, high), 2))
            x = numbers.randrange(low + 20, high - 20)
            made += [
                Corruption("random swap", name, partial(Parts.swap, a=a, b=b), "vocabulary/order", a, b, 2),
                Corruption(
                    "random deletion", name, partial(Parts.drop, token_id=x), "vocabulary/shift", x, shift=1
                ),
                Corruption(
                    "random insertion",
                    name,
                    partial(Parts.insert, token_id=x),
                    "vocabulary/shift",
                    x + 1,
                    shift=-1,
                ),
            ]
    return made


def is_detected(case: Corruption, report: pyembed.Report) -> bool:
    """Return whether a report has the finding that a corruption must lead to."""
    wanted = {field: getattr(case, field) for field in ("first_id", "last_id", "n_ids", "shift")}
    return any(
        finding.rule == case.rule
        and all(value is None or getattr(finding, field) == value for field, value in wanted.items())
        for finding in report.findings
    )


def table(folder: Path, n_random: int, seed: int) -> str:
    """Try all corruptions and return the table."""
    tried: Counter[tuple[str, str]] = Counter()
    detected: Counter[tuple[str, str]] = Counter()
    by_vocabulary: dict[str, list[Corruption]] = {}
    for case in (*corruptions(), *random_corruptions(n_random, seed)):
        by_vocabulary.setdefault(case.vocabulary, []).append(case)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "changed.gguf"
        for name, cases in by_vocabulary.items():
            whole = read_parts(folder / f"vocab/ggml-vocab-{name}.gguf")
            for case in cases:
                path.write_bytes(case.change(whole.copy()).to_bytes())
                tried[case.rule, case.name] += 1
                detected[case.rule, case.name] += is_detected(case, pyembed.validate(path, level="order"))
            print(f"{name}: {len(cases)} corruptions", file=sys.stderr)
    lines = ["| rule | corruption | tried | detected |", "|---|---|---|---|"]
    lines += [
        f"| `{rule}` | {name} | {tried[rule, name]} | {detected[rule, name]} |"
        for rule, name in sorted(tried)
    ]
    lines.append(f"| all | | {sum(tried.values())} | {sum(detected.values())} |")
    return "\n".join(lines)


def main() -> None:
    """Write the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--random", type=int, default=10, metavar="N", help="of each kind in each vocabulary")
    parser.add_argument("--seed", type=int, default=20240229, help="other random corruptions")
    given = parser.parse_args()
    folder = test_data.find()
    if folder is None:
        parser.error(test_data.MISSING)
    made = table(folder, given.random, given.seed)
    page = PAGE.read_text("utf-8")
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    with replacing(PAGE) as file:
        file.write(f"{before}{BEGIN}\n{made}\n{END}{after}".encode())


if __name__ == "__main__":
    main()
