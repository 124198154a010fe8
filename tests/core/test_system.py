"""What differs between systems: commands without POSIX, consoles of few letters, paths of Windows."""

from __future__ import annotations

import errno
import gc
import io
import json
import ntpath
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import pyembed
from pyembed.cli import main
from pyembed.core.system import claim_address, open_to_move
from pyembed.encoders import files as encoder_files
from pyembed.validation import sarif
from tests.helpers.gguf_bytes import ARRAY, I32, STRING, Array, GGUFBytes
from tests.helpers.windows_like import outcomes

ROOT = Path(__file__).parents[2]
KEY = "general.name"
#: Commands in a folder with ``m.gguf``, each with the files that it writes there.
COMMANDS: list[tuple[list[str], list[str]]] = [
    (["info", "m.gguf", "--json"], []),
    (["validate", "m.gguf", "--json"], []),
    (["embed", "m.gguf", "--ids", "1,2", "--out", "x.npy"], ["x.npy"]),
    (["extract", "m.gguf", "x.gguf"], ["x.gguf"]),
    (["export", "m.gguf", "x.tsv", "--format", "projector", "--ids", "1,2"], ["x.tsv", "x.metadata.tsv"]),
    (["edit", "m.gguf", "set", f"{KEY}=string:another", "--out", "y.gguf"], ["y.gguf"]),
    (["edit", "m.gguf", "set", f"{KEY}=string:Other words", "--in-place"], ["m.gguf"]),
    (["edit", "m.gguf", "resize", "2000", "--in-place"], ["m.gguf"]),
    (["repair", "m.gguf", "--out", "z.gguf"], []),
    (["lock", "m.gguf"], []),
    (["tokenizer", "m.gguf", "--out", "x.json"], ["x.json"]),
    (["nearest", "m.gguf", "file"], []),
    (["health", "m.gguf"], []),
]


@pytest.mark.posix  # where nothing has to be taken away, all tests are this one
def test_commands_need_nothing_of_posix(tmp_path: Path) -> None:
    """They print and write what they do here."""
    folders: dict[str, list[Path]] = {"here": [], "there": []}
    for kind, made in folders.items():
        for number in range(len(COMMANDS)):
            made.append(tmp_path / kind / f"{number:02}")
            made[-1].mkdir(parents=True)
            shutil.copy(pyembed.demo_model(), made[-1] / "m.gguf")
    lines = [command for command, _ in COMMANDS]
    here = outcomes([(str(folder), line) for folder, line in zip(folders["here"], lines, strict=True)])
    given = json.dumps([(str(folder), line) for folder, line in zip(folders["there"], lines, strict=True)])
    command = [sys.executable, "-m", "tests.helpers.windows_like"]
    done = subprocess.run(
        command, input=given.encode(), cwd=ROOT, capture_output=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr.decode()
    there = [tuple(outcome) for outcome in json.loads(done.stdout)]
    for (line, written), one, other, first, second in zip(
        COMMANDS, here, there, *folders.values(), strict=True
    ):
        assert one == other, line
        assert one[0] == 0, (line, one)
        names = {path.name for path in second.iterdir()}
        assert names == {path.name for path in first.iterdir()}
        assert not {name for name in names if name.endswith((".tmp", ".pyembed-undo"))}
        assert [(second / name).read_bytes() for name in written] == [
            (first / name).read_bytes() for name in written
        ], line


@pytest.mark.posix
def test_what_is_taken_away_is_gone() -> None:
    script = (
        "from tests.helpers.windows_like import take_away; take_away()\n"
        "import os, pyembed\n"
        "assert not hasattr(os, 'pread') and not hasattr(os, 'fork')\n"
        "import fcntl\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=False)
    assert b"ModuleNotFoundError: import of fcntl halted" in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["info", "demo"],
        ["embed", "demo", "--tokens", "file"],
        ["nearest", "demo", "file"],
        ["tokenize", "demo", "a \u2581 \u65e5"],
        ["validate", "demo"],
        ["health", "demo"],
        ["diff", "demo", "demo"],
    ],
    ids=lambda command: command[0],
)
def test_a_console_with_the_letters_of_western_europe(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, err = (io.TextIOWrapper(io.BytesIO(), "cp1252", newline="\r\n") for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    assert main(command) == 0
    out.flush()
    err.flush()
    printed = out.buffer.getvalue().decode("cp1252")
    assert err.buffer.getvalue() == b""
    assert printed
    assert ("\\u2581" in printed) == (command[0] in ("embed", "health", "nearest", "tokenize"))


def test_a_text_on_stdin_is_utf_8_whatever_the_code_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = []
    for encoding in ("cp1252", "utf-8"):
        text = io.BytesIO("na\u00efve \u65e5".encode())
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(text, encoding))
        assert main(["tokenize", "demo", "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]
    assert found[0]["texts"]


# ------------------------------------------------------------------------------------------ paths of Windows


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        (r"C:\models\a b.gguf", "file:///C:/models/a%20b.gguf"),
        (r"\\host\share\m.gguf", "file://host/share/m.gguf"),
        (r"models\m.gguf", "models/m.gguf"),
        (r"m#1.gguf", "m%231.gguf"),
    ],
)
def test_uris_of_paths_of_windows(path: str, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sarif, "os", SimpleNamespace(path=ntpath, sep="\\"))
    assert sarif.uri_of(path) == uri


@pytest.mark.parametrize(
    "inside", ["C:elsewhere", "C:\\elsewhere", "\\elsewhere", "\\\\host\\share\\x", "a\\..\\..\\b"]
)
def test_no_module_leads_out_of_its_folder_on_windows(
    inside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = tmp_path / "modules.json"
    modules.write_text(json.dumps([{"type": "x.StaticEmbedding", "path": inside}]))
    paths = SimpleNamespace(**{**vars(ntpath), "isfile": os.path.isfile})
    monkeypatch.setattr(encoder_files, "os", SimpleNamespace(path=paths))
    with pytest.raises(pyembed.FormatError, match="leads out of the folder"):
        encoder_files._static_module(str(modules))


def test_what_was_validated_is_closed_whatever_is_wrong_with_it(tmp_path: Path) -> None:
    """Windows removes and replaces no file that is open: nothing may be left for a collection of garbage."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("nothing lists what is mapped")
    path = tmp_path / "m.gguf"
    model = (
        GGUFBytes().add("general.architecture", STRING, "llama").add("tokenizer.ggml.model", STRING, "gpt2")
    )
    model.add("tokenizer.ggml.tokens", ARRAY, Array(STRING, ["a", "b", "c", ""]))
    model.add("tokenizer.ggml.token_type", ARRAY, Array(I32, [1]))
    path.write_bytes(bytes(model.tensor("token_embd.weight", (4, 4), 0, bytes(64))))
    gc.disable()
    try:
        assert pyembed.validate(path).verdict == "wrong"
        assert str(path) not in maps.read_text()
    finally:
        gc.enable()


def test_a_file_that_is_opened_to_be_moved_is_read_under_its_new_name(tmp_path: Path) -> None:
    path = tmp_path / "before"
    path.write_bytes(b"content")
    with open_to_move(str(path)) as file:
        path.rename(tmp_path / "after")
        assert file.read() == b"content"
    assert os.listdir(tmp_path) == ["after"]


def test_what_cannot_be_opened_to_be_moved_is_said_in_the_words_of_the_system(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    with pytest.raises(FileNotFoundError) as wanted:
        os.stat(missing)
    with pytest.raises(FileNotFoundError) as caught:
        open_to_move(missing)
    assert caught.value.strerror.rstrip(".") == wanted.value.strerror.rstrip(".") != ""
    assert caught.value.filename == missing


def test_an_address_that_is_taken_cannot_be_claimed() -> None:
    with socket.socket() as first, socket.socket() as second:
        claim_address(first)
        first.bind(("127.0.0.1", 0))
        first.listen()
        claim_address(second)
        with pytest.raises(OSError, match=r"\[(Errno|WinError)") as caught:
            second.bind(first.getsockname())
        assert caught.value.errno in (errno.EADDRINUSE, errno.EACCES)
