"""The command ``pyembed``: one module per command, each with `add_parser` and a function that runs it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from .. import __version__
from ..core.system import reader_is_gone
from ..errors import PyembedError
from ..files.atomic_write import is_stdout
from ..safe_text import printable
from . import (
    diff,
    edit,
    embed,
    encode,
    explore,
    export,
    extract,
    health,
    info,
    lock,
    plot,
    repair,
    serve,
    size,
    tokenize,
    validate,
)
from . import similarity as geometry
from .process import drop_output, ending_by_signals, prepare_streams

_COMMANDS = (
    info,
    embed,
    tokenize,
    validate,
    diff,
    geometry,
    health,
    plot,
    lock,
    size,
    extract,
    edit,
    repair,
    export,
    encode,
    serve,
    explore,
)


class _Parser(argparse.ArgumentParser):
    """Reports a wrong call in one line."""

    def error(self, message: str) -> NoReturn:
        _complain(f"{message} ({self.prog} --help shows how)")
        sys.exit(2)


def _parser() -> _Parser:
    parser = _Parser(
        prog="pyembed",
        description="Look into the embedding tables and vocabularies of model files.",
        epilog="example: pyembed info demo",
    )
    parser.add_argument("--version", action="version", version=f"pyembed {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command line in which words may stand behind options too, where argparse stops looking."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    if rest and (any(part.startswith("-") for part in rest) or not hasattr(arguments, "words")):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        arguments.words += rest
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code.

    That is 0 for success, 1 if what was checked is wrong, and 2 if the call is wrong or a file cannot be
    read or written; then one line on stderr says why. A signal that ends the command gives 128 and its
    number.
    """
    try:
        prepare_streams()
        with ending_by_signals():
            return _run(argv)
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 0
    except KeyboardInterrupt:
        return 130


def _run(argv: Sequence[str] | None) -> int:
    try:
        arguments = _parse(argv)
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except OSError as error:
        if error.filename is None or is_stdout(error.filename):
            has_seen_enough = reader_is_gone(error)
            drop_output()  # what is left in the buffer has no way out
            if has_seen_enough:
                return 0
        where = f"{os.fsdecode(error.filename)}: " if error.filename is not None else ""
        _complain(f"{where}{error.strerror or error}")
        return 2
    except MemoryError as error:
        _complain(f"out of memory: {error}")
        return 2
    except (PyembedError, ValueError, IndexError, ImportError) as error:
        _complain(str(error))
        return 2
    return code


def _complain(message: str) -> None:
    print(f"pyembed: error: {printable(message)}", file=sys.stderr)
