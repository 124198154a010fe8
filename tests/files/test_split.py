"""Split sets: opened through their first file, and refused if anything about them disagrees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import pyembed
from pyembed._native import ffi, lib
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


# ---------------------------------------------------------------------------------- files given by name


def write_blobs(folder: Path) -> list[Path]:
    """Write a set of three under names that say nothing, as a cache of downloads has them."""
    paths = [folder / name for name in ("9f2c", "03ab", "7d1e")]
    for number, path in enumerate(paths):
        path.write_bytes(bytes(shard(number)))
    return paths


@pytest.mark.parametrize("load_mode", ["mmap", "none"])
def test_files_under_any_names(load_mode: str, tmp_path: Path) -> None:
    paths = write_blobs(tmp_path)
    with pyembed.load_model([str(paths[0]), *paths[1:]], load_mode=load_mode) as model:
        assert list(model.tensors) == ["t0", "t1", "token_embd.weight", "t2"]
        np.testing.assert_array_equal(model.embed([0, 1]), row_values(7))
        assert model.tensors["t2"].path == str(paths[2])
        assert model.path == str(paths[0])
    with pyembed.open_table(paths, tensor="t2") as table:
        np.testing.assert_array_equal(table[:], row_values(2))
    assert "a set of 3 files" in pyembed.validate(tuple(paths), level="header").verdicts[0].text
    with pytest.raises(pyembed.GGUFError, match="give all of them"):
        pyembed.load_model(paths[0])


def test_one_file_in_a_list(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(shard(0, count=1)))
    with pyembed.load_model([path]) as model:
        assert list(model.tensors) == ["t0"]


@pytest.mark.parametrize(
    ("order", "says", "at_fault"),
    [
        ([0, 1], "a set of 3, and 2 are given: list all", 0),
        ([0], "a set of 3, and 1 are given", 0),
        ([0, 1, 2, 2], "a set of 3, and 4 are given", 0),
        ([1, 0, 2], "split.no is 1 in the first of the files given: list them by split.no", 0),
        ([0, 2, 1], "split.no is 2 in the shard that should be number 1", 1),
        ([0, 1, 1], "split.no is 1 in the shard that should be number 2", 2),
    ],
)
def test_lists_that_are_no_set(order: list[int], says: str, at_fault: int, tmp_path: Path) -> None:
    paths = write_blobs(tmp_path)
    given = [paths[number] for number in order]
    with pytest.raises(pyembed.GGUFError, match=says) as caught:
        pyembed.load_model(given)
    assert caught.value.path == str(given[at_fault])
    (finding,) = pyembed.validate(given).findings
    assert finding.rule == "container/damaged"
    assert says.split(":")[0] in finding.message


def test_a_listed_file_that_is_missing_or_something_else(tmp_path: Path) -> None:
    paths = write_blobs(tmp_path)
    paths[1].write_bytes(b"version https://git-lfs.github.com/spec/v1\nsize 3\n")
    with pytest.raises(pyembed.GGUFError, match="a Git LFS pointer") as caught:
        pyembed.load_model(paths)
    assert caught.value.path == str(paths[1])
    paths[2].unlink()
    paths[1].write_bytes(bytes(shard(1)))
    with pytest.raises(FileNotFoundError) as missing:
        pyembed.load_model(paths)
    assert missing.value.filename == str(paths[2])


@pytest.mark.parametrize(("n", "format"), [(0, lib.PYE_FORMAT_AUTO), (1, lib.PYE_FORMAT_NPY)])
def test_lists_that_the_c_library_refuses(n: int, format: int, tmp_path: Path) -> None:
    name = ffi.new("char[]", bytes(write_blobs(tmp_path)[0]))
    paths = ffi.new("char *[]", [name])
    options, out, error = ffi.new("pye_open_options *"), ffi.new("pye_model **"), ffi.new("pye_error *")
    options.struct_bytes, options.format = ffi.sizeof("pye_open_options"), format
    options.paths, options.n_paths = paths, n
    assert lib.pye_model_open(ffi.NULL, options, out, error) == lib.PYE_ERROR_ARGUMENT
    assert b"at least one" in ffi.string(error.message)


def test_lists_that_make_no_sense(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no file is given"):
        pyembed.load_model([])
    with pytest.raises(TypeError):
        pyembed.load_model([1])  # type: ignore[list-item]
    array = tmp_path / "x.npy"
    np.save(array, row_values(0))
    with pytest.raises(pyembed.FormatError, match="a NumPy array"):
        pyembed.open_table([array])
    with pytest.raises(TypeError, match="a raw file is one file"):
        pyembed.open_table([array], shape=(2, 4), dtype="float32")
