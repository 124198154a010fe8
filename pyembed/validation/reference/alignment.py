"""Which token of a reference each token of a model is, and by how much its id differs.

Linear in the number of tokens: a dictionary from key to id, then runs of ids with one offset.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...tokens.token_list import TokenList

Ids = npt.NDArray[np.int64]

MIN_RUN = 3
"""Ids in a row that move together: fewer are reported one by one, since two may agree by chance."""


@dataclass(frozen=True)
class Run:
    """Token i of the model is token i + `shift` of the reference, for all `n_ids` moved ids of the range."""

    first: int
    last: int
    n_ids: int
    shift: int


@dataclass(frozen=True)
class Alignment:
    """How two token lists relate.

    Attributes
    ----------
    partner : ndarray of int64
        By id of the model, the id of the same token in the reference; -1 where it has none.
    n_common, n_model, n_reference : int
    runs : list of Run
        Of at least `MIN_RUN` ids.
    scattered : ndarray
        Ids of the model that moved in no run.
    replaced : ndarray
        Ids at which both have a token that the other has nowhere.
    extra : ndarray
        Ids of the model whose tokens the reference has nowhere, and that replace none.
    missing : ndarray
        Ids of the reference likewise.
    """

    partner: Ids
    n_common: int
    n_model: int
    n_reference: int
    runs: list[Run]
    scattered: Ids
    replaced: Ids
    extra: Ids
    missing: Ids

    @property
    def n_moved(self) -> int:
        """How many common tokens have another id."""
        return sum(run.n_ids for run in self.runs) + len(self.scattered)


def align(model: TokenList, reference: TokenList) -> Alignment:
    """Match the tokens of a model, whose ids have no gaps, to those of a reference."""
    n = len(model)
    partner = _partners(model, reference)
    reference_ids = np.asarray(reference.ids, np.int64)
    ids = np.arange(n, dtype=np.int64)
    unmatched = ids[partner < 0]
    left = np.setdiff1d(reference_ids, partner[partner >= 0], assume_unique=True)
    replaced = np.intersect1d(unmatched, left, assume_unique=True)
    moved = ids[(partner >= 0) & (partner != ids)]
    runs, scattered = runs_of(moved, partner[moved] - moved, partner)
    return Alignment(
        partner,
        n - len(unmatched),
        n,
        len(reference),
        runs,
        scattered,
        replaced,
        np.setdiff1d(unmatched, replaced, assume_unique=True),
        np.setdiff1d(left, replaced, assume_unique=True),
    )


def _partners(model: TokenList, reference: TokenList) -> Ids:
    """Return the reference's id of each token. The n-th of equal tokens is the n-th of the other side."""
    ids: dict[bytes | tuple[bytes, int], int] = {}
    seen: dict[bytes, int] = {}
    texts = dict(zip(reference.ids, reference.texts, strict=True)) if reference.texts else {}
    key_at: dict[int, bytes] = dict(zip(reference.ids, reference.keys, strict=True))
    for token_id, key in zip(reference.ids, reference.keys, strict=True):
        if key in ids:
            n = seen[key] = seen.get(key, 1) + 1
            ids[key, n] = token_id
        else:
            ids[key] = token_id
    partner = np.full(len(model), -1, np.int64)
    used: dict[bytes, int] = {}
    for token_id, (key, text) in enumerate(zip(model.keys, model.texts, strict=True)):
        here = key_at.get(token_id)
        if here is not None and here != key and texts[token_id] == text:
            key = here  # stored alike, typed differently
        n = used[key] = used.get(key, 0) + 1
        partner[token_id] = ids.get(key if n == 1 else (key, n), -1)
    return partner


def runs_of(moved: Ids, shifts: Ids, partner: Ids) -> tuple[list[Run], Ids]:
    """Split moved ids into runs of one shift and the rest.

    A run may step over ids without a partner, but over none that stayed where it is.
    """
    if not len(moved):
        return [], moved
    stayed = np.cumsum((partner >= 0) & (partner == np.arange(len(partner))))
    breaks = (np.diff(shifts) != 0) | (np.diff(stayed[moved]) != 0)
    bounds = np.concatenate([[0], np.flatnonzero(breaks) + 1, [len(moved)]])
    lengths = np.diff(bounds)
    runs = [
        Run(int(moved[first]), int(moved[first + n - 1]), int(n), int(shifts[first]))
        for first, n in zip(bounds[:-1].tolist(), lengths.tolist(), strict=True)
        if n >= MIN_RUN
    ]
    return runs, moved[np.repeat(lengths < MIN_RUN, lengths)]
