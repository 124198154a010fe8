"""How much memory or disk something may take: a number of bytes, or a text such as ``"8GiB"``."""

from __future__ import annotations

import operator
import re

from ..safe_text import quote

_UNITS = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_SIZE = re.compile(r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*([a-zA-Z]{0,3})\s*", re.ASCII)


def budget_bytes(budget: int | str | None, name: str = "memory_budget") -> int:
    """Return a budget in bytes, 0 for None; `name` is what messages call it.

    Raises
    ------
    ValueError
        If it is not positive, or a text that is not a number and a unit.
    TypeError
        If it is neither an int nor a str.
    """
    if budget is None:
        return 0
    if isinstance(budget, str):
        match = _SIZE.fullmatch(budget)
        if match is None or match[2].lower() not in _UNITS:
            raise ValueError(f'{name} is {quote(budget)}; expected bytes, or a text such as "8GiB"')
        n_bytes = int(float(match[1]) * _UNITS[match[2].lower()])
    elif isinstance(budget, bool):
        raise TypeError(f"{name} is a bool; expected an int or a str")
    else:
        try:
            n_bytes = operator.index(budget)
        except TypeError:
            raise TypeError(f"{name} is a {type(budget).__name__}; expected an int or a str") from None
    if not 0 < n_bytes < 2**63:
        raise ValueError(f"{name} is {n_bytes} bytes; expected at least 1 and below 2**63")
    return n_bytes
