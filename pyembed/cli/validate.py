"""``pyembed validate``: whether models are what they claim to be."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from ..safe_text import json_text, printable
from ..validating import validate_all
from ..validation import LEVELS, Report, Reports, Severity, Verdict
from ..validation.report_text import SEVERITIES, count, report_text
from .files import model_path
from .progress import progress_bar
from .show import terminal_width

_VERDICTS = (Verdict.WRONG, Verdict.UNVERIFIED, Verdict.VERIFIED)


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "validate",
        help="look for what is wrong with models",
        description="Look for what is wrong with models: whether the row of every token is its own, whether "
        "the container is whole, what llama.cpp would refuse. A model is wrong if something contradicts it, "
        "verified if the evidence pins at least 99 % of its ids, and unverified otherwise. Exits 1 if "
        "something is wrong, 2 if a file cannot be read. docs/rules.md explains every rule.",
        epilog="example: pyembed validate demo --level order --format sarif > report.sarif",
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
        choices=[severity.value for severity in SEVERITIES],
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
    with progress_bar() as tell:
        reports = validate_all(
            [model_path(model) for model in arguments.models],
            level=arguments.level,
            reference=arguments.reference,
            ignore=arguments.ignore,
            progress=tell,
        )
    for failure in reports.failures:
        print(f"pyembed: error: {printable(failure.path)}: {printable(failure.message)}", file=sys.stderr)
    _PRINTERS[arguments.format](reports)
    if reports.failures:
        return 2
    failed = [(report, why) for report in reports if (why := _why_failed(report, arguments)) is not None]
    for report, why in failed:
        if report.ok:  # otherwise the report says it
            print(f"pyembed: {printable(report.path)}: exit code 1: {why}", file=sys.stderr)
    return 1 if failed else 0


def _why_failed(report: Report, arguments: argparse.Namespace) -> str | None:
    """Return why a report makes the exit code 1, None if it does not."""
    counted = SEVERITIES[: SEVERITIES.index(Severity(arguments.fail_on)) + 1]
    n = sum(finding.severity in counted for finding in report.findings)
    if n:
        severities = " or ".join(severity.value for severity in counted)
        return f"{count(n, 'finding')} of severity {severities}, by --fail-on {arguments.fail_on}"
    if arguments.require_evidence and report.verdict is Verdict.UNVERIFIED:
        return "it is unverified, by --require-evidence"
    return None


# ------------------------------------------------------------------------------------------- output


def _print_text(reports: Reports) -> None:
    for index, report in enumerate(reports):
        if index:
            print()
        print(report_text(report, terminal_width()))
    if len(reports) > 1:
        n_of = Counter(report.verdict for report in reports)
        counts = [f"{n_of[verdict]} {verdict.value}" for verdict in _VERDICTS if n_of[verdict]]
        counts += [f"{len(reports.failures)} could not be read"] if reports.failures else []
        print(f"\n{len(reports)} models: {', '.join(counts)}")


def _print_json(reports: Reports) -> None:
    """Print one object a model, each on a line of its own, and one for each that could not be read."""
    for report in reports:
        print(json_text(report.to_dict()))
    for failure in reports.failures:
        print(json_text({"path": failure.path, "ok": False, "error": failure.message}))


def _print_sarif(reports: Reports) -> None:
    print(reports.to_sarif())


_PRINTERS: dict[str, Callable[[Reports], None]] = {
    "text": _print_text,
    "json": _print_json,
    "sarif": _print_sarif,
}
