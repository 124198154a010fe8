"""Arguments that mean the same in every command."""

from __future__ import annotations

import argparse

from ..core.dtypes import OUTPUT_TYPES
from ..core.system import STDOUT


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the argument MODEL."""
    parser.add_argument("model", metavar="MODEL", help="a .gguf, .safetensors or .npy file, or: demo")


def add_tensor(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--tensor``."""
    parser.add_argument("--tensor", metavar="NAME", help="another tensor than the token embeddings")


def add_rows(parser: argparse.ArgumentParser) -> None:
    """Add what chooses rows: words, ``--tokens`` and ``--ids``, which may be combined."""
    parser.add_argument("words", nargs="*", metavar="WORD", help="whole words, as a person writes them")
    parser.add_argument(
        "--tokens", nargs="+", default=[], metavar="TOKEN", help="single tokens, such as ' king' or '##ing'"
    )
    parser.add_argument("--ids", type=ids_argument, default=[], metavar="1,2,3", help="rows by their ids")


def add_text(parser: argparse.ArgumentParser) -> None:
    """Add the options ``--text`` and ``--pool``: the rows of texts' tokens, or what they make together."""
    parser.add_argument(
        "--text", nargs="+", default=[], metavar="TEXT", help="the tokens of texts; needs the extra 'text'"
    )
    parser.add_argument("--pool", choices=("mean",), help="one vector for each --text, the mean of its rows")


def add_k(parser: argparse.ArgumentParser, what: str = "how many tokens") -> None:
    """Add the option ``--k``."""
    parser.add_argument("--k", "-k", type=int, default=10, help=f"{what}; default: 10")


def add_metric(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--metric``."""
    parser.add_argument("--metric", choices=("cosine", "dot"), default="cosine", help="default: cosine")


def add_dtype(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--dtype``."""
    parser.add_argument("--dtype", choices=list(OUTPUT_TYPES), default="float32", help="default: float32")


def add_json(parser: argparse.ArgumentParser, what: str = "print JSON, with unrounded numbers") -> None:
    """Add the option ``--json``."""
    parser.add_argument("--json", action="store_true", help=what)


def ids_argument(text: str) -> list[int]:
    """Return what an option such as ``--ids 1,2,3`` was given."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of ids such as 1,2,3") from None


def range_argument(text: str) -> range:
    """Return what an option such as ``--range 100:200`` was given."""
    try:
        first, end = map(int, text.split(":"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a range of ids such as 100:200") from None
    return range(first, end)


OUTPUT_HELP = "the file to write; - is stdout, which then carries nothing else"


def output_argument(text: str) -> str:
    """Return the file that an option such as ``--out`` names."""
    return STDOUT if text == "-" else text
