"""Models changed where they lie: in their headers, or by files that take their places."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import pyembed
from pyembed.core.system import lock
from tests.helpers.edited_models import model, write_set


@pytest.mark.parametrize("big_endian", [False, True])
def test_a_number_is_changed_in_the_header(tmp_path: Path, big_endian: bool) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(model(big_endian=big_endian))
    inode = path.stat().st_ino
    with pyembed.edit(path) as edit:
        edit.set_typed("a.number", "u32", 8)
        done = edit.overwrite()
    expected = model(big_endian=big_endian).replace(
        b"a.number" + (b"\0\0\0\4\0\0\0\7" if big_endian else b"\4\0\0\0\7\0\0\0"),
        b"a.number" + (b"\0\0\0\4\0\0\0\x08" if big_endian else b"\4\0\0\0\x08\0\0\0"),
    )
    assert path.read_bytes() == expected
    assert path.stat().st_ino == inode
    assert done.in_header
    assert done.n_bytes == 1


def test_padding_takes_what_grows_and_gives_what_shrinks(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(model())
    inode, seen = path.stat().st_ino, set()
    for text in ("names", "na", "name of some length", "n" * 400, ""):
        with pyembed.edit(path) as edit:
            edit.set_typed("general.name", "string", text)
            done = edit.overwrite()
        assert path.read_bytes() == model(text)
        assert done.in_header == (path.stat().st_ino == inode)
        seen.add(done.in_header)
        inode = path.stat().st_ino
    assert seen == {False, True}
    assert os.listdir(tmp_path) == ["m.gguf"]


def test_nothing_to_change(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(model())
    with pyembed.edit(path) as edit, pytest.raises(ValueError, match="nothing would change"):
        edit.overwrite()
    with pyembed.edit(path) as edit:
        edit.set_typed("a.number", "u32", 7)
        assert edit.overwrite().n_bytes == 0


def test_two_processes_do_not_edit_one_file(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(model())
    with open(path, "rb") as other, pyembed.edit(path) as edit:
        assert lock(other)
        edit.set_typed("a.number", "u32", 8)
        with pytest.raises(OSError, match="another process is editing this file"):
            edit.overwrite()
    assert path.read_bytes() == model()


def test_a_header_that_would_not_open_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyembed.editing import writing

    path = tmp_path / "m.gguf"
    path.write_bytes(model())

    def refuse(paths: object, *, unfinished: bool) -> None:
        assert path.read_bytes() == model(number=8)
        raise pyembed.GGUFError("no")

    monkeypatch.setattr(writing, "_check_opens", refuse)
    with pyembed.edit(path) as edit:
        for key in ("a.number", "z.number"):
            edit.set_typed(key, "u32", 8)
        with pytest.raises(pyembed.GGUFError, match="no"):
            edit.overwrite()
    assert path.read_bytes() == model()
    assert os.listdir(tmp_path) == ["m.gguf"]


# ------------------------------------------------------------------------------------------- split sets


def test_of_a_set_only_the_file_that_changes_is_written(tmp_path: Path) -> None:
    paths = write_set(tmp_path)
    before = [(path.stat().st_ino, path.read_bytes()) for path in paths]
    with pyembed.edit(paths[0]) as edit:
        edit.rename_tensor("token_embd.weight", "token_embd.wide.and.much.longer.weight")
        done = edit.overwrite()
    assert done.files == (str(paths[1]),)
    after = [(path.stat().st_ino, path.read_bytes()) for path in paths]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]
    with pyembed.load_model(paths[0], validate="off") as changed:
        assert list(changed.tensors) == ["blk.0", "token_embd.wide.and.much.longer.weight", "output"]
        rows = changed.open_table("token_embd.wide.and.much.longer.weight")
        np.testing.assert_array_equal(rows[[0, 7]], np.ones((2, 4)))


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("name", ["blk.0", "token_embd.weight", "output"])
def test_a_tensor_leaves_a_set_and_every_file_counts_again(
    tmp_path: Path, name: str, big_endian: bool
) -> None:
    """The new set equals one that was written without the tensor, apart from the file that is empty now."""
    paths = write_set(tmp_path, big_endian=big_endian)
    with pyembed.edit(paths[0]) as edit:
        edit.drop_tensor(name)
        done = edit.overwrite()
    assert done.files == tuple(map(str, paths))
    (tmp_path / "wanted").mkdir()
    wanted = write_set(tmp_path / "wanted", without=name, big_endian=big_endian)
    for path, other in zip(paths, wanted, strict=True):
        assert path.read_bytes() == other.read_bytes()
    with pyembed.load_model(paths[0], validate="off") as changed:
        assert list(changed.tensors) == [t for t in ("blk.0", "token_embd.weight", "output") if t != name]


def test_a_changed_set_has_all_its_files(tmp_path: Path) -> None:
    paths = write_set(tmp_path)
    (tmp_path / "new").mkdir()
    with pyembed.edit(paths[0]) as edit:
        edit.set_typed("a.text", "string", "x" * 100)
        with pytest.raises(ValueError, match=r"ends in -00001-of-00003\.gguf"):
            edit.write(tmp_path / "new/m.gguf")
        edit.write(tmp_path / "new/n-00001-of-00003.gguf")
        with pytest.raises(ValueError, match="set of files"):
            edit.set_typed("split.count", "u16", 2)
    new = [tmp_path / f"new/n-{number:05d}-of-00003.gguf" for number in (1, 2, 3)]
    assert [path.read_bytes() for path in new[1:]] == [path.read_bytes() for path in paths[1:]]
    with pyembed.load_model(new[0], validate="off") as changed:
        assert changed.metadata["a.text"] == "x" * 100
        np.testing.assert_array_equal(changed.embed([3]), np.ones((1, 4)))
