"""Times of rivals, taken in turns, and what they say."""

from __future__ import annotations

import timeit
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Json: TypeAlias = dict[str, Any]
#: A statement, which costs no call, or something to call.
Rival: TypeAlias = "str | Callable[[], object]"


@dataclass(frozen=True)
class Spread:
    """A median, and the 10th and 90th percentile around it."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: Iterable[float]) -> Spread:
        """Return the spread of some values."""
        low, median, high = np.percentile(np.fromiter(values, np.float64), (10, 50, 90))
        return Spread(float(median), float(low), float(high))

    def json(self) -> Json:
        """Return the three numbers by name, with five significant digits."""
        return {
            "median": significant(self.median),
            "p10": significant(self.low),
            "p90": significant(self.high),
        }


def significant(value: float, digits: int = 5) -> float:
    """Return a number rounded to some significant digits."""
    return float(f"{value:.{digits}g}")


class Race:
    """Seconds a call of each rival, one number a round."""

    def __init__(self, times: Mapping[str, list[float]]) -> None:
        self.times = {name: np.array(values) for name, values in times.items()}

    def __contains__(self, name: str) -> bool:
        return name in self.times

    def time(self, name: str, scale: float = 1.0) -> Json:
        """Return the time of a call, multiplied by `scale`."""
        return Spread.of(self.times[name] * scale).json()

    def microseconds(self, name: str, n: int = 1) -> Json:
        """Return microseconds for each of `n` parts of a call."""
        return self.time(name, 1e6 / n)

    def rate(self, name: str, n: float) -> Json:
        """Return how many of something are done a second, where a call does `n`."""
        return Spread.of(n / self.times[name]).json()

    def ratio(self, name: str, *others: str) -> Json | None:
        """Return how many times as fast as the `others` together `name` is, round by round.

        None if one of them did not run.
        """
        if name not in self.times or any(other not in self.times for other in others):
            return None
        total = sum(self.times[other] for other in others)
        return Spread.of(total / self.times[name]).json()


def race(
    rivals: Mapping[str, Rival],
    *,
    rounds: int,
    names: Mapping[str, Any] | None = None,
    seconds: float = 4e-4,
) -> Race:
    """Time all rivals in turns: A B C A B C ...

    Parameters
    ----------
    rivals : mapping of str to str or callable
        Statements, which find their names in `names`, or callables.
    rounds : int
        How often each is timed.
    names : mapping, optional
        Names that the statements use.
    seconds : float, optional
        Calls are repeated within one timing until it takes at least this long.
    """
    timers = {name: timeit.Timer(rival, globals=dict(names or {})) for name, rival in rivals.items()}
    repeats = {name: _calibrate(timer, seconds) for name, timer in timers.items()}
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(rounds):
        for name, timer in timers.items():  # timeit turns the garbage collector off meanwhile
            times[name].append(timer.timeit(repeats[name]) / repeats[name])
    return Race(times)


def _calibrate(timer: timeit.Timer, seconds: float) -> int:
    """Warm up, and return how many calls take at least `seconds`."""
    repeats = 1
    while True:
        taken = timer.timeit(repeats)
        if taken >= seconds:
            return repeats
        wanted = 1.2 * seconds * repeats / max(taken, 1e-7)
        repeats = min(max(int(wanted), repeats + 1), 10 * repeats)


def roomy_heap() -> object:
    """Leave free room in the heap, below what is returned, and keep that alive.

    A process that has run for a while has such room. In a new one, each array that is freed may shrink the
    heap, and the next one pays for growing it again: a hundred microseconds for a row.
    """
    blocks = [bytearray(100_000) for _ in range(200)]
    return blocks[-1]


def fastest(rivals: Mapping[str, Callable[[], object]], tries: int = 4) -> str:
    """Return the name of the rival that is fastest, after a quick look."""
    result = race(rivals, rounds=tries, seconds=1e-4)
    return min(rivals, key=lambda name: float(np.min(result.times[name])))
