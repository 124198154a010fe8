"""Words as points of a plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .style import GRID, GROUPS, MUTED, font, headline, legible, new_figure, restyle

Floats = npt.NDArray[np.float64]

_STRAIGHT = [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)]
_BETWEEN = [(1, 0.5), (-1, 0.5), (1, -0.5), (-1, -0.5), (0.5, 1), (-0.5, 1), (0.5, -1), (-0.5, -1)]
_DIRECTIONS = np.array([*_STRAIGHT, *_BETWEEN], np.float64)
_DISTANCES = (4, 14, 26, 40, 60, 85, 115, 150)  # pixels from a marker to the near side of its label
_COVERED = 8  # what a pixel that is covered costs: more than one of distance
_MARKER, _CENTRE = 7, 13  # half a marker, in pixels


@dataclass(frozen=True, slots=True)
class Point:
    """A word to place: its label, the name of its group, and whether it is what the others are about."""

    label: str
    group: str
    is_centre: bool = False


def places(points: Floats, names: Sequence[Point], axis_names: tuple[str, str], title: str) -> Figure:
    """Draw a map: groups differ in colour and marker, labels avoid each other where there is room.

    Parameters
    ----------
    points : numpy.ndarray of float, shape (n, 2)
    names : sequence of Point
    axis_names : (str, str)
        Empty for axes that mean nothing.
    title : str
    """
    groups = list(dict.fromkeys(point.group for point in names))
    figure = new_figure(10, 7.2)
    right = 0.8 if len(groups) > 1 else 0.97
    axes = figure.add_axes((0.05, 0.06, right - 0.05, 0.86))
    for index, group in enumerate(groups):
        colour, marker = GROUPS[index % len(GROUPS)]
        inside = np.array([point.group == group for point in names])
        centre = np.array([point.is_centre for point in names]) & inside
        filled = colour if index < len(GROUPS) else "white"  # the second round of colours is hollow
        style: dict[str, Any] = {
            "color": filled,
            "edgecolor": colour,
            "linewidth": 1.2,
            "marker": marker,
            "zorder": 3,
        }
        axes.scatter(points[inside, 0], points[inside, 1], s=34, label=legible(group), **style)
        style["edgecolor"] = "black"
        axes.scatter(points[centre, 0], points[centre, 1], s=130, **style)
    axes.margins(0.08)
    axes.tick_params(length=0, labelbottom=False, labelleft=False)
    axes.set_xlabel(axis_names[0], **font(size=9, color=MUTED))
    axes.set_ylabel(axis_names[1], **font(size=9, color=MUTED))
    axes.spines[:].set_color(GRID)
    if len(groups) > 1:
        legend = axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, markerscale=1.3)
        restyle(legend.get_texts(), size=10)
    figure.text(0.05, 0.95, headline(title), **font(size=12, weight="bold"))
    _label(figure, axes, points, names, groups)
    return figure


def _label(figure: Figure, axes: Axes, points: Floats, names: Sequence[Point], groups: list[str]) -> None:
    """Put each label where it covers least: beside its point, or farther away at the end of a line."""
    assert isinstance(figure.canvas, FigureCanvasAgg)
    renderer = figure.canvas.get_renderer()  # type: ignore[no-untyped-call]
    figure.draw_without_rendering()
    at = axes.transData.transform(points)
    frame = np.array(axes.bbox.extents, np.float64)
    half = np.array([_CENTRE if point.is_centre else _MARKER for point in names])
    taken = np.hstack([at - half[:, None], at + half[:, None]])
    for index in sorted(range(len(names)), key=lambda index: (not names[index].is_centre, index)):
        point = names[index]
        weight = "bold" if point.is_centre else "normal"
        text = figure.text(0, 0, legible(point.label), **font(size=9, weight=weight))
        box = text.get_window_extent(renderer)
        corners, distances = _choices(at[index], half[index], box.width, box.height)
        boxes = np.hstack([corners, corners + np.array([box.width, box.height])])
        covered = _overlap(boxes, np.delete(taken, index, axis=0))
        cost = _COVERED * covered + 40 * _outside(boxes, frame) + distances
        best = int(np.argmin(cost))
        x, y = figure.transFigure.inverted().transform(corners[best])
        text.set_position((float(x), float(y)))
        text.set_color(
            "black" if point.is_centre else _dark(GROUPS[groups.index(point.group) % len(GROUPS)][0])
        )
        text.set_verticalalignment("bottom")
        taken = np.vstack([taken, boxes[best]])
        if distances[best] > _DISTANCES[0]:
            near = np.clip(at[index], boxes[best, :2], boxes[best, 2:])
            ends = axes.transData.inverted().transform([at[index], near])
            axes.plot(*ends.T, color=MUTED, linewidth=0.6, zorder=2)


def _choices(point: Floats, half: int, width: float, height: float) -> tuple[Floats, Floats]:
    """Return lower left corners for a label around a point, and how far each is away."""
    corners, distances = [], []
    for distance in _DISTANCES:
        for x, y in _DIRECTIONS * (half + distance):
            left = point[0] + x - (width if x < 0 else width / 2 if x == 0 else 0)
            bottom = point[1] + y - (height if y < 0 else height / 2 if y == 0 else 0)
            corners.append((left, bottom))
            distances.append(distance)
    return np.array(corners), np.array(distances, np.float64)


def _overlap(boxes: Floats, taken: Floats) -> Floats:
    """Return how much area of each box lies on others."""
    width = np.minimum(boxes[:, None, 2], taken[:, 2]) - np.maximum(boxes[:, None, 0], taken[:, 0])
    height = np.minimum(boxes[:, None, 3], taken[:, 3]) - np.maximum(boxes[:, None, 1], taken[:, 1])
    area: Floats = (np.clip(width, 0, None) * np.clip(height, 0, None)).sum(axis=1)
    return area


def _outside(boxes: Floats, frame: npt.NDArray[np.float64]) -> Floats:
    """Return by how many pixels each box leaves the frame."""
    beyond: Floats = np.clip(frame[:2] - boxes[:, :2], 0, None).sum(axis=1)
    beyond += np.clip(boxes[:, 2:] - frame[2:], 0, None).sum(axis=1)
    return beyond


def _dark(colour: str) -> str:
    """Return a darker shade, for thin letters on white."""
    return "#" + "".join(f"{int(int(colour[at : at + 2], 16) * 0.7):02x}" for at in (1, 3, 5))
