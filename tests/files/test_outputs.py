"""What is written: never over what is read, all of it or nothing, for no other eyes, under any name."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import pyembed
from pyembed.cli import main
from pyembed.export import FORMATS, export
from pyembed.files import atomic_write
from pyembed.files.atomic_write import replacing, replacing_together
from tests.helpers.gguf_bytes import ARRAY, I32, STRING, U16, Array, GGUFBytes
from tests.helpers.model_files import TOKEN_TABLE

ROWS = np.arange(320, dtype="<f4").reshape(40, 8)
#: Ways to give a file another name. Windows lets few users make symbolic links.
LINKS = [os.link] if os.name == "nt" else [os.symlink, os.link]


def gguf(name: str, number: int | None = None) -> bytes:
    builder = GGUFBytes()
    if not number:
        builder.add("general.architecture", STRING, "llama")
        builder.add("tokenizer.ggml.model", STRING, "llama")
        builder.add("tokenizer.ggml.tokens", ARRAY, Array(STRING, [f"t{i}" for i in range(40)]))
    if number is not None:
        builder.add("split.no", U16, number).add("split.count", U16, 2)
        builder.add("split.tensors.count", I32, 2)
    return bytes(builder.tensor(name, ROWS.shape, 0, ROWS.tobytes()))


def safetensors() -> bytes:
    facts = {"dtype": "F32", "shape": [40, 8], "data_offsets": [0, ROWS.nbytes]}
    header = json.dumps({"model.embed_tokens.weight": facts}).encode()
    return len(header).to_bytes(8, "little") + header + ROWS.tobytes()


class Opened(NamedTuple):
    """What is opened, and each file that is then read."""

    model: str
    files: list[str]


@pytest.fixture
def models(tmp_path: Path) -> list[Opened]:
    for folder in ("one", "index"):
        (tmp_path / folder).mkdir()
    (tmp_path / "one/model.safetensors").write_bytes(safetensors())
    (tmp_path / "index/a.safetensors").write_bytes(safetensors())
    index = {"weight_map": {"model.embed_tokens.weight": "a.safetensors"}}
    (tmp_path / "index/model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "m-00001-of-00002.gguf").write_bytes(gguf(TOKEN_TABLE, 0))
    (tmp_path / "m-00002-of-00002.gguf").write_bytes(gguf("output.weight", 1))
    (tmp_path / "m.gguf").write_bytes(gguf(TOKEN_TABLE))
    np.save(tmp_path / "m.npy", ROWS)
    return [
        Opened("one", ["one/model.safetensors"]),
        Opened("one/model.safetensors", ["one/model.safetensors"]),
        Opened("index", ["index/a.safetensors", "index/model.safetensors.index.json"]),
        Opened(
            "index/model.safetensors.index.json",
            ["index/a.safetensors", "index/model.safetensors.index.json"],
        ),
        Opened("m-00001-of-00002.gguf", ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]),
        Opened("m.gguf", ["m.gguf"]),
        Opened("m.npy", ["m.npy"]),
    ]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ----------------------------------------------------------------------------- what is read is not written


def writers(model: str) -> list[list[str]]:
    commands = [
        ["embed", model, "--ids", "1", "--out", "OUT"],
        *(["export", model, "OUT", "--format", name, "--ids", "1"] for name in FORMATS if name != "parquet"),
    ]
    if model.endswith(".gguf"):
        commands.append(["extract", model, "OUT"])
    return commands


def test_no_command_writes_over_a_file_that_it_reads(
    models: list[Opened], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "links").mkdir()
    outputs: dict[str, list[str]] = {}
    for number, victim in enumerate(sorted({file for opened in models for file in opened.files})):
        outputs[victim] = [victim, f"links/../{victim}", str(tmp_path / victim)]
        for link in LINKS:
            outputs[victim].append(f"links/{number}-{link.__name__}")
            link(tmp_path / victim, outputs[victim][-1])
    before = contents(tmp_path)
    n = 0
    for opened in models:
        for victim in opened.files:
            for command in writers(opened.model):
                for out in outputs[victim]:
                    assert main([out if part == "OUT" else part for part in command]) == 2
                    assert "is the model itself" in capsys.readouterr().err, (command, out)
                    n += 1
    assert contents(tmp_path) == before
    assert n > 280


def test_no_picture_is_written_over_the_model(
    models: list[Opened], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    monkeypatch.chdir(tmp_path)
    LINKS[0]("m.gguf", "latest.svg")
    before = contents(tmp_path)
    assert main(["plot", "norms", "m.gguf", "--out", "latest.svg"]) == 2
    assert "is the model itself" in capsys.readouterr().err
    assert contents(tmp_path) == before


def test_the_file_beside_is_no_file_of_the_model_either(tmp_path: Path) -> None:
    (tmp_path / "x.metadata.tsv").write_bytes(gguf(TOKEN_TABLE))
    with (
        pyembed.load_model(tmp_path / "x.metadata.tsv", validate="off") as model,
        pytest.raises(ValueError, match=r"x\.metadata\.tsv is the model itself"),
    ):
        export(model.table, tmp_path / "x.npy", force=True)
    assert sorted(os.listdir(tmp_path)) == ["x.metadata.tsv"]


def test_a_model_is_known_again_from_another_folder(
    models: list[Opened], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pyembed.open_table("m.npy") as table:
        monkeypatch.chdir(tmp_path / "one")
        with pytest.raises(ValueError, match="is the model itself"):
            export(table, tmp_path / "m.npy", ids=[0])


def test_two_outputs_are_never_one_file(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(b"old")
    os.link(tmp_path / "x.npy", tmp_path / "x.metadata.tsv")
    with pyembed.load_model(pyembed.demo_model()) as model:
        with pytest.raises(FileExistsError):
            export(model.table, tmp_path / "x.npy", ids=[0])
        with pytest.raises(ValueError, match="are the same file"):
            export(model.table, tmp_path / "x.npy", ids=[0], force=True)
    assert contents(tmp_path) == {"x.npy": b"old", "x.metadata.tsv": b"old"}


# -------------------------------------------------------------------------------------- all or nothing

#: Windows has no ``fchmod``: new files have the permissions that their folder gives.
STEPS = [name for name in ("write", "fsync", "fchmod", "link", "replace") if hasattr(os, name)]


@pytest.mark.parametrize("existing", [(), ("a",), ("b",), ("a", "b")])
@pytest.mark.parametrize("exception", [OSError(errno.EIO, "broken"), KeyboardInterrupt()])
def test_files_change_together_or_not_at_all(
    existing: tuple[str, ...], exception: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step fails in turn, before it is done and, as an interrupted one may, after it."""
    original = {name: getattr(os, name) for name in STEPS if name != "write"}
    outcomes = set()
    for when in range(40):
        folder = tmp_path / str(when)
        folder.mkdir()
        for name in existing:
            (folder / name).write_bytes(b"old " + name.encode())
        before = contents(folder)
        left = [when // 2]

        def step(call: Any, left: list[int] = left, done_first: bool = bool(when % 2)) -> Any:
            def stepped(*arguments: Any, **options: Any) -> Any:
                left[0] -= 1
                if left[0] == -1 and not done_first:
                    raise exception
                result = call(*arguments, **options)
                if left[0] == -1:
                    raise exception
                return result

            return stepped

        with monkeypatch.context() as patch:
            for name, call in original.items():
                patch.setattr(atomic_write.os, name, step(call))
            try:
                with replacing_together([folder / "a", folder / "b"]) as (a, b):
                    a.write(b"new a")
                    b.write(b"new b")
                outcome = "new"
            except type(exception):
                outcome = "old"
        expected = {"a": b"new a", "b": b"new b"} if outcome == "new" else before
        # What could not be linked is renamed instead: a link that fails is not an error.
        assert contents(folder) == expected, (when, existing)
        outcomes.add(outcome)
        if left[0] >= 0:
            break
    assert outcomes == {"new", "old"}


def test_an_export_that_fails_leaves_rows_and_tokens_of_each_other(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="limits the size of files as POSIX does")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pyembed.load_model(pyembed.demo_model()) as model:
        export(model.table, tmp_path / "x.npy", vocabulary=model.vocabulary, ids=range(10, 15))
        before = contents(tmp_path)
        for size in (100, 1000, 2600):  # of 2688: nothing, a part, all but the end
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
            try:
                with pytest.raises(OSError, match=r"File too large: .*x\.npy"):
                    export(model.table, tmp_path / "x.npy", vocabulary=model.vocabulary, ids=range(20, 25))
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            assert contents(tmp_path) == before
        export(model.table, tmp_path / "x.npy", vocabulary=model.vocabulary, ids=range(20, 25))
        np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), model.table[20:25])
    ids = [line.split("\t")[1] for line in (tmp_path / "x.metadata.tsv").read_text().splitlines()[1:]]
    assert ids == ["20", "21", "22", "23", "24"]


@pytest.mark.posix
def test_a_child_that_is_forked_meanwhile_leaves_the_parents_file_alone(tmp_path: Path) -> None:
    children = []

    def fork_once(text: str, done: float) -> None:
        if children:
            return
        child = os.fork()
        if child == 0:
            children.append(0)
            return  # and goes on writing, which it is refused
        children.append(child)

    with pyembed.load_model(pyembed.demo_model()) as model:
        status = 1
        try:
            export(model.table, tmp_path / "x.safetensors", vocabulary=model.vocabulary, progress=fork_once)
            status = 0
        except OSError as error:
            status = 7 if error.errno == errno.EBADF else 8
        finally:
            if children == [0]:
                os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 7
    with pyembed.open_table(tmp_path / "x.safetensors") as table:
        assert table.shape[0] == 5286
    assert os.listdir(tmp_path) == ["x.safetensors"]


@pytest.mark.parametrize("member", ["embeddings.npy", "ids.npy", "tokens.npy"])
def test_an_interrupted_npz_raises_what_interrupted_it(
    member: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a member of the archive was opened and not closed, which closing the archive refuses."""
    open_member = zipfile.ZipFile.open

    def interrupted(self: zipfile.ZipFile, info: Any, *arguments: Any, **options: Any) -> Any:
        file = open_member(self, info, *arguments, **options)
        if info.filename == member:
            raise KeyboardInterrupt
        return file

    monkeypatch.setattr(zipfile.ZipFile, "open", interrupted)
    with pyembed.load_model(pyembed.demo_model()) as model, pytest.raises(KeyboardInterrupt):
        export(model.table, tmp_path / "x.npz", vocabulary=model.vocabulary, ids=[1])
    assert os.listdir(tmp_path) == []


# -------------------------------------------------------------------------------- names and permissions


@pytest.mark.posix
def test_no_one_else_reads_a_private_file_while_it_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    path.write_bytes(b"secret")
    path.chmod(0o600)
    with replacing(path) as file:
        file.write(b"new secret")
        file.flush()
        modes = [stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()]
        assert modes == [0o600, 0o600]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    with replacing(path):
        (temporary,) = set(tmp_path.iterdir()) - {path}
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("name", ["new/", "new/.", "new/..", "there", "there/"])
def test_a_folder_is_no_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    assert main(["embed", "demo", "--ids", "1", "--out", name]) == 2
    assert "a folder; name a file in it" in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


@pytest.mark.posix
@pytest.mark.parametrize("n", [251, 255])
def test_long_names(n: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / ("a" * (n - 4) + ".npy")
    assert main(["embed", "demo", "--ids", "1", "--out", str(out)]) == 0
    assert np.load(out).shape == (1, 128)
    assert main(["embed", "demo", "--ids", "1", "--out", f"{out}x" + "x" * 10]) == 2
    assert "name too long" in capsys.readouterr().err
    # The name of the file beside it would be too long: nothing is written, not even the first.
    out.write_bytes(b"old")
    assert main(["export", "demo", str(out), "--ids", "1"]) == 2
    assert out.read_bytes() == b"old"
    assert len(os.listdir(tmp_path)) == 1


def test_the_users_own_file_beside_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "demo.metadata.tsv"
    own.write_bytes(b"my notes\n")
    command = ["export", "demo", str(tmp_path / "demo.npy"), "--ids", "1,2"]
    assert main(command) == 2
    assert str(own) in capsys.readouterr().err
    assert contents(tmp_path) == {"demo.metadata.tsv": b"my notes\n"}
    assert main([*command, "--force"]) == 0
    assert own.read_text().startswith("token\tid\n")
    assert main(command) == 0, "its own is replaced"


# -------------------------------------------------------------------------------- stdout, full disks


def output_of(*arguments: str, shell: str = '"$@"') -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "pyembed", *arguments]
    return subprocess.run(["sh", "-c", shell, "sh", *command], capture_output=True, check=False, timeout=120)


THROUGH = ('"$@" | cat', '"$@" > "$0.out"; cat "$0.out"', '"$@" >> "$0.out"; cat "$0.out"')
STREAMS = tuple((through, out) for out in ("-", "/dev/stdout") for through in THROUGH)


def written_to_streams() -> list[Any]:
    """Return every output through every stream: each is a process.

    What is written does not know the stream: one stream for each, and all for an archive, which seeks where
    it can, are the quick ones.
    """
    return [
        pytest.param(name, through, out, marks=() if name == "npz" or k == n % 6 else pytest.mark.slow)
        for n, name in enumerate((*FORMATS, "embed", "extract"))
        for k, (through, out) in enumerate(STREAMS)
    ]


@pytest.mark.posix
@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="there is no /dev/stdout")
@pytest.mark.parametrize(("name", "through", "out"), written_to_streams())
def test_stdout_carries_data_alone(name: str, through: str, out: str, tmp_path: Path) -> None:
    if name == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    suffix = {"embed": ".npy", "extract": ".gguf"}.get(name) or FORMATS[name].suffixes[0]
    command = {
        "embed": ["embed", "demo", "--ids", "1,2", "--out"],
        "extract": ["extract", "demo"],
    }.get(name, ["export", "demo", "--format", name, "--ids", "1,2"])
    assert main([*command, str(tmp_path / f"x{suffix}")]) == 0
    before = set(os.listdir("/dev")), sorted(os.listdir(tmp_path))
    done = output_of(*command, out, shell=through.replace("$0", str(tmp_path / "y")))
    (tmp_path / "y.out").unlink(missing_ok=True)
    assert (done.returncode, done.stderr) == (0, b"")
    expected = (tmp_path / f"x{suffix}").read_bytes()
    if name == "npz":  # a stream has sizes behind the data
        (tmp_path / "z.npz").write_bytes(done.stdout)
        with np.load(tmp_path / "z.npz") as found, np.load(tmp_path / "x.npz") as wanted:
            assert {key: found[key].tolist() for key in found} == {
                key: wanted[key].tolist() for key in wanted
            }
        (tmp_path / "z.npz").unlink()
    else:
        assert done.stdout == expected
    assert (set(os.listdir("/dev")), sorted(os.listdir(tmp_path))) == before


@pytest.mark.posix
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize("name", [*FORMATS, "embed", "extract"])
def test_a_full_disk_says_so(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if name == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    command = {"embed": ["embed", "demo", "--ids", "1", "--out"], "extract": ["extract", "demo"]}
    assert main([*command.get(name, ["export", "demo", "--format", name]), "/dev/full"]) == 2
    assert capsys.readouterr().err == "pyembed: error: /dev/full: No space left on device\n"


def test_an_output_without_a_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["embed", "demo", "--ids", "1", "--out", ""]) == 2
    assert "the name of the output is empty" in capsys.readouterr().err
