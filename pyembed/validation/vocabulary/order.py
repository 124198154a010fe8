"""Where a list of tokens departs from the order that a law gives it.

A law gives ranks: the token of rank r is expected at id b + r. What matters is the displacement ``id - r``.
It is one number b for a list in order. From a token that was inserted it is one more to the end, from one
that was deleted one less; two tokens that changed places are two odd ones in a long run.

A displacement larger by k than where the list begins means that the row of token i is found at row i - k: the
`shift` of a finding is -k.

Ids that ascend with the ranks are in order, whatever the displacement: such a list was extended or trimmed,
and if it has a row for each token, the rows were as well, for all that the list can show.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.constants import TextFlag
from ..facts import Facts, Ids, Mask
from ..report import Findings
from ..report_text import count
from ..rules import Severity
from .rules import EXTENDED, ORDER, SHIFT, TRIMMED

#: Tokens in a row with one displacement that cannot be chance.
LONG_RUN = 16
#: Blocks that are reported each for itself.
MAX_BLOCKS = 8


@dataclass(frozen=True)
class Order:
    """How the ids of tokens, given by ascending rank, lie against their ranks.

    Attributes
    ----------
    ids : ndarray of int64
        By ascending rank.
    base : int
        The displacement where the list begins.
    blocks : list of (int, int, int)
        Displaced runs: how much, and their first and last position in `ids`.
    odd : ndarray of int64
        Ids that have no place in the run around them, ascending.
    ascends : bool
        Whether the ids ascend with the ranks.
    """

    ids: Ids
    base: int
    blocks: list[tuple[int, int, int]]
    odd: Ids
    ascends: bool

    @property
    def kept(self) -> bool:
        """Whether the law holds without an exception."""
        return not self.blocks and not self.odd.size

    def in_place(self, n: int) -> Mask:
        """Return which of `n` ids the law pins: those before anything is displaced, but the odd ones."""
        pinned: Mask = np.zeros(n, np.bool_)
        pinned[self.ids[: min((first for _, first, _ in self.blocks), default=self.ids.size)]] = True
        pinned[self.odd] = False
        return pinned


def find_order(ids: Ids, ranks: Ids) -> Order | None:
    """Return how ids lie against ascending ranks; None where most of them do not follow the law at all."""
    if ids.size < 2:
        return None
    displacement = ids - ranks
    base = int(displacement[0])
    if np.all(displacement == base):  # so it is as a rule, and all that follows costs as much as the rest
        return Order(ids, base, [], ids[:0], True)
    starts = np.flatnonzero(np.diff(displacement, prepend=displacement[0] - 1))
    lengths = np.diff(starts, append=ids.size)
    if np.all(np.diff(ids) > 0):
        return Order(ids, base, list(_blocks(starts, lengths, displacement[starts] - base)), ids[:0], True)
    long = lengths >= min(LONG_RUN, max(2, ids.size // 4))
    if 2 * lengths[long].sum() <= ids.size:
        return None
    run_of = np.cumsum(long) - 1  # of each run the long run before it, or itself
    long_displacement = displacement[starts[long]]
    base = int(long_displacement[0])
    around = np.repeat(long_displacement[np.maximum(run_of, 0)], lengths)
    before = displacement == around
    # A run too short to count may also belong to the next long one.
    behind = np.repeat(long_displacement[np.minimum(run_of + 1, long.sum() - 1)], lengths)
    odd = np.sort(ids[~before & (displacement != behind)])
    blocks = list(_blocks(starts[long], lengths[long], long_displacement - base))
    return Order(ids, base, blocks, odd, False)


def scattered(ids: Ids, ranks: Ids) -> Order:
    """Return how ids lie against the ranks of a law that they must follow, though most do not.

    All but the largest share that is displaced alike is odd.
    """
    displacement = ids - ranks
    values, counts = np.unique(displacement, return_counts=True)
    base = int(values[np.argmax(counts)])
    return Order(ids, base, [], np.sort(ids[displacement != base]), False)


def _blocks(starts: Ids, lengths: Ids, by: Ids) -> Iterator[tuple[int, int, int]]:
    """Yield the displaced runs; those by as much that follow each other are one."""
    edges = np.flatnonzero(np.diff(by, prepend=by[0] - 1))
    for first, end in zip(edges, [*edges[1:], by.size], strict=True):
        if by[first] != 0:
            yield int(by[first]), int(starts[first]), int(starts[end - 1] + lengths[end - 1] - 1)


def report_order(order: Order, facts: Facts, findings: Findings, law: str) -> None:
    """Report what departs from a law, which is named in the messages."""
    if order.blocks and order.ascends and may_be_changed(order, facts):
        _report_changed(order, facts, findings, law)
        return
    if order.odd.size:
        many = order.odd.size > 2
        places = "tokens stand where others belong" if many else "stand in each other's place"
        where = f"{order.odd.size} {places}: " if many else ""
        tail = "" if many else f" {places}" if order.odd.size == 2 else " stands where another token belongs"
        findings.add(
            ORDER,
            f"{where}{facts.quote_some(order.odd)}{tail} ({law})",
            first_id=int(order.odd[0]),
            last_id=int(order.odd[-1]),
            n_ids=int(order.odd.size),
        )
    if len(order.blocks) > MAX_BLOCKS:
        spans = [order.ids[first : last + 1] for _, first, last in order.blocks]
        lowest, highest = min(int(span.min()) for span in spans), max(int(span.max()) for span in spans)
        findings.add(
            ORDER,
            f"the tokens between {lowest} and {highest} are in another order: {len(spans)} blocks "
            f"are moved ({law})",
            first_id=lowest,
            last_id=highest,
            n_ids=sum(span.size for span in spans),
        )
        return
    for by, first, last in order.blocks:
        span = order.ids[first : last + 1]
        lowest, highest = int(span[0]), int(span[-1])
        findings.add(
            SHIFT,
            f"{span.size} tokens from id {facts.quote(lowest)} to {highest} are shifted: the row of token i "
            f"is row i {'-' if by > 0 else '+'} {abs(by)} ({law})",
            first_id=lowest,
            last_id=highest,
            n_ids=int(span.size),
            shift=-by,
        )


def report_tail(ids: Ids, facts: Facts, findings: Findings) -> None:
    """Say of pieces behind the end that they look appended: they move nothing that stands before them."""
    first = facts.quote(int(ids[0]))
    if ids.size == 1:
        text = f"piece {first} has a score in an order of its own: the list looks extended by it"
    else:
        text = (
            f"{ids.size} pieces from {first} to {ids[-1]} have scores in an order of their own: "
            "the list looks extended by them"
        )
    findings.add(
        EXTENDED,
        text,
        severity=Severity.NOTE,
        first_id=int(ids[0]),
        last_id=int(ids[-1]),
        n_ids=ids.size,
    )


def may_be_changed(order: Order, facts: Facts) -> bool:
    """Return whether a list in ascending order may have been extended or trimmed together with its rows.

    It has a row for each token; or it has no table, and what stands before a tail that is displaced holds the
    tokens with a role, which end the list that a tokenizer was trained with. As many tokens missing as
    padding stands at the end are a list whose rows stayed.
    """
    steps = np.diff([0, *(by for by, _, _ in order.blocks)])
    n_missing = int(-steps[steps < 0].sum())
    if facts.n_rows is not None:
        n_padding = int(np.count_nonzero(facts.has(TextFlag.PAD)))
        return facts.n_rows == facts.n and (not n_missing or n_missing != n_padding)
    (_, first, _), *more = order.blocks
    between = np.arange(order.ids[first - 1] + 1, order.ids[first])
    return not n_missing and not more and bool(np.isin(facts.special_ids, between).any())


def _report_changed(order: Order, facts: Facts, findings: Findings, law: str) -> None:
    """Say of a list in ascending order where tokens were put in or taken out."""
    where = [int(order.ids[first]) for _, first, _ in order.blocks]
    steps = np.diff([0, *(by for by, _, _ in order.blocks)])
    n_new, n_missing = int(steps[steps > 0].sum()), int(-steps[steps < 0].sum())
    last = int(order.ids[order.blocks[-1][2]])
    if n_new:
        first = where[int(np.argmax(steps > 0))]
        findings.add(
            EXTENDED,
            f"{count(n_new, 'other token')} {'stands' if n_new == 1 else 'stand'} before "
            f"{facts.quote(first)}, and the order goes on behind to {last} ({law}): the list looks extended. "
            f"If what was added has no row of its own, the row of token i is row i - {n_new} from there on",
            first_id=first,
            last_id=last,
            n_ids=last - first + 1,
        )
    if n_missing:
        gaps = [token_id for token_id, step in zip(where, steps.tolist(), strict=True) if step < 0]
        findings.add(
            TRIMMED,
            f"{count(n_missing, 'token')} {'is' if n_missing == 1 else 'are'} missing, "
            f"the first before {facts.quote(gaps[0])}"
            + (f", in {len(gaps)} places" if len(gaps) > 1 else "")
            + f" ({law}): the list looks trimmed. If their rows were left in, tokens behind have wrong rows",
            first_id=gaps[0],
            last_id=last,
            n_ids=last - gaps[0] + 1,
        )


def out_of_order(values: npt.NDArray[Any]) -> Mask:
    """Return which of some values have to go so that the rest never descend, where only few do."""
    wrong: Mask = np.zeros(values.size, np.bool_)
    for i in (np.flatnonzero(np.diff(values) < 0) + 1).tolist():
        # The one before the descent is too large, or the one behind it too small; of neighbours that
        # changed places each could be.
        if i < 2 or values[i] >= values[i - 2]:
            wrong[i - 1] = True
        if i + 1 == values.size or values[i + 1] >= values[i - 1]:
            wrong[i] = True
    return wrong
