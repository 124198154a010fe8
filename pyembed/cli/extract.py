"""``pyembed extract``: a small GGUF file with the vocabulary and the tables of a model."""

from __future__ import annotations

import argparse
from typing import Any

from ..files.atomic_write import is_stdout
from ..files.extract import extract
from .arguments import OUTPUT_HELP, add_json, add_model, output_argument
from .files import model_path
from .progress import progress_bar
from .show import print_facts, print_json, size_text


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "extract",
        help="write a small GGUF file with only the vocabulary and the tables",
        description="Write a GGUF file with a model's metadata, vocabulary and tables, unchanged. "
        "A split set becomes one file.",
        epilog="example: pyembed extract demo tables.gguf",
    )
    add_model(parser)
    parser.add_argument("out", type=output_argument, metavar="OUT.gguf", help=OUTPUT_HELP)
    parser.add_argument(
        "--tensor",
        action="append",
        default=[],
        metavar="NAME",
        help="keep this tensor too, by name or by a pattern such as 'per_layer_*'; may be repeated",
    )
    add_json(parser, "print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    with progress_bar() as progress:
        done = extract(
            model_path(arguments.model), arguments.out, tensors=arguments.tensor, progress=progress
        )
    if is_stdout(done.path):
        return 0
    if arguments.json:
        print_json({"out": done.path, "n_bytes": done.n_bytes, "tensors": list(done.tensors)})
        return 0
    print_facts(
        [("written", done.path), ("size", size_text(done.n_bytes)), ("tensors", ", ".join(done.tensors))]
    )
    return 0
