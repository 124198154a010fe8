"""Whether a model file is what it claims to be: kinds of evidence, one report.

``kinds`` lists the kinds of evidence and runs them over one `Subject`, the open file; each is a package
here: ``container``, ``tensors``, ``vocabulary``, ``ngram``, ``reference``, ``text``, ``row_order``, with its
``rules`` and its ``check``. None of them knows another. ``report`` has `Report` and `Finding`, ``rules`` what
a rule is, ``sarif`` the log. Imports: ``core``, ``files``, ``llama_cpp``, ``tables``, ``tokens``, ``inputs``,
``ngram``.
"""

from .heed import heed
from .kinds import (
    KINDS,
    LEVELS,
    Kind,
    all_rules,
    check_ignored,
    check_level,
    check_tensors,
    run,
    unreadable,
)
from .pinned import Pinned
from .report import Conclusion, Finding, Report
from .reports import Failure, Reports
from .rules import Evidence, Outcome, Rule, Severity, Verdict
from .subject import Subject

__all__ = [
    "KINDS",
    "LEVELS",
    "Conclusion",
    "Evidence",
    "Failure",
    "Finding",
    "Kind",
    "Outcome",
    "Pinned",
    "Report",
    "Reports",
    "Rule",
    "Severity",
    "Subject",
    "Verdict",
    "all_rules",
    "check_ignored",
    "check_level",
    "check_tensors",
    "heed",
    "run",
    "unreadable",
]
