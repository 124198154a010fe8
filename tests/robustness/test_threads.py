"""Many threads and one model: whatever is made when it is first asked for, they all ask for at once."""

from __future__ import annotations

import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import pyembed
from pyembed.core.callbacks import ProgressRelay
from tests.helpers.children import child

N_THREADS = 8


@pytest.fixture(autouse=True)
def impatient() -> Iterator[None]:
    """Let threads take turns after every few instructions, where an interpreter has them take turns."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def together(work: Callable[[int], Any], n: int = N_THREADS) -> list[Any]:
    """Return what `work` returns for 0 to `n` - 1, each called in its own thread, all at the same time."""
    start = threading.Barrier(n)
    results: list[Any] = [None] * n
    raised: list[BaseException] = []

    def run(number: int) -> None:
        try:
            start.wait(60)
            results[number] = work(number)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    if raised:
        raise raised[0]
    return results


QUERIES = np.random.default_rng(3).standard_normal((2, 128)).astype(np.float32)
WORDS = ("file", "string", "number", "[CLS]")
#: Each says one thing about a model; between them they fill everything that is filled lazily.
FACTS: dict[str, Callable[[pyembed.Model], Any]] = {
    "rows": lambda model: model.embed([1, 2, 5285]),
    "rows of int32": lambda model: model.embed(np.arange(9, dtype=np.int32), dtype="bfloat16"),
    "rows by workers": lambda model: model.embed(np.arange(5286), threads=2, dtype="float16"),
    "norms": lambda model: model.table.norms,
    "scores": lambda model: model.table.scores(QUERIES, "cosine"),
    "top": lambda model: model.table.top(QUERIES, 5).ids,
    "digest of rows": lambda model: model.table.digest(),
    "digest of tokens": lambda model: model.vocabulary.digest,
    "token scores": lambda model: model.vocabulary.scores,
    "token types": lambda model: model.vocabulary.types,
    "special": lambda model: dict(model.vocabulary.special),
    "ids": lambda model: [model.vocabulary.id(model.vocabulary[i].text) for i in range(0, 5286, 500)],
    "words": lambda model: [model.vocabulary.find(word) for word in WORDS],
    "neighbours": lambda model: [neighbour.id for neighbour in model.nearest("file", 3)],
    "metadata": lambda model: [str(value) for value in dict(model.metadata).values()],
    "tensors": lambda model: list(dict(model.tensors).values()),
    "recipe": lambda model: str(model.input_recipe),
    "change": lambda model: model.check(),
    "order": lambda model: model.validate("order").ok,
}


@pytest.mark.parametrize("load_mode", ["mmap", "none"])
def test_everything_is_first_asked_for_at_once(load_mode: str) -> None:
    with pyembed.load_model(pyembed.demo_model()) as model:
        alone = {name: fact(model) for name, fact in FACTS.items()}
    names = list(FACTS)
    for turn in range(6):
        with pyembed.load_model(pyembed.demo_model(), load_mode=load_mode, validate="off") as model:

            def ask(number: int, model: pyembed.Model = model, turn: int = turn) -> dict[str, Any]:
                # In some turns all threads begin with the same fact, in others each with one of its own.
                first = (turn * 7 + number * (turn % 2)) % len(names)
                return {name: FACTS[name](model) for name in names[first:] + names[:first]}

            for found in together(ask):
                for name in names:
                    np.testing.assert_array_equal(found[name], alone[name], err_msg=name)


def test_what_is_one_object_is_one_for_all_threads() -> None:
    one: dict[str, Callable[[pyembed.Model], Any]] = {
        "table": lambda model: model.table,
        "vocabulary": lambda model: model.vocabulary,
        "texts": lambda model: model.metadata["tokenizer.ggml.tokens"],
        "types": lambda model: model.metadata["tokenizer.ggml.token_type"],
    }
    for name, get in one.items():
        for _ in range(20):
            with pyembed.load_model(pyembed.demo_model(), validate="off") as model:
                found = together(lambda _, model=model, get=get: get(model))
                assert all(item is found[0] for item in found), name


def test_no_gather_is_counted_twice_or_not_at_all() -> None:
    n, ids = 200, np.arange(3)
    with pyembed.load_model(pyembed.demo_model(), validate="off") as model:

        def gather(_: int) -> None:
            for _ in range(n):
                model.embed(ids)

        together(gather)
        stats = model.stats()
        assert (stats.n_gathers, stats.n_rows) == (n * N_THREADS, 3 * n * N_THREADS)
        assert stats.n_bytes_written == 3 * n * N_THREADS * 128 * 4


def test_each_opens_and_closes_its_own() -> None:
    with pyembed.open_table(pyembed.demo_model()) as table:
        rows = table.gather(range(100))

    def work(number: int) -> None:
        for turn in range(20):
            if (number + turn) % 2:
                with pyembed.load_model(pyembed.demo_model(), load_mode="none") as model:
                    np.testing.assert_array_equal(model.embed(range(100)), rows)
            else:
                with pyembed.open_table(pyembed.demo_model()) as own:
                    np.testing.assert_array_equal(own.gather(range(100)), rows)

    together(work)


def test_closing_while_progress_is_told() -> None:
    """What is reported after the end reaches nobody, and is not an error."""
    for _ in range(200):
        relay = ProgressRelay(lambda done, total: True)

        def work(number: int, relay: ProgressRelay = relay) -> None:
            if number == 0:
                relay.callback = None
            else:
                assert [relay.tell(i, 50) for i in range(50)] == [1] * 50

        together(work, 3)


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python has the lock")
def test_the_interpreters_lock_stays_off() -> None:
    """A module that does not say that it needs no lock would switch it on, with a warning."""
    program = """
import warnings
from pyembed import _native
assert not sys._is_gil_enabled(), "the lock is on"
with pyembed.load_model(pyembed.demo_model()) as model:
    model.embed([1, 2])
assert not sys._is_gil_enabled(), "the lock went on"
"""
    done = child(program)
    assert done.returncode == 0, done.stderr
    assert "RuntimeWarning" not in done.stderr
