"""The similarities of some words, each with each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.figure import Figure

from .style import GRID, MUTED, SEQUENTIAL, font, headline, new_figure, restyle, words

MAX_WORDS = 40
_CELL = 0.52  # inches


def similarity(scores: npt.NDArray[np.float64], labels: Sequence[str], metric: str, title: str) -> Figure:
    """Draw a heat map of similarities with its numbers; the diagonal, each word with itself, stays grey.

    Parameters
    ----------
    scores : numpy.ndarray of float, shape (n, n)
        Of 2 to 40 words.
    labels : sequence of str
    metric : {"cosine", "dot"}
    title : str

    Raises
    ------
    ValueError
        For fewer words, or more.
    """
    n = len(labels)
    if not 2 <= n <= MAX_WORDS:
        raise ValueError(f"{n} words: a picture of similarities shows 2 to {MAX_WORDS}")
    names = words(list(labels))
    margin = 0.35 + 0.095 * max(map(len, names))
    side = _CELL * n
    width, height = margin + side + 1.3, margin + side + 0.75
    figure = new_figure(max(width, 4.5), height)
    width = figure.get_figwidth()
    axes = figure.add_axes((margin / width, 0.3 / height, side / width, side / height))
    others = np.where(np.eye(n, dtype=bool), np.nan, scores)
    low, high = float(np.nanmin(others)), float(np.nanmax(others))
    low = min(0.0, low) if metric == "cosine" else low
    colours = colormaps[SEQUENTIAL].with_extremes(bad=GRID)
    image = axes.imshow(others, cmap=colours, vmin=low, vmax=max(high, low + 1e-6))
    axes.set_xticks(range(n), names, rotation=90)
    axes.set_yticks(range(n), names)
    axes.tick_params(length=0, labelbottom=False, labeltop=True, pad=4)
    restyle([*axes.get_xticklabels(), *axes.get_yticklabels()], size=10)
    axes.set_xticks(np.arange(n + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(n + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)
    shades = np.asarray(colours(image.norm(others)))[..., :3]  # the diagonal's is that of `bad`
    ink = _ink(shades)
    for (row, column), score in np.ndenumerate(scores):
        number = f"{score:.2f}" if metric == "cosine" else f"{score:.3g}"
        at = {"ha": "center", "va": "center", "color": ink[row, column]}
        axes.text(column, row, number, **font(size=8, **at))
    bar_axes = figure.add_axes(((margin + side + 0.25) / width, 0.3 / height, 0.12 / width, side / height))
    figure.colorbar(image, cax=bar_axes).outline.set_visible(False)
    bar_axes.tick_params(labelsize=8, colors=MUTED, length=3)
    figure.text(0.15 / width, 1 - 0.3 / height, headline(title), **font(size=11, weight="bold"))
    bar_axes.set_title(metric, **font(size=9, color=MUTED), pad=8)
    return figure


def _ink(shades: npt.NDArray[np.float64]) -> npt.NDArray[np.str_]:
    """Return black or white for each colour, whichever stands out more.

    The contrast with black is (L + 0.05) / 0.05, with white 1.05 / (L + 0.05), where L is the luminance
    relative to white (WCAG 2.1): equal at L = 0.18.
    """
    linear = np.where(shades <= 0.04045, shades / 12.92, ((shades + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    return np.where(luminance > 0.18, "black", "white")
