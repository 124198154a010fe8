"""A report as a person reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..core.display import GAP, aligned, fold, html_table
from ..safe_text import printable
from .rules import Outcome, Severity

if TYPE_CHECKING:
    from .report import Finding, Report

#: From the worst on.
SEVERITIES = (Severity.ERROR, Severity.WARNING, Severity.NOTE)


def in_short(report: Report) -> str:
    """Return the verdict and how many findings there are, such as ``"verified (1 warning)"``."""
    n_of = Counter(finding.severity for finding in report.findings)
    counts = [count(n_of[severity], severity.value) for severity in SEVERITIES if n_of[severity]]
    return report.verdict.value + (f" ({', '.join(counts)})" if counts else "")


def report_text(report: Report, width: int | None = None) -> str:
    """Return a report as lines of text, folded to `width` cells where that is given."""
    lines = [f"{printable(report.path)}: {in_short(report)}"]
    rows = [
        [finding.severity.value, finding.rule, printable(_located(finding))] for finding in _sorted(report)
    ]
    rows += [["", rule, f"{n} more"] for rule, n in report.omitted.items()]
    lines += aligned(rows, 3, width) if rows else []
    for name, text in _conclusions(report):
        first, *others = fold(f"{name}: {text}", width - 2 * GAP) if width else [f"{name}: {text}"]
        lines += [" " * GAP + first, *(" " * 2 * GAP + other for other in others)]
    return "\n".join(lines)


def report_html(report: Report) -> str:
    """Return a report as tables of a page."""
    findings = [
        (finding.severity.value, finding.rule, _located(finding), _ids(finding))
        for finding in _sorted(report)
    ]
    findings += [("", rule, f"{n} more", "") for rule, n in report.omitted.items()]
    headers = ("severity", "rule", "what was found", "ids")
    table = html_table("findings", headers, findings) if findings else ""
    return html_table(f"{report.path}: {in_short(report)}", (), _conclusions(report)) + table


def _sorted(report: Report) -> list[Finding]:
    return sorted(report.findings, key=lambda finding: SEVERITIES.index(finding.severity))


def _conclusions(report: Report) -> Iterator[tuple[str, str]]:
    for conclusion in report.verdicts:
        yield conclusion.evidence, printable(conclusion.text)
    if report.ok:
        yield report.verdict.value, printable(report.summary)
    if report.llama_cpp is not Outcome.LOAD:
        yield "llama.cpp", f"would {report.llama_cpp.value}"


def _located(finding: Finding) -> str:
    where = f" (at byte {finding.offset})" if finding.offset is not None else ""
    file = f"{finding.path}: " if finding.path is not None else ""
    return f"{file}{finding.message}{where}"


def _ids(finding: Finding) -> str:
    if finding.first_id is None:
        return ""
    several = finding.last_id not in (None, finding.first_id)
    return f"{finding.first_id} to {finding.last_id}" if several else str(finding.first_id)


def count(n: int, noun: str) -> str:
    """Return a number of things, such as ``"2 errors"``."""
    return f"{n} {noun}{'s' * (n != 1)}"
