"""``pyembed validate``: whether models are what they claim to be."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..loader import validate
from ..validation import LEVELS, Outcome, Report, Rule, Severity, Verdict, check_ignored
from ..validation.sarif import sarif
from .files import model_path
from .progress import progress_bar
from .show import escape, print_table

_VERDICTS = (Verdict.WRONG, Verdict.UNVERIFIED, Verdict.VERIFIED)
_RANKS = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}
_LATER_SHARD = re.compile(r"(?P<prefix>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "validate",
        help="look for what is wrong with models",
        description="Look for what is wrong with models: whether the row of every token is its own, whether "
        "the container is whole, what llama.cpp would refuse. A model is wrong if something contradicts it, "
        "verified if the evidence pins at least 99 % of its ids, and unverified otherwise. Exits 1 if "
        "something is wrong, 2 if a file cannot be read. docs/rules.md explains every rule.",
        epilog="example: pyembed validate models/ --level order --format sarif > report.sarif",
    )
    parser.add_argument("models", nargs="+", metavar="MODEL", help=".gguf files, folders of them, or: demo")
    parser.add_argument("--level", choices=LEVELS, default="full", help="how deep to look; full reads rows")
    parser.add_argument("--reference", metavar="FILE", help="a model, a tokenizer's file or a digest")
    parser.add_argument("--format", choices=tuple(_PRINTERS), default="text", help="json: an object a line")
    parser.add_argument(
        "--json", dest="format", action="store_const", const="json", help="the same as --format json"
    )
    parser.add_argument(
        "--fail-on",
        choices=[severity.value for severity in _RANKS],
        default=Severity.ERROR.value,
        help="the least severity of a finding that makes the exit code 1",
    )
    parser.add_argument(
        "--require-evidence",
        action="store_true",
        help="exit with 1 for a model that is unverified, too: one whose ids are not pinned by anything seen",
    )
    parser.add_argument("--ignore", action="append", default=[], metavar="RULE", help="drop its findings")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    check_ignored(arguments.ignore)
    paths = [path for model in arguments.models for path in _files(model_path(model))]
    reports: list[Report] = []
    n_unreadable = 0
    with progress_bar() as tell:
        for index, path in enumerate(paths):
            try:
                report = validate(
                    path,
                    level=arguments.level,
                    reference=arguments.reference,
                    ignore=arguments.ignore,
                    progress=_share(tell, path, index, len(paths)),
                )
            except OSError as error:
                if len(paths) == 1 or error.filename not in (None, path):
                    raise
                n_unreadable += 1
                print(f"pyembed: error: {escape(path)}: {error.strerror or error}", file=sys.stderr)
                continue
            reports.append(report)
    _PRINTERS[arguments.format](reports)
    if n_unreadable:
        return 2
    least = _RANKS[Severity(arguments.fail_on)]
    failed = any(_RANKS[finding.severity] <= least for report in reports for finding in report.findings)
    if arguments.require_evidence:
        failed |= any(report.verdict is Verdict.UNVERIFIED for report in reports)
    return 1 if failed else 0


def _files(path: str) -> Iterator[str]:
    """Yield the models that a path stands for: of a folder all in it, split sets once."""
    if not os.path.isdir(path):
        yield path
        return
    found = []
    for folder, folders, names in os.walk(path):
        folders.sort()
        found += [os.path.join(folder, name) for name in sorted(names) if name.endswith(".gguf")]
    if not found:
        raise ValueError(f"{path}: no .gguf file is in this folder")
    known = set(found)
    yield from (file for file in found if not _is_later_shard(file, known))


def _is_later_shard(path: str, known: set[str]) -> bool:
    """Return whether a file belongs to a set whose first file is there too."""
    shard = _LATER_SHARD.fullmatch(path)
    return (
        shard is not None
        and int(shard["number"]) > 1
        and f"{shard['prefix']}-00001-of-{shard['count']}.gguf" in known
    )


def _share(tell: Callable[[str, float], None], path: str, index: int, n: int) -> Callable[[str, float], None]:
    """Return what reports the progress of one file among several."""
    name = f"{os.path.basename(path)}: " if n > 1 else ""
    return lambda text, done: tell(name + text, (index + done) / n)


# ------------------------------------------------------------------------------------------- output


def _print_text(reports: Sequence[Report]) -> None:
    for index, report in enumerate(reports):
        if index:
            print()
        _print_report(report)
    if len(reports) > 1:
        n_of = Counter(report.verdict for report in reports)
        counts = ", ".join(f"{n_of[verdict]} {verdict.value}" for verdict in _VERDICTS if n_of[verdict])
        print(f"\n{len(reports)} models: {counts}")


def _print_report(report: Report) -> None:
    counts = Counter(finding.severity for finding in report.findings)
    summary = ", ".join(_count(counts[severity], severity.value) for severity in _RANKS if counts[severity])
    print(f"{escape(report.path)}: {report.verdict.value}" + (f" ({summary})" if summary else ""))
    findings = sorted(report.findings, key=lambda finding: _RANKS[finding.severity])
    if findings:
        rows = [[finding.severity.value, finding.rule, _located(finding)] for finding in findings]
        rows += [["", rule, f"{n} more"] for rule, n in report.omitted.items()]
        print_table((), rows, left=3)
    for conclusion in report.verdicts:
        print(f"  {conclusion.evidence}: {escape(conclusion.text)}")
    if report.ok:
        print(f"  {report.verdict.value}: {escape(report.summary)}")
    if report.llama_cpp is not Outcome.LOAD:
        print(f"  llama.cpp: would {report.llama_cpp.value}")


def _located(finding: Any) -> str:
    where = f" (at byte {finding.offset})" if finding.offset is not None else ""
    file = f"{finding.path}: " if finding.path is not None else ""
    return f"{file}{finding.message}{where}"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'s' * (n != 1)}"


def _print_json(reports: Sequence[Report]) -> None:
    """Print one object a model, each on a line of its own."""
    for report in reports:
        print(json.dumps(report.to_dict(), allow_nan=False))


def _print_sarif(reports: Sequence[Report]) -> None:
    rules: dict[str, Rule] = {}
    for report in reports:
        rules.update(report.rules)
    print(json.dumps(sarif([report.to_dict() for report in reports], rules), indent=2))


_PRINTERS: dict[str, Callable[[Sequence[Report]], None]] = {
    "text": _print_text,
    "json": _print_json,
    "sarif": _print_sarif,
}
