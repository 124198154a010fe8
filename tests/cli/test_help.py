"""The example that each --help shows works as it stands there."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from pyembed.cli import _parser, main
from tools.servers import exploring, running


def commands_of(parser: argparse.ArgumentParser, name: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield name
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, inner in action.choices.items():
                yield from commands_of(inner, (*name, word))


COMMANDS = sorted(commands_of(_parser()))


def test_all_commands_are_found() -> None:
    assert {("info",), ("logits",), ("plot", "map")} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_example_works(
    command: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if command[:1] == ("plot",) and find_spec("sklearn") is None:
        pytest.skip("the extra plot is not installed")
    monkeypatch.setenv("COLUMNS", "500")  # so that it stays one line
    assert main([*command, "--help"]) == 0
    (example,) = re.findall(r"^example: (pyembed .*)$", capsys.readouterr().out, re.MULTILINE)
    assert f"pyembed {' '.join(command)}".strip() in example
    if command == ("serve",):  # it goes on until it is ended
        pytest.importorskip("uvicorn", reason="the extra serve is not installed")
        with running(*shlex.split(example)[2:]) as server:
            assert server.get("/health").status == 200
        return
    if command == ("explore",):
        pytest.importorskip("uvicorn", reason="the extra serve is not installed")
        with exploring(*shlex.split(example)[2:]) as server:
            assert server.get("/").status == 200
        return
    if "parquet" in example:
        pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    here = f'"{sys.executable}" -m pyembed '
    script = re.sub(r"\bpyembed (?=\w+ )", lambda _: here, example)
    done = subprocess.run(
        script, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{script}\n{done.stderr}"
    for name in re.findall(r"(?:--out|>) (\S+)", example):
        assert (tmp_path / name).is_dir() or (tmp_path / name).stat().st_size > 0
