"""Models, tables and what holds them go to other processes, and open the same file there."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from tests.helpers.children import IS_WINE
from tests.helpers.model_files import TOKEN_TABLE, rows_of_floats, write_model

N_ROWS, N_COLUMNS = 2000, 8
ROWS = rows_of_floats(N_ROWS, N_COLUMNS)
IDS = [[1, 2], [1999, 0]]


def again(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


def facts_of(model: pyembed.Model) -> tuple[Any, ...]:
    """Return what a process sees of a model that came to it."""
    options = model._source.options
    return (
        model.path,
        model.load_mode,
        options.guard,
        dict(model.metadata.overrides),
        model.architecture,
        os.getpid(),
    )


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    shutil.copy(pyembed.demo_model(), tmp_path / "m.gguf")
    monkeypatch.chdir(tmp_path)
    overrides = {"general.architecture": "llama", "my.key": 5}
    with pyembed.load_model(
        "m.gguf", load_mode="none", guard=False, kv_overrides=overrides, validate="off"
    ) as model:
        yield model


@pytest.mark.skipif(IS_WINE, reason="reading a pipe of the pool's never ends under Wine")
def test_a_pool_of_processes(model: pyembed.Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir("/")  # the path was relative to where the model was opened
    parts = [np.arange(first, first + 5) for first in range(0, 20, 5)]
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        rows = list(pool.map(model.embed, parts))
        geometry = pool.submit(model.geometry.nearest, "file", 3).result()
        path, load_mode, guard, overrides, architecture, process = pool.submit(facts_of, model).result()
    np.testing.assert_array_equal(rows, model.embed(parts))
    assert geometry == model.nearest("file", 3)
    assert (path, load_mode, guard) == (str(tmp_path / "m.gguf"), "none", False)
    assert overrides == {"general.architecture": "llama", "my.key": 5}
    assert architecture == "llama"
    assert process != os.getpid()


def test_parts_of_a_model(model: pyembed.Model) -> None:
    table, vocabulary, geometry = again((model.table, model.vocabulary, model.geometry))
    np.testing.assert_array_equal(table[IDS], model.embed(IDS))
    assert table.name == model.table.name
    assert vocabulary.digest == model.vocabulary.digest
    assert vocabulary[94] == model.vocabulary[94]
    assert geometry.similarity("file", "files") == model.similarity("file", "files")
    table.close()
    assert not model.table.closed
    twice = again(again(model))
    np.testing.assert_array_equal(twice.embed(IDS), model.embed(IDS))
    twice.close()


def test_raw_tables_and_named_tensors(tmp_path: Path) -> None:
    path = tmp_path / "rows.bin"
    path.write_bytes(b"head" + ROWS.astype(">f4").tobytes())
    with pyembed.open_table(
        path, shape=(-1, N_COLUMNS), dtype=np.dtype(">f4"), offset=4, guard=False
    ) as table:
        copy = again(table)
        np.testing.assert_array_equal(copy[IDS], ROWS[IDS])
        assert copy._source.options == table._source.options
    copy.close()
    gguf = write_model(tmp_path / "m.gguf", tensors={TOKEN_TABLE: ROWS, "other.weight": ROWS + 1})
    with pyembed.open_table(gguf, tensor="other.weight") as table:
        np.testing.assert_array_equal(again(table)[IDS], ROWS[IDS] + 1)


def test_a_copy_of_the_file_will_do(model: pyembed.Model, tmp_path: Path) -> None:
    data = pickle.dumps(model)
    shutil.copy(tmp_path / "m.gguf", tmp_path / "new.gguf")
    os.utime(tmp_path / "new.gguf", (1, 1))
    os.rename(tmp_path / "m.gguf", tmp_path / "old.gguf")  # nothing is renamed onto it where it is open
    os.rename(tmp_path / "new.gguf", tmp_path / "m.gguf")  # another inode, another time
    with pickle.loads(data) as copy:
        np.testing.assert_array_equal(copy.embed(IDS), model.embed(IDS))


def overwrite(path: Path, at: int | bytes, new: bytes) -> None:
    data = bytearray(path.read_bytes())
    where = data.index(at) if isinstance(at, bytes) else at
    data[where : where + len(new)] = new
    path.write_bytes(data)


CHANGES: dict[str, tuple[Callable[[pyembed.Model, Path], object], str]] = {
    "size": (lambda model, path: path.write_bytes(path.read_bytes() + bytes(32)), "its size in bytes was"),
    "tokens": (
        lambda model, path: overwrite(
            path, path.read_bytes().index("\u2581files".encode()), "\u2581filet".encode()
        ),
        "its digest of tokens was sha256:",
    ),
    "rows": (
        lambda model, path: overwrite(path, model.tensors[TOKEN_TABLE].offset, b"\1\2"),
        f"its digest of rows of {TOKEN_TABLE} was sha256:",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_file_is_refused(change: str, model: pyembed.Model, tmp_path: Path) -> None:
    data, table = pickle.dumps(model), pickle.dumps(model.table)
    alter, says = CHANGES[change]
    alter(model, tmp_path / "m.gguf")
    with pytest.raises(pyembed.FormatError, match=rf"m\.gguf: not the file that was pickled: {says}"):
        pickle.loads(data)
    if change != "tokens":
        with pytest.raises(pyembed.FormatError, match="not the file that was pickled"):
            pickle.loads(table)
    os.rename(tmp_path / "m.gguf", tmp_path / "away.gguf")  # Windows keeps the name of what is removed open
    with pytest.raises(FileNotFoundError, match=r"m\.gguf"):
        pickle.loads(data)


def test_what_is_closed_does_not_pickle(model: pyembed.Model) -> None:
    parts = [model.table, model.vocabulary, model]
    model.close()
    for part in parts:
        with pytest.raises(pyembed.ClosedError):
            pickle.dumps(part)
