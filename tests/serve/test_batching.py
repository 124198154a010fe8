"""Requests that are worked on together: which ones, and that none suffers from another."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed

pytest.importorskip("starlette")
pytest.importorskip("tokenizers")

from pyembed.serve import batching
from pyembed.serve.batching import Batcher, Job
from pyembed.serve.embedding import Embedded, Embedding, EmbeddingJob, Made, Options, Wanted
from pyembed.serve.errors import Reason, Refused
from pyembed.serve.limits import Limits
from pyembed.serve.models import Given, Models
from pyembed.serve.shapes import read_inputs


def taken_together(sizes: list[int], most: int) -> list[list[int]]:
    """Return the sizes of jobs that were taken together, of some that waited for the same thread."""
    seen: list[list[int]] = []
    busy, go = threading.Event(), threading.Event()

    def work(jobs: Sequence[Job[int]]) -> None:
        busy.set()
        assert go.wait(30)
        seen.append([job.size for job in jobs])
        for job in jobs:
            job.result = job.size

    async def run() -> None:
        loop = asyncio.get_running_loop()
        batcher = Batcher[Job[int]](work, most, "test")
        jobs = [Job[int](size, loop, loop.create_future()) for size in [0, *sizes]]
        batcher.submit(jobs[0])
        await asyncio.to_thread(busy.wait, 30)
        for job in jobs[1:]:
            batcher.submit(job)
        assert len(batcher) == len(sizes)
        go.set()
        assert await asyncio.gather(*(job.future for job in jobs)) == [0, *sizes]
        await asyncio.to_thread(batcher.end)
        with pytest.raises(Refused) as caught:
            batcher.submit(jobs[0])
        assert caught.value.reason is Reason.ENDING

    asyncio.run(run())
    return seen[1:]


def test_what_waits_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "n_threads", lambda: 1)
    assert taken_together([1, 2, 3], 8) == [[1, 2, 3]]
    assert taken_together([1, 2, 3], 2) == [[1, 2], [3]]
    assert taken_together([1, 2, 3], 1) == [[1], [2], [3]]
    large = batching._ENOUGH_BYTES
    assert taken_together([large, 1, 2, large, 3], 8) == [[large], [1, 2, large], [3]]


def test_a_fault_of_the_work_reaches_all_who_wait() -> None:
    def work(jobs: Sequence[Job[int]]) -> None:
        jobs[0].result = 7
        raise MemoryError("none left")

    async def run() -> None:
        loop = asyncio.get_running_loop()
        batcher = Batcher[Job[int]](work, 8, "test")
        first, left = (Job[int](0, loop, loop.create_future()) for _ in range(2))
        left.future.cancel()  # whoever waited has gone
        batcher.submit(left)
        batcher.submit(first)
        with suppress(MemoryError):  # where it is the second of its batch
            assert await first.future == 7
        another = Job[int](0, loop, loop.create_future())
        batcher.submit(another)
        assert await another.future == 7, "the thread goes on"
        await asyncio.to_thread(batcher.end)

    asyncio.run(run())


def embedded(models: Models, requests: list[dict[str, Any]], limits: Limits | None = None) -> list[Any]:
    """Work on requests as one batch; return what each got: its vectors, or what it was refused with."""
    loop = asyncio.new_event_loop()
    vectors: dict[int, Any] = {}

    def reader(number: int) -> Any:
        def answer(made: Made) -> bytes:
            vectors[number] = made.vectors
            return b""

        def read(body: bytes) -> Wanted:
            given = json.loads(body)
            inputs = read_inputs(given.pop("input"), "input")
            return Wanted(inputs, Options(**given), "input", answer)

        return read

    try:
        jobs = [
            EmbeddingJob(1, loop, loop.create_future(), body=json.dumps(one).encode(), read=reader(number))
            for number, one in enumerate(requests)
        ]
        Embedding(models, limits or Limits())(jobs)
    finally:
        loop.close()
    return [
        vectors[number] if isinstance(job.result, Embedded) else job.result for number, job in enumerate(jobs)
    ]


def test_requests_of_all_kinds_in_one_batch(word_model: Path, plain_rows: Path) -> None:
    with (
        Models([Given("words", str(word_model)), Given("rows", str(plain_rows))]) as models,
        pyembed.load_encoder(word_model) as encoder,
    ):
        ids = encoder.tokenize(["the cat"])[0]
        found = embedded(
            models,
            [
                {"model": "words", "input": ["the cat", "a dog"]},
                {"model": "words", "input": ids.tolist()},
                {"model": "words", "input": "the house", "dim": 5},
                {"model": "words", "input": [[3, 99999]]},
                {"model": "rows", "input": [[1, 2]]},
                {"model": "rows", "input": [[3]]},
                {"model": "rows", "input": "the cat"},
                {"model": "words", "input": "a cat", "normalize": False},
                {"model": "words", "input": ["dog"] * 9},
                {"model": "words", "input": "a cat"},
            ],
            Limits(max_client_batch_size=8),
        )
        np.testing.assert_array_equal(found[0], encoder.encode(["the cat", "a dog"]))
        np.testing.assert_array_equal(found[1], encoder.encode(["the cat"]))
        np.testing.assert_array_equal(found[2], encoder.encode(["the house"], dim=5))
        np.testing.assert_array_equal(found[4], models["rows"].table.pool([1, 2], [0, 2]))
        np.testing.assert_array_equal(found[7], encoder.encode(["a cat"], normalize=False))
        np.testing.assert_array_equal(found[9], encoder.encode(["a cat"]))
    reasons = {number: one.reason for number, one in enumerate(found) if isinstance(one, Refused)}
    assert reasons == {
        3: Reason.INVALID,
        5: Reason.NOT_FINITE,
        6: Reason.NO_TOKENIZER,
        8: Reason.TOO_MANY_INPUTS,
    }


def test_an_answer_that_would_be_too_large(word_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyembed.serve.asking._MOST_NUMBERS", 24 * 3)
    with Models([Given("words", str(word_model))]) as models:
        enough, too_much = embedded(models, [{"model": "words", "input": ["cat"] * n} for n in (3, 4)])
    assert enough.shape == (3, 24)
    assert too_much.reason is Reason.TOO_LARGE


def test_a_model_is_not_closed_while_a_batch_uses_it(word_model: Path) -> None:
    with Models([Given("words", str(word_model))]) as models:
        first = models["words"]
        with models.lease("words") as leased:
            models.reload("words")
            assert leased is first
            assert not first.closed
            assert models["words"] is not first
        assert first.closed
        with pytest.raises(KeyError):
            models.reload("others")
    with pytest.raises(pyembed.ClosedError), models.lease("words"):
        pass
