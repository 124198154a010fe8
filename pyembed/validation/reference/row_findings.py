"""Turns what differs between two tables into findings."""

from __future__ import annotations

import numpy as np

from ...safe_text import quote
from ...tokens.token_list import TokenList
from ..report import Findings
from ..rules import Severity
from . import rules
from .rows import RowComparison
from .wording import listed, report_scattered


def report_rows(rows: RowComparison, tokens: TokenList | None, findings: Findings) -> str:
    """Report which rows are not those of their tokens, and return in a sentence how the tables relate."""
    how = f"median relative error {rows.median_error:.2g}, rows of different tokens {rows.background:.2g}"
    if rows.rotated:
        findings.add(
            rules.ROWS_ROTATED,
            f"{len(rows.changed)} of {rows.n} rows are not the reference's, but have the angles between them "
            "that the reference's have",
        )
        return f"the rows are the reference's in another basis ({how})"
    if rows.unrelated:
        findings.add(
            rules.ROWS_UNRELATED,
            f"{len(rows.changed)} of {rows.n} rows are as far from the reference's as rows of different "
            f"tokens are, and {rows.n_looked_up} that were looked for lie nowhere else",
            first_id=int(rows.changed[0]),
            last_id=int(rows.changed[-1]),
            n_ids=len(rows.changed),
        )
        return f"the table is another model's than the reference's ({how})"
    if rows.is_scaled:
        findings.add(
            rules.ROWS_SCALED, f"the model's rows are {rows.scale:.4g} times as long as the reference's"
        )
    _report_moved(rows, tokens, findings)
    _report_changed(rows, findings)
    if not rows.n_wrong and rows.explained:
        return f"all {rows.n} rows compared are equal up to quantisation ({how})"
    if not rows.n_wrong:
        findings.add(
            rules.ROWS_CHANGED,
            f"rows are in place, but differ by {rows.median_error:.2g} where their types explain "
            f"{rows.expected:.2g}",
        )
        return f"all {rows.n} rows compared are in place, but trained further ({how})"
    if not rows.row_of and not rows.n_more_moved:
        n_changed = len(rows.changed) + len(rows.trained)
        return f"{n_changed} of {rows.n} rows compared changed, and none moved ({how})"
    return f"{rows.n_wrong} of {rows.n} rows compared are not those of their tokens ({how})"


def _report_moved(rows: RowComparison, tokens: TokenList | None, findings: Findings) -> None:
    def name(token_id: int) -> str:
        return "" if tokens is None else quote(tokens.texts[token_id])

    for run in rows.runs:
        findings.add(
            rules.ROWS_SHIFTED,
            f"the rows of tokens {run.first} to {run.last} lie at {run.first + run.shift} to "
            f"{run.last + run.shift}",
            first_id=run.first,
            last_id=run.last,
            n_ids=run.n_ids,
            shift=run.shift,
        )
    scattered = {i: rows.row_of[i] for i in rows.scattered.tolist()}
    report_scattered(
        rules.ROWS_MOVED, scattered, "row of token", name, "of the model's rows", Severity.ERROR, findings
    )
    if rows.n_more_moved:
        findings.add(
            rules.ROWS_MOVED,
            f"about {rows.n_more_moved} more rows lie at other ids, judged by the {rows.n_looked_up} that "
            "were looked up",
        )


def _report_changed(rows: RowComparison, findings: Findings) -> None:
    if len(rows.changed):
        ids = np.union1d(rows.changed, rows.trained).tolist()
        n_nearest = rows.n_nearest + len(rows.trained)
        notes = [f"{n_nearest} still resemble their own"] if n_nearest else []
        if rows.n_looked_up < len(ids):
            notes.append(f"{rows.n_looked_up} of them were looked for")
        findings.add(
            rules.ROWS_CHANGED,
            f"{len(ids)} rows differ from the reference's and lie at no other id: {listed(map(str, ids))}"
            + (f" ({'; '.join(notes)})" if notes else ""),
            first_id=ids[0],
            last_id=ids[-1],
            n_ids=len(ids),
        )
    if rows.n_more_changed:
        findings.add(
            rules.ROWS_CHANGED,
            f"about {rows.n_more_changed} more rows differ from the reference's, judged by the "
            f"{rows.n_looked_up} that were looked up",
        )
