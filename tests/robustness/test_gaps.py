"""A gap in a mapped file is seen wherever it is: also inside its last page, and under faulthandler."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import pyembed
from pyembed.export import export
from tests.helpers.children import child, output_of
from tests.helpers.gguf_bytes import ARRAY, F32, I32, STRING, Array, GGUFBytes

#: Windows lets nobody cut a file that is mapped.
cuts_mapped_files = pytest.mark.posix
PAGE = 4096
N_ROWS, N_COLUMNS = 64, 64  # 256 bytes a row, 16 KiB


QUERY = np.ones(N_COLUMNS, np.float32)
CALLS: dict[str, Callable[[pyembed.EmbeddingTable], object]] = {
    "gather one": lambda table: table.gather(N_ROWS - 1),
    "gather some": lambda table: table.gather(range(N_ROWS - 16, N_ROWS)),
    "gather all": lambda table: table.gather(np.arange(N_ROWS).repeat(4)),
    "gather float16": lambda table: table.gather([N_ROWS - 1], dtype="float16"),
    "scores": lambda table: table.scores(QUERY),
    "top": lambda table: table.top(QUERY, 1),
    "cosine": lambda table: table.top(QUERY, 1, metric="cosine"),
    "digest": lambda table: table.digest(),
    "check_rows": lambda table: table.check_rows(0, N_ROWS),
}


@cuts_mapped_files
@pytest.mark.parametrize("lost", [1, 255, 256, 4095, PAGE + 1, 2 * PAGE - 1])
@pytest.mark.parametrize("call", CALLS)
def test_bytes_lost_inside_a_page(tmp_path: Path, call: str, lost: int) -> None:
    path = tmp_path / "t.bin"
    np.ones((N_ROWS, N_COLUMNS), np.float32).tofile(path)
    with pyembed.open_table(path, shape=(N_ROWS, N_COLUMNS), dtype="float32") as table:
        os.truncate(path, path.stat().st_size - lost)
        with pytest.raises(OSError, match="truncated"):
            CALLS[call](table)
        with pytest.raises(OSError, match="truncated"):
            table.gather(0)  # the flag stays


def test_rows_before_the_gap_and_rows_of_zeros_are_read(tmp_path: Path) -> None:
    path = tmp_path / "t.bin"
    rows = np.zeros((N_ROWS, N_COLUMNS), np.float32)
    rows[0] = 1
    rows.tofile(path)
    with pyembed.open_table(path, shape=(N_ROWS, N_COLUMNS), dtype="float32") as table:
        assert np.array_equal(table.gather(range(N_ROWS)), rows)
        assert np.array_equal(table.gather(N_ROWS - 1), rows[-1])
        with open(path, "ab") as file:
            file.write(b"more")
        assert np.array_equal(table.gather(N_ROWS - 1), rows[-1])


@cuts_mapped_files
def test_a_row_in_the_middle_of_a_file_that_ends_there(tmp_path: Path) -> None:
    path = tmp_path / "t.bin"
    np.ones((N_ROWS, N_COLUMNS), np.float32).tofile(path)
    with pyembed.open_table(path, shape=(N_ROWS, N_COLUMNS), dtype="float32") as table:
        os.truncate(path, PAGE + 100)
        assert np.array_equal(table.gather(3), np.ones(N_COLUMNS))  # in the first page, which is whole
        with pytest.raises(OSError, match="truncated"):
            table.gather(20)  # in the second, which ends after 100 bytes


@cuts_mapped_files
def test_texts_lost_inside_the_last_page(tmp_path: Path) -> None:
    n = 400
    builder = (
        GGUFBytes().add("general.architecture", STRING, "llama").add("tokenizer.ggml.model", STRING, "llama")
    )
    builder.add("tokenizer.ggml.scores", ARRAY, Array(F32, [1.0] * n))
    builder.add("tokenizer.ggml.token_type", ARRAY, Array(I32, [1] * n))
    builder.add("tokenizer.ggml.tokens", ARRAY, Array(STRING, [f"token{i:05}" for i in range(n)]))
    path = tmp_path / "m.gguf"
    data = bytes(builder)
    calls: list[Callable[[pyembed.Model], object]] = [
        lambda model: model.vocabulary[n - 1],
        lambda model: model.vocabulary.tokens[n - 1],
        lambda model: model.vocabulary.digest,
        lambda model: list(model.vocabulary),
        lambda model: model.vocabulary.id(f"token{n - 1:05}"),
        lambda model: model.vocabulary.examine(),
    ]
    for call in calls:
        path.write_bytes(data)
        with pyembed.load_model(path, validate="off", vocab_only=True) as model:
            assert model.vocabulary.id("token00000") == 0
            os.truncate(path, len(data) - 100)
            with pytest.raises(OSError, match="truncated"):
                call(model)


@cuts_mapped_files
def test_an_export_of_a_file_that_loses_its_end(tmp_path: Path) -> None:
    path = tmp_path / "t.bin"
    np.ones((N_ROWS, N_COLUMNS), np.float32).tofile(path)
    with pyembed.open_table(path, shape=(N_ROWS, N_COLUMNS), dtype="float32") as table:
        os.truncate(path, path.stat().st_size - 300)
        with pytest.raises(OSError, match="truncated"):
            export(table, tmp_path / "x.npy")
    assert not (tmp_path / "x.npy").exists()


FAULTHANDLER = """
import faulthandler
t = pyembed.open_table(sys.argv[1], shape=(-1, 1024), dtype="float32")
faulthandler.enable()
os.truncate(sys.argv[1], int(sys.argv[2]))
refused(lambda: t.gather(np.arange(len(t)), threads=4))
"""


@cuts_mapped_files
@pytest.mark.parametrize("left", [0, 4097, 32 << 20])
def test_faulthandler_and_threads_that_meet_the_gap_at_once(tmp_path: Path, left: int) -> None:
    for _ in range(5):
        path = tmp_path / "t.bin"
        with open(path, "wb") as file:
            file.truncate(64 << 20)
        output_of(FAULTHANDLER, path, left)


HOLE = """
import faulthandler
with open(sys.argv[1], "wb") as file:
    file.truncate(64 << 20)
    file.seek(-4096, 2)
    file.write(b"x" * 4096)
t = pyembed.open_table(sys.argv[1], shape=(-1, 1024), dtype="float32")
faulthandler.enable()
refused(lambda: t.gather(np.arange(len(t)), threads=2))
"""


@pytest.mark.posix
def test_faulthandler_and_a_hole_in_the_middle(tmp_path: Path) -> None:
    """Of a sparse file on a full file system a page in the middle cannot be had, the last one can."""
    if os.geteuid() != 0:
        pytest.skip("a full file system has to be mounted")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        output_of(HOLE, disk / "t.bin")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@cuts_mapped_files
def test_a_signal_that_is_raised_still_ends_the_process(tmp_path: Path) -> None:
    """What no mapping has to do with goes where it went before, also after a gap was met and closed."""
    path = tmp_path / "t.bin"
    np.ones((N_ROWS, N_COLUMNS), np.float32).tofile(path)
    program = """
t = pyembed.open_table(sys.argv[1], shape=(64, 64), dtype="float32")
os.truncate(sys.argv[1], 0)
refused(lambda: t.gather(0))
t.close()
other = pyembed.load_model(pyembed.demo_model())
signal.raise_signal(signal.SIGBUS)
"""
    assert child(program, path).returncode == -7
