"""Forks at random moments: parent and child both go on, with the same results, and neither waits for ever."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import pyembed

from . import Tally
from .models import chance, pick, sample

_PATIENCE = 60.0


def case(rng: np.random.Generator, folder: Path, tally: Tally) -> None:
    """Fork a few times from a process in which other threads use the same model."""
    made = sample(rng, folder)
    model = pyembed.load_model(made.path, validate="off") if made.format in ("gguf", "split") else None
    table = model.table if model is not None else pyembed.open_table(made.path)
    rows = np.random.default_rng(1).standard_normal((20_000, 64)).astype(np.float16)
    rows.tofile(folder / "wide.bin")
    wide = pyembed.open_table(folder / "wide.bin", shape=(-1, 64), dtype="float16")
    work = _Work(model, table, wide, made)
    stop = threading.Event()
    errors: list[BaseException] = []

    def serve(seed: int) -> None:
        own = np.random.default_rng(seed)
        try:
            while not stop.is_set():
                work.once(own)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=serve, args=(i,)) for i in range(int(rng.integers(0, 3)))]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            time.sleep(float(rng.random()) * 0.01)
            if chance(rng, 0.5):
                _fork_between_calls(rng, work, tally)
            else:
                _fork_in_a_callback(rng, work, tally)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        (model or table).close()
        wide.close()
    assert not errors, f"in the parent: {errors[0]!r}"


class _Work:
    """Calls whose results are known."""

    def __init__(self, model: Any, table: Any, wide: Any, made: Any) -> None:
        self.model, self.table, self.wide, self.made = model, table, wide, made
        self.everything = table.gather(np.arange(made.shape[0]))
        self.query = np.random.default_rng(2).standard_normal((8, 64)).astype(np.float32)
        self.best = wide.top(self.query, 9, threads=1)
        self.scores = wide.scores(self.query, threads=1)
        self.digest = wide.digest()

    def once(self, rng: np.random.Generator) -> None:
        threads = pick(rng, [1, 2, 4])
        kind = int(rng.integers(7))
        if kind == 0:
            ids = rng.integers(0, self.made.shape[0], 50)
            assert self.table.gather(ids, threads=threads).tobytes() == self.everything[ids].tobytes()
        elif kind == 1:
            self.check(self.wide.top(self.query, 9, threads=threads))
        elif kind == 2:
            assert self.wide.scores(self.query, threads=threads).tobytes() == self.scores.tobytes()
        elif kind == 3:
            assert self.wide.digest() == self.digest
        elif kind == 4 and self.model is not None:
            text = self.model.vocabulary.tokens[0]
            assert self.model.vocabulary.id(text) == 0
        elif kind == 5 and self.model is not None:
            with pyembed.load_model(self.made.path, validate="off") as again:
                assert again.embed([0]).tobytes() == self.everything[:1].tobytes()
        else:
            ids = np.arange(len(self.wide))
            rows = self.wide.gather(ids, threads=threads)
            assert rows.shape == self.wide.shape

    def check(self, top: Any) -> None:
        assert np.array_equal(top.ids, self.best.ids), "the best rows"
        assert np.array_equal(top.scores, self.best.scores), "their scores"


def _fork() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads is what this is about
        return os.fork()


def _in_the_child(rng: np.random.Generator, work: _Work) -> None:
    """Use everything, then end without what the parent would do at its end."""
    status = 1
    try:
        for _ in range(10):
            work.once(rng)
        status = 0
    finally:
        os._exit(status)


def _wait(child: int, what: str, tally: Tally) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            assert status == 0, f"{what}: the child ended with status {status}"
            tally[what] += 1
            return
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError(f"{what}: the child hangs")


def _fork_between_calls(rng: np.random.Generator, work: _Work, tally: Tally) -> None:
    child = _fork()
    if child == 0:
        _in_the_child(rng, work)
    work.once(rng)
    _wait(child, "forked between calls", tally)


def _fork_in_a_callback(rng: np.random.Generator, work: _Work, tally: Tally) -> None:
    children: list[int] = []
    when = int(rng.integers(0, 4))
    n_calls = 0

    def progress(text: str, done: float) -> None:
        nonlocal n_calls
        if n_calls == when and not children:
            children.append(_fork())
        n_calls += 1

    threads = pick(rng, [1, 2, 4])
    top = work.wide.top(work.query, 9, threads=threads, progress=progress)
    if children == [0]:
        status = 1
        try:
            work.check(top)
            work.once(rng)
            status = 0
        finally:
            os._exit(status)
    work.check(top)
    if children:
        _wait(children[0], "forked in a callback", tally)
    else:
        tally["called too seldom to fork"] += 1
