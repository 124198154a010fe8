"""Rows as bars of coloured cells, one cell a number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from .style import DPI, MUTED, font, headline, new_figure, restyle, signed_colours, words

MAX_ROWS = 64
_MAX_LINE = 512  # cells beside each other; wider rows are folded
_WIDTH = 1160  # of a line, at most, in pixels, where a cell has room for more than 2
_WITHIN = 98  # per cent of the numbers that are not cut off
_RIGHT, _TOP, _BOTTOM, _GAP = 190, 80, 95, 10  # pixels


def rows(
    values: npt.NDArray[np.float32], labels: Sequence[str], ids: Sequence[int | None], title: str
) -> Figure:
    """Draw rows of numbers below each other, all on one scale that is symmetric around zero.

    Parameters
    ----------
    values : numpy.ndarray of float32, shape (n, columns)
        At most 64 rows. Rows of more than 512 columns are folded into lines. NaN is white.
    labels : sequence of str
        What stands beside each row.
    ids : sequence of int or None
        Its id; None for what is not a row of a table.
    title : str

    Raises
    ------
    ValueError
        For no row, or too many.
    """
    n, columns = values.shape
    if not 1 <= n <= MAX_ROWS:
        raise ValueError(f"{n} rows: a picture shows 1 to {MAX_ROWS}")
    n_lines = -(-columns // _MAX_LINE)
    per_line = -(-columns // n_lines)
    cell = min(40, max(2, _WIDTH // per_line))
    bar = max(26, 5 * n_lines)
    width, height = per_line * cell, n * (bar + _GAP) - _GAP
    names = words(labels)
    left = 110 + 14 * max(4, *map(len, names))
    whole_width, whole_height = left + width + _RIGHT, _TOP + max(height, 120) + _BOTTOM
    figure = new_figure(whole_width / DPI, whole_height / DPI)
    scale, colours = _scale(values), signed_colours()
    for index, (row, label, row_id) in enumerate(zip(values, names, ids, strict=True)):
        bottom = whole_height - _TOP - bar - index * (bar + _GAP)
        box = (left / whole_width, bottom / whole_height, width / whole_width, bar / whole_height)
        axes = figure.add_axes(box)
        lines = np.full(n_lines * per_line, np.nan, np.float32)
        lines[:columns] = row
        lines = np.where(np.isfinite(lines), lines, np.nan)
        axes.imshow(
            lines.reshape(n_lines, per_line), cmap=colours, norm=scale, aspect="auto", interpolation="nearest"
        )
        axes.set(yticks=[], xticks=[])
        axes.spines[:].set_visible(False)
        middle = (bottom + bar / 2) / whole_height
        at = {"va": "center", "ha": "right"}
        figure.text((left - 88) / whole_width, middle, label, **font(size=10, **at))
        if row_id is not None and label != str(row_id):
            figure.text((left - 16) / whole_width, middle, str(row_id), **font(size=7, color=MUTED, **at))
    axes.set_xticks(_ticks(per_line))
    axes.tick_params(labelsize=8, colors=MUTED, length=3)
    fold = "" if n_lines == 1 else f"; each bar is {n_lines} lines of {per_line}, read like text"
    finite = np.abs(values[np.isfinite(values)])
    beyond = 100 * np.count_nonzero(finite > scale.vmax) / max(1, finite.size)
    cut = f"; {beyond:.1f} % of the numbers lie beyond the scale" if beyond else ""
    axes.set_xlabel(f"column, of {columns}{fold}{cut}", **font(size=9, color=MUTED))
    figure.text(left / whole_width, 1 - 30 / whole_height, headline(title), **font(size=12, weight="bold"))
    _colour_bar(figure, scale, (left + width + 50) / whole_width, whole_width, whole_height)
    return figure


def _scale(values: npt.NDArray[np.float32]) -> Normalize:
    finite = np.abs(values[np.isfinite(values)].astype(np.float64))
    limit = float(np.percentile(finite, _WITHIN)) if finite.size else 0.0
    limit = limit or float(finite.max(initial=0.0)) or 1.0
    return Normalize(-limit, limit)


def _ticks(n: int) -> list[int]:
    step = next(step for step in (1, 2, 4, 8, 16, 32, 64, 128) if n / step <= 9 or step == 128)
    return list(range(0, n, step))


def _colour_bar(figure: Figure, scale: Normalize, left: float, width: int, height: int) -> None:
    bottom, top = _BOTTOM / height, 1 - _TOP / height
    tall = min(top - bottom, 300 / height)
    axes = figure.add_axes((left, top - tall, 16 / width, tall))
    bar = figure.colorbar(ScalarMappable(scale, signed_colours()), cax=axes, extend="both")
    bar.outline.set_visible(False)
    axes.tick_params(labelsize=8, colors=MUTED, length=3)
    restyle(axes.get_yticklabels(), size=8, color=MUTED)
    axes.set_title("value", **font(size=9, color=MUTED), pad=14)
