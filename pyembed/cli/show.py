"""Output for people and for programs: tables, units and JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from ..safe_text import json_text, printable


def size_text(n_bytes: int) -> str:
    """Return a number of bytes rounded, with its unit."""
    if n_bytes < 1024:
        return f"{n_bytes} B"
    size = float(n_bytes)
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if size < 1024:
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} TiB"


def print_json(value: object) -> None:
    """Print a value as JSON, all that is not ASCII as escapes; see `json_text`."""
    print(json_text(value, indent=2))


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print names and what they are, one a line."""
    print_table((), facts, left=2)


def print_table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> None:
    """Print rows of cells under headers, the first `left` columns aligned to the left.

    A terminal gets a table of rich where that is installed, all else aligned text.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    if not (sys.stdout.isatty() and _print_rich(headers, cells, left)):
        _print_plain(headers, cells, left)


def _print_plain(headers: Sequence[str], cells: list[list[str]], left: int) -> None:
    lines = ([list(headers)] if headers else []) + cells
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (
            cell.ljust(width) if index < left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        print("  ".join(padded).rstrip())


def _print_rich(headers: Sequence[str], cells: list[list[str]], left: int) -> bool:
    try:
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        return False
    table = Table(box=SIMPLE_HEAD if headers else None, show_header=bool(headers), pad_edge=False)
    for index in range(len(cells[0]) if cells else len(headers)):
        name = headers[index] if headers else ""
        table.add_column(Text(name), justify="left" if index < left else "right", overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))  # Text, so that brackets in a token are not markup
    Console().print(table)
    return True
