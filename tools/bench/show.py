"""Tables of figures, on a terminal, in a pipe and in Markdown."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from pyembed.cli.show import print_table

from .measure import Json


@dataclass
class Table:
    """Rows of cells under headers, with a title and what a reader must know."""

    title: str
    headers: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    note: str = ""
    left: int = 1  # columns of text, which come first

    def print(self) -> None:
        """Print the table: with rich on a terminal, else as aligned text."""
        print(f"\n{self.title}")
        if self.note:
            print(self.note)
        if self.rows:
            print_table(self.headers, self.rows, left=self.left)
        sys.stdout.flush()

    def markdown(self) -> str:
        """Return the table as Markdown, under its title in bold."""
        note = f" {self.note}" if self.note else ""
        lines = [f"**{self.title}.**{note}", ""]
        if self.rows:
            align = ["---" if index < self.left else "--:" for index in range(len(self.headers))]
            lines += [_line(self.headers), "|" + "|".join(align) + "|", *map(_line, self.rows), ""]
        return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def number(value: float) -> str:
    """Return a number with three significant digits, never in powers of ten."""
    if value >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}" if value >= 0.0995 else f"{value:.3f}"


def median(figure: Json | None) -> str:
    """Return the median of a figure; a dash where there is none."""
    return "-" if figure is None else number(figure["median"])


def spread(figure: Json | None) -> str:
    """Return the median and, in brackets, the 10th and 90th percentile."""
    if figure is None:
        return "-"
    return f"{number(figure['median'])} ({number(figure['p10'])}-{number(figure['p90'])})"


def times(figure: Json | None) -> str:
    """Return a ratio with its spread."""
    if figure is None:
        return "-"
    return f"{number(figure['median'])}x ({number(figure['p10'])}-{number(figure['p90'])})"
