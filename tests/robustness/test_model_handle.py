"""Models that are swapped while threads and tasks use them."""

from __future__ import annotations

import asyncio
import gc
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest

import pyembed
from tests.helpers.model_files import TOKEN_TABLE, rows_of_floats, write_model

N_ROWS, N_COLUMNS = 50, 8


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Return two models whose rows differ by 1000."""
    rows = rows_of_floats(N_ROWS, N_COLUMNS)
    return [
        write_model(tmp_path / f"{number}.gguf", tensors={TOKEN_TABLE: rows + 1000 * number})
        for number in range(2)
    ]


def load(path: Path) -> pyembed.Model:
    return pyembed.load_model(path, validate="off")


def test_a_lease_keeps_its_model_open(paths: list[Path]) -> None:
    first, second = map(load, paths)
    handle = pyembed.ModelHandle(first)
    assert handle.model is first
    with handle.lease() as leased:
        with handle.lease():
            handle.swap(second)
            assert handle.n_leases == 2
        assert leased is first
        assert not first.closed
        with handle.lease() as next_one:
            assert next_one is second
        leased.embed([1])
    assert first.closed
    assert not second.closed
    handle.close()
    handle.close()
    assert second.closed
    assert handle.closed


def test_without_leases_the_old_model_is_closed_at_once(paths: list[Path]) -> None:
    first, second = map(load, paths)
    with pyembed.ModelHandle(first) as handle:
        handle.swap(second)
        assert first.closed
        handle.swap(second)
        assert not second.closed, "it replaces itself"
    assert second.closed


def test_what_a_block_raises_ends_its_lease(paths: list[Path]) -> None:
    first, second = map(load, paths)
    handle = pyembed.ModelHandle(first)

    def request() -> None:
        with handle.lease() as model:
            handle.swap(second)
            model.embed([N_ROWS])

    with pytest.raises(IndexError):
        request()
    assert first.closed
    assert handle.n_leases == 0
    lease = handle.lease()
    lease.__enter__()
    handle.close()
    assert not second.closed
    del lease
    gc.collect()
    assert second.closed, "a block that nobody ends any more holds nothing"


def test_back_to_a_model_that_is_still_in_use(paths: list[Path]) -> None:
    first, second = map(load, paths)
    handle = pyembed.ModelHandle(first)
    with handle.lease():
        handle.swap(second)
        handle.swap(first)
        assert second.closed
    assert not first.closed
    assert handle.model is first
    handle.close()
    assert first.closed


def test_what_is_refused(paths: list[Path]) -> None:
    first, second = map(load, paths)
    handle = pyembed.ModelHandle(first)
    second.close()
    with pytest.raises(pyembed.ClosedError, match="is closed"):
        handle.swap(second)
    with pytest.raises(TypeError, match="expected a Model, got str"):
        handle.swap(str(paths[0]))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="leases of its own process"):
        pickle.dumps(handle)
    assert handle.model is first
    assert not first.closed
    handle.close()
    third = load(paths[1])
    for call in (lambda: handle.swap(third), lambda: handle.lease().__enter__(), lambda: handle.model):
        with pytest.raises(pyembed.ClosedError, match="the handle is closed"):
            call()
    with pytest.raises(pyembed.ClosedError), handle:
        pass
    assert not third.closed, "what was not taken is the caller's"
    assert "closed" in repr(handle)
    third.close()


def test_swaps_under_load(paths: list[Path]) -> None:
    rows = rows_of_floats(N_ROWS, N_COLUMNS)
    handle = pyembed.ModelHandle(load(paths[0]))
    stop, wrong, n_served = threading.Event(), [], [0] * 4

    def serve(worker: int) -> None:
        ids = np.arange(worker, N_ROWS, 4)
        try:
            while not stop.is_set():
                with handle.lease() as model:
                    number = int(Path(model.path).stem)
                    for _ in range(3):  # all of a request comes from one model
                        np.testing.assert_array_equal(model.embed(ids), rows[ids] + 1000 * number)
                n_served[worker] += 1
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=serve, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    replaced = []
    for number in range(300):
        replaced.append(handle.model)
        handle.swap(load(paths[(number + 1) % 2]))
    while min(n_served) < 20 and not wrong:
        stop.wait(0.01)
    stop.set()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert all(model.closed for model in replaced)
    assert handle.n_leases == 0
    assert not handle.model.closed
    handle.close()


def test_tasks_that_work_in_threads(paths: list[Path]) -> None:
    async def main() -> list[float]:
        handle = pyembed.ModelHandle(load(paths[0]))

        async def request() -> float:
            with handle.lease() as model:
                await asyncio.sleep(0)
                rows = await asyncio.to_thread(model.embed, [3])
                return float(rows[0, 0])

        async def swap() -> None:
            for number in range(20):
                new = await asyncio.to_thread(load, paths[(number + 1) % 2])
                handle.swap(new)
                await asyncio.sleep(0)

        results = await asyncio.gather(swap(), *(request() for _ in range(100)))
        handle.close()
        assert handle.n_leases == 0
        return results[1:]

    first = float(rows_of_floats(N_ROWS, N_COLUMNS)[3, 0])
    assert set(asyncio.run(main())) <= {first, np.float32(first + 1000)}
