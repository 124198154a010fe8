"""The tokens that others are built from, where texts are joined pair by pair."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence

from .vocabulary_lists import merge_parts

#: How early two texts that stand side by side are joined, least first; None for never.
Priority = Callable[[str, str], float | None]
#: Longer ones are looked at by their merges alone: no tokenizer makes them.
_MOST_CHARACTERS = 4096


def by_merges(merges: Iterable[str]) -> Priority:
    """Return when a list of merges joins two texts: the first of equal merges counts."""
    ranks: dict[tuple[str, str], float] = {}
    for rank, merge in enumerate(merges):
        left, right, _ = (part.decode("utf-8", "surrogateescape") for part in merge_parts(merge))
        ranks.setdefault((left, right), rank)
    return lambda left, right: ranks.get((left, right))


def by_scores(tokens: Sequence[str], scores: Sequence[float]) -> Priority:
    """Return when SentencePiece joins two texts: where they make a token, that of the highest score first."""
    priority: Mapping[str, float] = {
        text: -score for text, score in zip(tokens, scores, strict=True) if score == score
    }
    return lambda left, right: priority.get(left + right)


def formed_by(text: str, priority: Priority) -> list[str]:
    """Return a text's characters and all that is made of them until no two are joined any more.

    What a token's own text is made by is what it is made by wherever it stands: nothing is joined across its
    ends.
    """
    parts: list[str | None] = list(text) if len(text) <= _MOST_CHARACTERS else []
    before, behind = list(range(-1, len(parts) - 1)), list(range(1, len(parts) + 1))
    queue: list[tuple[float, int, str, str]] = []

    def offer(left: int, right: int) -> None:
        if left < 0 or right >= len(parts):
            return
        a, b = parts[left], parts[right]
        assert a is not None
        assert b is not None
        rank = priority(a, b)
        if rank is not None:
            heapq.heappush(queue, (rank, left, a, b))

    for left in range(len(parts) - 1):
        offer(left, left + 1)
    formed = list(text[: len(parts)])
    while queue:
        _, left, a, b = heapq.heappop(queue)
        right = behind[left]
        if parts[left] != a or right >= len(parts) or parts[right] != b:
            continue  # one of the two was joined to another meanwhile
        parts[left], parts[right] = a + b, None
        behind[left] = behind[right]
        if behind[left] < len(parts):
            before[behind[left]] = left
        formed.append(a + b)
        offer(before[left], left)
        offer(left, behind[left])
    return formed
