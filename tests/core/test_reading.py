"""Files of bounded size are read in as much memory as they need."""

from __future__ import annotations

import os
import threading
from io import FileIO
from pathlib import Path

import pytest

from pyembed.core.reading import read_at_most

MOST = 64 << 20


class Asked(FileIO):
    """A file that knows how many bytes it was asked for."""

    n_bytes = 0

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None
        assert size >= 0
        self.n_bytes += size
        return super().read(size)


@pytest.mark.parametrize("n_bytes", [0, 1, 1000, 100_000])
def test_a_small_file_takes_little_memory(tmp_path: Path, n_bytes: int) -> None:
    content = os.urandom(n_bytes)
    (tmp_path / "file").write_bytes(content)
    with Asked(tmp_path / "file") as file:
        assert read_at_most(file, MOST) == content
        assert file.n_bytes == n_bytes + 1


@pytest.mark.parametrize("most", [0, 1, 999, 1000, 1001])
def test_no_more_is_read_than_was_asked_for(tmp_path: Path, most: int) -> None:
    content = os.urandom(1000)
    (tmp_path / "file").write_bytes(content)
    with (tmp_path / "file").open("rb") as file:
        assert read_at_most(file, most) == content[:most]


def test_what_is_longer_than_it_says_is_read_to_its_end() -> None:
    reading, writing = os.pipe()
    content = os.urandom(300_000)

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(content)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reading, "rb") as file:
        assert read_at_most(file, MOST) == content
    thread.join()
