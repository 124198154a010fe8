"""Threads that work on requests: what waits at the same time is taken together, off the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from ..core.processors import n_processors
from .errors import Reason, Refused

Result = TypeVar("Result")

#: Bytes of bodies after which a batch is large enough: then another request gains little by being in it, and
#: the first ones lose by waiting for it.
_ENOUGH_BYTES = 1 << 13
_MOST_THREADS = 8


def n_threads() -> int:
    """Return how many threads work: as many as this process may use processors."""
    return min(n_processors(), _MOST_THREADS)


@dataclass(eq=False)
class Job(Generic[Result]):
    """A request that waits, or is worked on.

    Attributes
    ----------
    size : int
        Bytes of its body.
    arrived : float
        By `time.perf_counter`.
    result : object or BaseException or None
        What became of it; `Batcher` hands it over.
    """

    size: int
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Result]
    arrived: float = field(default_factory=time.perf_counter)
    result: Result | BaseException | None = None

    def hand_over(self) -> None:
        """Give the result to whoever waits; on the loop."""
        if self.future.done():  # whoever waited has gone
            return
        if self.result is None:
            self.future.set_exception(RuntimeError("a job was left without a result"))
        elif isinstance(self.result, BaseException):
            self.future.set_exception(self.result)
        else:
            self.future.set_result(self.result)


J = TypeVar("J", bound=Job)  # type: ignore[type-arg]


class Batcher(Generic[J]):
    """Threads that take jobs in the order in which they came, several at a time where several wait.

    The queue is as long as the server lets requests in: whoever submits holds one of `Gate`'s places.

    Parameters
    ----------
    work : callable
        Takes jobs, and sets the result of each. What it raises is the result of those that have none.
    most : int
        Jobs that are taken together at most.
    name : str
        Of the threads.
    """

    def __init__(self, work: Callable[[Sequence[J]], None], most: int, name: str) -> None:
        self._work, self._most, self._name = work, most, name
        self._waiting: SimpleQueue[J | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._ended = False

    def __len__(self) -> int:
        """Return how many jobs wait."""
        return self._waiting.qsize()

    def submit(self, job: J) -> None:
        """Let a job wait for its turn; on the event loop.

        Raises
        ------
        Refused
            If the server ends.
        """
        if self._ended:
            raise Refused(Reason.ENDING, "the server is shutting down")
        self._waiting.put(job)
        if len(self._threads) < n_threads() and (not self._threads or self._waiting.qsize() > 1):
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def end(self) -> None:
        """Finish what waits, and let the threads end."""
        self._ended = True
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while jobs := self._take():
            try:
                self._work(jobs)
            except BaseException as error:
                for job in jobs:
                    if job.result is None:
                        job.result = error
            _hand_over(jobs)

    def _take(self) -> list[J]:
        """Return the jobs that are next, once there are some; none once the server ends."""
        first = self._waiting.get()
        if first is None:
            return []
        jobs, size = [first], first.size
        while size < _ENOUGH_BYTES and len(jobs) < self._most:
            try:
                another = self._waiting.get_nowait()
            except Empty:
                break
            if another is None:  # for a thread, which still has to end
                self._waiting.put(None)
                break
            jobs.append(another)
            size += another.size
        return jobs


def _hand_over(jobs: Sequence[Job[Result]]) -> None:
    """Give the results to the loop, with one call for all."""

    def all_of_them() -> None:
        for job in jobs:
            job.hand_over()

    try:
        jobs[0].loop.call_soon_threadsafe(all_of_them)
    except RuntimeError:  # the loop is closed: nobody waits any more
        return
