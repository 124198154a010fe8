"""``pyembed diff``: what two files have in common, by token, by row and by tensor."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from ..safe_text import printable
from ..validation.comparison import Comparison, compare
from .arguments import add_json
from .files import model_path
from .progress import progress_bar
from .show import print_json, print_table

_SHOWN = 20


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "diff",
        help="compare two files: vocabulary, rows, metadata, tensors",
        description="Compare two models, or a model and a tokenizer's files. Exits 0 if they are the same up "
        "to quantisation, 1 if they differ or something that both have could not be compared.",
        epilog="example: pyembed extract demo small.gguf && pyembed diff demo small.gguf",
    )
    kinds = (
        "a model, a tokenizer's file (tokenizer.json, tekken.json, .model, vocab.txt, ...), or a directory"
    )
    parser.add_argument("a", metavar="A", help=f"{kinds}; or: demo")
    parser.add_argument("b", metavar="B", help="likewise; or a vocabulary's digest, sha256:...")
    add_json(parser, "print all differences as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    with progress_bar() as progress:
        found = compare(model_path(arguments.a), model_path(arguments.b), progress=progress)
    if arguments.json:
        print_json(found.to_dict())
    else:
        print_comparison(found)
    return 0 if found.same else 1


def print_comparison(found: Comparison) -> None:
    """Print what a comparison came to."""
    for conclusion in found.conclusions:
        print(printable(conclusion.text))
    if found.findings:
        print()
        print_table(
            ["", "rule", "what differs"],
            [[f.severity.value, f.rule, f.message] for f in found.findings],
            left=3,
        )
    if found.metadata:
        print()
        lines = [[key, _short(a), _short(b)] for key, (a, b) in found.metadata.items()]
        print_table(["metadata", "A", "B"], _abridged(lines), left=3)
    if found.tensors:
        print()
        lines = [
            [t.name, *(_tensor(t.shapes[side], t.types[side]) for side in (0, 1))] for t in found.tensors
        ]
        print_table(["tensor", "A", "B"], _abridged(lines), left=3)
    if not found.differ:
        print(printable(found.summary))


def _abridged(lines: list[list[str]]) -> list[list[str]]:
    more = len(lines) - _SHOWN
    return lines if more <= 0 else [*lines[:_SHOWN], [f"... and {more} more", "", ""]]


def _short(value: object) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _tensor(shape: Sequence[int] | None, type: str | None) -> str:
    return "-" if shape is None else f"{' x '.join(map(str, shape))} {type}"
