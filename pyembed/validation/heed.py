"""What a load makes of a report: errors are raised, warnings logged."""

from __future__ import annotations

import logging

from ..errors import FormatError, GGUFError, VocabularyError
from ..safe_text import printable
from .report import Finding, Report
from .rules import Severity, Verdict

_log = logging.getLogger("pyembed")


def heed(report: Report, *, require_evidence: bool = False) -> None:
    """Raise the errors of a report as one exception, or log its warnings to "pyembed", in one record.

    Raises
    ------
    GGUFError, VocabularyError
        For errors of the container or a tensor, or of the vocabulary or its order. The exception has the
        whole report as ``report``.
    VocabularyError
        For a model that is unverified, where evidence is required.
    """
    errors = [finding for finding in report.findings if finding.severity is Severity.ERROR]
    if errors:
        raise _error_of(report, errors)
    if require_evidence and report.verdict is Verdict.UNVERIFIED:
        error = VocabularyError(f"{report.path}: unverified: {report.summary}", report.path)
        error.report = report
        raise error
    warnings = [finding for finding in report.findings if finding.severity is Severity.WARNING]
    if warnings:
        lines = [f"{finding.rule}: {finding.message}" for finding in warnings]
        lines += [f"{rule}: {n} more" for rule, n in report.omitted.items()]
        _log.warning("%s: %s", printable(report.path), "\n    ".join(lines))


def _error_of(report: Report, errors: list[Finding]) -> FormatError:
    """Return the exception for what is wrong first."""
    first = errors[0]
    kind = GGUFError if first.rule.split("/")[0] in ("container", "tensor") else VocabularyError
    others = f", and {len(errors) - 1} more errors in its .report" if len(errors) > 1 else ""
    path = first.path or report.path
    where = f" (at byte {first.offset})" if first.offset is not None else ""
    error = kind(
        f"{path}: {first.message}{where} ({first.rule}{others}); "
        f'ignore=["{first.rule}"] or validate="off" loads the model all the same',
        path,
        first.offset,
    )
    error.report = report
    return error
