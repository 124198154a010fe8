"""Texts: the file cuts them as its reference does, or at least into its own tokens."""

from __future__ import annotations

from ...core.progress import Report
from ...errors import VocabularyError
from ...tokens.cutting import engine
from ...tokens.cutting.source import source_of
from ..report import Findings
from ..subject import Subject
from .compare import compare_sides
from .rules import EVIDENCE
from .self_check import examine_alone
from .sides import Side, side_of_file, side_of_vocabulary

__all__ = ["EVIDENCE", "compare_files", "examine"]

_NOT_INSTALLED = "no text was cut: the package tokenizers is not installed (the extra 'text')"


def examine(subject: Subject, findings: Findings) -> None:
    """Compare how the subject and its reference cut texts; without one, cut the texts of its own tokens."""
    if subject.vocabulary is None:
        findings.no_evidence("the file carries no vocabulary that can be used")
    elif not engine.is_installed():
        findings.no_evidence(_NOT_INSTALLED)
    elif subject.reference is not None:
        ours = side_of_vocabulary(subject.source.path, subject.vocabulary, subject.metadata)
        _compare(ours, side_of_file(subject.reference), findings, subject.report)
    else:
        try:
            source = source_of(subject.vocabulary, subject.metadata)
            examine_alone(source, subject.vocabulary, findings, subject.report)
        except VocabularyError as error:
            findings.no_evidence(f"no text was cut: {_without_path(error)}")


def compare_files(ours: object, theirs: object, findings: Findings, report: Report) -> None:
    """Compare how two files cut texts, whatever kinds they are of."""
    if engine.is_installed():
        _compare(side_of_file(ours), side_of_file(theirs), findings, report)
    else:
        findings.no_evidence(_NOT_INSTALLED)


def _compare(ours: Side, theirs: Side, findings: Findings, report: Report) -> None:
    for side, which in ((ours, "the file"), (theirs, "the reference")):
        if side.document is None:
            findings.no_evidence(f"no text was cut: of {which} no tokenizer can be made: {side.why}")
            return
    try:
        compare_sides(ours, theirs, findings, report)
    except VocabularyError as error:
        which = "the reference" if error.path == theirs.path else "the file"
        findings.no_evidence(f"no text was cut: {which}: {_without_path(error)}")


def _without_path(error: VocabularyError) -> str:
    return str(error).removeprefix(f"{error.path}: ")
