"""Outputs while writing, syncing, renaming and removing fail: all of the new files, or all of the old."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import pyembed
from pyembed.export import FORMATS, export

from . import Tally
from .models import chance, pick, sample

SHIM = Path(__file__).with_name("faulty.c")
_ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EPERM)
_ONCE = (*_ERRORS, errno.EINTR, 0)  # what is tried again at once; 0 writes a part


def preloaded() -> dict[str, str]:
    """Return the environment of a process whose system calls can be made to fail."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise RuntimeError("a C compiler is needed")
    library = Path(tempfile.gettempdir()) / f"pyembed-faulty-{os.getuid()}-{int(SHIM.stat().st_mtime)}.so"
    if not library.exists():
        made = library.with_suffix(f".{os.getpid()}.so")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", made, SHIM, "-ldl"], check=True)
        made.replace(library)
    return {**os.environ, "LD_PRELOAD": str(library)}


def _shim() -> Any:
    library: Any = ctypes.CDLL(None)
    return library if hasattr(library, "faulty_arm") else None


def case(rng: np.random.Generator, folder: Path, tally: Tally) -> None:
    """Write into a folder, a process of its own where calls cannot be made to fail in this one."""
    shim = _shim()
    if shim is None:
        _in_a_child(rng, tally)
        return
    made = sample(rng, folder)
    before_model = made.contents()
    out = folder / "out"
    out.mkdir()
    write = _writer(rng, made.path, out)
    if chance(rng, 0.7):
        write()  # there is something to lose
    others = {"mine.txt": b"mine", "x.metadata.tsv.bak": b"kept"}
    for name, data in others.items():
        (out / name).write_bytes(data)
    before = _contents(out)
    sticks = chance(rng, 0.2)
    failure: OSError | None = None
    shim.faulty_arm(int(rng.integers(0, 14)), pick(rng, _ERRORS if sticks else _ONCE), sticks)
    try:
        write()
    except OSError as error:
        failure = error
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}") from error
    finally:
        n_failed = shim.faulty_failed()
    after = _contents(out)
    kept = {name: data for name, data in after.items() if not name.endswith(".tmp")}
    if failure is None:
        tally["written although a call failed" if n_failed else "written"] += 1
        shutil.rmtree(out)
        out.mkdir()
        for name, data in others.items():
            (out / name).write_bytes(data)
        write()
        assert kept == _contents(out), "what was written is not what was to be written"
    else:
        tally[f"refused: {errno.errorcode.get(failure.errno or 0, '?')}"] += 1
        assert n_failed, f"nothing failed, and yet: {failure}"
        assert failure.errno is not None, f"an error without a number: {failure}"
        assert str(failure.filename).startswith(str(out)), f"names {failure.filename}"
        assert not str(failure.filename).endswith(".tmp"), f"names {failure.filename}"
        assert kept == before or sticks, f"half an output: {sorted(before)} became {sorted(after)}"
    # Only what fails on and on, removing included, may leave a temporary file.
    assert kept == after or sticks or n_failed, f"left behind: {sorted(after.keys() - kept.keys())}"
    if not sticks and failure is not None and len(after) > len(kept):
        tally["a file that could not be removed stayed"] += 1
    assert made.contents() == before_model


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _writer(rng: np.random.Generator, model: Path, out: Path) -> Callable[[], None]:
    name = pick(rng, [name for name in FORMATS if name != "parquet"])
    suffix = FORMATS[name].suffixes[0]
    ids = rng.integers(0, 1, int(rng.integers(1, 2))) if "word2vec" in name else None

    def write() -> None:
        with pyembed.open_table(model) as table:
            export(table, out / f"x{suffix}", format=name, ids=ids)

    def extract() -> None:
        pyembed.extract.extract(model, out / "x.gguf")

    return extract if model.suffix == ".gguf" and chance(rng, 0.3) else write


_CHILD = """
import sys
from collections import Counter
from pathlib import Path
import numpy as np
from tools.drivers import run
first, cases = map(int, sys.argv[1:])
result = run("outputs", first, cases=cases)
for what, n in result.tally.items():
    print(f"tally {n} {what}")
sys.exit(1 if result.findings else 0)
"""
_CASES_A_CHILD = 40


def _in_a_child(rng: np.random.Generator, tally: Tally) -> None:
    seed = int(rng.integers(1 << 32))
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(seed), str(_CASES_A_CHILD)],
        env=preloaded(),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    for line in done.stdout.splitlines():
        with contextlib.suppress(ValueError):
            word, n, what = line.split(" ", 2)
            tally[what] += int(n) if word == "tally" else 0
    assert done.returncode == 0, f"child with seed {seed}:\n{done.stdout}\n{done.stderr}"
