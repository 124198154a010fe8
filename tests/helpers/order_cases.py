"""Tables in a wrong order, and legitimate tables that look odd, made from a real one.

A wrong order is described by where rows came from: row r of the table is row ``order[r]`` of the right one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pyembed.validation.row_order.judge import Judgement, Verdict, judge

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Generator = np.random.Generator

#: Verdicts that are errors.
WRONG = (Verdict.MISPLACED, Verdict.UNRELATED)


@dataclass(frozen=True)
class Model:
    """Tokens and their rows."""

    texts: Sequence[bytes]
    types: Sequence[int]
    stored: Sequence[str]
    rows: Floats

    def __len__(self) -> int:
        return len(self.texts)

    def judge(self, rows: Floats, seed: int = 0) -> Judgement:
        """Judge other rows under these tokens."""
        return judge(self.texts, self.types, self.stored, rows.__getitem__, rows.shape, seed=seed)


@dataclass(frozen=True)
class Wrong:
    """A wrong order; `kind` is the line of the table of results that counts it."""

    kind: str
    name: str
    order: Ints
    of_whole: bool = False


@dataclass(frozen=True)
class Odd:
    """A legitimate table; `make` returns its rows."""

    name: str
    make: Callable[[], Floats]


@dataclass(frozen=True)
class Outcome:
    """How well a wrong order was recognised.

    Attributes
    ----------
    found : bool
        Whether it is an error.
    noted : bool
        Whether it is at least a note.
    located : bool
        Whether its map is named, or each run of constant shift is found with its shift, or, without any, what
        is called permuted overlaps what is.
    edge : int
        The largest distance of an edge of a run from the true one; of whole maps 0.
    """

    found: bool
    noted: bool
    located: bool
    edge: int


def assess(judgement: Judgement, wrong: Wrong) -> Outcome:
    """Compare a judgement with the truth."""
    certain = [place.run for place in judgement.misplaced if place.certain]
    found = judgement.verdict in WRONG
    noted = found or bool(judgement.misplaced)
    if judgement.map_name or judgement.verdict is Verdict.UNRELATED:
        return Outcome(found, noted, wrong.of_whole, 0)
    runs, edges = true_runs(wrong.order), []
    if any(shift is not None for _, _, shift in runs):
        # What lies between shifted runs are rows that were lost: nothing can tell where they belong.
        runs = [run for run in runs if run[2] is not None]
    # Of rows that went round from one end to the other there may be too few to tell.
    runs = [run for run in runs if run[1] - run[0] >= 128] or runs
    for first, last, shift in runs:
        near = [
            run for run in certain if run.shift == shift and min(run.last, last) - max(run.first, first) >= 0
        ]
        if not near:
            return Outcome(found, noted, False, 0)
        edges += [abs(near[0].first - first), abs(near[-1].last - last)]
    return Outcome(found, noted, found, max(edges, default=0))


def true_runs(order: Ints, least: int = 24) -> list[tuple[int, int, int | None]]:
    """Return runs of ids whose rows lie elsewhere, and by how much; None for a run without one shift."""
    n = len(order)
    place = np.full(n, -n, np.int64)
    place[order[::-1]] = np.arange(n)[::-1]
    shift = np.where(place < 0, n, place - np.arange(n))
    starts = [0, *(np.flatnonzero(np.diff(shift)) + 1).tolist(), n]
    runs: list[tuple[int, int, int | None]] = []
    for first, end in pairwise(starts):
        constant = end - first >= least and shift[first] != n
        known: int | None = int(shift[first]) if constant else None
        if known == 0:
            continue
        if runs and known is None and runs[-1][2] is None and runs[-1][1] >= first - 2:
            runs[-1] = (runs[-1][0], end - 1, None)
        elif known is not None or end - first >= 2 or shift[first] != 0:
            runs.append((first, end - 1, known))
    return [run for run in runs if run[1] - run[0] + 1 >= least or len(runs) == 1]


# ------------------------------------------------------------------------------------------ wrong orders


def whole_orders(n: int, stored: Sequence[str], rng: Generator, rounds: int) -> Iterator[Wrong]:
    """Yield rearrangements of all rows."""
    ids = np.arange(n)
    for _ in range(rounds):
        yield Wrong("full permutation", "permuted", rng.permutation(n), True)
    by_text = np.array(
        sorted(ids.tolist(), key=[text.encode("utf-8", "surrogateescape") for text in stored].__getitem__)
    )
    whole = "reversal, round-robin over 2, sorted vocabulary"
    yield Wrong(whole, "reversed", ids[::-1], True)
    yield Wrong(whole, "dealt out to 2", np.concatenate([ids[::2], ids[1::2]]), True)
    yield Wrong(whole, "sorted", by_text, True)
    for parts in (2, 4, 8):
        for _ in range(1 if parts == 2 else rounds):
            shards = np.array_split(ids, parts)
            places = rng.permutation(parts)
            while (places == np.arange(parts)).all():
                places = rng.permutation(parts)
            yield Wrong(
                "swapped shards of 2, 4, 8", f"shards {places}", np.concatenate([shards[i] for i in places])
            )
    for shift in (1, -1, 2, 3, 7, 100):
        yield Wrong("all rows shifted by 1, -1, 2, 3, 7, 100", f"shift {shift}", np.roll(ids, shift))


def shifted_tail(n: int, first: int, shift: int, rng: Generator) -> Ints:
    """Return an order in which rows were put in at `first`, or taken out there for a negative shift."""
    ids = np.arange(n)
    order = ids.copy()
    # Rows put in are copies of earlier ones; where some were taken out, the last ones stand twice.
    if shift > 0:
        order[first : first + shift] = rng.integers(0, first, shift)
        order[first + shift :] = ids[first:-shift]
    else:
        order[first:shift] = ids[first - shift :]
    return order


def partial_orders(n: int, rng: Generator, rounds: int) -> Iterator[Wrong]:
    """Yield tables with a part out of order."""
    ids = np.arange(n)
    for shift in (1, 3, -2, 7, 40, 100, 1000):
        for _ in range(rounds):
            first = int(rng.integers(n // 20, n - n // 20 - abs(shift)))
            order = shifted_tail(n, first, shift, rng)
            yield Wrong("tail shifted by 1, 3, -2, 7, 40, 100, 1000", f"tail {first} {shift}", order)
    for length in (64, 256, 1024, min(4096, n // 4)):
        for shift in (1, -1, 2)[:rounds]:
            first = int(rng.integers(n // 20, n - length - n // 20))
            order = ids.copy()
            order[first : first + length] = np.roll(ids[first : first + length], shift)
            yield Wrong("block of 64 to 4096 shifted by 1, -1, 2", f"block {first} {length} {shift}", order)
    for length in (32, 128, 500, 2000, min(4000, n // 4)):
        for _ in range(rounds):
            first = int(rng.integers(n // 20, n - 2 * length - n // 20))
            second = int(rng.integers(first + length, n - length))
            order = ids.copy()
            order[first : first + length] = ids[second : second + length]
            order[second : second + length] = ids[first : first + length]
            yield Wrong("two blocks of 32 to 4000 swapped", f"swap {first} {second} {length}", order)
    for length in (4096, 1024, 256, 128, 64, 32, 16, 8):
        for _ in range(rounds * (3 if length < 128 else 1)):
            if length > n // 2:
                continue
            first = int(rng.integers(n // 20, n - length - n // 20))
            order = ids.copy()
            order[first : first + length] = rng.permutation(ids[first : first + length])
            kind = f"permuted window of {length}" if length < 128 else "permuted window of 128 to 4096"
            yield Wrong(kind, f"window {first} {length}", order)


# ------------------------------------------------------------------------------------- legitimate tables


def odd_tables(rows: Floats, rng: Generator) -> Iterator[Odd]:
    """Yield tables with the same tokens that are odd, but in order or without any."""
    n, width = rows.shape
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)

    def normal(count: int = n) -> Floats:
        return rng.standard_normal((count, width), np.float32)

    def like(count: int) -> Floats:
        return normal(count) * deviation + mean

    def drawn(count: int) -> Floats:
        few = rows[rng.choice(n, 4000)] - mean
        return (rng.standard_normal((count, len(few)), np.float32) @ few) / len(few) ** 0.5 + mean

    def tail(share: float, make: Callable[[int], Floats]) -> Floats:
        changed, count = rows.copy(), int(n * share)
        changed[n - count :] = make(count)
        return changed

    def scattered(share: float) -> Floats:
        changed, some = rows.copy(), rng.random(n) < share
        changed[some] = like(int(some.sum()))
        return changed

    def columns(count: int) -> Floats:
        return rows[:, np.sort(rng.permutation(width)[:count])]

    def outliers() -> Floats:
        changed = rows.copy()
        changed[:, rng.choice(width, 2, replace=False)] *= 50
        return changed

    def rotated() -> Floats:
        turn, _ = np.linalg.qr(rng.standard_normal((width, width)))
        return rows @ turn.astype(np.float32)

    yield Odd("as it is", lambda: rows)
    for count in (32, 64, 128, 192):
        yield Odd(f"{count} columns", lambda count=count: columns(min(count, width)))  # type: ignore[misc]
    for times in (0.3, 1, 2, 3):
        yield Odd(f"noise of {times} deviations", lambda times=times: rows + times * deviation * normal())  # type: ignore[misc]
    for share in (0.1, 0.3, 0.5, 0.8):
        yield Odd(f"{share:.0%} of rows random, scattered", lambda share=share: scattered(share))  # type: ignore[misc]
    for share in (0.02, 0.1, 0.3):
        for name, make in (
            ("random", like),
            ("the mean", lambda count: np.tile(mean, (count, 1))),
            ("the mean and a little noise", lambda count: mean + 1e-3 * deviation * normal(count)),
            ("zero", lambda count: np.zeros((count, width), np.float32)),
            ("drawn from its covariance", drawn),
        ):
            yield Odd(f"last {share:.0%} {name}", lambda share=share, make=make: tail(share, make))  # type: ignore[misc]
    for count in (64, 1000):
        yield Odd(f"{count} rows more", lambda count=count: np.concatenate([rows, like(count)]))  # type: ignore[misc]
        yield Odd(f"{count} rows fewer", lambda count=count: rows[:-count])  # type: ignore[misc]
    yield Odd("two columns times 50", outliers)
    yield Odd(
        "a common vector",
        lambda: rows + 10 * np.abs(rows).max() * rng.standard_normal(width).astype(np.float32),
    )
    yield Odd("unit rows", lambda: rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9))
    yield Odd("log-normal row scales", lambda: rows * rng.lognormal(0, 1, (n, 1)).astype(np.float32))
    yield Odd("rotated", rotated)
    yield Odd("Gaussian initialisation", lambda: 0.02 * normal())
    yield Odd("uniform initialisation", lambda: rng.uniform(-0.05, 0.05, rows.shape).astype(np.float32))
    yield Odd("initialisation of its covariance", lambda: drawn(n))
    yield Odd("all zeros", lambda: np.zeros_like(rows))
    yield Odd("all ones", lambda: np.ones_like(rows))
    yield Odd("signal diluted to a tenth", lambda: rows + 10 * deviation * normal())


def odd_vocabularies(model: Model, rng: Generator) -> Iterator[tuple[str, Model]]:
    """Yield parts of a model, and models with tokens added, all in order."""
    n = len(model)

    def part(ids: Ints) -> Model:
        few = ids.tolist()
        return Model(
            [model.texts[i] for i in few],
            [model.types[i] for i in few],
            [model.stored[i] for i in few],
            model.rows[ids],
        )

    for share in (0.02, 0.05, 0.2, 0.5):
        yield f"{share:.0%} of the tokens at random", part(np.sort(rng.permutation(n)[: int(n * share)]))
    for k in range(4):
        yield f"quarter {k + 1} of the ids", part(np.arange(k * n // 4, (k + 1) * n // 4))
    deviation, mean = model.rows.std(axis=0), model.rows.mean(axis=0)
    for name, form in (("named as padding", "<pad_{}>"), ("plainly named", "padding{}")):
        for count in (64, 1000):
            added = [form.format(i) for i in range(count)]
            for what, rows in (
                ("random", rng.standard_normal((count, model.rows.shape[1]), np.float32) * deviation + mean),
                ("alike", mean + 0.01 * deviation * rng.standard_normal((count, len(mean)), np.float32)),
            ):
                yield (
                    f"{count} tokens {name}, rows {what}",
                    Model(
                        [*model.texts, *[text.encode() for text in added]],
                        [*model.types, *[1] * count],
                        [*model.stored, *added],
                        np.concatenate([model.rows, rows.astype(np.float32)]),
                    ),
                )
