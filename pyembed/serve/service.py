"""What routes share: the models, what clients may ask for, the threads that work, and what is counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .batching import Batcher, Job
from .embedding import Embedded, Embedding, EmbeddingJob, Wanted
from .errors import Refused
from .limits import Limits
from .metrics import Metrics
from .models import Models


@dataclass(eq=False)
class _Call(Job[bytes]):
    """A request that is worked on alone."""

    make: Callable[[], bytes] = bytes


def _work(jobs: Sequence[_Call]) -> None:
    for job in jobs:
        job.result = job.make()


class Service:
    """The part of a server that knows nothing of HTTP.

    Parameters
    ----------
    models : Models
    limits : Limits
    """

    def __init__(self, models: Models, limits: Limits) -> None:
        self.models, self.limits = models, limits
        self.n_active = 0
        self._embedding = Batcher[EmbeddingJob](
            Embedding(models, limits), limits.max_batch_requests, "pyembed-embedding"
        )
        self._calls = Batcher[_Call](_work, 1, "pyembed-calls")
        self.metrics = Metrics(
            {
                "te_queue_size": ("Requests for vectors that wait.", lambda: len(self._embedding)),
                "pyembed_active_requests": ("Requests that are read or worked on.", lambda: self.n_active),
            }
        )

    async def embed(self, body: bytes, read: Callable[[bytes], Wanted]) -> Embedded:
        """Return the answer to a request for vectors; `read` makes of its body what is wanted.

        Raises
        ------
        Refused
            What `read` raises, and what is wrong with the inputs.
        """
        begin = time.perf_counter()
        loop = asyncio.get_running_loop()
        job = EmbeddingJob(len(body), loop, loop.create_future(), body=body, read=read)
        self._embedding.submit(job)
        try:
            done = await job.future
        except Exception as error:
            self.metrics.count("te_request_count", method="unknown")
            err = error.reason.name.lower() if isinstance(error, Refused) else "inference"
            self.metrics.count("te_request_failure", err=err)
            raise
        self.metrics.embedded(done, time.perf_counter() - begin)
        return done

    async def call(self, make: Callable[[], bytes]) -> bytes:
        """Return what a function returns that may take long, run by another thread."""
        loop = asyncio.get_running_loop()
        job = _Call(0, loop, loop.create_future(), make=make)
        self._calls.submit(job)
        return await job.future

    def end(self) -> None:
        """Finish what waits; the models stay open."""
        self._embedding.end()
        self._calls.end()
