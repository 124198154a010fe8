"""Split sets: opened through their first file, and refused if anything about them disagrees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import pyembed
from tests.helpers.gguf_bytes import I32, STRING, U16, GGUFBytes

N_SHARDS = 3


def row_values(shard: int) -> np.ndarray:
    return np.arange(8, dtype="<f4").reshape(2, 4) + 100 * shard


def shard(number: int, *, count: int = N_SHARDS, total: int = 4, name: str | None = None) -> GGUFBytes:
    builder = GGUFBytes()
    if number == 0:
        builder.add("general.architecture", STRING, "llama")
    builder.add("split.no", U16, number).add("split.count", U16, count).add("split.tensors.count", I32, total)
    builder.tensor(name or f"t{number}", (2, 4), 0, row_values(number).tobytes())
    if number == 1:
        builder.tensor("token_embd.weight", (2, 4), 0, row_values(7).tobytes())
    return builder


def write_set(folder: Path, **replaced: GGUFBytes | bytes | None) -> Path:
    """Write a set of three; `s1=...` replaces the second file, None leaves it out."""
    for number in range(N_SHARDS):
        content = replaced.get(f"s{number}", shard(number))
        if content is not None:
            (folder / f"m-{number + 1:05d}-of-{N_SHARDS:05d}.gguf").write_bytes(bytes(content))
    return folder / f"m-00001-of-{N_SHARDS:05d}.gguf"


@pytest.mark.parametrize("load_mode", ["mmap", "none", "dio"])
def test_a_set_is_one_model(load_mode: str, tmp_path: Path) -> None:
    with pyembed.load_model(write_set(tmp_path), load_mode=load_mode) as model:
        assert list(model.tensors) == ["t0", "t1", "token_embd.weight", "t2"]
        for number in range(N_SHARDS):
            np.testing.assert_array_equal(model.open_table(f"t{number}")[[1, 0]], row_values(number)[[1, 0]])
            assert model.tensors[f"t{number}"].path.endswith(f"m-{number + 1:05d}-of-00003.gguf")
        np.testing.assert_array_equal(model.embed([0, 1]), row_values(7))
        assert model.architecture == "llama"


def test_a_byte_order_and_an_alignment_for_each_file(tmp_path: Path) -> None:
    big = GGUFBytes(version=3, big_endian=True, alignment=8).add("general.alignment", 4, 8)
    big.add("split.no", U16, 2).add("split.count", U16, 3).add("split.tensors.count", I32, 4)
    big.tensor("t2", (2, 4), 0, row_values(2).astype(">f4").tobytes())
    with pyembed.load_model(write_set(tmp_path, s2=big)) as model:
        np.testing.assert_array_equal(model.open_table("t2")[[0, 1]], row_values(2))


@pytest.mark.parametrize("count", [0, 1])
def test_a_count_below_two_is_a_single_file(count: int, tmp_path: Path) -> None:
    path = tmp_path / "any-name.gguf"
    path.write_bytes(bytes(shard(0, count=count, total=99)))
    pyembed.load_model(path).close()


def with_metadata(key: str, value: str) -> GGUFBytes:
    return shard(1).add(key, STRING, value)


DISAGREEMENTS: dict[str, tuple[Callable[[], dict[str, GGUFBytes | bytes]], str]] = {
    "number": (lambda: {"s1": shard(2, name="t1")}, "split.no is 2"),
    "count": (lambda: {"s1": shard(1, count=4)}, "another set: split.count is 4"),
    "total in a later file": (lambda: {"s2": shard(2, total=5)}, "another set: split.tensors.count is 5"),
    "total in all files": (lambda: {f"s{i}": shard(i, total=5) for i in range(3)}, "the set has 4 tensors"),
    "name in two files": (lambda: {"s2": shard(2, name="t0")}, "two tensors are named 't0'"),
    "no split.no": (lambda: {"s1": GGUFBytes().tensor("t1", (2, 4), 0, bytes(32))}, "split.no is -1"),
    "another model": (lambda: {"s1": with_metadata("general.architecture", "gemma")}, "another model"),
    "damage": (lambda: {"s1": bytes(shard(1))[:-1]}, "does not lie inside the file"),
    "not a model": (lambda: {"s1": b"no model at all"}, "not a GGUF file"),
    "not fetched": (lambda: {"s1": b"version https://git-lfs.github.com/spec/v1\n"}, "a Git LFS pointer"),
}


@pytest.mark.parametrize("name", DISAGREEMENTS)
def test_disagreement(name: str, tmp_path: Path) -> None:
    make, words = DISAGREEMENTS[name]
    path = write_set(tmp_path, **make())
    with pytest.raises(pyembed.GGUFError, match=words):
        pyembed.load_model(path)


def test_the_file_at_fault_is_named(tmp_path: Path) -> None:
    path = write_set(tmp_path, s1=bytes(shard(1))[:-1])
    with pytest.raises(pyembed.GGUFError, match=r"shard 2 of 3, 'm-00002-of-00003\.gguf'") as caught:
        pyembed.load_model(path)
    assert caught.value.path is not None
    assert caught.value.path.endswith("m-00002-of-00003.gguf")


def test_missing_file(tmp_path: Path) -> None:
    path = write_set(tmp_path, s2=None)
    with pytest.raises(FileNotFoundError, match=r"shard 3 of 3.*m-00003-of-00003\.gguf"):
        pyembed.load_model(path)


def test_opened_through_another_file(tmp_path: Path) -> None:
    write_set(tmp_path)
    with pytest.raises(pyembed.GGUFError, match="shard 2 of 3: open the first"):
        pyembed.load_model(tmp_path / "m-00002-of-00003.gguf")


def test_first_file_under_another_name(tmp_path: Path) -> None:
    path = write_set(tmp_path).rename(tmp_path / "renamed.gguf")
    with pytest.raises(pyembed.GGUFError, match=r"does not end in -00001-of-00003\.gguf"):
        pyembed.load_model(path)
