"""What a model counts, and that many threads count it right."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

import pyembed
from tests.helpers.model_files import TOKEN_TABLE, rows_of_floats, write_model

ROWS = rows_of_floats(100, 32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model.gguf", tensors={TOKEN_TABLE: ROWS.astype(np.float16)})


def test_counts(path: Path) -> None:
    with pyembed.load_model(path) as model:
        assert model.stats()[:5] == (0, 0, 0, 0, 0.0)
        model.embed([1, 2, 3])
        model.embed(np.arange(50), dtype="bfloat16")
        model.embed([])
        with pytest.raises(IndexError):
            model.embed([100])
        stats = model.stats()
    assert stats.n_gathers == 3
    assert stats.n_rows == 53
    assert stats.n_bytes_read == 53 * 32 * 2
    assert stats.n_bytes_written == 3 * 32 * 4 + 50 * 32 * 2
    assert 0 < stats.seconds < 60
    assert stats.n_major_faults >= 0


def test_pooled_rows_count(path: Path) -> None:
    with pyembed.load_model(path) as model:
        ids = np.arange(90) % 100
        model.table.pool(ids, [0, 20, 20, 90])
        model.table.pool([], [0])
        with pytest.raises(IndexError):
            model.table.pool([100], [0, 1])
        stats = model.stats()
    assert stats.n_gathers == 2
    assert stats.n_rows == 90
    assert stats.n_bytes_read == 90 * 32 * 2
    assert stats.n_bytes_written == 3 * 32 * 4
    assert 0 < stats.seconds < 60


def test_threads_lose_no_count(path: Path) -> None:
    with pyembed.load_model(path) as model:
        ids = np.arange(20)

        def gather() -> None:
            for _ in range(500):
                model.embed(ids, threads=1)

        threads = [threading.Thread(target=gather) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stats = model.stats()
    assert (stats.n_gathers, stats.n_rows) == (4000, 80000)


def test_closed(path: Path) -> None:
    model = pyembed.load_model(path)
    model.close()
    with pytest.raises(ValueError, match="closed"):
        model.stats()
