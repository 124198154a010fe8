"""Compares a model with its reference: tokens with tokens, rows with rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...core.progress import Report
from ...tables.table import EmbeddingTable
from ...tokens.readers.sentencepiece_model import SentencePieceFile, begins_as_fairseq
from ...tokens.token_list import TokenFile
from ..report import Findings
from ..rules import Rule
from . import rules
from .alignment import Alignment, Ids, align
from .reference import Reference, Rows
from .row_findings import report_rows
from .rows import RowComparison, compare_rows
from .token_findings import report_tokens

_N_LOOKED_AT = 256


@dataclass(frozen=True)
class NotCompared:
    """Something that both sides have and that was not compared.

    Attributes
    ----------
    part : str
        ``"rows"``.
    why : str
    n_ids : int or None
        How many tokens it concerns; None for all.
    """

    part: str
    why: str
    n_ids: int | None = None


def compare(
    model: Reference, reference: Reference, findings: Findings, report: Report
) -> tuple[NotCompared, ...]:
    """Compare a model, or what stands for it, with a reference; report findings and conclude.

    Returns
    -------
    tuple of NotCompared
        What both have, and what was not compared.
    """
    ours, theirs = model.file, reference.file
    if any(file.digest is not None and file.tokens is None for file in (ours, theirs)):
        _compare_digest(ours, theirs, findings)
        return ()
    alignment = None
    if ours.tokens is not None and theirs.tokens is not None:
        theirs = _as_numbered_by(ours, theirs, findings)
        assert theirs.tokens is not None
        alignment = align(ours.tokens, theirs.tokens)
    rows, skipped, rule = _compare_rows(model.rows, reference.rows, alignment, report)
    said = []
    if alignment is not None:
        go_along = rows is not None and rows.in_place
        said.append(report_tokens(ours, theirs, alignment, go_along, reference.is_model, findings))
    if rows is not None:
        said.append(report_rows(rows, ours.tokens, findings))
    if skipped is not None:
        which = "rows" if skipped.n_ids is None else f"the rows of {skipped.n_ids} tokens"
        said.append(f"{which} were not compared: {skipped.why}")
        if model.rows.left_out is None and reference.rows.left_out is None:
            findings.add(rule, said[-1], n_ids=skipped.n_ids)
    _report_numbers_of_rows(model.rows, reference.rows, findings)
    if alignment is not None or rows is not None:
        _pin(alignment, rows, findings)
        findings.conclude("; ".join(said))
    elif theirs.tokens is not None and ours.tokens is None:
        findings.no_evidence("; ".join(["the model has no vocabulary to compare", *said]))
    else:
        findings.no_evidence("; ".join(said or ["the reference has rows only, and the model has none"]))
    return () if skipped is None else (skipped,)


def _compare_digest(ours: TokenFile, theirs: TokenFile, findings: Findings) -> None:
    if ours.digest is None or theirs.digest is None:
        findings.no_evidence("the digest was not compared: the other side has no vocabulary")
    elif ours.digest == theirs.digest:
        if ours.tokens is not None:
            findings.pins(np.ones(len(ours.tokens), np.bool_))
        findings.conclude("the vocabulary has the stated digest")
    else:
        findings.add(rules.DIGEST, f"the digest is {ours.digest}, not {theirs.digest}")
        findings.conclude("the vocabulary is not the one of the stated digest")


def _as_numbered_by(ours: TokenFile, theirs: TokenFile, findings: Findings) -> TokenFile:
    """Return the reference with fairseq's ids for its pieces, if the model has them."""
    assert ours.tokens is not None
    if not isinstance(theirs, SentencePieceFile) or not begins_as_fairseq(list(ours.tokens.texts[:4])):
        return theirs
    renumbered = theirs.in_fairseq_order()
    if renumbered is None:
        return theirs
    findings.add(
        rules.FAIRSEQ,
        "tokens are numbered as fairseq numbers the pieces of the reference: <s> <pad> </s> <unk> "
        "come first, and from there on token i is piece i - 1",
    )
    return renumbered


def _pin(alignment: Alignment | None, rows: RowComparison | None, findings: Findings) -> None:
    """Pin the ids at which the reference has the same token, and where it has rows, the same row."""
    if alignment is None:
        return
    same = alignment.partner == np.arange(alignment.n_model)
    if rows is not None:
        same[rows.not_in_place] = False
        if rows.unrelated:  # rotated ones too: angles prove an order, and not each row
            same[:] = False
    findings.pins(same)


# ------------------------------------------------------------------------------------------------ rows


def _compare_rows(
    model: Rows, reference: Rows, alignment: Alignment | None, report: Report
) -> tuple[RowComparison | None, NotCompared | None, Rule]:
    """Return how the rows compare, and which that both sides have were not compared, with the rule for it."""
    rule = rules.ROWS_UNREAD
    if not (model.are_there and reference.are_there):
        return None, None, rule
    ours, theirs = model.table, reference.table
    if ours is None or theirs is None:
        reasons = [rows.left_out or rows.unread for rows in (model, reference) if rows.table is None]
        return None, NotCompared("rows", "; ".join(dict.fromkeys(filter(None, reasons)))), rule
    if ours.shape[1] != theirs.shape[1]:
        widths = f"they have {ours.shape[1]} columns, the reference's {theirs.shape[1]}"
        return None, NotCompared("rows", widths), rules.ROWS_WIDTH
    if alignment is None:
        ids: Ids = np.arange(min(len(ours), len(theirs)), dtype=np.int64)
        partner, n_common = ids, len(ids)
    else:
        ids = np.flatnonzero(alignment.partner >= 0).astype(np.int64)
        partner, n_common = alignment.partner[ids], len(ids)
        inside = (ids < len(ours)) & (partner < len(theirs))
        ids, partner = ids[inside], partner[inside]
    if ours.shape[1] == 0:
        return None, NotCompared("rows", "they have no columns"), rule
    if len(ids) < 2:
        return None, NotCompared("rows", "fewer than two tokens have rows on both sides"), rule
    if _are_zero(theirs, partner) and not _are_zero(ours, ids):
        return None, NotCompared("rows", "the reference's are zeros wherever they were looked at"), rule
    skipped = None
    if len(ids) < n_common:
        why = f"the model's table has {len(ours)} rows, the reference's {len(theirs)}"
        skipped = NotCompared("rows", why, n_common - len(ids))
    return compare_rows(ours, theirs, ids, partner, report), skipped, rule


def _are_zero(table: EmbeddingTable, ids: Ids) -> bool:
    """Return whether some rows, spread over a table, are all zeros, as bytes that were never written."""
    places = np.linspace(0, len(ids) - 1, min(len(ids), _N_LOOKED_AT)).astype(np.int64)
    return not table.gather(ids[places]).any()


def _report_numbers_of_rows(model: Rows, reference: Rows, findings: Findings) -> None:
    ours, theirs = model.table, reference.table
    if ours is not None and theirs is not None and len(ours) != len(theirs):
        findings.add(rules.ROWS_NUMBER, f"the table has {len(ours)} rows, the reference's {len(theirs)}")
