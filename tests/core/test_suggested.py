"""Commands that messages suggest: a shell runs them as they are meant, whatever a file is called."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

import pyembed
from pyembed.cli import main
from pyembed.core.suggested import command
from pyembed.core.unfinished import JOURNAL_SUFFIX

NAMES = [
    "two words.gguf",
    'it\'s `id`; $HOME & "more".gguf',
    "back\\slash.gguf",
    "*.gguf",
    "-x.gguf",
    "line\nbreak's\t\\n.gguf",
    "\x1b[2J\u202e.gguf",
    "not \udcff UTF-8 \u00e9.gguf",
    "\u2581 fine.gguf",
]


@pytest.mark.posix
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_shell_takes_a_suggested_command_as_it_is_meant() -> None:
    lines = [command("edit", name, "undo") for name in NAMES]
    assert all(line.isprintable() for line in lines)
    script = "\n".join(["pyembed() { printf '%s\\0' \"$@\"; }", *lines])
    done = subprocess.run(["bash", "-c", script], stdout=subprocess.PIPE, check=True)
    words = [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]]
    named = [f"./{name}" if name.startswith("-") else name for name in NAMES]
    assert words == [word for name in named for word in ("edit", name, "undo")]


@pytest.mark.posix
@pytest.mark.parametrize("name", ["a 'b'.gguf", "-x.gguf", "m.gguf"])
def test_what_the_message_of_an_interrupted_edit_suggests_can_be_done(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing was kept, which is what the command then says: it got the right file."""
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(Path(pyembed.demo_model()).read_bytes())
    Path(f"{name}{JOURNAL_SUFFIX}").write_bytes(b"")
    with pytest.raises(pyembed.GGUFError) as caught:
        pyembed.load_model(name)
    program, *words = shlex.split(str(caught.value).split("`")[1])
    assert program == "pyembed"
    assert main(words) == 2
    assert f"{name}{JOURNAL_SUFFIX}" in capsys.readouterr().err
