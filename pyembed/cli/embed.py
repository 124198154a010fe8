"""``pyembed embed``: rows of a table, by id or by token, to look at or into a .npy file."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.aliases import DTypeName
from ..files.atomic_write import check_is_not_read, is_stdout, replacing
from ..files.npy_writer import write_array
from .arguments import add_dtype, add_json, add_model, add_rows, add_tensor, add_text, output_argument
from .files import Chosen, OpenFile
from .show import print_facts, print_json, print_table

_SHOWN_FIRST, _SHOWN_LAST = 4, 2  # fits 80 columns


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "embed",
        help="print rows of a table, or write them to a .npy file",
        description="Print rows of a table, rounded and abridged, or write them to a .npy file.",
        epilog="example: pyembed embed demo file string --out rows.npy",
    )
    add_model(parser)
    add_rows(parser)
    add_text(parser)
    add_tensor(parser)
    add_dtype(parser)
    parser.add_argument(
        "--out",
        type=output_argument,
        metavar="FILE.npy",
        help="write the rows there, bfloat16 as the uint16 that hold its bits; - is stdout",
    )
    add_json(parser, "print facts and unrounded rows as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    with OpenFile(arguments.model, arguments.tensor) as file:
        if arguments.out is not None:
            check_is_not_read(arguments.out, file.table._source)
        chosen = file.items(arguments)
        ids = [one.id for one in chosen]
        rows = _rows(file, chosen, arguments.dtype)
        facts: dict[str, object] = {
            "path": file.table.path,
            "tensor": file.table.name,
            "type": file.table.type,
            "shape": list(rows.shape),
            "dtype": arguments.dtype,
            "ids": ids,
        }
        named = iter(file.token_texts([row for row in ids if row is not None]))
        texts = [one.label if one.id is None else next(named) for one in chosen]
        if arguments.out is not None:
            with replacing(arguments.out, file.table._source) as out:
                write_array(out, rows)
            if is_stdout(arguments.out):
                return 0
            facts["out"] = arguments.out
    values = _as_float32(rows, arguments.dtype)
    if arguments.json:
        facts["tokens"] = texts
        if arguments.out is None:
            facts["rows"] = values.tolist()
        print_json(facts)
        return 0
    written = "" if arguments.out is None else f", written to {arguments.out}"
    print_facts([("shape", f"{list(rows.shape)} {arguments.dtype}{written}")])
    if arguments.out is None:
        _print_rows(ids, texts, values)
    return 0


def _rows(file: OpenFile, chosen: list[Chosen], dtype: DTypeName) -> npt.NDArray[Any]:
    """Return rows, and vectors behind them, in one array."""
    ids = [one.id for one in chosen if one.id is not None]
    rows: npt.NDArray[Any] = file.table.gather(ids, dtype=dtype)
    vectors = [one.vector for one in chosen if one.vector is not None]
    if not vectors:
        return rows
    if dtype == "bfloat16":
        raise ValueError("--pool gives float32 or float16, not bfloat16")
    both: npt.NDArray[Any] = np.concatenate([rows, np.array(vectors).astype(rows.dtype)])
    return both


def _as_float32(rows: npt.NDArray[Any], dtype: str) -> npt.NDArray[np.float32]:
    if dtype == "bfloat16":
        return (rows.astype(np.uint32) << 16).view(np.float32)
    return rows.astype(np.float32)


def _print_rows(ids: list[int | None], texts: list[str | None], values: npt.NDArray[np.float32]) -> None:
    abridged = values.shape[1] > _SHOWN_FIRST + _SHOWN_LAST
    lines = []
    for row_id, text, row in zip(ids, texts, values, strict=True):
        numbers = [f"{value:.4f}" for value in row] if not abridged else _abridged(row)
        lines.append(["" if row_id is None else str(row_id), "" if text is None else text, *numbers])
    n_first = _SHOWN_FIRST if abridged else values.shape[1]
    columns = [str(index) for index in range(n_first)]
    if abridged:
        columns += ["...", *(str(values.shape[1] - left) for left in range(_SHOWN_LAST, 0, -1))]
    print_table(["id", "token", *columns], lines, left=2)


def _abridged(row: npt.NDArray[np.float32]) -> list[str]:
    first = [f"{value:.4f}" for value in row[:_SHOWN_FIRST]]
    return [*first, "...", *(f"{value:.4f}" for value in row[-_SHOWN_LAST:])]
