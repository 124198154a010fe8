"""What opening and gathering cost in memory, in a process of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.children import SANITIZED
from tests.helpers.gguf_bytes import STRING, GGUFBytes

MIB = 1 << 20

CHILD = """
import sys
import numpy as np
import pyembed

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))

pyembed.open_table(pyembed.demo_model()).gather([0])  # what the first use of anything costs
ids = np.random.default_rng(0).integers(0, {rows}, 64)
before = resident()
model = pyembed.load_model(sys.argv[1], load_mode=sys.argv[2])
rows = model.embed(ids)
assert (rows == 0).all()
print(resident() - before - rows.nbytes)
"""


def write_sparse(path: Path, rows: int, columns: int) -> Path:
    """Write a model whose F16 table has a size but no blocks on disk."""
    builder = GGUFBytes().add("general.architecture", STRING, "llama")
    builder.tensor("token_embd.weight", (rows, columns), 1)
    header = builder.header()
    header += bytes(-len(header) % 32)
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + rows * columns * 2)
    return path


def growth(path: Path, rows: int, load_mode: str) -> int:
    command = [sys.executable, "-c", CHILD.format(rows=rows), str(path), load_mode]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.skipif(SANITIZED, reason="a sanitizer keeps notes of memory, and what was freed")
def test_a_gibibyte_table_costs_the_rows_that_are_used(tmp_path: Path) -> None:
    path = write_sparse(tmp_path / "big.gguf", 131_072, 4096)
    assert path.stat().st_size > 1024 * MIB
    assert growth(path, 131_072, "mmap") < 8 * MIB


SCAN = """
import sys
import numpy as np
import pyembed

def memory(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))

with pyembed.load_model(pyembed.demo_model()) as demo:
    demo.table.top(demo.embed([1]), 5, "cosine")  # what the first use of anything costs
before, mapped = memory("RssAnon:"), memory("RssFile:")
with pyembed.open_table(sys.argv[1]) as table:
    queries = np.ones((int(sys.argv[2]), table.shape[1]), np.float32)
    top = table.top(queries, 10, "cosine", threads=2)
    assert (top.ids == np.arange(10)).all() and (top.scores == 0).all()
    print(memory("VmHWM:") - memory("RssFile:") - before, memory("RssFile:") - mapped)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("n_queries", [1, 16])
def test_a_scan_of_a_gibibyte_costs_next_to_nothing(tmp_path: Path, n_queries: int) -> None:
    path = write_sparse(tmp_path / "big.gguf", 131_072, 4096)
    command = [sys.executable, "-c", SCAN, str(path), str(n_queries)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    own, mapped = map(int, done.stdout.split())
    assert own < 20 * 10**6
    assert mapped > 900 * MIB  # all of it was looked at


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.skipif(SANITIZED, reason="a sanitizer keeps notes of memory, and what was freed")
def test_reading_costs_the_table_and_no_more(tmp_path: Path) -> None:
    path = write_sparse(tmp_path / "table.gguf", 4096, 4096)
    with path.open("ab") as file:
        file.truncate(1024 * MIB)  # the rest of the model
    assert 32 * MIB <= growth(path, 4096, "none") < 40 * MIB
