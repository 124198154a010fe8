"""Geometry: the rows alone tell whether token i belongs to row i.

Learned rows of tokens that are spelled alike lie closer than chance. Texts say who the partners are, rows
say whether they agree; when rows are moved, the agreement is gone. One module a step: `surface` and
`partners` look at texts, `rows` at the table, `score` at both as a whole, `profile` token by token;
`segments` and `search` say where rows went, `structure` whether they are learned at all, `judge` decides.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from ...analysis.untrained import RowSums, Untrained, find_untrained
from ...core.address_space import ensure_room
from ...tokens.listed import Token
from ...tokens.token_text import TokenType
from ...tokens.vocabulary import Vocabulary
from ..report import Findings
from ..rules import Rule, Severity
from ..subject import Subject
from .judge import Judgement, Misplaced, Verdict, judge
from .rows import Ints
from .rules import NO_SIGNAL, ORDERED, PERMUTED, SHIFTED, UNRELATED, UNTRAINED

#: Texts of tokens that stand in reserve, whose rows need no training.
_RESERVED = re.compile(r"unused|reserved|placeholder|dummy|extra_?id|\bpad", re.IGNORECASE)
_IN_RESERVE = frozenset({TokenType.UNKNOWN, TokenType.CONTROL, TokenType.UNUSED, TokenType.BYTE})
_MAX_TEXT = 24
_RUNS_NAMED = 4


def examine(subject: Subject, findings: Findings) -> None:
    """Judge by the rows whether token i belongs to row i."""
    vocabulary, table = subject.vocabulary, subject.table
    if vocabulary is None or table is None:
        findings.no_evidence(f"the file has no {'vocabulary' if vocabulary is None else 'table of rows'}")
        return
    ensure_room()
    sums = RowSums(*table.shape)

    def gather(ids: Ints) -> npt.NDArray[np.float32]:
        rows = table.gather(ids, threads=1)
        sums.add(int(ids[0]), rows)
        return rows

    judgement = judge(
        [token.bytes for token in vocabulary],
        vocabulary.types.tolist(),
        vocabulary.tokens,
        gather,
        table.shape,
        report=subject.report,
    )
    writer = _Writer(subject.table_name, vocabulary, findings)
    if not np.isnan(sums.norms).all():  # all rows were read
        writer.untrained(
            find_untrained(
                lambda ids: table.gather(ids, threads=1), sums.norms, sums.finite, sums.mean, vocabulary
            )
        )
    writer.write(judgement, min(len(vocabulary), len(table)))


class _Writer:
    """Puts a judgement into findings."""

    def __init__(self, tensor: str, vocabulary: Vocabulary, findings: Findings) -> None:
        self._tensor, self._vocabulary, self._findings = tensor, vocabulary, findings

    def write(self, judgement: Judgement, n: int) -> None:
        """Report what was found, and conclude."""
        for place in judgement.misplaced:
            self._misplaced(place)
        if judgement.map_name:
            self._add(PERMUTED, f"{judgement.map_name}: in that order they agree with the tokens", 0, n - 1)
        for run in judgement.random_runs:
            self._add(
                UNTRAINED,
                f"the rows of {self._range(run.first, run.last)} look like random numbers or padding",
                run.first,
                run.last,
            )
        self._pin(judgement)
        self._conclude(judgement, n)

    def _pin(self, judgement: Judgement) -> None:
        pinned = np.zeros(len(self._vocabulary), np.bool_)
        pinned[: len(judgement.in_place)] = judgement.in_place
        self._findings.pins(pinned)

    def _conclude(self, judgement: Judgement, n: int) -> None:
        verdict = judgement.verdict
        if verdict is Verdict.NO_SIGNAL:
            self._findings.add(NO_SIGNAL, judgement.reason, tensor=self._tensor)
            self._findings.no_evidence(judgement.reason)
            return
        if verdict is Verdict.UNRELATED:
            text = (
                "rows are learned, but suit the tokens neither in this order nor in any other that was tried"
            )
            self._add(UNRELATED, text, 0, n - 1)
        elif verdict is Verdict.ORDERED:
            text = (
                f"rows of like spellings are closer than chance by {judgement.z:.0f} standard errors, and "
                + (
                    f"{judgement.first_rate:.0%} of the rows suit their tokens better than all 64 around"
                    if judgement.agrees_by_token
                    else "the order holds on the whole; the signal is too weak to check blocks"
                )
            )
            self._add(ORDERED, text, 0, n - 1)
        else:
            n_certain = sum(place.certain for place in judgement.misplaced)
            text = judgement.map_name or f"rows do not belong to their tokens in {n_certain} runs of ids"
        self._findings.conclude(text)

    def _misplaced(self, place: Misplaced) -> None:
        run, severity = place.run, None if place.certain else Severity.NOTE
        where = self._range(run.first, run.last)
        if run.shift is None:
            text = f"the rows of {where} do not belong to them, and are in no order that was found"
            self._add(
                PERMUTED,
                text if place.certain else f"{text}; the evidence is weak",
                run.first,
                run.last,
                severity,
            )
            return
        places = f"{abs(run.shift)} {'row' if abs(run.shift) == 1 else 'rows'}"
        text = f"the rows of {where} are found {places} {'later' if run.shift > 0 else 'earlier'}"
        text = text if place.certain else f"{text}; the evidence is weak"
        self._add(SHIFTED, text, run.first, run.last, severity, shift=run.shift)

    def untrained(self, found: Untrained) -> None:
        """Warn of tokens in use; of those in reserve it is only worth a note."""
        if found.max_norm is None:
            return
        n = len(self._vocabulary)
        ids = np.sort(found.ids[found.ids < n])
        known = np.flatnonzero(found.known[:n])
        n_reserve = sum(self._in_reserve(self._vocabulary[token]) for token in ids.tolist())
        if len(ids):
            severity = Severity.NOTE if n_reserve == len(ids) else Severity.WARNING
            special = f", {n_reserve:,} of them of special or byte tokens" if n_reserve else ""
            text = f"{len(ids):,} rows look untrained{special}: {self._named(ids)}"
            self._add(UNTRAINED, text, int(ids[0]), int(ids[-1]), severity, n_ids=len(ids))
        if len(known):
            text = f"{len(known):,} tokens stand in reserve, with untrained rows: {self._named(known)}"
            self._add(UNTRAINED, text, int(known[0]), int(known[-1]), Severity.NOTE, n_ids=len(known))

    @staticmethod
    def _in_reserve(token: Token) -> bool:
        return token.type in _IN_RESERVE or bool(_RESERVED.search(token.text[:200]))

    def _named(self, ids: Ints) -> str:
        """Return the longest runs of ids, and how many more there are."""
        runs = np.split(ids, np.flatnonzero(np.diff(ids) > 1) + 1)
        longest = sorted(sorted(runs, key=len, reverse=True)[:_RUNS_NAMED], key=lambda run: int(run[0]))
        named = ", ".join(self._range(int(run[0]), int(run[-1])) for run in longest)
        return named if len(runs) <= _RUNS_NAMED else f"{named}, and {len(runs) - _RUNS_NAMED:,} more runs"

    def _range(self, first: int, last: int) -> str:
        texts = [repr(self._vocabulary[token].text[:_MAX_TEXT]) for token in (first, last)]
        return f"{first} ({texts[0]})" if first == last else f"{first} ({texts[0]}) to {last} ({texts[1]})"

    def _add(
        self,
        rule: Rule,
        text: str,
        first: int,
        last: int,
        severity: Severity | None = None,
        *,
        shift: int | None = None,
        n_ids: int | None = None,
    ) -> None:
        self._findings.add(
            rule,
            text,
            severity=severity,
            first_id=first,
            last_id=last,
            n_ids=last - first + 1 if n_ids is None else n_ids,
            shift=shift,
            tensor=self._tensor,
        )
