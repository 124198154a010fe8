"""``pyembed health``: what is wrong with the rows of a table, and what it weighs."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from typing import Any

from ..health import PERCENTILES, Health, Row, examine
from .arguments import add_json, add_model, add_tensor
from .files import OpenFile
from .progress import progress_bar
from .show import print_facts, print_json, print_table, size_text

_SHOWN = 10
_TIED = {
    "absent": "yes: there is no output table",
    "bytes": "in effect: output.weight is the same bytes",
    "no": "no",
}


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "health",
        help="untrained, empty and duplicate rows, norms, and the table's share of the file",
        description="Look at all rows of a table for those that were never trained, are empty, or the same "
        "as others, or nearly. A row is called untrained if it looks like those of tokens that are known to "
        "be unused, such as [unused7]: as short, and pointing the same way.",
        epilog="example: pyembed health demo",
    )
    add_model(parser)
    add_tensor(parser)
    parser.add_argument(
        "--min-cosine",
        type=float,
        default=0.98,
        metavar="X",
        help="from where on two rows are near duplicates; default: 0.98",
    )
    add_json(parser, "print everything as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    with OpenFile(arguments.model, arguments.tensor) as file:
        with progress_bar() as progress:
            health = examine(
                file.model if file.model is not None else file.table,
                tensor=None if file.model is None else file.table.name,
                min_cosine=arguments.min_cosine,
                progress=progress,
            )
        if arguments.json:
            facts = dataclasses.asdict(health)
            facts["norms"]["percentiles"] = dict(
                zip(map(str, PERCENTILES), map(_number, health.norms.percentiles), strict=True)
            )
            print_json(facts)
            return 0
        _print(health, file)
    return 0


def _number(value: float) -> float | None:
    return value if value == value else None  # JSON has no NaN


def _print(health: Health, file: OpenFile) -> None:
    share, untrained = health.share, health.untrained
    rows, columns = health.shape
    facts = [
        ("table", f"{health.tensor}, {rows} x {columns} {health.type}, {size_text(share.table_bytes)}"),
        (
            "share",
            f"{_percent(share.table_weights, share.all_weights)} of the weights, "
            f"{_percent(share.table_bytes, share.all_bytes)} of the bytes",
        ),
        *([("tied", _TIED[health.tied])] if health.tied is not None else []),
        ("zero rows", _some(health.zero, file)),
        ("NaN or infinite", _some(health.not_finite, file)),
        ("known unused", _some(untrained.known, file)),
        ("look untrained", _untrained_text(health)),
        ("exact duplicates", _groups_text(health.exact)),
        ("near duplicates", _groups_text([cluster.ids for cluster in health.near]) + _left(health)),
    ]
    print_facts(facts)
    print()
    print_table(
        ["percentile", *map(str, PERCENTILES)],
        [["norm", *(f"{norm:.4g}" for norm in health.norms.percentiles)]],
    )
    for title, some in (
        ("shortest rows", health.norms.lowest),
        ("longest rows", health.norms.highest),
        ("most like the unused", untrained.rows[:_SHOWN]),
    ):
        if some:
            print()
            _print_rows(title, some)
    examples = [(group, 1.0) for group in health.exact] + [(each.ids, each.cosine) for each in health.near]
    if examples:
        print()
        lines = [[_texts(ids, file), f"{cosine:.4f}"] for ids, cosine in examples[:_SHOWN]]
        print_table(["the same, or nearly", "cosine"], lines)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _some(ids: Sequence[int], file: OpenFile) -> str:
    return f"{len(ids)}: {_texts(ids, file)}" if ids else "none"


def _texts(ids: Sequence[int], file: OpenFile) -> str:
    shown = list(ids[:4])
    named = (
        str(row) if text is None else f"{text} ({row})"
        for row, text in zip(shown, file.token_texts(shown), strict=True)
    )
    return ", ".join(named) + (", ..." if len(ids) > 4 else "")


def _untrained_text(health: Health) -> str:
    untrained = health.untrained
    if untrained.min_cosine is None:
        return "unknown: too few rows are known to be unused or lie at one point, or these do not look alike"
    return f"{len(untrained.rows)} more, {_percent(len(untrained.rows), health.shape[0])} of the rows"


def _groups_text(groups: Sequence[Sequence[int]]) -> str:
    return f"{sum(map(len, groups))} rows in {len(groups)} groups" if groups else "none"


def _left(health: Health) -> str:
    return "" if health.near_is_complete else ", and more: there were too many to look at"


def _print_rows(title: str, rows: Sequence[Row]) -> None:
    cells = [["" if row.text is None else row.text, str(row.id), f"{row.norm:.4g}"] for row in rows]
    print_table([title, "id", "norm"], cells)
