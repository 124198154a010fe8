"""Text for people: made harmless for terminals and pages, and laid out in columns of cells."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable, Sequence

from ..safe_text import printable

GAP = 2
_LEAST = 12  # cells that are left to a column of texts, however narrow the terminal


def encodable(text: str, encoding: str | None) -> str:
    """Return a text with escapes for what an encoding lacks, so that its width is what will be seen."""
    if encoding is None or text.isascii():
        return text
    return text.encode(encoding, "backslashreplace").decode(encoding)


def cell_width(text: str) -> int:
    """Return how many cells of a terminal a text takes: wide letters two, marks on letters none."""
    return len(text) if text.isascii() else sum(map(_width_of, text))


def _width_of(letter: str) -> int:
    if unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def fold(text: str, width: int) -> list[str]:
    """Return a text as lines of at most `width` cells, broken at spaces, or anywhere in long words."""
    lines, line, used = [], "", 0
    for word in text.split(" "):
        if line and used + 1 + cell_width(word) <= width:
            line, used = f"{line} {word}", used + 1 + cell_width(word)
            continue
        if line:
            lines.append(line)
        *whole, line = _pieces(word, width)
        lines += whole
        used = cell_width(line)
    return [*lines, line]


def _pieces(word: str, width: int) -> list[str]:
    pieces, used = [""], 0
    for letter in word:
        wide = _width_of(letter)
        if used + wide > width and pieces[-1]:
            pieces.append("")
            used = 0
        pieces[-1] += letter
        used += wide
    return pieces


def text_widths(widths: Sequence[int], numbers: Sequence[int], gap: int, width: int) -> list[int]:
    """Return the widths of columns of texts once all columns fit into `width` cells, the widest cut first."""
    widths = [min(text, width) for text in widths]
    room = width - sum(numbers) - gap * (len(widths) + len(numbers) - 1)
    while sum(widths) > room and max(widths, default=0) > _LEAST:
        widths[widths.index(max(widths))] -= 1
    return widths


def blocks(widths: Sequence[int], left: int, gap: int, width: int) -> list[range]:
    """Return which columns of numbers stand beside each other below the columns of texts, block by block.

    Numbers never break: those that do not fit go into another block, which begins with the texts again.
    """
    texts = sum(min(_LEAST, text) + gap for text in widths[:left])
    found: list[range] = []
    first, used = left, texts
    for column in range(left, len(widths)):
        if column > first and used + widths[column] > width:
            found.append(range(first, column))
            first, used = column, texts
        used += widths[column] + gap
    return [*found, range(first, len(widths))]


def widths_of(rows: Iterable[Sequence[str]]) -> list[int]:
    """Return the cells that each column takes."""
    return [max(map(cell_width, column)) for column in zip(*rows, strict=True)]


def aligned(rows: Sequence[Sequence[str]], left: int, width: int | None = None) -> list[str]:
    """Return rows of cells as lines, the first `left` columns aligned to the left, the others to the right.

    Without `width` lines are as long as they need to be. With it texts are folded, and columns of numbers
    that do not fit go below the others.
    """
    widths = widths_of(rows)
    if width is None:
        return _lines(rows, widths, left)
    lines: list[str] = []
    for columns in blocks(widths, left, GAP, width):
        chosen = [*range(left), *columns]
        texts = text_widths(widths[:left], [widths[column] for column in columns], GAP, width)
        lines += [""] if lines else []
        narrow = [*texts, *(widths[column] for column in columns)]
        lines += _lines([[row[column] for column in chosen] for row in rows], narrow, left)
    return lines


def _lines(rows: Sequence[Sequence[str]], widths: Sequence[int], left: int) -> list[str]:
    lines = []
    for row in rows:
        folded = [
            fold(cell, width) if index < left and cell_width(cell) > width else [cell]
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for number in range(max(map(len, folded), default=0)):
            cells = [parts[number] if number < len(parts) else "" for parts in folded]
            padded = [
                cell + " " * (width - cell_width(cell))
                if index < left
                else " " * (width - cell_width(cell)) + cell
                for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
            ]
            lines.append((" " * GAP).join(padded).rstrip())
    return lines


def html_table(caption: str, headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table for a page, such as a notebook's; every text in it is escaped."""

    def cells(row: Sequence[object], tag: str) -> str:
        texts = (html.escape(printable(str(cell))) for cell in row)
        return f"<tr>{''.join(f'<{tag}>{text}</{tag}>' for text in texts)}</tr>"

    head = f"<thead>{cells(headers, 'th')}</thead>" if headers else ""
    body = "".join(cells(row, "td") for row in rows)
    return f"<table><caption>{html.escape(printable(caption))}</caption>{head}<tbody>{body}</tbody></table>"
