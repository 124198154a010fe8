"""From what differs between a model and its reference to findings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np

from ...core.progress import Report
from ...tokens.token_list import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED, TokenList
from ..report import Findings
from ..rules import Rule, Severity
from . import rules
from .alignment import Alignment, Ids, align
from .fairseq import in_fairseq_order
from .reference import Reference
from .rows import RowComparison, compare_rows

_SHOWN = 3
_PAD = re.compile(r"\[PAD\d+\]")
_PLACEHOLDERS = ("unused", "reserved", "extra", "placeholder", "dummy", "pad")


def compare(model: Reference, reference: Reference, findings: Findings, report: Report) -> None:
    """Compare a model, or what stands for it, with a reference; report and conclude."""
    if reference.digest is not None and reference.tokens is None:
        _digest(model, reference, findings)
        return
    alignment = None
    if model.tokens is not None and reference.tokens is not None:
        renumbered = in_fairseq_order(model.tokens, reference)
        if renumbered is not None:
            findings.add(
                rules.FAIRSEQ,
                "tokens are numbered as fairseq numbers the pieces of the reference: <s> <pad> </s> <unk> "
                "come first, and from there on token i is piece i - 1",
            )
            reference = renumbered
        assert reference.tokens is not None
        alignment = align(model.tokens, reference.tokens)
    rows = _rows(model, reference, alignment, findings, report)
    said = []
    if alignment is not None and model.tokens is not None and reference.tokens is not None:
        go_along = rows is not None and rows.in_place
        said.append(_tokens(model, reference, alignment, go_along, findings))
    if rows is not None:
        said.append(_rows_findings(rows, model.tokens, findings))
    if said:
        findings.conclude("; ".join(said))
    elif reference.tokens is not None and model.tokens is None:
        findings.no_evidence("the model has no vocabulary to compare")
    else:
        findings.no_evidence("the reference has rows only, and rows were not compared")


def _digest(model: Reference, reference: Reference, findings: Findings) -> None:
    if model.digest is None:
        findings.no_evidence("the model has no vocabulary that the digest could be of")
    elif model.digest == reference.digest:
        findings.conclude("the vocabulary has the stated digest")
    else:
        findings.add(rules.DIGEST, f"the digest is {model.digest}, not {reference.digest}")
        findings.conclude("the vocabulary is not the one of the stated digest")


# ---------------------------------------------------------------------------------------------- tokens


def _tokens(
    model: Reference, reference: Reference, alignment: Alignment, go_along: bool, findings: Findings
) -> str:
    assert model.tokens is not None
    assert reference.tokens is not None
    ours, theirs = model.tokens, _by_id(reference.tokens)
    smaller = min(alignment.n_model, alignment.n_reference)
    if alignment.n_common < 0.5 * smaller or not smaller:
        family = (
            f" (families {model.family} and {reference.family})" if model.family != reference.family else ""
        )
        findings.add(
            rules.UNRELATED,
            f"only {alignment.n_common} of the model's {alignment.n_model} tokens are among the "
            f"{alignment.n_reference} of the {reference.kind}{family}; first: "
            + _list(
                f"{i} {ours.texts[i]!r} is {theirs.get(i, '')!r} there" for i in alignment.replaced.tolist()
            ),
        )
        return "the vocabulary is another one than the reference's"
    severity = Severity.WARNING if go_along else Severity.ERROR
    _moved(ours, alignment, severity, findings)
    _replaced(ours, theirs, alignment, findings)
    _unmatched(ours, reference.tokens, alignment, findings)
    _special(model, reference, alignment, findings)
    _types(ours, reference.tokens, alignment, findings)
    _scores(model, reference, alignment, findings)
    _merges(model, reference, findings)
    if model.pre and reference.pre and model.pre != reference.pre:
        findings.add(rules.PRE, f"the pre-tokenizer is {model.pre!r}, the reference's {reference.pre!r}")
    return _relation(alignment, reference.kind, go_along)


def _by_id(tokens: TokenList) -> dict[int, str]:
    return dict(zip(tokens.ids, tokens.texts, strict=True))


def _relation(alignment: Alignment, kind: str, go_along: bool) -> str:
    n = alignment.n_common
    if alignment.n_moved:
        how = "shifted" if alignment.runs else "permuted"
        text = f"{alignment.n_moved} of {n} tokens common with the {kind} are {how}"
        return text + (", and their rows with them" if go_along else "")
    if len(alignment.replaced):
        return f"all but {len(alignment.replaced)} of the tokens are those of the {kind}"
    if len(alignment.extra) and len(alignment.missing):
        return f"{n} tokens have the same ids as in the {kind}"
    if len(alignment.extra):
        return f"the tokens of the {kind} are a prefix of the model's, which has {len(alignment.extra)} more"
    if len(alignment.missing):
        return f"the tokens are a prefix of those of the {kind}, which has {len(alignment.missing)} more"
    return f"all {n} tokens are those of the {kind}"


def _moved(ours: TokenList, alignment: Alignment, severity: Severity, findings: Findings) -> None:
    for run in alignment.runs:
        partner = run.first + run.shift
        findings.add(
            rules.SHIFTED,
            f"tokens {run.first} to {run.last} are tokens {partner} to {run.last + run.shift} of the "
            f"reference; "
            f"first: {ours.texts[run.first]!r} is {partner} there",
            severity=severity,
            first_id=run.first,
            last_id=run.last,
            n_ids=run.n_ids,
            shift=run.shift,
        )
    partners = dict(
        zip(alignment.scattered.tolist(), alignment.partner[alignment.scattered].tolist(), strict=True)
    )
    _report_scattered(
        rules.PERMUTED,
        partners,
        "token",
        lambda i: repr(ours.texts[i]),
        "of the reference",
        severity,
        findings,
    )


def _report_scattered(
    rule: Rule,
    partners: dict[int, int],
    what: str,
    name: Callable[[int], str],
    where: str,
    severity: Severity,
    findings: Findings,
) -> None:
    """Report tokens that moved one by one: exchanged pairs, single ones, or the lot."""
    if len(partners) > 20:
        first, last = min(partners), max(partners)
        shown = _list(f"{i} {name(i)} is at {partners[i]}" for i in partners)
        n = f"{len(partners)} {_plural(what)}"
        message = f"{n} between ids {first} and {last} are out of order: {shown} {where}"
        findings.add(rule, message, severity=severity, first_id=first, last_id=last, n_ids=len(partners))
        return
    for i, j in partners.items():
        if partners.get(j) == i:
            if i < j:
                message = f"{_plural(what)} {i} {name(i)} and {j} {name(j)} are exchanged"
                findings.add(rule, message, severity=severity, first_id=i, last_id=j, n_ids=2, shift=j - i)
        else:
            message = f"{what} {i} {name(i)} is at {j} {where}"
            findings.add(rule, message, severity=severity, first_id=i, last_id=i, n_ids=1, shift=j - i)


def _plural(what: str) -> str:
    return {"token": "tokens", "row of token": "rows of tokens"}[what]


def _replaced(ours: TokenList, theirs: dict[int, str], alignment: Alignment, findings: Findings) -> None:
    if not len(alignment.replaced):
        return
    by_severity: dict[Severity, list[int]] = {}
    for i in alignment.replaced.tolist():
        mine, other = _is_placeholder(ours.texts[i], NORMAL), _is_placeholder(theirs[i], NORMAL)
        severity = Severity.NOTE if mine and other else Severity.WARNING if other else Severity.ERROR
        by_severity.setdefault(severity, []).append(i)
    for severity, ids in by_severity.items():
        shown = _list(f"{i} is {ours.texts[i]!r}, not {theirs[i]!r}" for i in ids)
        findings.add(
            rules.REPLACED,
            f"{len(ids)} tokens differ: {shown}",
            severity=severity,
            first_id=ids[0],
            last_id=ids[-1],
            n_ids=len(ids),
        )


def _unmatched(ours: TokenList, theirs: TokenList, alignment: Alignment, findings: Findings) -> None:
    extra, missing = alignment.extra.tolist(), alignment.missing.tolist()
    if extra:
        kinds = Counter(_class(ours.texts[i], ours.types[i]) for i in extra)
        findings.add(
            rules.EXTRA,
            f"{_counts(kinds)} that the reference does not have: "
            + _list(f"{i} {ours.texts[i]!r}" for i in extra),
            severity=Severity.WARNING if kinds["learned"] else Severity.NOTE,
            first_id=extra[0],
            last_id=extra[-1],
            n_ids=len(extra),
        )
    if missing:
        texts, types = _by_id(theirs), dict(zip(theirs.ids, theirs.types, strict=True))
        kinds = Counter(_class(texts[i], types[i]) for i in missing)
        idle = not kinds["learned"] and not kinds["added"]
        findings.add(
            rules.MISSING,
            f"{_counts(kinds)} of the reference that the model does not have: "
            + _list(f"{i} {texts[i]!r}" for i in missing),
            severity=Severity.NOTE if idle else Severity.WARNING,
            first_id=missing[0],
            last_id=missing[-1],
            n_ids=len(missing),
        )


def _is_placeholder(text: str, type: int) -> bool:
    # No pattern: one with ".*" on both sides takes the square of a long text's length.
    if type == UNUSED:
        return True
    bracketed = text[:1] in ("<", "[") and text[-1:] in (">", "]")
    return bracketed and any(word in text[1:-1].casefold() for word in _PLACEHOLDERS)


def _class(text: str, type: int) -> str:
    if _PAD.fullmatch(text):
        return "padding"
    if _is_placeholder(text, type):
        return "reserved"
    return "added" if type in (CONTROL, USER_DEFINED) else "learned"


def _counts(kinds: Counter[str]) -> str:
    return " and ".join(f"{n} {kind}" for kind, n in kinds.most_common()) + " tokens"


def _special(model: Reference, reference: Reference, alignment: Alignment, findings: Findings) -> None:
    assert model.tokens is not None
    for role, theirs in reference.special.items():
        ours = model.special.get(role)
        if ours is not None and alignment.partner[ours] != theirs and ours != theirs:
            text = model.tokens.texts[ours]
            findings.add(
                rules.SPECIAL,
                f"{role} is {ours} {text!r}, the reference's {theirs}",
                first_id=ours,
                last_id=ours,
            )


def _types(ours: TokenList, theirs: TokenList, alignment: Alignment, findings: Findings) -> None:
    types = dict(zip(theirs.ids, theirs.types, strict=True))
    wrong: dict[tuple[int, int], list[int]] = {}
    for i, partner in enumerate(alignment.partner.tolist()):
        if partner >= 0:
            mine, other = ours.types[i], types[partner]
            # Other types differ between converters without consequence, padding's above all.
            if {mine, other} in ({NORMAL, CONTROL}, {NORMAL, BYTE}) and other in (CONTROL, BYTE):
                wrong.setdefault((mine, other), []).append(i)
    names = {NORMAL: "normal", CONTROL: "control", BYTE: "byte", UNKNOWN: "unknown"}
    for (mine, other), ids in wrong.items():
        findings.add(
            rules.TYPE,
            f"{len(ids)} {names[other]} tokens of the reference are typed {names[mine]}: "
            + _list(f"{i} {ours.texts[i]!r}" for i in ids),
            first_id=ids[0],
            last_id=ids[-1],
            n_ids=len(ids),
        )


def _scores(model: Reference, reference: Reference, alignment: Alignment, findings: Findings) -> None:
    if model.family != "llama" or model.tokens is None or reference.tokens is None:
        return
    ours, theirs = model.tokens.scores, reference.tokens.scores
    if ours is None or theirs is None:
        return
    by_id = dict(zip(reference.tokens.ids, theirs, strict=True))
    wrong = [
        i
        for i, partner in enumerate(alignment.partner.tolist())
        if partner >= 0 and model.tokens.types[i] == NORMAL and abs(ours[i] - by_id[partner]) > 1e-3
    ]
    # Added tokens get scores of the converter's choice: only many differences mean something.
    if len(wrong) > 0.01 * len(ours):
        i = wrong[0]
        findings.add(
            rules.SCORES,
            f"{len(wrong)} tokens have other scores: {i} has {ours[i]:g}, not "
            f"{by_id[int(alignment.partner[i])]:g}",
            first_id=wrong[0],
            last_id=wrong[-1],
            n_ids=len(wrong),
        )


def _merges(model: Reference, reference: Reference, findings: Findings) -> None:
    if model.family not in ("gpt2", "gemma4") or reference.merges is None:
        return
    ours, theirs = model.merges or [], reference.merges
    if ours == theirs:
        return
    if not ours:
        findings.add(
            rules.MERGES,
            f"the model has none of the reference's {len(theirs)} merges",
            severity=Severity.ERROR,
        )
        return
    n_common = len(set(ours) & set(theirs))
    first = next(
        (k for k, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs))
    )
    shown = [repr(merges[first]) if first < len(merges) else "the end" for merges in (ours, theirs)]
    findings.add(
        rules.MERGES,
        f"{len(ours)} merges, {len(theirs)} in the reference, {n_common} in common; "
        f"merge {first} is {shown[0]}, not {shown[1]}",
    )


# ------------------------------------------------------------------------------------------------ rows


def _rows(
    model: Reference,
    reference: Reference,
    alignment: Alignment | None,
    findings: Findings,
    report: Report,
) -> RowComparison | None:
    ours, theirs = model.table, reference.table
    if ours is None or theirs is None:
        return None
    if ours.shape[1] != theirs.shape[1]:
        findings.add(
            rules.ROWS_WIDTH,
            f"rows have {ours.shape[1]} columns, the reference's {theirs.shape[1]}: they were not compared",
        )
        return None
    if alignment is None:
        ids: Ids = np.arange(min(len(ours), len(theirs)), dtype=np.int64)
        partner = ids
    else:
        ids = np.flatnonzero(alignment.partner >= 0).astype(np.int64)
        partner = alignment.partner[ids]
        # A token list may be longer than a table; what has no row in both is not compared.
        inside = (ids < len(ours)) & (partner < len(theirs))
        ids, partner = ids[inside], partner[inside]
    if len(ids) < 2:
        return None
    return compare_rows(ours, theirs, ids, partner, report)


def _rows_findings(rows: RowComparison, tokens: TokenList | None, findings: Findings) -> str:
    def name(token_id: int) -> str:
        return "" if tokens is None else repr(tokens.texts[token_id])

    if rows.scale != 1:
        findings.add(
            rules.ROWS_SCALED, f"the model's rows are {rows.scale:.4g} times as long as the reference's"
        )
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
    _report_scattered(
        rules.ROWS_MOVED, scattered, "row of token", name, "of the model's rows", Severity.ERROR, findings
    )
    if rows.n_unsought:
        findings.add(
            rules.ROWS_MOVED,
            f"{rows.n_unsought} more rows are not in place; where they lie was not looked up",
        )
    if len(rows.changed):
        ids = rows.changed.tolist()
        findings.add(
            rules.ROWS_CHANGED,
            f"{len(ids)} rows are those of no token of the reference: {_list(map(str, ids))}",
            first_id=ids[0],
            last_id=ids[-1],
            n_ids=len(ids),
        )
    n_wrong = len(rows.row_of) + len(rows.changed) + rows.n_unsought
    how = f"median relative error {rows.median_error:.2g}, rows of different tokens {rows.background:.2g}"
    if not n_wrong and rows.explained:
        return f"all {rows.n} rows compared are equal up to quantisation ({how})"
    if not n_wrong:
        findings.add(
            rules.ROWS_CHANGED,
            f"rows are in place, but differ by {rows.median_error:.2g} where their types explain "
            f"{rows.expected:.2g}",
        )
        return f"all {rows.n} rows compared are in place, but trained further ({how})"
    return f"{n_wrong} of {rows.n} rows compared are not those of their tokens ({how})"


def _list(items: Iterable[str]) -> str:
    shown: list[str] = []
    for item in items:
        if len(shown) == _SHOWN:
            return ", ".join(shown) + ", ..."
        shown.append(item if len(item) < 200 else item[:200] + "...")
    return ", ".join(shown)
