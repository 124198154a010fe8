"""What a validation found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..safe_text import json_text, printable
from .pinned import Pinned
from .report_text import count, in_short, report_html, report_text
from .rules import Evidence, Outcome, Rule, Severity, Verdict
from .sarif import sarif

#: Findings of one rule, severity and outcome that a report holds; further ones are only counted.
MAX_FINDINGS_A_RULE = 20


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes
    ----------
    rule : str
        Name of the rule, see ``docs/rules.md``.
    severity : Severity
        It equals its own name as a string: ``finding.severity == "error"``.
    message : str
        What was found, in one line.
    first_id, last_id : int or None
        The ids it is about, inclusive.
    n_ids : int or None
        How many ids in that range.
    shift : int or None
        The row of token i is found at row i + shift.
    tensor : str or None
        The tensor it is about.
    path : str or None
        The file at fault, where that is not the one that was opened.
    offset : int or None
        Byte offset in the file.
    llama_cpp : Outcome
        What llama.cpp makes of the model, as far as this goes: ``"load"``, ``"refuse"`` or ``"abort"``.
    """

    rule: str
    severity: Severity
    message: str
    first_id: int | None = None
    last_id: int | None = None
    n_ids: int | None = None
    shift: int | None = None
    tensor: str | None = None
    path: str | None = None
    offset: int | None = None
    llama_cpp: Outcome = Outcome.LOAD


@dataclass(frozen=True)
class Conclusion:
    """What one kind of evidence came to: a sentence, or that there was no evidence and why."""

    evidence: str
    has_evidence: bool
    text: str


#: What can end a load, in the order in which llama.cpp meets it: it reads header and metadata, then the
#: vocabulary, then compares each tensor's shape; only then it places tensors in memory and decodes tokens.
_STAGES = (
    ("container", Outcome.REFUSE),
    ("ngram", Outcome.REFUSE),
    ("vocabulary", Outcome.ABORT),
    ("vocabulary", Outcome.REFUSE),
    ("tensor", Outcome.REFUSE),
    ("container", Outcome.ABORT),
    ("tensor", Outcome.ABORT),
)


@dataclass(repr=False)
class Report:
    """The result of validating one model.

    It is true where it is `ok`; `str` is what ``pyembed validate`` prints, and a notebook shows tables.

    Attributes
    ----------
    path : str
    level : str
        ``"header"``, ``"order"`` or ``"full"``.
    findings : list of Finding
        In the order of the kinds of evidence, at most `MAX_FINDINGS_A_RULE` of a rule.
    omitted : dict of str to int
        By rule, how many findings more there were.
    verdicts : list of Conclusion
        One for each kind of evidence that was looked at.
    rules : dict of str to Rule
        The rules that the findings are of.
    pinned : Pinned
        Which ids the evidence pins.
    """

    path: str
    level: str
    findings: list[Finding] = field(default_factory=list)
    omitted: dict[str, int] = field(default_factory=dict)
    verdicts: list[Conclusion] = field(default_factory=list)
    rules: dict[str, Rule] = field(default_factory=dict)
    pinned: Pinned = field(default_factory=Pinned)

    @property
    def ok(self) -> bool:
        """Whether there is no finding of severity ``error``."""
        return not any(finding.severity is Severity.ERROR for finding in self.findings)

    @property
    def verdict(self) -> Verdict:
        """What the report comes to: ``"wrong"``, ``"verified"`` or ``"unverified"``.

        It is ``"wrong"`` where a finding is an error, which is where `ok` is False; ``"verified"`` where the
        evidence pins at least 99 % of the ids; ``"unverified"`` where nothing contradicts the model and less
        is pinned: `pinned` says which ids, and what would settle it.
        """
        if not self.ok:
            return Verdict.WRONG
        return Verdict.VERIFIED if self.pinned.suffice else Verdict.UNVERIFIED

    @property
    def summary(self) -> str:
        """The verdict in words: what contradicts the model, or which ids are pinned and by what."""
        if self.ok:
            return self.pinned.describe()
        n = sum(finding.severity is Severity.ERROR for finding in self.findings)
        return f"{count(n, 'finding')} of severity error"

    @property
    def llama_cpp(self) -> Outcome:
        """What llama.cpp makes of the model, by all that was found: what it meets first, as far as known.

        It says ``"load"`` also where nothing that stops it was looked for, as at level ``"header"``.
        """
        met = {(finding.rule.split("/")[0], finding.llama_cpp) for finding in self.findings}
        return next((outcome for kind, outcome in _STAGES if (kind, outcome) in met), Outcome.LOAD)

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        return report_text(self)

    def __repr__(self) -> str:
        return f"<Report of {printable(self.path)}: {in_short(self)}>"

    def _repr_html_(self) -> str:
        return report_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values, as `to_json` writes it."""
        return {
            "path": self.path,
            "ok": self.ok,
            "verdict": self.verdict.value,
            "summary": self.summary,
            "level": self.level,
            "llama_cpp": self.llama_cpp.value,
            "findings": [
                {**asdict(finding), "severity": finding.severity.value, "llama_cpp": finding.llama_cpp.value}
                for finding in self.findings
            ],
            "omitted": dict(self.omitted),
            "verdicts": [asdict(conclusion) for conclusion in self.verdicts],
            "pinned": self.pinned.to_dict(),
        }

    def to_json(self) -> str:
        """Return the report as a JSON object."""
        return json_text(self.to_dict(), indent=2)

    def to_sarif(self) -> str:
        """Return the report as a SARIF 2.1.0 log."""
        return json_text(sarif([self.to_dict()], self.rules), indent=2)


class Findings:
    """Where one kind of evidence puts what it finds and what it comes to.

    Parameters
    ----------
    report : Report
        The report that is being written.
    evidence : Evidence
        Whose rules these are.
    ignored : frozenset of str
        Names of rules whose findings are dropped.
    """

    def __init__(self, report: Report, evidence: Evidence, ignored: frozenset[str] = frozenset()) -> None:
        self._report = report
        self._evidence = evidence
        self._ignored = ignored
        self._n: Counter[str] = Counter()
        self._n_kept: Counter[tuple[str, Severity, Outcome]] = Counter()

    def add(
        self,
        rule: Rule,
        message: str,
        *,
        severity: Severity | None = None,
        llama_cpp: Outcome | None = None,
        **facts: Any,
    ) -> None:
        """Report a finding of `rule`; `facts` are the other fields of `Finding`."""
        if rule.name in self._ignored:
            return
        self._n[rule.name] += 1
        # Counted apart, so that many warnings of a rule never hide its first error.
        kind = (rule.name, severity or rule.severity, llama_cpp or rule.llama_cpp)
        if self._n_kept[kind] == MAX_FINDINGS_A_RULE:
            self._report.omitted[rule.name] = self._report.omitted.get(rule.name, 0) + 1
            return
        self._n_kept[kind] += 1
        self._report.rules[rule.name] = rule
        self._report.findings.append(
            Finding(kind[0], kind[1], printable(message), llama_cpp=kind[2], **facts)
        )

    def add_many(self, rule: Rule, n: int, describe: Callable[[int], Mapping[str, Any]]) -> None:
        """Report `n` findings of `rule`; those that are kept are described by the arguments of `add`.

        It takes the same time for any `n`, which a hostile file may make as large as it likes.
        """
        if rule.name in self._ignored:
            return
        for which in range(min(n, MAX_FINDINGS_A_RULE)):
            self.add(rule, **describe(which))
        if n > MAX_FINDINGS_A_RULE:
            self._n[rule.name] += n - MAX_FINDINGS_A_RULE
            self._report.omitted[rule.name] = self._report.omitted.get(rule.name, 0) + n - MAX_FINDINGS_A_RULE

    def n_of(self, rule: Rule) -> int:
        """Return how many findings of a rule there were so far, ignored ones not counted."""
        return self._n[rule.name]

    def pins(self, ids: npt.NDArray[np.bool_]) -> None:
        """State which ids the evidence pins; several calls add up.

        An id is pinned where the evidence shows that its token is the one that belongs there, so that any
        other token at that id would have been a finding. Evidence that can only contradict pins nothing.

        Parameters
        ----------
        ids : ndarray of bool, shape (tokens,)
            Which ids are pinned, in order of id.
        """
        self._report.pinned.add(self._evidence.name, ids)

    def conclude(self, text: str) -> None:
        """Say in one sentence what the evidence came to."""
        self._report.verdicts.append(Conclusion(self._evidence.name, True, printable(text)))

    def no_evidence(self, why: str) -> None:
        """Say that there was nothing to judge by, and why."""
        self._report.verdicts.append(Conclusion(self._evidence.name, False, printable(why)))
