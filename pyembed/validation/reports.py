"""What validations of several models found, those that could not be read among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, overload

from ..safe_text import json_text, printable
from .report import Report
from .report_text import count
from .rules import Rule
from .sarif import sarif


@dataclass(frozen=True)
class Failure:
    """A file or folder that could not be validated.

    Attributes
    ----------
    path : str
    message : str
        Why, in one line.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return printable(f"{self.path}: {self.message}")


@dataclass(repr=False)
class Reports(Sequence[Report]):
    """The reports of several models, in order; a sequence of `Report` that is true where all are `ok`.

    Attributes
    ----------
    reports : list of Report
        One for each model that could be read, be it right or wrong.
    failures : list of Failure
        What could not be read: of it nothing is known.
    """

    reports: list[Report] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    @overload
    def __getitem__(self, index: int) -> Report: ...
    @overload
    def __getitem__(self, index: slice) -> list[Report]: ...
    def __getitem__(self, index: int | slice) -> Report | list[Report]:
        return self.reports[index]

    def __len__(self) -> int:
        return len(self.reports)

    def __iter__(self) -> Iterator[Report]:
        return iter(self.reports)

    @property
    def ok(self) -> bool:
        """Whether all could be read, at least one, and none has a finding of severity ``error``."""
        return bool(self.reports) and not self.failures and all(report.ok for report in self.reports)

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        return "\n\n".join(map(str, (*self.reports, *self.failures)))

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self.reports))
        return f"<Reports: [{shown}], {count(len(self.failures), 'failure')}>"

    def to_dict(self) -> dict[str, Any]:
        """Return ``ok``, ``reports`` and ``failures`` as plain values."""
        return {
            "ok": self.ok,
            "reports": [report.to_dict() for report in self.reports],
            "failures": [asdict(failure) for failure in self.failures],
        }

    def to_json(self) -> str:
        """Return all reports and failures as one JSON object."""
        return json_text(self.to_dict(), indent=2)

    def to_sarif(self) -> str:
        """Return one SARIF 2.1.0 log; failures are notifications of a run that was not successful."""
        rules: dict[str, Rule] = {}
        for report in self.reports:
            rules.update(report.rules)
        failures = [(failure.path, failure.message) for failure in self.failures]
        return json_text(sarif([report.to_dict() for report in self.reports], rules, failures), indent=2)
