"""``pyembed size``: bytes of a table in every type."""

from __future__ import annotations

import argparse
import math
from typing import Any

from ..core.dtypes import TENSOR_TYPES
from ..core.handle import Source
from ..errors import UnsupportedTypeError
from ..tables.table import EmbeddingTable
from ..tables.token_table import find_token_table
from .arguments import add_json, add_tensor
from .files import model_path
from .show import print_facts, print_json, print_table, size_text


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "size",
        help="bytes of a table in every type",
        description="Show what a table takes in every type: one of V rows and D columns, or a model's.",
        epilog="example: pyembed size 128256 4096",
    )
    parser.add_argument("what", nargs="+", metavar="MODEL | V D", help="a file, demo, or two numbers")
    add_tensor(parser)
    add_json(parser, "print JSON, in bytes")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    rows, columns, stored, layout = _shape(arguments.what, arguments.tensor)
    types = []
    for kind in TENSOR_TYPES.values():
        types.append(
            {
                "type": kind.name,
                "bits_per_weight": 8 * kind.block_bytes / kind.block_weights,
                "row_bytes": kind.n_bytes(1, columns),
                "n_bytes": kind.n_bytes(rows, columns),
            }
        )
    if arguments.json:
        print_json({"rows": rows, "columns": columns, "type": stored, "layout": layout, "types": types})
        return 0
    stored_as = [] if layout is None else [("stored as", layout)]
    print_facts([("rows", str(rows)), ("columns", str(columns)), *stored_as])
    print()
    print_table(
        ["type", "bits a weight", "row", "table"],
        [
            [
                str(kind["type"]),
                f"{kind['bits_per_weight']:g}",
                _size(kind["row_bytes"]),
                _size(kind["n_bytes"]),
            ]
            for kind in types
        ],
    )
    return 0


def _size(n_bytes: object) -> str:
    return size_text(n_bytes) if isinstance(n_bytes, int) else "-"


def _shape(what: list[str], tensor: str | None) -> tuple[int, int, str | None, str | None]:
    """Return rows, columns, and how a file stores the table: its type, and its layout."""
    if len(what) == 2:
        try:
            rows, columns = map(int, what)
        except ValueError:
            raise ValueError(
                f"{what[0]} x {what[1]} is not a table: expected two numbers, or one MODEL"
            ) from None
        if rows < 0 or columns < 1:
            raise ValueError(
                f"{what[0][:20]} x {what[1][:20]} is not a table: rows are 0 or more, columns 1 or more"
            )
        if max(rows, columns) >= 2**63:
            raise ValueError("rows and columns of a table are below 2^63")
        return rows, columns, None, None
    if len(what) != 1:
        raise ValueError(f"expected one MODEL or two numbers, got {len(what)} arguments")
    source = Source(model_path(what[0]))
    try:
        name = find_token_table(source).name if tensor is None else tensor
        return _stored(source, name)
    finally:
        source.close()


def _stored(source: Source, name: str) -> tuple[int, int, str, str]:
    """Return rows, columns, type and layout of a table, or of a tensor that is none or cannot be decoded."""
    info = source.tensor(name)
    if info is None or info.shape:
        try:
            table = EmbeddingTable(source, name)
            return *table.shape, table.type, str(table.layout)
        except UnsupportedTypeError:
            if info is None:
                raise
    return math.prod(info.shape[:-1]), info.shape[-1] if info.shape else 1, info.type, info.type
