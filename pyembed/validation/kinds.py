"""The kinds of evidence, and one report of what they find.

A kind of evidence is a package with an `EVIDENCE` and a function ``examine(subject, findings)``. A line in
`KINDS` says when it is looked at; nothing else has to know of it.
"""

from __future__ import annotations

import importlib
import os
import traceback
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ..core.callbacks import came_from_handler
from ..core.progress import Report as Tell
from ..errors import FormatError, PyembedError, nearest_names
from ..safe_text import quote
from . import container, tensors, vocabulary
from .container.rules import DAMAGED, EXAMINATION
from .pinned import Pinned, unpinned_kinds
from .report import Findings, Report
from .rules import Evidence, Rule
from .subject import Subject
from .tensors.rows import check_tensors as check_tensor_rows

LEVELS = ("header", "order", "full")
"""How deep to look: the container alone, the vocabulary against the table, the rows too."""


class Examiner(Protocol):
    """The module of one kind of evidence."""

    @property
    def EVIDENCE(self) -> Evidence:
        """What it proves, cannot see, and its rules."""
        ...

    def examine(self, subject: Subject, findings: Findings) -> None:
        """Look at the subject, report what violates a rule, and conclude or say that there is no evidence."""
        ...


@dataclass(frozen=True)
class Kind:
    """A kind of evidence and when it is looked at: from `level` on, some only where there is a reference.

    Where there is one, those with a `level_with_reference` are looked at from that one on.

    A module that does more at a deeper level asks ``subject.level``.
    """

    level: str
    module: Examiner
    needs_reference: bool = False
    level_with_reference: str | None = None

    def is_wanted(self, level: str, has_reference: bool) -> bool:
        """Return whether it is looked at: at this level, with a reference or without."""
        if self.needs_reference and not has_reference:
            return False
        first = self.level_with_reference if has_reference else None
        return LEVELS.index(first or self.level) <= LEVELS.index(level)


class Later:
    """A kind of evidence that few loads look at: its package is imported when it is first needed."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def EVIDENCE(self) -> Evidence:
        """What it proves, cannot see, and its rules."""
        evidence: Evidence = self._package().EVIDENCE
        return evidence

    def examine(self, subject: Subject, findings: Findings) -> None:
        """Look at the subject."""
        self._package().examine(subject, findings)

    def _package(self) -> Any:
        return importlib.import_module(f".{self._name}", __package__)


#: In the order in which they are looked at and reported.
KINDS: tuple[Kind, ...] = (
    Kind("header", container),
    Kind("order", tensors),
    Kind("order", vocabulary),
    Kind("order", Later("ngram")),
    Kind("order", Later("reference"), needs_reference=True),
    Kind("full", Later("text"), level_with_reference="order"),
    Kind("full", Later("row_order")),
)


def all_rules() -> Mapping[str, Rule]:
    """Return the rules of all kinds of evidence by name, in the order of `KINDS`."""
    return {rule.name: rule for kind in KINDS for rule in kind.module.EVIDENCE.rules}


def check_level(level: str, *, also: Collection[str] = ()) -> None:
    """Raise ValueError unless `level` is one of `LEVELS`, or of `also`."""
    known = (*also, *LEVELS)
    if level not in known:
        raise ValueError(f"unknown level of validation {level!r}; known: {', '.join(known)}")


def check_ignored(ignore: Iterable[str]) -> frozenset[str]:
    """Return the names of the rules to ignore, as a set.

    Raises
    ------
    ValueError
        For a name that is not a rule; the message names some that come near.
    """
    if isinstance(ignore, str):
        raise ValueError(f"ignore is a list of names of rules: write [{ignore!r}]")
    given = set()
    for name in ignore:
        if not isinstance(name, str):
            raise TypeError(f"ignore holds {name!r}; expected names of rules")
        given.add(name)
    names = frozenset(given)
    rules = all_rules() if names else {}  # half of the package is imported for them
    for name in sorted(names - rules.keys()):
        near = nearest_names(name, rules) or [known for known in rules if known.split("/")[-1] in name][:3]
        hint = f"near it: {', '.join(near)}" if near else "docs/rules.md lists them"
        raise ValueError(f"no rule is named {name!r}; {hint}")
    return names


def run(
    subject: Subject, level: str = "full", compared_with: object = None, ignore: Iterable[str] = ()
) -> Report:
    """Look at an open file and return what was found.

    Parameters
    ----------
    subject : Subject
    level : {"header", "order", "full"}, optional
    compared_with : path-like, optional
        The reference.
    ignore : iterable of str, optional
        Names of rules whose findings are dropped.
    """
    check_level(level)
    ignored = check_ignored(ignore)
    subject.level, subject.reference = level, compared_with
    vocabulary = subject.vocabulary
    report = Report(subject.source.path, level, pinned=Pinned(0 if vocabulary is None else len(vocabulary)))
    for kind in KINDS:
        if kind.is_wanted(level, compared_with is not None):
            _examine(kind, subject, report, ignored)
    _describe_unpinned(subject, report)
    return report


def _describe_unpinned(subject: Subject, report: Report) -> None:
    """Say of what kinds the ids are that nothing pins, and what would pin them."""
    if report.level == "header":
        report.pinned.remedy = "level order looks at the vocabulary"
        return
    if subject.facts is None:
        return
    report.pinned.kinds = unpinned_kinds(report.pinned, subject.facts)
    ways = ["a reference"] if subject.reference is None else ["a reference that has these tokens"]
    if report.level == "order" and subject.table_name in subject.tensors:
        ways.append("level full, if the rows are trained")
    report.pinned.remedy = ", or ".join(ways)


#: What an examination raises only if it assumed something that the file does not keep. What else may come is
#: what the package or the system has to say, or of a signal's handler.
_UNFORESEEN = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


def _examine(kind: Kind, subject: Subject, report: Report, ignored: frozenset[str]) -> None:
    """Look for one kind of evidence; an error that nobody foresaw is a finding about the file.

    What the caller's progress callback or reference raises is not about the file, and is raised.
    """
    module = kind.module
    findings = Findings(report, module.EVIDENCE, ignored)  # what importing it raises is not about the file
    callers: list[Exception] = []
    tell = subject.report
    subject.report = _noting(tell, callers)
    try:
        module.examine(subject, findings)
    except PyembedError:
        raise
    except _UNFORESEEN as error:
        of_reference = kind.needs_reference and isinstance(error, TypeError | ValueError)
        if error in callers or of_reference or came_from_handler(error):
            raise
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{os.path.basename(where.filename)}:{where.lineno}"
        what = f"{type(error).__name__}: {quote(str(error))} ({place})"
        message = f"looking at the evidence {module.EVIDENCE.name!r} ended in {what}"
        Findings(report, container.EVIDENCE, ignored).add(EXAMINATION, message)
        findings.no_evidence("its examination ended in an error")
    finally:
        subject.report = tell


def _noting(tell: Tell, raised: list[Exception]) -> Tell:
    """Return what reports as `tell` does, and keeps what that raises."""

    def noting(text: str, done: float) -> None:
        try:
            tell(text, done)
        except Exception as error:
            raised.append(error)
            raise

    return noting


def check_tensors(subject: Subject, ignore: Iterable[str] = ()) -> Report:
    """Return a report of what llama.cpp refuses if it is asked to check tensors, all of it errors."""
    report = Report(subject.source.path, "full")
    check_tensor_rows(subject, Findings(report, tensors.EVIDENCE, check_ignored(ignore)))
    return report


def unreadable(path: str, level: str, error: FormatError, ignore: Iterable[str] = ()) -> Report:
    """Return the report on a file that could not be opened because of its content."""
    check_level(level)
    report = Report(path, level)
    findings = Findings(report, container.EVIDENCE, check_ignored(ignore))
    message = str(error).removeprefix(f"{error.path}: ").removesuffix(f" (at byte {error.offset})")
    elsewhere = None if error.path == path else error.path
    findings.add(DAMAGED, message, path=elsewhere, offset=error.offset)
    findings.conclude("the file cannot be opened, so that nothing else was looked at")
    return report
