"""Models changed where they lie: in their headers, or by files that take their places."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pyembed
from pyembed.editing.in_place import JOURNAL_SUFFIX, undo
from tests.helpers.children import ROOT, child
from tests.helpers.gguf_bytes import ARRAY, I32, STRING, U16, U32, Array, GGUFBytes
from tools.native import find_compiler

TOKENS = [f"token {i}" for i in range(200)]


def model(text: str = "name", number: int = 7, *, big_endian: bool = False) -> bytes:
    builder = GGUFBytes(big_endian=big_endian).add("general.architecture", STRING, "llama")
    builder.add("general.name", STRING, text).add("a.number", U32, number)
    builder.add("tokenizer.ggml.tokens", ARRAY, Array(STRING, TOKENS)).add("z.number", U32, number)
    return bytes(builder.tensor("token_embd.weight", (200, 4), 0, bytes(3200)))


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
    import fcntl

    path = tmp_path / "m.gguf"
    path.write_bytes(model())
    with open(path, "rb") as other, pyembed.edit(path) as edit:
        fcntl.flock(other, fcntl.LOCK_EX)
        edit.set_typed("a.number", "u32", 8)
        with pytest.raises(OSError, match="another process is editing this file"):
            edit.overwrite()
    assert path.read_bytes() == model()


def test_a_header_that_would_not_open_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyembed.editing import writing

    path = tmp_path / "m.gguf"
    path.write_bytes(model())

    def refuse(paths: object) -> None:
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


def write_set(
    folder: Path, *, without: str | None = None, big_endian: bool = False, tokens: int = 0
) -> list[Path]:
    """Write a set of three files with a tensor each; later files have keys that look like others' texts."""
    paths = []
    for number in range(3):
        builder = GGUFBytes(big_endian=big_endian)
        if number == 0:
            builder.add("general.architecture", STRING, "llama").add("a.number", U32, 7)
            if tokens:
                names = Array(STRING, [f"t{i}" for i in range(tokens)])
                builder.add("tokenizer.ggml.tokens", ARRAY, names)
        builder.add("split.no", U16, number).add("split.count", U16, 3)
        if number:
            builder.add("a.text", STRING, "split.tensors.count").add("a.flag", U16, 1)
            builder.add("a.list", ARRAY, Array(STRING, ["split.tensors.count", ""]))
            builder.add("a.numbers", ARRAY, Array(I32, [1, 2, 3]))
            builder.add("a.lists", ARRAY, Array(ARRAY, [Array(I32, [1]), Array(STRING, ["x"])]))
        builder.add("split.tensors.count", I32, 3 if without is None else 2)
        rows = np.full((8, 4), number, ">f4" if big_endian else "<f4").tobytes()
        name = ["blk.0", "token_embd.weight", "output"][number]
        if name != without:
            builder.tensor(name, (8, 4), 0, rows)
        paths.append(folder / f"m-{number + 1:05d}-of-00003.gguf")
        paths[-1].write_bytes(bytes(builder))
    return paths


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


# ------------------------------------------------------------------------------- interrupted edits

RUN = """
import ctypes, json
shim = ctypes.CDLL(None)
shim.calls_made.restype = ctypes.c_long
path, out, in_place, kills = sys.argv[1], sys.argv[2], sys.argv[3] == "True", sys.argv[4] == "True"
original = open(path, "rb").read()
folder = os.path.dirname(path)

def edit():
    with pyembed.edit(path) as edit:
        for key in ("a.number", "z.number"):
            edit.set_typed(key, "u32", 8)
        edit.overwrite() if in_place else edit.write(out)

def attempt(n):
    shim.arm_failures(ctypes.c_long(n), int(kills))
    try:
        edit()
        return "done"
    except OSError:
        return "refused"
    finally:
        attempt.made = shim.calls_made()
        shim.arm_failures(ctypes.c_long(0), 0)

edit()
whole = open(path if in_place else out, "rb").read()
for n in range(1, 1000):
    open(path, "wb").write(original)
    if os.path.exists(out):
        os.unlink(out)
    if kills:
        process = os.fork()
        if process == 0:
            os._exit({"done": 0, "refused": 3}[attempt(n)])
        outcome = {0: "done", 9: "killed"}[os.waitpid(process, 0)[1]]
    else:
        outcome = attempt(n)
    left = {name: open(os.path.join(folder, name), "rb").read() for name in os.listdir(folder)}
    print(json.dumps({
        "n": n, "outcome": outcome, "names": sorted(left),
        "model": "old" if left["m.gguf"] == original else "new" if left["m.gguf"] == whole else "mixed",
        "out": None if "out.gguf" not in left else "new" if left["out.gguf"] == whole else "half",
    }))
    for name in left:
        if name.endswith(".pyembed-undo"):
            from pyembed.editing.in_place import undo
            try:
                edit()
                raise AssertionError("an interrupted edit went unnoticed")
            except ValueError:
                undo(path)
            assert open(path, "rb").read() == original
        elif name not in ("m.gguf", "out.gguf"):
            os.unlink(os.path.join(folder, name))
    if outcome == "done" and (kills or attempt.made < n):
        break
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = find_compiler("cc", "gcc", "clang")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("a C compiler and LD_PRELOAD are needed")
    made = tmp_path_factory.mktemp("shim") / "failing_calls.so"
    source = ROOT / "tests/helpers/failing_calls.c"
    subprocess.run([*compiler, "-shared", "-fPIC", "-O1", "-o", made, source, "-ldl"], check=True)
    return made


def interrupted(
    shim: Path, folder: Path, in_place: bool, kills: bool, monkeypatch: pytest.MonkeyPatch
) -> list[dict]:
    import json

    (folder / "m.gguf").write_bytes(model())
    monkeypatch.setenv("LD_PRELOAD", str(shim))
    done = child(RUN, folder / "m.gguf", folder / "out.gguf", in_place, kills)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("in_place", [False, True])
def test_no_call_that_fails_harms_a_model(
    shim: Path, tmp_path: Path, in_place: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = interrupted(shim, tmp_path, in_place, False, monkeypatch)
    assert len(seen) >= 6
    assert seen[-1]["outcome"] == "done"
    refused = [one for one in seen if one["outcome"] == "refused"]
    assert refused
    for one in refused:
        assert one["model"] == "old", one
        assert one["out"] is None, one
        assert not [name for name in one["names"] if name.endswith(".tmp")], one


@pytest.mark.parametrize("in_place", [False, True])
def test_a_killed_process_leaves_the_old_model_or_the_new(
    shim: Path, tmp_path: Path, in_place: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = interrupted(shim, tmp_path, in_place, True, monkeypatch)
    killed = [one for one in seen if one["outcome"] == "killed"]
    assert len(killed) >= 5
    for one in killed:
        assert one["out"] in (None, "new"), one
        kept = "m.gguf" + JOURNAL_SUFFIX in one["names"]
        assert one["model"] == "old" or (in_place and (one["model"] == "new" or kept)), one
    if in_place:
        assert any("m.gguf" + JOURNAL_SUFFIX in one["names"] for one in killed)


SET_RUN = """
import ctypes, json
shim = ctypes.CDLL(None)
shim.calls_made.restype = ctypes.c_long
first, out, in_place, kills = sys.argv[1], sys.argv[2], sys.argv[3] == "True", sys.argv[4] == "True"

def contents(path):
    folder = os.path.dirname(path)
    return {name: open(os.path.join(folder, name), "rb").read() for name in sorted(os.listdir(folder))}

original = contents(first)

def attempt(n):
    shim.arm_failures(ctypes.c_long(n), int(kills))
    try:
        with pyembed.edit(first) as edit:
            edit.drop_tensor("blk.0")
            edit.resize(10, "zeros", ["named"])
            edit.overwrite() if in_place else edit.write(out)
        return 0
    except OSError:
        return 3
    finally:
        attempt.made = shim.calls_made()
        shim.arm_failures(ctypes.c_long(0), 0)

def put_back():
    for folder in {os.path.dirname(first), os.path.dirname(out)}:
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
    for name, data in original.items():
        open(os.path.join(os.path.dirname(first), name), "wb").write(data)

assert attempt(0) == 0
new = contents(first if in_place else out)
for n in range(1, 1000):
    put_back()
    if kills:
        process = os.fork()
        if process == 0:
            os._exit(attempt(n))
        status = os.waitpid(process, 0)[1]
        outcome = "killed" if status == 9 else {0: "done", 3: "refused"}[os.waitstatus_to_exitcode(status)]
    else:
        outcome = {0: "done", 3: "refused"}[attempt(n)]
    there, made = contents(first), {} if in_place else contents(out)
    names = {name: data for name, data in made.items() if not name.endswith(".tmp")}
    print(json.dumps({
        "outcome": outcome,
        "model": "old" if there == original else "new" if in_place and there == new else "mixed",
        "whole": all(new[name] == data for name, data in names.items()),
        "left": len(made) - len(names), "n_new": len(names),
    }))
    if outcome == "done" and (kills or attempt.made < n):
        break
"""


@pytest.mark.parametrize(("in_place", "kills"), [(True, False), (False, False), (False, True)])
def test_a_set_that_loses_a_tensor_and_gets_tokens_is_never_half_written(
    shim: Path, tmp_path: Path, in_place: bool, kills: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    first = write_set(tmp_path / "old", tokens=8)[0]
    monkeypatch.setenv("LD_PRELOAD", str(shim))
    done = child(SET_RUN, first, tmp_path / "new" / first.name, in_place, kills)
    assert done.returncode == 0, done.stderr
    seen = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(seen) >= 10
    assert seen[-1]["outcome"] == "done"
    for one in seen[:-1]:
        assert one["whole"], one
        if one["outcome"] != "done":  # a link that fails is no failure
            assert one["model"] == "old", one
            assert kills or (one["left"], one["n_new"]) == (0, 0), one
    assert any(one["outcome"] == ("killed" if kills else "refused") for one in seen)


def test_what_was_kept_for_another_file_is_not_put_back(tmp_path: Path) -> None:
    path, kept = tmp_path / "m.gguf", tmp_path / ("m.gguf" + JOURNAL_SUFFIX)
    path.write_bytes(model())
    with pytest.raises(FileNotFoundError):
        undo(str(path))
    magic = b"pyembed undo 1\n\0"
    for data in (
        b"",
        b"x" * 32,
        magic + b"\0" * 15,
        magic + b"\xff" * 16,
        magic + bytes(8) + b"\1" + bytes(7) + b"xy",
    ):
        kept.write_bytes(data)
        with pytest.raises(ValueError, match=r"does not hold|changed otherwise"):
            undo(str(path))
        with pytest.raises(ValueError, match="interrupted"):
            pyembed.edit(path)
        assert path.read_bytes() == model()
