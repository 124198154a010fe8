"""``pyembed export``: rows with their tokens, in files that other tools open."""

from __future__ import annotations

import argparse
from typing import Any

from ..export import FORMATS, export
from ..files.atomic_write import is_stdout
from .arguments import (
    OUTPUT_HELP,
    add_dtype,
    add_json,
    add_model,
    add_rows,
    add_tensor,
    output_argument,
    range_argument,
)
from .files import OpenFile
from .progress import progress_bar
from .show import print_facts, print_json


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    formats = "\n".join(
        f"  {name:<16} {', '.join(kind.suffixes):<13} {kind.holds}" for name, kind in FORMATS.items()
    )
    parser: argparse.ArgumentParser = commands.add_parser(
        "export",
        help="write rows and tokens for NumPy, safetensors, gensim, TensorBoard or Parquet",
        description="Write rows of a table, all or some, with their tokens to a file for other tools.\n\n"
        f"formats, by the end of OUT or by --format:\n{formats}\n\n"
        "Tokens are written as the file stores them. In lines of text \\s stands for a space, \\n for a\n"
        "newline, \\\\ for a backslash, \\e for an empty token, and \\#ID follows a text that an earlier\n"
        "token has too; pyembed.export.text_of undoes it.",
        epilog="example: pyembed export demo demo.bin --range 100:200",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model(parser)
    parser.add_argument("out", type=output_argument, metavar="OUT", help=OUTPUT_HELP)
    add_rows(parser)
    parser.add_argument(
        "--range", type=range_argument, metavar="FIRST:END", help="the rows from FIRST to the one before END"
    )
    parser.add_argument("--format", choices=list(FORMATS), help="default: by the end of OUT")
    add_dtype(parser)
    add_tensor(parser)
    parser.add_argument(
        "--force", action="store_true", help="replace a *.metadata.tsv that export did not write"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    with OpenFile(arguments.model, arguments.tensor) as file, progress_bar() as progress:
        done = export(
            file.table,
            arguments.out,
            vocabulary=file.vocabulary,
            ids=_ids(arguments, file),
            format=arguments.format,
            dtype=arguments.dtype,
            force=arguments.force,
            progress=progress,
        )
    if is_stdout(arguments.out):
        return 0
    if arguments.json:
        print_json(
            {"paths": list(done.paths), "format": done.format, "shape": list(done.shape), "dtype": done.dtype}
        )
        return 0
    print_facts(
        [
            ("written", " and ".join(done.paths)),
            ("format", done.format),
            ("shape", f"{list(done.shape)} {done.dtype}"),
        ]
    )
    return 0


def _ids(arguments: argparse.Namespace, file: OpenFile) -> range | list[int] | None:
    """Return the rows to write; None for all."""
    some = bool(arguments.words or arguments.tokens or arguments.ids)
    if arguments.range is not None and some:
        raise ValueError("--range is not allowed with words, --tokens or --ids")
    return [row for _, row in file.chosen(arguments)] if some else arguments.range
