"""Disks and systems that fail while rows are fetched: an error where it is waited for, or another way."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.children import PRELUDE, SANITIZED, output_of
from tools.native import PROGRAMS

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="preloads"),
    pytest.mark.skipif(SANITIZED, reason="preloads"),
]

ROWS, COLUMNS = 150_000, 40
HALF = ROWS * COLUMNS * 4 // 2

OPENED = f"""
import errno
ROWS, COLUMNS, HALF = {ROWS}, {COLUMNS}, {HALF}
path = sys.argv[1]
budget = sys.argv[2] if len(sys.argv) > 2 else None
table = pyembed.open_table(path, shape=(ROWS, COLUMNS), dtype="float32", memory_budget=budget)
rng = np.random.default_rng(1)

def expected(ids):
    return (np.asarray(ids)[..., None] * 7 + np.arange(COLUMNS)).astype(np.float32)

good = rng.integers(0, ROWS // 2 - 1000, 3000)
bad = np.concatenate([good, [ROWS - 1]])
"""

EVERYTHING_WORKS = """
for _ in range(2):
    assert np.array_equal(table.gather(good), expected(good))
tickets = [table.submit(good[i::20]) for i in range(20)]
for i, ticket in enumerate(tickets):
    assert np.array_equal(ticket.wait(), expected(good[i::20]))
table.prefetch(rng.integers(0, ROWS, 3000))
print(table.stats())
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("bad") / "rows.bin"
    (np.arange(ROWS)[:, None] * 7 + np.arange(COLUMNS)).astype(np.float32).tofile(made)
    return made


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler is installed")
    made = tmp_path_factory.mktemp("shim") / "bad_disk.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", made, PROGRAMS / "bad_disk.c", "-ldl"]
    subprocess.run(command, check=True)
    return made


def run(shim: Path, how: str, program: str, *arguments: object) -> str:
    environment = {**os.environ, "LD_PRELOAD": str(shim), "BAD_DISK": how, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PRELUDE + OPENED + program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("budget", [[], ["16MiB"]])
@pytest.mark.parametrize("how", ["", "eintr", "eagain=5", "threads", "populate", "threads eintr populate"])
def test_what_is_overcome(shim: Path, path: Path, how: str, budget: list[str]) -> None:
    printed = run(shim, how, EVERYTHING_WORKS, path, *budget)
    assert ("touch" if "populate" in how else "populate") in printed
    assert "n_prefetches_lost=" + ("1" if "threads" in how else "0") in printed


def test_a_disk_that_fails(shim: Path, path: Path) -> None:
    run(
        shim,
        f"eio={HALF}",
        """
def fails(call):
    try:
        call()
    except OSError as error:
        assert error.errno == errno.EIO, error
        assert f"at byte {(ROWS - 1) * COLUMNS * 4 // 4096 * 4096}" in str(error), error
        return
    raise AssertionError("no error")

fails(lambda: table.gather(bad))
out = np.full((len(bad), COLUMNS), -1, np.float32)
tickets = [table.submit(bad, out=out), table.submit([ROWS - 1]), table.submit(good)]
for _ in range(2):
    fails(tickets[0].wait)
    fails(tickets[1].wait)
    assert np.array_equal(tickets[2].wait(), expected(good))
assert (out == -1).all()
table.prefetch(bad)
deadline = time.monotonic() + 30
while table.stats().n_prefetches_lost == 0 and time.monotonic() < deadline:
    time.sleep(0.01)
assert table.stats().n_prefetches_lost == 1
assert np.array_equal(table.gather(good), expected(good))
""",
        path,
    )


def test_a_disk_that_never_wants_to_wait(shim: Path, path: Path) -> None:
    run(
        shim,
        "eagain=1000000",
        """
ticket = table.submit([5])
for call in (lambda: table.gather([5]), ticket.wait):
    try:
        call()
    except BlockingIOError:
        continue
    raise AssertionError("no error")
""",
        path,
    )


def test_a_folder_that_cannot_be_read_to_its_end(shim: Path, path: Path, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").touch()
    run(
        shim,
        "",
        f"folder = {str(tmp_path)!r}"
        """
os.environ["BAD_DISK"] = "folders"
try:
    pyembed.open_table(folder)
except OSError as error:
    assert (error.errno, error.filename) == (errno.EIO, folder), error
else:
    raise AssertionError("no error")
""",
        path,
    )


@pytest.mark.parametrize("budget", ["None", "'16MiB'"])
def test_a_file_that_gets_shorter_while_tickets_are_open(path: Path, tmp_path: Path, budget: str) -> None:
    copy = tmp_path / "copy.bin"
    shutil.copy(path, copy)
    output_of(
        OPENED
        + """
table = pyembed.open_table(path, shape=(ROWS, COLUMNS), dtype="float32", memory_budget="""
        + budget
        + """)
tickets = [table.submit(rng.integers(0, ROWS, 2000)) for _ in range(200)]
os.truncate(path, HALF)
tickets += [table.submit(rng.integers(0, ROWS, 2000)) for _ in range(20)]  # if these are done
outcomes = set()
for ticket in tickets:
    try:
        ticket.wait()
        outcomes.add("rows")
    except OSError as error:
        outcomes.add("error")
refused(table.submit(bad).wait)
refused(lambda: table.gather(bad))
assert "error" in outcomes
""",
        copy,
    )
