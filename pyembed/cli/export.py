"""``pyembed export``: rows with their tokens, in files that other tools open."""

from __future__ import annotations

import argparse
from typing import Any

from ..core.dtypes import OUTPUT_TYPES
from ..export import FORMATS, export
from .files import OpenFile, add_model, add_tensor, ids_argument, range_argument
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
    parser.add_argument("out", metavar="OUT", help="the file to write")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--ids", type=ids_argument, metavar="1,2,3", help="only these rows")
    which.add_argument("--tokens", nargs="+", metavar="TOKEN", help="only these, as a person writes them")
    which.add_argument(
        "--range", type=range_argument, metavar="FIRST:END", help="only FIRST to the one before END"
    )
    parser.add_argument("--format", choices=list(FORMATS), help="default: by the end of OUT")
    parser.add_argument("--dtype", choices=list(OUTPUT_TYPES), default="float32", help="default: float32")
    add_tensor(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    with OpenFile(arguments.model, arguments.tensor) as file, progress_bar() as progress:
        ids = arguments.range if arguments.range is not None else arguments.ids
        done = export(
            file.table,
            arguments.out,
            vocabulary=file.vocabulary,
            ids=ids if arguments.tokens is None else file.token_ids(arguments.tokens),
            format=arguments.format,
            dtype=arguments.dtype,
            progress=progress,
        )
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
