"""``pyembed encode``: the vectors of all rows of some files, in parts that others read."""

from __future__ import annotations

import argparse
import os
from typing import Any

from .arguments import add_json
from .files import model_path
from .progress import progress_bar
from .show import print_facts, print_json


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "encode",
        help="write the vectors of a corpus: Parquet, Arrow, JSON lines, CSV or lines of text",
        description="Write the vectors of all rows of some files into a folder, in parts. A run that was\n"
        "interrupted continues with --resume, and the parts are then those of one that was not.\n\n"
        "inputs, by the ends of their names; of a folder those that are one of these:\n"
        "  .parquet .pq                 Parquet\n"
        "  .arrow .feather .ipc .arrows Arrow's files and streams\n"
        "  .jsonl .ndjson .json         an object a line\n"
        "  .csv                         with a header; all columns are texts\n"
        "  .txt                         a text a line, in the column 'text'\n"
        "the last three also with .gz .bz2 .zst .lz4 behind",
        epilog="example: pyembed export demo tokens.parquet && "
        "pyembed encode demo tokens.parquet --columns token --text token --out vectors",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "model", metavar="MODEL", help="a static encoder or a GGUF file; for --ids any file with a table"
    )
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="a file, or a folder of files")
    parser.add_argument("--out", required=True, metavar="DIR", help="a new folder, or one of such a run")
    parser.add_argument("--text", metavar="COLUMN", help="default: 'text', or the only column of texts")
    parser.add_argument("--ids", metavar="COLUMN", help="encode token ids instead: numbers, or lists of them")
    parser.add_argument("--columns", metavar="A,B", help="the columns to keep; default: all")
    parser.add_argument("--into", default="embedding", metavar="COLUMN", help="default: embedding")
    parser.add_argument("--format", choices=("parquet", "npy", "safetensors"), default="parquet")
    parser.add_argument(
        "--pool", choices=("mean", "none"), default="mean", help="none: a vector for each token"
    )
    parser.add_argument("--dim", type=int, metavar="N", help="the first N columns alone")
    parser.add_argument(
        "--dtype",
        choices=("float32", "float16", "binary"),
        default="float32",
        help="binary: one bit a column, whether it is above 0, the highest bit first; default: float32",
    )
    parser.add_argument(
        "--normalize", action=argparse.BooleanOptionalAction, help="default: as the model says"
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue a run that wrote to DIR, if there is one"
    )
    parser.add_argument(
        "--max-errors",
        type=_max_errors,
        default=0,
        metavar="N",
        help="how many rows may fail, or: any; they go to _rejects-*.jsonl with the reason; default: 0",
    )
    parser.add_argument(
        "--part-size", default="256MiB", metavar="SIZE", help="bytes of vectors of a part; default: 256MiB"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="default: all cores")
    add_json(parser, "print what was done as JSON")
    parser.set_defaults(run=run)


def _max_errors(text: str) -> int | None:
    if text == "any":
        return None
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor: any") from None


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from ..corpora import encode_corpus  # which imports pyarrow
    from ..encoders.engines import THREADS_VARIABLE

    if arguments.threads is not None and arguments.threads > 0:
        os.environ.setdefault(THREADS_VARIABLE, str(arguments.threads))

    with progress_bar() as progress:
        done = encode_corpus(
            model_path(arguments.model),
            arguments.inputs,
            arguments.out,
            text=arguments.text,
            ids=arguments.ids,
            columns=None if arguments.columns is None else arguments.columns.split(","),
            into=arguments.into,
            pool=arguments.pool,
            dim=arguments.dim,
            dtype=arguments.dtype,
            normalize=arguments.normalize,
            format=arguments.format,
            max_errors=arguments.max_errors,
            resume=arguments.resume,
            part_size=arguments.part_size,
            threads=arguments.threads,
            progress=progress,
        )
    if arguments.json:
        print_json({**done._asdict(), "parts": list(done.parts), "out": arguments.out})
        return 0
    n_new = done.rows + done.failed - done.resumed
    rate = f"{n_new / done.seconds:,.0f} a second" if n_new and done.seconds else "nothing was left to do"
    print_facts(
        [
            ("written", f"{len(done.parts)} part{'s' * (len(done.parts) != 1)} in {arguments.out}"),
            ("rows", f"{done.rows:,}, {done.vectors:,} vectors ({rate})"),
            ("failed", f"{done.failed:,}" + (", see _rejects-*.jsonl" if done.failed else "")),
        ]
    )
    return 0
