"""Write what real vocabularies come to, untouched and changed, into ``docs/validation.md``.

Each vocabulary is validated at level ``order`` as it is; with the texts of its tokens shuffled; extended,
trimmed and padded together with its rows; and with the end of sequence of another model. A cell has the
verdict and the rules of the errors and warnings about the vocabulary.

``--variants N`` tries `N` sound variants by chance in each of the smaller vocabularies instead, and prints
those that are called wrong.

Usage: ``python -m tools.verdict_table [--seed N] [--variants N]``, with the real vocabularies that
`make test-data` fetches.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyembed
from pyembed.files.atomic_write import replacing
from pyembed.validation import Severity
from tests.helpers.vocabulary_files import Parts, read_parts
from tests.helpers.vocabulary_variants import (
    FIRST_SHUFFLED,
    extended,
    legitimate,
    padded,
    shuffled,
    trimmed,
    with_rows,
)

from . import test_data

PAGE = Path(__file__).parent.parent / "docs/validation.md"
BEGIN, END = "<!-- verdicts: begin -->", "<!-- verdicts: end -->"
NAMES = ("gpt-2", "qwen2", "llama-bpe", "gemma-4", "llama-spm", "phi-3", "nomic-bert-moe", "bert-bge")
#: Those in which sound variants are tried: of each family, and quick to write.
SMALL = ("gpt-2", "llama-spm", "phi-3", "bert-bge", "nomic-bert-moe")
#: The id that ends a sequence in Llama 3's list.
OTHER_EOS = 128_001


def variants(whole: Parts, seed: int) -> Iterator[tuple[str, Callable[[], Parts]]]:
    """Yield what is done to a vocabulary, and how."""
    yield "untouched", lambda: with_rows(whole.copy())
    n_all = len(whole.tokens) - FIRST_SHUFFLED
    for n, name in (
        (2, "2"),
        (10, "10"),
        (100, "100"),
        (1000, "1,000"),
        (n_all // 2, "half"),
        (n_all, "all"),
    ):
        yield f"texts shuffled: {name}", lambda n=n: with_rows(shuffled(whole, n, seed))  # type: ignore[misc]
    for n in (1, 5, 500):
        yield f"extended by {n}", lambda n=n: extended(whole, n, seed)  # type: ignore[misc]
    for n in (3, 50):
        yield f"trimmed by {n}", lambda n=n: trimmed(whole, n, seed)  # type: ignore[misc]
    yield "padded by 64", lambda: padded(whole, 64)
    yield "another model's eos", lambda: _with_eos(whole)


def _with_eos(whole: Parts) -> Parts:
    parts = with_rows(whole.copy())
    parts.others["tokenizer.ggml.eos_token_id"] = 2 if parts.model == "gpt2" else OTHER_EOS
    return parts


def validated(parts: Parts, path: Path) -> pyembed.Report:
    """Write a list and validate it."""
    path.write_bytes(parts.to_bytes())
    return pyembed.validate(path, level="order")


def cell(report: pyembed.Report) -> str:
    """Return the verdict, and the rules of errors and warnings about the vocabulary."""
    worst = Severity.WARNING if report.ok else Severity.ERROR
    rules = dict.fromkeys(
        finding.rule.removeprefix("vocabulary/")
        for finding in report.findings
        if finding.severity is worst and finding.rule.startswith("vocabulary/")
    )
    return report.verdict.value + (f": {', '.join(rules)}" if rules else "")


def table(folder: Path, seed: int, scratch: Path) -> str:
    """Return the table as Markdown."""
    columns: dict[str, dict[str, str]] = {}
    for name in NAMES:
        whole = read_parts(folder / f"vocab/ggml-vocab-{name}.gguf")
        columns[name] = {what: cell(validated(make(), scratch)) for what, make in variants(whole, seed)}
        print(name, file=sys.stderr)
    lines = [f"| | {' | '.join(NAMES)} |", f"|---|{'---|' * len(NAMES)}"]
    lines += [
        f"| {what} | {' | '.join(columns[name][what] for name in NAMES)} |" for what in columns[NAMES[0]]
    ]
    return "\n".join(lines)


def count_alarms(folder: Path, n: int, seed: int, scratch: Path) -> str:
    """Try sound variants by chance, and say how many are called wrong and which."""
    n_tried, alarms = 0, []
    for name in SMALL:
        whole, round_seed, n_left = read_parts(folder / f"vocab/ggml-vocab-{name}.gguf"), seed, n
        while n_left > 0:
            for what, parts in legitimate(whole, round_seed):
                if n_left == 0:
                    break
                report = validated(parts, scratch)
                n_tried, n_left = n_tried + 1, n_left - 1
                if not report.ok:
                    errors = [f.message for f in report.findings if f.severity is Severity.ERROR]
                    alarms.append(f"{name}, seed {round_seed}, {what}: {'; '.join(errors)}")
            round_seed += 1
    return "\n".join([f"{len(alarms)} of {n_tried} sound variants are called wrong", *alarms])


def main() -> None:
    """Write the table into the page, or count false alarms."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="other shuffles and variants by chance")
    parser.add_argument("--variants", type=int, metavar="N", help="try sound variants instead")
    given = parser.parse_args()
    folder = test_data.find()
    if folder is None:
        parser.error(test_data.MISSING)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "changed.gguf"
        if given.variants:
            print(count_alarms(folder, given.variants, given.seed, path))
            return
        made = table(folder, given.seed, path)
    page = PAGE.read_text("utf-8")
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    with replacing(PAGE) as file:
        file.write(f"{before}{BEGIN}\n{made}\n{END}{after}".encode())


if __name__ == "__main__":
    main()
