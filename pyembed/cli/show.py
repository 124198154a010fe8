"""Output for people and for programs: tables, units and JSON."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence

from ..core.display import aligned, blocks, encodable, text_widths, widths_of
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
    """Print rows of cells under headers, the first `left` columns, texts, aligned to the left.

    A terminal gets a table of rich where that is installed, folded to its width, all else aligned text.
    """
    encoding = sys.stdout.encoding
    cells = [[encodable(printable(cell), encoding) for cell in row] for row in rows]
    width = terminal_width()
    if width is not None and _print_rich(headers, cells, left, width):
        return
    for line in aligned([list(headers), *cells] if headers else cells, left, width):
        print(line)


def terminal_width() -> int | None:
    """Return the cells of a line of the terminal that stdout is; None if it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _print_rich(headers: Sequence[str], cells: list[list[str]], left: int, width: int) -> bool:
    try:
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        return False
    console = Console(width=width, height=25)  # with one alone, rich takes a dumb terminal for 80 cells wide
    gap = 3 if headers else 2  # a space on either side, and one in the place of a line between
    widths = widths_of([list(headers), *cells] if headers else cells)
    for columns in blocks(widths, left, gap, width):
        texts = text_widths(widths[:left], [widths[column] for column in columns], gap, width)
        box = SIMPLE_HEAD if headers else None
        table = Table(box=box, show_header=bool(headers), show_edge=False, pad_edge=False)
        for column in [*range(left), *columns]:
            name = Text(headers[column] if headers else "")
            if column < left:
                table.add_column(name, width=texts[column], overflow="fold")
            else:
                table.add_column(name, justify="right", no_wrap=True)
        for row in cells:  # Text, so that brackets in a token are not markup
            table.add_row(*(Text(row[column]) for column in [*range(left), *columns]))
        if columns.start > left:
            print()
        console.print(table)
    return True
