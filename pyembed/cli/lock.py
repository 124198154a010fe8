"""``pyembed lock``: pins a model, or compares one with what was pinned."""

from __future__ import annotations

import argparse
from typing import Any

from ..loader import load_model
from ..lock import check_lock, make_lock
from .arguments import add_json
from .files import model_path
from .show import print_facts, print_json, print_table


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "lock",
        help="pin a model for a deployment, or check one against its lock",
        description="Print the lock of a model: the digest of its vocabulary, its special ids, shapes, "
        "types and digests of its rows. load_model(path, lock=...) refuses another model.",
        epilog="example: pyembed lock demo > demo.lock && pyembed lock demo --check demo.lock",
    )
    parser.add_argument("model", metavar="MODEL", help="a .gguf file, or: demo")
    parser.add_argument(
        "--any-quantisation",
        action="store_true",
        help="pin vocabulary and shapes only, so that another quantisation of the model passes",
    )
    parser.add_argument(
        "--check", metavar="LOCK", help="compare with this lock, every row; exits with 1 if it differs"
    )
    add_json(parser, "print the result of --check as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.check is not None and arguments.any_quantisation:
        raise ValueError("--any-quantisation is for making a lock; --check compares what the lock holds")
    with load_model(model_path(arguments.model)) as model:
        if arguments.check is None:
            print_json(make_lock(model, any_quantisation=arguments.any_quantisation))
            return 0
        differences = check_lock(model, arguments.check, every_row=True)
        if arguments.json:
            print_json(
                {
                    "path": model.path,
                    "ok": not differences,
                    "differences": [
                        {"field": field, "locked": wanted, "found": found}
                        for field, wanted, found in differences
                    ],
                }
            )
        elif differences:
            print_table(
                ["field", "locked", "found"],
                [[field, str(wanted), str(found)] for field, wanted, found in differences],
                left=3,
            )
        else:
            print_facts([("same", f"{model.path} is the model of {arguments.check}")])
        return 1 if differences else 0
