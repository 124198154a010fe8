"""Rows that are not in memory: memory budgets, prefetches and tickets."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pyembed
from pyembed.core.budget import budget_bytes
from pyembed.tables.ticket import Ticket
from tests.helpers.children import child

ROWS, COLUMNS = 400_000, 40  # 64 MB of 160-byte rows: four times the least budget
LEAST = 16 << 20
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs what Linux says of pages")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("cold") / "rows.bin"
    expected(np.arange(ROWS)).tofile(made)
    return made


def expected(ids: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return what the file holds: column j of row i is 7 i + j."""
    rows: npt.NDArray[np.float32] = (ids[..., None] * 7 + np.arange(COLUMNS)).astype(np.float32)
    return rows


def open_rows(path: Path, budget: int | str | None = None) -> pyembed.EmbeddingTable:
    return pyembed.open_table(path, shape=(ROWS, COLUMNS), dtype="float32", memory_budget=budget)


@pytest.fixture
def table(path: Path) -> Iterator[pyembed.EmbeddingTable]:
    with open_rows(path) as opened:
        drop(path)
        yield opened


def drop(path: Path) -> None:
    """Drive a file out of the page cache, where the system has a call for that."""
    if not hasattr(os, "posix_fadvise"):
        return
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def resident_bytes(path: Path) -> int:
    """Return what this process has mapped of a file."""
    total, inside = 0, False
    with open("/proc/self/smaps") as lines:
        for line in lines:
            if "-" in line.split(" ", 1)[0] and ":" not in line.split(" ", 1)[0]:
                inside = line.rstrip().endswith(str(path))
            elif inside and line.startswith("Rss:"):
                total += int(line.split()[1]) * 1024
    return total


def random_ids(n: int, seed: int = 0) -> npt.NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, ROWS, n)


# -------------------------------------------------------------------------------------------- budgets


@pytest.mark.parametrize(
    ("given", "n_bytes"),
    [
        (None, 0),
        (5, 5),
        (np.int32(7), 7),
        ("8GiB", 8 << 30),
        (" 1.5 MiB ", 3 << 19),
        ("2gb", 2 * 10**9),
        ("9", 9),
    ],
)
def test_budgets_that_are_understood(given: Any, n_bytes: int) -> None:
    assert budget_bytes(given) == n_bytes


@pytest.mark.parametrize(
    "given", ["", "GiB", "8 gibibytes", "-1MiB", "1e9", 0, -5, 2**63, "9999999TiB", "٣MiB"]
)
def test_budgets_that_make_no_sense(given: Any) -> None:
    with pytest.raises(ValueError, match="memory_budget"):
        budget_bytes(given)


@pytest.mark.parametrize("given", [1.5, True, b"8GiB", []])
def test_budgets_of_other_types(given: Any) -> None:
    with pytest.raises(TypeError, match="memory_budget"):
        budget_bytes(given)


@linux
def test_too_small_a_budget_says_the_least(path: Path) -> None:
    with pytest.raises(ValueError, match=str(LEAST)):
        open_rows(path, LEAST - 1)


@linux
def test_a_row_that_is_too_wide_for_the_budget_says_the_least(path: Path) -> None:
    with pytest.raises(ValueError, match=r"the least for it is \d+ bytes") as caught:
        pyembed.open_table(path, shape=(2, 8_000_000), dtype="float32", memory_budget=LEAST)
    least = int(str(caught.value).split()[-2])
    with pyembed.open_table(path, shape=(2, 8_000_000), dtype="float32", memory_budget=least) as table:
        assert table.gather([1])[0, -1] == np.fromfile(path, np.float32)[-1]


def test_a_budget_needs_a_mapping() -> None:
    with pytest.raises(ValueError, match="mapped"):
        pyembed.load_model(pyembed.demo_model(), load_mode="none", memory_budget="1GiB")


@linux
def test_a_budget_is_kept_under_random_load(path: Path) -> None:
    with open_rows(path, LEAST) as table:
        peak = 0
        for seed in range(40):
            ids = random_ids(3000, seed)
            assert np.array_equal(table.gather(ids), expected(ids))
            peak = max(peak, resident_bytes(path))
        stats = table.stats()
        assert peak <= 1.05 * LEAST
        assert stats.budget_bytes == LEAST
        assert 0 < stats.held_bytes <= LEAST
        assert stats.n_pages_evicted > 0


@linux
def test_a_gather_larger_than_the_budget(path: Path) -> None:
    with open_rows(path, LEAST) as table:
        ids = random_ids(100_000)
        assert np.array_equal(table.gather(ids), expected(ids))
        assert resident_bytes(path) <= 1.05 * LEAST


@linux
def test_what_is_used_again_stays(path: Path) -> None:
    with open_rows(path, LEAST) as table:
        hot = random_ids(500, 99)
        for seed in range(30):
            table.gather(hot)
            table.gather(random_ids(500, seed))
        before = table.stats()
        table.gather(hot)
        after = table.stats()
        assert before.n_pages_evicted > 0
        assert after.n_bytes_fetched - before.n_bytes_fetched < 0.1 * len(hot) * 4096


PASSES: list[Callable[[pyembed.EmbeddingTable], Any]] = [
    lambda table: table.scores(np.ones(COLUMNS)),
    lambda table: table.scores(np.ones((3, COLUMNS)), "cosine"),
    lambda table: table.top(np.ones(COLUMNS), 3).ids,
    lambda table: table.norms,
    lambda table: table.digest(),
    lambda table: table.digest(7),
    lambda table: table.check_rows(0, ROWS, key=bytes(16)),
    lambda table: table.scores(np.ones(COLUMNS), ids=random_ids(50_000)),
    lambda table: table[5:ROWS:3],
]


@linux
@pytest.mark.parametrize("act", PASSES)
def test_passes_over_all_rows_keep_the_budget(
    path: Path, act: Callable[[pyembed.EmbeddingTable], Any]
) -> None:
    with open_rows(path) as table:
        plain = act(table)
    for is_cold in (True, False):
        with open_rows(path, LEAST) as table:
            if is_cold:
                drop(path)
            assert all(map(np.array_equal, np.atleast_1d(act(table)), np.atleast_1d(plain)))
            assert resident_bytes(path) <= 1.05 * LEAST


@linux
def test_a_budget_survives_pickling(path: Path) -> None:
    with open_rows(path, "17MiB") as table, pickle.loads(pickle.dumps(table)) as again:
        assert again.stats().budget_bytes == 17 << 20


@linux
def test_the_child_of_a_fork_keeps_a_budget_of_its_own(path: Path) -> None:
    with open_rows(path, LEAST) as table:
        table.gather(random_ids(3000))
        ticket = table.submit(random_ids(10))
        ticket.wait()
        child = os.fork()
        if child == 0:
            try:
                ids = random_ids(20_000, 5)
                good = (
                    np.array_equal(table.gather(ids), expected(ids)) and resident_bytes(path) <= 1.05 * LEAST
                )
                good = good and np.array_equal(table.submit(ids).wait(), expected(ids))
                try:
                    ticket.wait()
                    good = False
                except ValueError:
                    pass
                os._exit(0 if good else 1)
            except BaseException:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert np.array_equal(table.gather([5]), expected(np.array([5])))


# ------------------------------------------------------------------------------------------- fetching


def test_pages_are_read_once(table: pyembed.EmbeddingTable) -> None:
    ids = random_ids(4000)
    pages = {page for row in ids * COLUMNS * 4 for page in (row // 4096, (row + COLUMNS * 4 - 1) // 4096)}
    assert np.array_equal(table.gather(np.concatenate([ids, ids])), expected(np.concatenate([ids, ids])))
    first = table.stats()
    assert first.n_rows_missed > 0
    assert first.n_bytes_fetched in (0, 4096 * len(pages))  # 0: the file could not be driven out, on tmpfs
    table.gather(ids)
    assert table.stats().n_rows_missed == first.n_rows_missed
    assert first.n_reads <= len(pages)


@linux
def test_a_prefetch_spares_the_gather_the_reading(path: Path, table: pyembed.EmbeddingTable) -> None:
    ids = random_ids(3000)
    table.prefetch(ids)
    deadline = time.monotonic() + 60
    while resident_bytes(path) < 4096 * len(np.unique(ids * COLUMNS * 4 // 4096)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.2)  # the last page is noted after it is mapped
    before = table.stats()
    assert np.array_equal(table.gather(ids), expected(ids))
    after = table.stats()
    assert (after.n_prefetches, after.n_prefetches_lost) == (1, 0)
    assert after.n_rows_missed == 0
    assert after.n_bytes_fetched == before.n_bytes_fetched


@pytest.mark.parametrize("ids", [[ROWS], [-1], [0, 5, ROWS + 3]])
def test_a_prefetch_of_no_rows(table: pyembed.EmbeddingTable, ids: list[int]) -> None:
    with pytest.raises(IndexError, match=str(ROWS)):
        table.prefetch(ids)


# -------------------------------------------------------------------------------------------- tickets


def test_a_ticket_brings_the_rows(table: pyembed.EmbeddingTable) -> None:
    ids = random_ids(1000).reshape(10, 100)
    out = np.empty((10, 100, COLUMNS), np.float32)
    ticket = table.submit(ids, out=out)
    assert ticket.wait() is out
    assert ticket.wait() is out
    assert ticket.done()
    assert np.array_equal(out, expected(ids))


def test_the_ids_are_copied(table: pyembed.EmbeddingTable) -> None:
    ids = random_ids(1000)
    kept = ids.copy()
    ticket = table.submit(ids)
    ids[:] = -1
    assert np.array_equal(ticket.wait(), expected(kept))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_tickets_of_other_types(table: pyembed.EmbeddingTable, dtype: Any) -> None:
    ids = random_ids(100)
    assert np.array_equal(table.submit(ids, dtype=dtype).wait(), table.gather(ids, dtype=dtype))


def test_rows_of_out_at_equal_distances(table: pyembed.EmbeddingTable) -> None:
    ids = random_ids(50)
    wide = np.zeros((50, COLUMNS + 8), np.float32)
    table.submit(ids, out=wide[:, :COLUMNS]).wait()
    assert np.array_equal(wide[:, :COLUMNS], expected(ids))
    assert not wide[:, COLUMNS:].any()


def test_rows_of_out_at_unequal_distances_are_refused(table: pyembed.EmbeddingTable) -> None:
    out = np.empty((4, 3, COLUMNS), np.float32)[::2, ::2]
    with pytest.raises(ValueError, match="distances"):
        table.submit(random_ids(4).reshape(2, 2), out=out)


def test_an_id_that_is_no_row_shows_when_it_is_waited_for(table: pyembed.EmbeddingTable) -> None:
    out = np.zeros((2, COLUMNS), np.float32)
    ticket = table.submit(np.array([0, ROWS]), out=out)
    for _ in range(2):
        with pytest.raises(IndexError, match=f"position 1 is {ROWS}"):
            ticket.wait()
    assert not out.any()


def test_a_ticket_outlives_its_table(path: Path) -> None:
    table = open_rows(path)
    drop(path)
    ids = random_ids(5000)
    ticket = table.submit(ids)
    table.close()
    with pytest.raises(pyembed.ClosedError):
        table.submit(ids)
    with pytest.raises(pyembed.ClosedError):
        table.prefetch(ids)
    assert np.array_equal(ticket.wait(), expected(ids))


IN_A_CIRCLE = """
import gc
import numpy as np

for _ in range(20):
    model = pyembed.load_model(pyembed.demo_model(), validate="off")
    circle = [model, model.table, model.table.submit(np.arange(100))]
    circle.append(circle)
    del model, circle
    gc.collect()
"""


@pytest.mark.posix
def test_garbage_in_a_circle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The collector closes what refers to itself in any order: a table before its ticket too."""
    # What is freed holds nothing at once that could pass for a table.
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0:glibc.malloc.perturb=165")
    done = child(IN_A_CIRCLE)
    assert done.returncode == 0, done.stderr


def test_tickets_collected_in_other_threads(table: pyembed.EmbeddingTable) -> None:
    wanted = [random_ids(200, seed) for seed in range(64)]
    tickets = [table.submit(ids) for ids in wanted]
    good: list[bool] = []

    def collect(mine: list[int]) -> None:
        good.extend(np.array_equal(tickets[i].wait(), expected(wanted[i])) for i in mine)

    threads = [threading.Thread(target=collect, args=(list(range(n, 64, 4)),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert good == [True] * 64


def test_a_cancelled_ticket_ends(table: pyembed.EmbeddingTable) -> None:
    tickets = [table.submit(random_ids(20_000, seed)) for seed in range(12)]
    for ticket in tickets:
        ticket.cancel()
    outcomes = []
    for ticket in tickets:
        try:
            outcomes.append(ticket.wait().shape == (20_000, COLUMNS))
        except pyembed.LoadCancelledError:
            outcomes.append(False)
    assert not all(outcomes)


def test_tickets_that_nobody_waits_for(table: pyembed.EmbeddingTable) -> None:
    for seed in range(50):
        table.submit(random_ids(500, seed))
    gc.collect()
    ids = random_ids(10)
    assert np.array_equal(table.submit(ids).wait(), expected(ids))


def test_awaiting_does_not_block_the_loop(table: pyembed.EmbeddingTable) -> None:
    async def one(seed: int) -> bool:
        ids = random_ids(2000, seed)
        return np.array_equal(await table.submit(ids), expected(ids))

    async def all_of_them() -> tuple[list[bool], int]:
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                beats += 1
                await asyncio.sleep(0)

        heart = asyncio.create_task(beat())
        results = await asyncio.gather(*(one(seed) for seed in range(20)))
        heart.cancel()
        return list(results), beats

    n_files = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    results, beats = asyncio.run(all_of_them())
    assert results == [True] * 20
    assert beats > 0
    if n_files:
        assert len(os.listdir("/proc/self/fd")) <= n_files


def test_awaiting_raises_what_waiting_does(table: pyembed.EmbeddingTable) -> None:
    async def wait() -> None:
        await table.submit([ROWS])

    with pytest.raises(IndexError):
        asyncio.run(wait())


def test_awaiting_may_be_given_up(table: pyembed.EmbeddingTable) -> None:
    async def give_up() -> Ticket[Any]:
        ticket = table.submit(random_ids(50_000))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(_await(ticket), 0)
        return ticket

    async def _await(ticket: Ticket[Any]) -> Any:
        return await ticket

    assert np.array_equal(asyncio.run(give_up()).wait(), expected(random_ids(50_000)))


def test_a_ticket_with_a_window(table: pyembed.EmbeddingTable) -> None:
    ids = np.array([5, -3, ROWS + 9, 11])
    rows = table.submit(ids, window=(0, 10)).wait()
    assert np.array_equal(rows, table.gather(ids, window=(0, 10)))
    assert np.array_equal(rows[0], expected(ids[:1])[0])
    assert not rows[1:].any()


def test_a_ticket_of_raw_rows(table: pyembed.EmbeddingTable) -> None:
    ids = random_ids(20)
    codes, scales = np.empty((20, COLUMNS * 4), np.uint8), np.empty((20, 0), np.uint8)
    both = (codes, scales)
    assert table.submit(ids, dtype="raw", out=both).wait() is both
    assert np.array_equal(codes.view(np.float32), expected(ids))


@linux
def test_a_window_spares_the_pages_outside_it(table: pyembed.EmbeddingTable) -> None:
    table.gather(random_ids(5000), window=(0, 0))
    assert table.stats().n_rows_missed == 0
