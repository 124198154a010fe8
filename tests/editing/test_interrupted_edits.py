"""Edits in place that fail or are killed at every call that changes a file: what is left is old or new."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import pyembed
from pyembed.core.system import HOLDS_OPEN_FILES
from pyembed.core.unfinished import JOURNAL_SUFFIX
from pyembed.editing.set_record import MAGIC, SetRecord
from pyembed.editing.undo import undo
from tests.helpers.children import ROOT, child
from tests.helpers.edited_models import model, write_set
from tools.native import find_compiler

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
            from pyembed.editing.undo import undo
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


def preload(shim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have children load a library before others, but behind a sanitizer's, which has to be the first."""
    monkeypatch.setenv("LD_PRELOAD", ":".join(filter(None, [os.environ.get("LD_PRELOAD"), str(shim)])))


def interrupted(
    shim: Path, folder: Path, in_place: bool, kills: bool, monkeypatch: pytest.MonkeyPatch
) -> list[dict]:
    (folder / "m.gguf").write_bytes(model())
    preload(shim, monkeypatch)
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
from pyembed.editing.undo import undo
shim = ctypes.CDLL(None)
shim.calls_made.restype = ctypes.c_long
first, out, how, kills = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4] == "True"
target = first if how == "in place" else out

def contents(path):
    folder = os.path.dirname(path)
    return {name: open(os.path.join(folder, name), "rb").read() for name in sorted(os.listdir(folder))}

original = contents(first)
before = original if how == "in place" else {}

def attempt(n):
    shim.arm_failures(ctypes.c_long(n), int(kills))
    try:
        with pyembed.edit(first) as edit:
            if how == "later files":
                edit.rename_tensor("token_embd.weight", "token_embd.wide.and.much.longer.weight")
                edit.rename_tensor("output", "another.name.that.is.much.longer")
            else:
                edit.drop_tensor("blk.0")
                edit.resize(10, "zeros", ["named"])
            edit.overwrite() if target == first else edit.write(out)
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
    for name, data in before.items():
        open(os.path.join(os.path.dirname(target), name), "wb").write(data)

def opened():
    try:
        pyembed.load_model(target, validate="off").close()
        return "opened"
    except FileNotFoundError:
        return "missing"
    except pyembed.GGUFError as error:
        assert "undo" in str(error), error
        return "refused"

if how == "later files":
    target = first
    before = original
elif how == "over another":
    before = {name: data.replace(b"llama", b"qwen2") for name, data in original.items()}
    put_back()
assert attempt(0) == 0
new = contents(target)
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
    made = contents(target)
    names = {name: data for name, data in made.items() if name.endswith(".gguf")}
    journal = [name for name in made if name.endswith(".pyembed-undo")]
    state = opened()
    # What is opened without a word of an edit: a reader that knows nothing of journals sees this.
    is_first = os.path.basename(target) in names
    seen = {
        "outcome": outcome, "state": state, "journal": len(journal),
        "names": "old" if names == before else "new" if names == new else "mixed",
        "can be opened": is_first, "left": len(made) - len(names),
        "original": target == first or contents(first) == original,
    }
    if journal:
        undo(target)
        made = contents(target)
        seen["after undo"] = made == before
    print(json.dumps(seen))
    if outcome == "done" and (kills or attempt.made < n):
        break
"""


@pytest.mark.parametrize("kills", [False, True], ids=["fails", "killed"])
@pytest.mark.parametrize("how", ["in place", "later files", "new", "over another"])
def test_a_set_is_never_a_mixture_that_opens(
    shim: Path, tmp_path: Path, how: str, kills: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are renamed one by one: whatever comes in between, what opens is all old or all new."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    first = write_set(tmp_path / "old", tokens=8)[0]
    preload(shim, monkeypatch)
    done = child(SET_RUN, first, tmp_path / "new" / first.name, how, kills)
    assert done.returncode == 0, done.stderr
    seen = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(seen) >= 10
    assert seen[-1]["outcome"] == "done"
    assert (seen[-1]["names"], seen[-1]["left"]) == ("new", 0)
    for one in seen[:-1]:
        assert one["original"], one
        if one["outcome"] == "refused":
            assert (one["names"], one["left"]) == ("old", 0), one
        if one["journal"]:
            assert one["state"] == "refused", one
            assert one["after undo"], one
        elif one["can be opened"]:
            assert one["names"] in ("old", "new"), one
            assert one["state"] == "opened", one
        if one["names"] == "mixed":
            assert not one["can be opened"], one
    if kills:
        assert any(one["names"] == "mixed" for one in seen)
        assert how == "new" or any(one["journal"] for one in seen)
    else:
        assert any(one["outcome"] == "refused" for one in seen)


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
        for opening in (pyembed.edit, pyembed.load_model):
            with pytest.raises(pyembed.GGUFError, match=r"interrupted: `pyembed edit .* undo`"):
                opening(path)
        assert path.read_bytes() == model()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX's")
def test_a_record_that_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(model())
    journal = Path(f"{path}{JOURNAL_SUFFIX}")
    os.mkfifo(journal)
    with pytest.raises(ValueError, match="is not a file that an edit wrote"):
        undo(str(path))
    journal.unlink()
    journal.symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="is not a file that an edit wrote"):
        undo(str(path))
    assert path.read_bytes() == model()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX's")
@pytest.mark.parametrize("is_kept", [False, True])
def test_a_first_file_that_is_a_pipe_is_not_waited_for(tmp_path: Path, is_kept: bool) -> None:
    first, *_ = write_set(tmp_path)
    old, kept = first.read_bytes(), tmp_path / ".pyembed-0123456789ab.old.tmp"
    record = MAGIC + json.dumps({"files": [[first.name, kept.name]]}).encode()
    Path(f"{first}{JOURNAL_SUFFIX}").write_bytes(record)
    first.rename(kept if is_kept else tmp_path / "elsewhere.gguf")
    os.mkfifo(first)
    done = child("from pyembed.editing.undo import undo\nprint(undo(sys.argv[1]))", first, timeout=20)
    assert f"ValueError: {first} is not the file that was edited: remove it" in done.stderr
    first.unlink()
    if is_kept:
        assert undo(str(first)) == len(old)
        assert first.read_bytes() == old


def test_records_of_sets_that_are_not_theirs_do_nothing(tmp_path: Path) -> None:
    first, second, _ = write_set(tmp_path)
    journal = Path(f"{first}{JOURNAL_SUFFIX}")
    kept = ".pyembed-0123456789ab.old.tmp"
    (tmp_path / kept).write_bytes(b"kept")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / kept).mkdir()
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    for files in (
        None,
        [],
        [[1, 2]],
        [[first.name, kept, kept]],
        [[second.name, kept]],
        [[first.name, "other.gguf"]],
        [[first.name, f"../{kept}"]],
        [[first.name, kept + "\0"]],
        [[first.name, ".pyembed-ffffffffffff.old.tmp"], [f"folder/{second.name}", kept]],
        [[first.name, kept], [f"{second.name}\0", ".pyembed-ffffffffffff.old.tmp"]],
        # Half a character may stand in a name on Windows.
        *([] if HOLDS_OPEN_FILES else [[[first.name, kept], ["\ud800", ".pyembed-ffffffffffff.old.tmp"]]]),
        [[first.name, kept], [second.name, kept]],
        [[first.name, kept], [first.name, ".pyembed-ffffffffffff.old.tmp"]],
    ):
        journal.write_bytes(MAGIC + json.dumps({"files": files}).encode())
        with pytest.raises(ValueError, match="does not hold what was kept"):
            undo(str(first))
    journal.write_bytes(MAGIC + b"[" * 100_000)
    with pytest.raises(ValueError, match="does not hold what was kept"):
        undo(str(first))
    journal.unlink()
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_an_edit_that_goes_on_is_not_undone(tmp_path: Path) -> None:
    paths = write_set(tmp_path)
    record = SetRecord(str(paths[0]), lambda: None)
    kept = [tmp_path / f".pyembed-{number:012x}.old.tmp" for number in range(3)]
    record.begin([(str(path), str(place)) for path, place in zip(paths, kept, strict=True)])
    assert not paths[0].exists()
    with pytest.raises(OSError, match="another process is editing this file"):
        undo(str(paths[0]))
    with pytest.raises(pyembed.GGUFError, match="interrupted"):
        pyembed.load_model(paths[0])
    record.abandon()
    pyembed.load_model(paths[0], validate="off").close()
    assert sorted(os.listdir(tmp_path)) == [path.name for path in paths]


def test_a_set_that_lacks_a_file_is_not_replaced_by_halves(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    first, *_ = write_set(tmp_path)
    others = write_set(tmp_path / "new")
    others[2].unlink()
    before = {path: path.read_bytes() for path in others[:2]}
    with pyembed.edit(first) as edit:
        edit.set_typed("a.text", "string", "x")
        with pytest.raises(ValueError, match="a set is replaced as a whole"):
            edit.write(others[0])
    assert {path: path.read_bytes() for path in (tmp_path / "new").iterdir()} == before
