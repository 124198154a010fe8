"""Wording that findings about tokens and about rows share."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..report import Findings
from ..rules import Rule, Severity

_SHOWN = 3


def report_scattered(
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
        shown = listed(f"{i} {name(i)} is at {partners[i]}" for i in partners)
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


def listed(items: Iterable[str]) -> str:
    """Return the first few of some items, each cut to a readable length."""
    shown: list[str] = []
    for item in items:
        if len(shown) == _SHOWN:
            return ", ".join(shown) + ", ..."
        shown.append(item if len(item) < 200 else item[:200] + "...")
    return ", ".join(shown)
