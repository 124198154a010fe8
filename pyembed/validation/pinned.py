"""Which ids the evidence pins: those whose token is shown to be the one that belongs there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]

#: Share of the ids that has to be pinned for a model to be verified.
VERIFIED_SHARE = 0.99
#: Runs of ids that are not pinned, as far as a report lists them.
_MAX_RUNS = 20


class Pinned:
    """The ids that the evidence pins, of all kinds together and of each.

    Parameters
    ----------
    n_tokens : int, optional
        How many ids there are: 0 where the file has no vocabulary.
    """

    def __init__(self, n_tokens: int = 0) -> None:
        self.n_tokens = n_tokens
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
    def share(self) -> float:
        """The share of the ids that is pinned: 0 where there are none."""
        return self.n_ids / self.n_tokens if self.n_tokens else 0.0

    @property
    def by_evidence(self) -> dict[str, int]:
        """How many ids each kind of evidence pins; kinds that pin none are left out."""
        return {name: int(np.count_nonzero(mask)) for name, mask in self._by_evidence.items() if mask.any()}

    def unpinned_runs(self) -> Iterator[tuple[int, int]]:
        """Yield the runs of ids that nothing pins, each by its first and last id."""
        edges = np.flatnonzero(np.diff(~self.ids, prepend=False, append=False))
        for first, end in edges.reshape(-1, 2).tolist():
            yield first, end - 1

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: counts, and the first runs of ids that are not pinned."""
        runs = list(self.unpinned_runs())
        return {
            "n_ids": self.n_ids,
            "n_tokens": self.n_tokens,
            "by_evidence": self.by_evidence,
            "unpinned": [list(run) for run in runs[:_MAX_RUNS]],
            "n_unpinned_runs": len(runs),
        }
