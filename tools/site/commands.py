"""The page of all commands, each as its own ``--help`` describes it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

from pyembed.cli import _parser

_HEAD = """# Commands

`pyembed COMMAND MODEL ...`: MODEL is a `.gguf`, `.safetensors` or `.npy` file, or `demo`, the model in the
package. Exit codes are 0 for success, 1 where what was checked is wrong, and 2 where the call is wrong or a
file cannot be read. This is what `--help` prints.
"""


def page() -> str:
    """Return the page."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"  # argparse has no other way to set the width
    try:
        parts = [
            f"## {name}\n\n```text\n{parser.format_help().rstrip()}\n```\n"
            for name, parser in _walk(_parser())
        ]
    finally:
        os.environ.pop("COLUMNS") if before is None else os.environ.update(COLUMNS=before)
    return "\n".join([_HEAD, *parts])


def _walk(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield parser.prog, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _walk(inner)
