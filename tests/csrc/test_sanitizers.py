"""C programs under sanitizers: allocations that fail, and threads that do everything at once."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pyembed
from tests.helpers.gguf_bytes import ARRAY, I32, STRING, U16, Array, GGUFBytes
from tests.helpers.oracles.scaled import ScaledRow
from tests.helpers.scaled_tables import Stored, make_table, save
from tools.native import PROGRAMS, Build, clean_environment

BUDGET = 16 << 20
ALLOCATORS = ("malloc", "calloc", "realloc", "strdup")


def run(*command: object) -> str:
    words = [str(part) for part in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=clean_environment())
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files_of_every_kind(folder: Path) -> list[Path]:
    """Write a file or set of every format, each of which takes many allocations to open."""
    nested = Array(ARRAY, [Array(I32, [1]), Array(STRING, ["a", "b"])])
    model = GGUFBytes().add("nested", ARRAY, nested).add("texts", ARRAY, Array(STRING, ["x"] * 50))
    for i in range(40):
        model.add(f"key {i}", U16, i)
    model.add("tokenizer.ggml.tokens", ARRAY, Array(STRING, [f"t{i}" for i in range(100)]))
    model.add("tokenizer.ggml.merges", ARRAY, Array(STRING, [f"t {i}" for i in range(100)]))
    for i in range(40):
        model.tensor(f"tensor {i}", (2, 32), 2, bytes(36))
    (folder / "m.gguf").write_bytes(bytes(model))
    for i in range(3):
        shard = GGUFBytes().add("split.no", U16, i).add("split.count", U16, 3)
        shard.add("split.tensors.count", I32, 3).tensor(f"t{i}", (2, 2), 0, bytes(16))
        (folder / f"s-{i + 1:05d}-of-00003.gguf").write_bytes(bytes(shard))
    np.save(folder / "a.npy", np.zeros((500, 300), np.float32))  # enough for several threads
    (folder / "set").mkdir()
    weight_map = {}
    for i in range(2):
        header = json.dumps(
            {f"t\u00e9{i}": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}
        ).encode()
        (folder / f"set/{i}.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
        weight_map[f"t\u00e9{i}"] = f"{i}.safetensors"
    (folder / "set/model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    shutil.copy(folder / "set/0.safetensors", folder / "one.safetensors")
    names = ("m.gguf", "s-00001-of-00003.gguf", "a.npy", "set", "one.safetensors")
    return [*(folder / name for name in names), *tables_of_several_tensors(folder)]


def tables_of_several_tensors(folder: Path) -> list[Path]:
    (folder / "config.json").write_text(
        json.dumps({"quantization": {"bits": 4, "group_size": 32, "\u00e9": {}}})
    )
    mlx = make_table(ScaledRow(64, "bits", 4, scales="f16", biases="f16", group=32), 4, "group")
    shards = {}
    for i in range(2):
        part = mlx.part(2 * i, 2 * i + 2)
        shards |= {
            f"e.shard_{i}.weight": part.codes(),
            f"e.shard_{i}.scales": part.beside(1),
            f"e.shard_{i}.biases": part.beside(2),
        }
    mapped = {
        "embeddings": Stored("F16", (2, 4), bytes(16)),
        "mapping": Stored("U8", (9,), bytes(9)),
        "weights": Stored("F32", (9,), bytes(36)),
    }
    return [save(folder / "shards.safetensors", shards), save(folder / "mapped.safetensors", mapped)]


def test_every_allocation_may_fail(asan_build: Build, tmp_path: Path) -> None:
    wrap = "-Wl," + ",".join(f"--wrap={name}" for name in ALLOCATORS)
    program = asan_build.program("failures", [PROGRAMS / "failures.c"], [wrap])
    n = int(run(program, *files_of_every_kind(tmp_path)).split()[0])
    assert n > 350


def test_threads_do_not_race(tsan_build: Build) -> None:
    program = tsan_build.program("threads", [PROGRAMS / "threads.c"])
    # Some kernels spread addresses wider than ThreadSanitizer bears.
    fixed = ["setarch", "-R"] if shutil.which("setarch") else []
    assert "8 threads" in run(*fixed, program, pyembed.demo_model(), 40)


def numbered_rows(folder: Path) -> tuple[Path, int, int]:
    """Write 32 MiB of float32 rows: column j of row i is 7 i + j."""
    rows, columns = 200_000, 40
    path = folder / "rows.bin"
    (np.arange(rows, dtype=np.float32)[:, None] * 7 + np.arange(columns, dtype=np.float32)).tofile(path)
    return path, rows, columns


@pytest.mark.skipif(sys.platform != "linux", reason="a memory budget needs Linux")
def test_tickets_do_not_race(tsan_build: Build, tmp_path: Path) -> None:
    program = tsan_build.program("tickets", [PROGRAMS / "tickets.c"])
    fixed = ["setarch", "-R"] if shutil.which("setarch") else []
    assert "1000 tickets" in run(*fixed, program, *numbered_rows(tmp_path), 1000, BUDGET)


@pytest.mark.skipif(sys.platform != "linux", reason="a memory budget needs Linux")
def test_tickets_leave_nothing_behind(asan_build: Build, tmp_path: Path) -> None:
    program = asan_build.program("tickets", [PROGRAMS / "tickets.c"])
    assert "4000 tickets" in run(program, *numbered_rows(tmp_path), 4000, BUDGET)
