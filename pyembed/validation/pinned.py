"""Which ids the evidence pins: those whose token is shown to be the one that belongs there."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.constants import TextFlag
from ..tokens.token_text import TokenType
from .facts import PLACEHOLDER, Facts, Mask

#: Share of the ids that has to be pinned for a model to be verified.
VERIFIED_SHARE = 0.99
#: Runs of ids that are not pinned, as far as a report and a message list them.
_MAX_RUNS, _RUNS_NAMED = 20, 3


class Pinned:
    """The ids that the evidence pins, of all kinds together and of each.

    Parameters
    ----------
    n_tokens : int, optional
        How many ids there are: 0 where the file has no vocabulary.

    Attributes
    ----------
    kinds : dict of str to int
        Of what kinds the tokens are that nothing pins, and how many: ``"special"``, ``"added"``,
        ``"reserved"`` (padding and other placeholders), ``"byte"``, ``"learned"``.
    remedy : str
        What would pin them.
    """

    def __init__(self, n_tokens: int = 0) -> None:
        self.n_tokens = n_tokens
        self.kinds: dict[str, int] = {}
        self.remedy = "a vocabulary, which the file does not have"
        self._by_evidence: dict[str, Mask] = {}

    def add(self, evidence: str, ids: Mask) -> None:
        """Take ids that a kind of evidence pins, as a mask over all ids.

        Raises
        ------
        ValueError
            Unless the mask has one truth value for each id.
        """
        if ids.shape != (self.n_tokens,) or ids.dtype != np.bool_:
            raise ValueError(f"ids must be a bool mask of {self.n_tokens} ids, not {ids.dtype}{ids.shape}")
        before = self._by_evidence.get(evidence)
        self._by_evidence[evidence] = ids.copy() if before is None else before | ids

    @property
    def ids(self) -> Mask:
        """Which ids are pinned by any evidence, in order of id."""
        together = np.zeros(self.n_tokens, np.bool_)
        for mask in self._by_evidence.values():
            together |= mask
        return together

    @property
    def n_ids(self) -> int:
        """How many ids are pinned."""
        return int(np.count_nonzero(self.ids))

    @property
    def suffice(self) -> bool:
        """Whether enough ids are pinned to call the model verified."""
        return self.n_tokens > 0 and self.n_ids >= VERIFIED_SHARE * self.n_tokens

    @property
    def by_evidence(self) -> dict[str, int]:
        """How many ids each kind of evidence pins; kinds that pin none are left out."""
        return {name: int(np.count_nonzero(mask)) for name, mask in self._by_evidence.items() if mask.any()}

    @property
    def unpinned(self) -> list[tuple[int, int]]:
        """The runs of ids that nothing pins, each by its first and last id."""
        edges = np.flatnonzero(np.diff(~self.ids, prepend=False, append=False))
        return [(first, end - 1) for first, end in edges.reshape(-1, 2).tolist()]

    def describe(self) -> str:
        """Return in a sentence what is pinned by what, which ids are not, and what would pin them."""
        by = ", ".join(f"{n} by {name}" for name, n in self.by_evidence.items())
        text = f"{self.n_ids} of {self.n_tokens} ids are pinned" + (f" ({by})" if by else "")
        runs = self.unpinned
        if runs:
            longest = sorted(sorted(runs, key=lambda run: run[0] - run[1])[:_RUNS_NAMED])
            named = ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in longest)
            more = f" and {len(runs) - _RUNS_NAMED} more runs" if len(runs) > _RUNS_NAMED else ""
            kinds = ", ".join(f"{n} {kind}" for kind, n in self.kinds.items())
            text += f"; not pinned: {named}{more}" + (f" ({kinds})" if kinds else "")
        return text if self.suffice else f"{text}; what would pin them: {self.remedy}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: counts, and the first runs of ids that are not pinned."""
        runs = self.unpinned
        return {
            "n_ids": self.n_ids,
            "n_tokens": self.n_tokens,
            "by_evidence": self.by_evidence,
            "unpinned": [list(run) for run in runs[:_MAX_RUNS]],
            "n_unpinned_runs": len(runs),
            "unpinned_kinds": dict(self.kinds),
            "remedy": self.remedy,
        }


def unpinned_kinds(pinned: Pinned, facts: Facts) -> dict[str, int]:
    """Return of what kinds the tokens are that nothing pins, and how many there are of each."""
    left = np.flatnonzero(~pinned.ids)
    types = facts.types[left]
    reserved = facts.have(left, PLACEHOLDER) | (types == TokenType.UNUSED.value)
    spelled = facts.have(left, TextFlag.BYTE)
    kinds = {"reserved": reserved}
    kinds["special"] = ~reserved & np.isin(types, (TokenType.CONTROL.value, TokenType.UNKNOWN.value))
    kinds["added"] = ~reserved & (types == TokenType.USER_DEFINED.value)
    kinds["byte"] = ~reserved & (spelled | (types == TokenType.BYTE.value))
    kinds["learned"] = ~(kinds["reserved"] | kinds["special"] | kinds["added"] | kinds["byte"])
    return {name: n for name in sorted(kinds) if (n := int(np.count_nonzero(kinds[name])))}
