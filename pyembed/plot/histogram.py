"""How long the rows of a table are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from .style import GROUPS, MUTED, font, headline, legible, new_figure, restyle

_BINS = 90
_NAMED = 8
_LOWEST, _HIGHEST = GROUPS[0][0], GROUPS[1][0]


def norms(
    values: npt.NDArray[np.float64],
    lowest: Sequence[tuple[str, float]],
    highest: Sequence[tuple[str, float]],
    title: str,
    unused: npt.NDArray[np.float64] | None = None,
) -> Figure:
    """Draw a histogram of norms, its middle and its ends, with the rows at the ends named beside it.

    Parameters
    ----------
    values : numpy.ndarray of float, shape (n,)
        Norms; those that are not finite are left out, and counted in the caption.
    lowest, highest : sequence of (str, float)
        Labels and norms of the rows at the ends, the outermost first; eight of each are named.
    title : str
    unused : numpy.ndarray of float, optional
        Norms, among `values`, of rows that are known to be unused: hatched bars.

    Raises
    ------
    ValueError
        If no norm is finite.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise ValueError("no row has a finite norm")
    figure = new_figure(10, 5)
    axes = figure.add_axes((0.08, 0.13, 0.64, 0.74))
    edges = np.histogram_bin_edges(finite, _BINS).tolist()
    axes.hist(finite, edges, color="#8797a8", label=f"{finite.size} rows")
    if unused is not None and unused.size:
        hatched: dict[str, Any] = {"facecolor": "none", "edgecolor": "#8a3ffc", "hatch": "/////"}
        axes.hist(unused, edges, label=f"{unused.size} known to be unused", linewidth=0.8, **hatched)
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.7)
    for percentile, dashes, side in ((1, ":", "right"), (50, "--", "center"), (99, ":", "left")):
        at = float(np.percentile(finite, percentile))
        axes.axvline(at, color="black", linewidth=1, linestyle=dashes)
        name = "median" if percentile == 50 else f"{percentile} %"
        axes.annotate(
            f"{name}\n{at:.3g}",
            (at, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 4),
            textcoords="offset points",
            **font(size=8, ha=side, va="bottom"),
        )
    for rows, marker, colour in ((lowest, "<", _LOWEST), (highest, ">", _HIGHEST)):
        at_ends = [norm for _, norm in rows[:_NAMED]]
        axes.plot(at_ends, [0.85] * len(at_ends), marker, color=colour, markersize=7, clip_on=False)
    axes.set_xlabel("Euclidean norm of a row", **font(size=10))
    axes.set_ylabel("rows, logarithmic", **font(size=10))
    axes.tick_params(labelsize=9, colors=MUTED)
    axes.spines[["top", "right"]].set_visible(False)
    legend = axes.legend(loc="upper left", bbox_to_anchor=(1.02, 0.16), frameon=False)
    restyle(legend.get_texts(), size=8)
    _names(figure, 0.95, "longest", "▶", _HIGHEST, highest)
    _names(figure, 0.60, "shortest", "◀", _LOWEST, lowest)
    n_left = values.size - finite.size
    left = f"  ({n_left} rows that are not finite left out)" if n_left else ""
    figure.text(0.02, 0.955, headline(title) + left, **font(size=11, weight="bold"))
    return figure


def _names(
    figure: Figure, top: float, title: str, marker: str, colour: str, rows: Sequence[tuple[str, float]]
) -> None:
    figure.text(0.755, top - 0.02, f"{marker} {title}", **font(size=9, color=colour, weight="bold", va="top"))
    for index, (label, norm) in enumerate(rows[:_NAMED]):
        height = top - 0.065 - 0.034 * index
        figure.text(0.81, height, f"{norm:.3g}", **font(size=8, ha="right", va="top", color=MUTED))
        figure.text(0.825, height, legible(label), **font(size=8, va="top"))
