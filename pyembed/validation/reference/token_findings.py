"""Turns what differs between two token lists into findings."""

from __future__ import annotations

import math
import re
from collections import Counter

from ...safe_text import quote
from ...tokens.token_list import (
    BYTE,
    CONTROL,
    NORMAL,
    UNUSED,
    USER_DEFINED,
    TokenFile,
    TokenList,
)
from ..report import Findings
from ..rules import Severity
from . import rules
from .alignment import Alignment
from .model_file import MERGING_FAMILIES
from .wording import listed, report_scattered

_PAD = re.compile(r"\[PAD\d+\]")
_MARKUP = re.compile(r"<.*>|\[.*\]", re.DOTALL)
_PLACEHOLDERS = ("unused", "reserved", "extra", "placeholder", "dummy", "pad")


def report_tokens(
    model: TokenFile,
    reference: TokenFile,
    alignment: Alignment,
    go_along: bool,
    is_model: bool,
    findings: Findings,
) -> str:
    """Report how the tokens of a model differ from a reference's, and return in a sentence how they relate.

    Parameters
    ----------
    model, reference : TokenFile
        Both with tokens.
    alignment : Alignment
        Of their tokens.
    go_along : bool
        Whether rows moved with their tokens, which makes moved tokens a warning.
    is_model : bool
        Whether the reference is a model's file too.
    findings : Findings
    """
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
            + listed(
                f"{i} {quote(ours.texts[i])} is {quote(theirs.get(i, ''))} there"
                for i in alignment.replaced.tolist()
            ),
        )
        return "the vocabulary is another one than the reference's"
    severity = Severity.WARNING if go_along else Severity.ERROR
    _moved(ours, alignment, severity, findings)
    _replaced(ours, theirs, alignment, findings)
    _unmatched(ours, reference.tokens, alignment, findings)
    _special(model, reference, alignment, findings)
    _types(ours, reference.tokens, alignment, is_model, findings)
    _scores(model, reference, alignment, findings)
    _merges(model, reference, findings)
    if model.pre and reference.pre and model.pre != reference.pre:
        findings.add(
            rules.PRE, f"the pre-tokenizer is {quote(model.pre)}, the reference's {quote(reference.pre)}"
        )
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
            f"first: {quote(ours.texts[run.first])} is {partner} there",
            severity=severity,
            first_id=run.first,
            last_id=run.last,
            n_ids=run.n_ids,
            shift=run.shift,
        )
    partners = dict(
        zip(alignment.scattered.tolist(), alignment.partner[alignment.scattered].tolist(), strict=True)
    )
    report_scattered(
        rules.PERMUTED,
        partners,
        "token",
        lambda i: quote(ours.texts[i]),
        "of the reference",
        severity,
        findings,
    )


def _replaced(ours: TokenList, theirs: dict[int, str], alignment: Alignment, findings: Findings) -> None:
    if not len(alignment.replaced):
        return
    by_severity: dict[Severity, list[int]] = {}
    for i in alignment.replaced.tolist():
        mine, other = _is_placeholder(ours.texts[i], NORMAL), _is_placeholder(theirs[i], NORMAL)
        severity = Severity.NOTE if mine and other else Severity.WARNING if other else Severity.ERROR
        by_severity.setdefault(severity, []).append(i)
    for severity, ids in by_severity.items():
        some = listed(f"{i} is {quote(ours.texts[i])}, not {quote(theirs[i])}" for i in ids)
        findings.add(
            rules.REPLACED,
            f"{len(ids)} tokens differ: {some}",
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
            + listed(f"{i} {quote(ours.texts[i])}" for i in extra),
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
            + listed(f"{i} {quote(texts[i])}" for i in missing),
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


def _special(model: TokenFile, reference: TokenFile, alignment: Alignment, findings: Findings) -> None:
    assert model.tokens is not None
    for role, theirs in reference.special.items():
        ours = model.special.get(role)
        if ours is not None and alignment.partner[ours] != theirs and ours != theirs:
            text = model.tokens.texts[ours]
            findings.add(
                rules.SPECIAL,
                f"{role} is {ours} {quote(text)}, the reference's {theirs}",
                first_id=ours,
                last_id=ours,
            )


def _types(
    ours: TokenList, theirs: TokenList, alignment: Alignment, is_model: bool, findings: Findings
) -> None:
    types = dict(zip(theirs.ids, theirs.types, strict=True))
    wrong: dict[tuple[int, int], list[int]] = {}
    for i, partner in enumerate(alignment.partner.tolist()):
        if partner < 0 or ours.types[i] == types[partner] or _is_placeholder(ours.texts[i], NORMAL):
            continue
        mine, other = ours.types[i], types[partner]
        if other == NORMAL and not is_model and _MARKUP.fullmatch(ours.texts[i]):
            continue  # a tokenizer's file may leave out which of its tokens are special
        # Other types differ between converters without consequence, padding's above all. Converters of
        # tokenizers also decide by a token's text whether an added one is a control token.
        matter = {mine, other} in ({NORMAL, CONTROL}, {NORMAL, USER_DEFINED}, {NORMAL, BYTE})
        if matter or (is_model and {mine, other} == {CONTROL, USER_DEFINED}):
            wrong.setdefault((mine, other), []).append(i)
    names = {NORMAL: "normal", CONTROL: "control", BYTE: "byte", USER_DEFINED: "user-defined"}
    for (mine, other), ids in wrong.items():
        findings.add(
            rules.TYPE,
            f"{len(ids)} {names[other]} tokens of the reference are typed {names[mine]}: "
            + listed(f"{i} {quote(ours.texts[i])}" for i in ids),
            severity=None if NORMAL in (mine, other) else Severity.NOTE,
            first_id=ids[0],
            last_id=ids[-1],
            n_ids=len(ids),
        )


def _scores(model: TokenFile, reference: TokenFile, alignment: Alignment, findings: Findings) -> None:
    if model.family not in ("llama", "t5") or model.tokens is None or reference.tokens is None:
        return
    ours, theirs = model.tokens.scores, reference.tokens.scores
    if theirs is None:
        return
    score_of = dict(zip(reference.tokens.ids, theirs, strict=True))
    known = [
        i
        for i, partner in enumerate(alignment.partner.tolist())
        if partner >= 0 and model.tokens.types[i] == NORMAL and not math.isnan(score_of[partner])
    ]
    wanted = [score_of[int(alignment.partner[i])] for i in known]
    if ours is None:
        if len(set(wanted)) > 1:  # converters give one score to all where there are none
            text = f"the model has no scores, the reference those of {len(known)} of its tokens"
            findings.add(rules.SCORES, text, severity=Severity.ERROR, n_ids=len(known))
        return
    wrong = [
        (i, ours[i], score) for i, score in zip(known, wanted, strict=True) if not _close(ours[i], score)
    ]
    if not wrong:
        return
    i, mine, other = wrong[0]
    text = f"{len(wrong)} tokens have other scores: {i} has {mine:g}, not {other:g}"
    swapped = zip(sorted(score for _, score, _ in wrong), sorted(score for _, _, score in wrong), strict=True)
    are_swapped = all(_close(a, b) for a, b in swapped)
    if are_swapped:
        text = (
            f"scores of {len(wrong)} tokens have changed places, and the tokens have not: "
            f"{i} has {mine:g}, not {other:g}"
        )
    findings.add(
        rules.SCORES,
        text,
        # A converter may give scores of its own to a few tokens.
        severity=None if are_swapped or len(wrong) > 0.01 * len(ours) else Severity.NOTE,
        first_id=i,
        last_id=wrong[-1][0],
        n_ids=len(wrong),
    )


def _close(score: float, wanted: float) -> bool:
    return abs(score - wanted) <= 1e-3 * max(1.0, 1e-3 * abs(wanted))


def _merges(model: TokenFile, reference: TokenFile, findings: Findings) -> None:
    if model.family not in MERGING_FAMILIES or reference.merges is None:
        return
    ours, theirs = list(model.merges or []), list(reference.merges)
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
    firsts = [quote(merges[first]) if first < len(merges) else "the end" for merges in (ours, theirs)]
    findings.add(
        rules.MERGES,
        f"{len(ours)} merges, {len(theirs)} in the reference, {n_common} in common; "
        f"merge {first} is {firsts[0]}, not {firsts[1]}",
    )
