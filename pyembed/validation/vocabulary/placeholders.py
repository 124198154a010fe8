"""Placeholders that are numbered, such as ``<unused0>`` to ``<unused98>``: their numbers tell their order.

Of placeholders of one name, numbers ascend with ids (in some lists they descend). Other special tokens stand
between them as they like; from there on ids are ahead by their number. They never fall behind: where they do,
placeholders were taken out, and the tokens behind are shifted. Where most stand alone among other tokens,
their order is all that their numbers tell.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np

from ...core.constants import TextFlag
from ...tokens.token_text import TokenType
from ..facts import Facts, Ids, Mask
from ..report import Findings
from .rules import PLACEHOLDER_ORDER

#: Fewer placeholders of one name prove nothing.
_MIN_NUMBERED = 16
#: More tokens than this between two placeholders are a part of the list.
_MAX_BETWEEN = 8
_MAX_FINDINGS = 8
#: Names that the flags of texts do not cover.
_NAMED = re.compile(
    r"([<\[]\|?(?:extra|extra_id|placeholder|special|dummy|reserved|control)_?)(\d{1,9})(\|?[>\]])", re.I
)


def judge(facts: Facts, bracketed: Mapping[int, str], findings: Findings) -> None:
    """Judge the placeholders of each name; `bracketed` holds texts in brackets that no flag names, by id."""
    for ids, numbers in (*_flagged(facts), *_named(bracketed)):
        if ids.size >= _MIN_NUMBERED:
            _judge_numbers(facts, ids, numbers, findings)


def _flagged(facts: Facts) -> Iterator[tuple[Ids, Ids]]:
    """Yield ids and numbers of the placeholders of each name that the flags of texts tell."""
    flagged = facts.has(TextFlag.UNUSED | TextFlag.RESERVED)
    ids = np.flatnonzero(flagged)
    if ids.size < _MIN_NUMBERED:
        return
    if facts.repeats.size:
        ids = ids[~np.isin(ids, facts.repeats)]
    tokens = facts.tokens[ids]
    numbers = tokens["number"].astype(np.int64)
    # What a text is but for its number: the bracket and the length tell the names from each other.
    n_digits = 1 + sum((numbers >= 10**k).astype(np.int64) for k in range(1, 9))
    name = (tokens["n_code_points"] - n_digits) << 32 | tokens["code_point"]
    for one in sorted(set(name.tolist())):  # np.unique would import numpy.ma, which takes a while
        yield ids[name == one], numbers[name == one]


def _named(texts: Mapping[int, str]) -> Iterator[tuple[Ids, Ids]]:
    """Yield ids and numbers of the placeholders of each name among some texts."""
    by_name: dict[tuple[str, str], dict[int, int]] = {}
    for token_id, text in texts.items():
        found = _NAMED.fullmatch(text)
        if found is not None:
            by_name.setdefault((found[1], found[3]), {}).setdefault(int(found[2]), token_id)
    for known in by_name.values():
        yield np.fromiter(known.values(), np.int64), np.fromiter(known, np.int64)


def _judge_numbers(facts: Facts, ids: Ids, numbers: Ids, findings: Findings) -> None:
    steps = np.diff(numbers)
    if 2 * np.count_nonzero(np.abs(steps) == 1) < steps.size:
        return  # numbered by something else
    if np.count_nonzero(steps < 0) > np.count_nonzero(steps > 0):
        numbers = numbers.max() - numbers
        steps = -steps
    if np.any(steps <= 0):
        kept = _ascending(numbers)
        _report_odd(facts, ids, numbers, kept, findings)
        ids, numbers = ids[kept], numbers[kept]
    shifted = 0  # how far ids are ahead of where they belong
    runs: list[tuple[int, int]] = []
    ahead = np.diff(ids - numbers)
    if 2 * np.count_nonzero(ahead) > ahead.size:
        return  # they stand where pieces were taken out: nothing was put in between them
    for i in np.flatnonzero(ahead).tolist():
        by = int(ahead[i])
        if by > 0 and shifted + by != 0 and not _are_put_in(facts, int(ids[i]), int(ids[i + 1])):
            continue
        shifted += by
        runs.append((i + 1, shifted))
    _report_runs(facts, ids, runs, findings)
    pinned: Mask = np.zeros(facts.n, np.bool_)
    pinned[ids if not runs else ids[: runs[0][0]]] = True
    if facts.typed:  # reserved special tokens are not: their roles are not in their names
        findings.pins(pinned & (facts.types != TokenType.CONTROL.value))


def _are_put_in(facts: Facts, before: int, behind: int) -> bool:
    """Return whether the tokens between two placeholders are few, ordinary and no names in brackets."""
    between = slice(before + 1, behind)
    if behind - before - 1 > _MAX_BETWEEN or not facts.typed:
        return False
    special = facts.tokens["flags"][between] & np.uint32(TextFlag.BRACKETED.value) != 0
    return bool(np.all(facts.types[between] == TokenType.NORMAL.value) and not special.any())


def _ascending(numbers: Ids) -> Mask:
    """Return which numbers make a longest ascending series."""
    ends: list[int] = []  # of the series of each length that ends lowest, that end
    where: list[int] = []
    before = np.full(numbers.size, -1, np.int64)
    for i, number in enumerate(numbers.tolist()):
        at = bisect_left(ends, number)
        if at == len(ends):
            ends.append(number)
            where.append(i)
        else:
            ends[at], where[at] = number, i
        before[i] = where[at - 1] if at else -1
    kept: Mask = np.zeros(numbers.size, np.bool_)
    i = where[-1]
    while i >= 0:
        kept[i] = True
        i = int(before[i])
    return kept


def _report_odd(facts: Facts, ids: Ids, numbers: Ids, kept: Mask, findings: Findings) -> None:
    odd = np.flatnonzero(~kept)
    # Where the next lower number in order is, plus the distance of the numbers.
    lower = np.maximum(np.searchsorted(numbers[kept], numbers[odd]) - 1, 0)
    belongs = ids[kept][lower] + numbers[odd] - numbers[kept][lower]
    moved = ids[odd]
    shifts = np.unique(belongs - moved)
    some = ", ".join(
        f"{facts.quote(int(i))} belongs at {j}" for i, j in zip(moved[:3], belongs[:3].tolist(), strict=True)
    )
    more = f" and {moved.size - 3} more" if moved.size > 3 else ""
    findings.add(
        PLACEHOLDER_ORDER,
        f"{moved.size} placeholders are not in the order of their numbers: {some}{more}",
        first_id=int(moved.min()),
        last_id=int(moved.max()),
        n_ids=moved.size,
        shift=int(shifts[0]) if shifts.size == 1 else None,
    )


def _report_runs(facts: Facts, ids: Ids, runs: list[tuple[int, int]], findings: Findings) -> None:
    """Report runs, each to the next one or to the end, by how far their ids are ahead."""
    shifted = [(first, end, by) for (first, by), (end, _) in pairwise([*runs, (ids.size, 0)]) if by]
    for first, end, by in shifted[:_MAX_FINDINGS]:
        low, high = int(ids[first]), int(ids[end - 1])
        what = "tokens were put in" if by > 0 else "placeholders are missing"
        findings.add(
            PLACEHOLDER_ORDER,
            f"{abs(by)} {what} before {facts.quote(low)}: if the ids before it are right, the row of token i "
            f"is row i {'-' if by > 0 else '+'} {abs(by)} from there to {high} at least",
            first_id=low,
            last_id=high,
            n_ids=end - first,
            shift=-by,
        )
    if len(shifted) > _MAX_FINDINGS:
        first, end = shifted[_MAX_FINDINGS][0], shifted[-1][1]
        findings.add(
            PLACEHOLDER_ORDER,
            f"{len(shifted) - _MAX_FINDINGS} more runs of placeholders are shifted, from id {ids[first]} on",
            first_id=int(ids[first]),
            last_id=int(ids[end - 1]),
        )
