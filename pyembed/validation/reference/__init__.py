"""The reference: another file that states which token has which id, and which row."""

from __future__ import annotations

from ..report import Findings
from ..subject import Subject
from .check import NotCompared, compare
from .model_file import of_subject
from .opening import open_reference
from .reference import Reference
from .rules import EVIDENCE

__all__ = ["EVIDENCE", "NotCompared", "Reference", "compare", "examine", "open_reference"]


def examine(subject: Subject, findings: Findings) -> None:
    """Compare the subject with its reference; rows too at level ``"full"``."""
    with open_reference(subject.reference) as reference:
        compare(of_subject(subject), reference, findings, subject.report)
