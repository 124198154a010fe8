"""What can be mended of a model, what not and why, and a copy in which it is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from ..core.handle import Source
from ..core.paths import Files, Path
from ..core.progress import Progress
from ..editing.edit import Edit
from ..editing.writing import write
from ..errors import FormatError
from ..safe_text import json_text, plain, printable
from ..validating import validate
from ..validation import Finding, Report
from .by_law import MENDINGS as BY_LAW
from .by_scores import MENDINGS as BY_SCORES
from .draft import Draft
from .from_reference import mendings_from
from .mendings import REFERENCE, CannotMend, Mending, NothingToMend, OfAnotherFamily
from .names import MENDINGS as BY_NAME
from .proof import RepairError, require_better, require_unchanged
from .repaired import PlannedFinding, Repaired, compared
from .row_mendings import TheirRows, mendings_of_counts, mendings_of_rows, rows_of_reference
from .sarif_fixes import fix_of
from .trial import badness, is_gone, judge, matters


@dataclass(frozen=True)
class RepairPlan:
    """What can be mended of a model, from `pyembed.repair`; ``str()`` of it is readable.

    Attributes
    ----------
    path : str
    reference : path-like or None
    report : Report
        What validation at level ``full`` found.
    findings : tuple of PlannedFinding
        Its errors and warnings, each with its mending or what that would need.
    """

    path: str
    reference: Path | None
    report: Report
    findings: tuple[PlannedFinding, ...]
    _files: Files = field(repr=False)
    _mendings: tuple[str, ...] = field(repr=False)

    @property
    def mendable(self) -> tuple[PlannedFinding, ...]:
        """The findings that can be mended."""
        return tuple(planned for planned in self.findings if planned.mending is not None)

    @property
    def refused(self) -> tuple[PlannedFinding, ...]:
        """The findings that cannot."""
        return tuple(planned for planned in self.findings if planned.mending is None)

    def __str__(self) -> str:
        if not self.findings:
            return printable(f"{self.path}: nothing to repair")
        head = f"{self.path}: {len(self.mendable)} of {len(self.findings)} findings can be mended"
        return "\n".join([printable(head), *map(str, self.findings)])

    def apply(
        self,
        out: str | os.PathLike[str],
        fix: Iterable[str] | None = None,
        *,
        progress: Progress | None = None,
    ) -> Repaired:
        """Write a repaired copy.

        Before it gets its name, it is validated at level ``full`` against the same reference, and compared
        with the original: it is kept only if what was to be mended is gone, no other error came, and all
        else is the same bytes.

        Parameters
        ----------
        out : path-like
            The new file; of a split set the first, as for `pyembed.edit`.
        fix : iterable of str, optional
            Rules whose findings are to be mended; all that can be without it.
        progress : callable, optional
            As everywhere.

        Raises
        ------
        ValueError
            If nothing that was asked for can be mended, or `out` is the model itself.
        RepairError
            (a ValueError) if the result is not what it was to be; nothing is kept.
        OSError, GGUFError
            As `ModelEdit.write`.
        """
        chosen = [planned for planned in self.mendable if fix is None or planned.rule in set(fix)]
        if fix is not None:
            _check_rules(set(fix), self)
        if not chosen:
            raise ValueError(f"{printable(self.path)}: nothing that can be mended")
        # What cures no finding itself goes with what another mending brings about.
        names = {planned.mending for planned in chosen}
        names |= set(self._mendings) - {planned.mending for planned in self.findings}
        kept: list[Report] = []
        with (
            closing(Source(self._files, format="gguf")) as source,
            rows_of_reference(self.reference) as theirs,
        ):
            draft = Draft(source)
            known = [*_of_vocabulary(self.reference, theirs), *mendings_of_rows(theirs)]
            for mending in known:
                if mending.name in names:
                    _make(mending, draft)
            edit = Edit(source)
            keys, tensors = draft.commit(edit)
            if not keys and not tensors:
                raise ValueError(f"{printable(self.path)}: nothing would change")

            def check(places: Sequence[str]) -> None:
                require_unchanged(source, places, keys, tensors)
                files = list(places) if len(places) > 1 else places[0]
                after = validate(files, level="full", reference=self.reference, progress=progress)
                require_better(self.report, after, [planned.finding for planned in chosen])
                kept.append(after)

            done = write(edit, out, judge=check, progress=progress)
        if not kept:
            raise RepairError("a repaired model needs a place where it can be read again, not a pipe")
        kept[0].path = done.path
        return Repaired(
            done.path,
            tuple(chosen),
            kept[0],
            tuple(sorted(keys)),
            tuple(sorted(tensors)),
            compared(self._files, done.path, progress),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain values."""
        return {
            "path": self.path,
            "reference": None if self.reference is None else os.fsdecode(self.reference),
            "findings": [planned.to_dict() for planned in self.findings],
        }

    def to_json(self) -> str:
        """Return the plan as a JSON object."""
        return json_text(self.to_dict(), indent=2)

    def to_sarif(self) -> str:
        """Return the report as a SARIF 2.1.0 log.

        Each finding has its mending, or what that would need, as a property; where a mending replaces a few
        bytes of the header, or a few rows, these are its ``fixes``.
        """
        log = json.loads(self.report.to_sarif())
        texts = {id(planned.finding): planned for planned in self.findings}
        fixes = self._fixes()
        for finding, result in zip(self.report.findings, log["runs"][0]["results"], strict=True):
            planned = texts.get(id(finding))
            if planned is None:
                continue
            what = planned.text if planned.mending else f"it needs {planned.refused}"
            result["properties"].update({"mending": planned.mending, "repair": plain(what)})
            if planned.mending in fixes:
                result["fixes"] = [plain(fixes[planned.mending])]
        return json_text(log, indent=2)

    def _fixes(self) -> dict[str | None, dict[str, Any]]:
        """Return by mending the replacement of bytes that it comes to, where it is a short one."""
        names = {planned.mending for planned in self.mendable}
        if not names:
            return {}
        with rows_of_reference(self.reference) as theirs:
            known = _of_vocabulary(self.reference, theirs)
            if not {one.name for one in known}.intersection(self._mendings):
                known += mendings_of_rows(theirs)  # which suit the tokens as they are in the file
            made = {one.name: fix_of(self._files, one) for one in known if one.name in names}
        return {name: fix for name, fix in made.items() if fix is not None}


def _check_rules(rules: set[str], plan: RepairPlan) -> None:
    unknown = sorted(rules - {planned.rule for planned in plan.findings})
    if unknown:
        known = ", ".join(sorted({planned.rule for planned in plan.findings})) or "none"
        raise ValueError(f"no finding of {printable(unknown[0])} to mend; there are findings of: {known}")


def _of_vocabulary(reference: Path | None, theirs: TheirRows) -> tuple[Mending, ...]:
    """Return the mendings that a header shows: those of a reference, which knows, before those by law."""
    stated = () if reference is None else mendings_from(reference)
    *of_reference, added = mendings_of_counts(theirs)
    return (*stated, *of_reference, *BY_LAW, *BY_SCORES, *BY_NAME, added)


def _make(mending: Mending, draft: Draft) -> None:
    try:
        mending.change(draft)
    except CannotMend as error:
        raise RepairError(f"{mending.name}: it needs {error}") from None


def repair(path: Files, reference: Path | None = None, *, progress: Progress | None = None) -> RepairPlan:
    """Find out what is wrong with a GGUF model and what can be mended.

    What cannot be proven from the file or the reference is refused, with what would be needed.

    Parameters
    ----------
    path : path-like or sequence of path-likes
        The model, or the first file of a split set.
    reference : path-like, optional
        What has the right tokens, and perhaps rows: a model, a tokenizer's file or a directory.
    progress : callable, optional
        As everywhere.

    Returns
    -------
    RepairPlan
        Nothing is written before its `apply`.

    Raises
    ------
    OSError
        If the model or the reference cannot be read.
    FormatError, ValueError, TypeError
        If the reference cannot be used.

    Examples
    --------
    >>> plan = pyembed.repair("model.gguf", "tokenizer.json")  # doctest: +SKIP
    >>> print(plan)  # doctest: +SKIP
    >>> plan.apply("fixed.gguf")  # doctest: +SKIP
    """
    report = validate(path, level="full", reference=reference, progress=progress)
    to_mend = [finding for finding in report.findings if matters(finding)]
    try:
        source = Source(path, format="gguf")
    except FormatError:
        planned = tuple(PlannedFinding(finding, refused="a file that can be opened") for finding in to_mend)
        return RepairPlan(report.path, reference, report, planned, path, ())
    with closing(source), rows_of_reference(reference) as theirs:
        planner = _Planner(source, reference, report)
        planner.mend_vocabulary(_of_vocabulary(reference, theirs))
        planner.mend_rows(mendings_of_rows(theirs))
    return RepairPlan(report.path, reference, report, planner.planned(to_mend), path, tuple(planner.made))


class _Planner:
    """Tries mendings one after the other, each on what those before it came to."""

    def __init__(self, source: Source, reference: Path | None, report: Report) -> None:
        self._reference, self._report = reference, report
        self._draft = Draft(source)
        self._cured: dict[int, Mending] = {}
        self._needs: dict[str, str] = {}
        self.made: list[str] = []
        self._last: Mending = BY_LAW[0]  # of those that were made

    def mend_vocabulary(self, mendings: Sequence[Mending]) -> None:
        """Keep each mending that validation of the header finds better than what was."""
        first = best = judge(self._draft, self._reference)
        for mending in mendings:
            if badness(best) == (0, 0):
                return
            draft = self._draft.copy()
            try:
                mending.change(draft)
            except OfAnotherFamily:
                continue
            except CannotMend as error:
                self._needs[mending.name] = str(error)
                continue
            report = judge(draft, self._reference)
            if badness(report) >= badness(best):
                continue
            self._draft, self.made = draft, [*self.made, mending.name]
            for finding in self._report.findings:
                if (
                    id(finding) not in self._cured
                    and not is_gone(finding, first, best)
                    and is_gone(finding, best, report)
                ):
                    self._cured[id(finding)] = mending
            best, self._last = report, mending

    def mend_rows(self, mendings: Sequence[Mending]) -> None:
        """Keep each mending of rows that applies, where a finding is about rows or tokens were moved."""
        n_made = len(self.made)
        for mending in mendings:
            about = [
                finding
                for finding in self._report.findings
                if matters(finding) and id(finding) not in self._cured and _is_about(finding, mending)
            ]
            if not about and not (n_made and mending.name == "rows of the reference"):
                continue
            draft = self._draft.copy()
            try:
                mending.change(draft)
            except NothingToMend as error:
                if not n_made:
                    self._needs[mending.name] = str(error)
                    continue
                self._cured.update({id(finding): self._last for finding in about})
            except CannotMend as error:
                self._needs[mending.name] = str(error)
            else:
                self._draft, self.made = draft, [*self.made, mending.name]
                self._cured.update({id(finding): mending for finding in about})

    def planned(self, findings: Sequence[Finding]) -> tuple[PlannedFinding, ...]:
        """Return each finding with its mending, or what that would need."""
        made = []
        for finding in findings:
            mending = self._cured.get(id(finding))
            if mending is not None:
                made.append(PlannedFinding(finding, mending.name, mending.text))
            else:
                made.append(PlannedFinding(finding, refused=self._what_is_needed(finding)))
        return tuple(made)

    def _what_is_needed(self, finding: Finding) -> str:
        if finding.rule.startswith("container/"):
            return "another copy of the file, or pyembed edit: what it should be is not known"
        for name in _ASKED.get(finding.rule, ()):
            if name in self._needs:
                return self._needs[name]
        if finding.rule.startswith("tensor/"):
            return "the original weights"
        return REFERENCE if self._reference is None else "another reference: this one does not settle it"


#: Whose answers say what would mend a finding, best first.
_ASKED = {
    **dict.fromkeys(
        ("vocabulary/order", "vocabulary/shift"),
        ("the reference's tokens", "order of scores", "order of merges"),
    ),
    "vocabulary/duplicate-token": ("the reference's tokens", "names for duplicate tokens"),
    **dict.fromkeys(
        ("reference/shifted", "reference/permuted", "reference/replaced-token", "reference/unrelated"),
        ("the reference's tokens",),
    ),
    **dict.fromkeys(
        (
            *("reference/rows-shifted", "reference/rows-moved"),
            *("geometry/shifted", "geometry/permuted", "geometry/unrelated"),
        ),
        ("rows of the reference", "rows by spelling"),
    ),
    "vocabulary/row-count": ("the reference's rows", "rows for padding"),
    "tensor/not-finite": ("rows that are not finite",),
}

_RULES_OF_ROWS = {
    "rows of the reference": ("geometry/shifted", "geometry/permuted", "geometry/unrelated",
                              "reference/rows-shifted", "reference/rows-moved"),
    "rows by spelling": ("geometry/shifted", "geometry/permuted", "geometry/unrelated"),
    "rows that are not finite": ("tensor/not-finite", "tensor/check-tensors"),
}  # fmt: skip


def _is_about(finding: Finding, mending: Mending) -> bool:
    """Return whether a mending of rows is one for a finding."""
    if finding.rule not in _RULES_OF_ROWS[mending.name]:
        return False
    return finding.rule not in ("tensor/not-finite", "tensor/check-tensors") or finding.tensor in (
        "token_embd.weight",
        "output.weight",
    )
