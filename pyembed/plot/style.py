"""What all pictures share: colours, fonts, labels, and how they are written. Needs the extra ``plot``.

Nothing of matplotlib's global state is used or changed for good: no pyplot, no back end, no style.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

try:
    import matplotlib
    from matplotlib import font_manager
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import Colormap, LinearSegmentedColormap
    from matplotlib.figure import Figure
    from matplotlib.ft2font import FT2Font
    from matplotlib.text import Text
except ImportError as error:
    raise ImportError("pictures need matplotlib: pip install 'pyembed-gguf[plot]'") from error

from ..files.atomic_write import replacing
from ..tables.table import EmbeddingTable

DPI = 150
# matplotlib's settings are the process's: of two threads that change them and put them back, one would put
# back what the other had changed.
_SETTINGS = threading.Lock()
INK, MUTED, GRID = "#1d2733", "#6b7785", "#d5dae0"
SLATE = "#1b2530"
# Okabe & Ito's colours, distinct with any kind of colour blindness, each with a marker of its own.
GROUPS = (
    ("#0072b2", "o"),
    ("#d55e00", "s"),
    ("#009e73", "^"),
    ("#cc79a7", "D"),
    ("#e69f00", "v"),
    ("#56b4e9", "P"),
    ("#000000", "X"),
    ("#8c7a00", "*"),
)
SEQUENTIAL = "cividis"  # runs evenly from dark to light, for every kind of colour blindness
_FALLBACK_FONTS = (
    "Noto Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "Noto Sans JP",
    "Noto Sans KR",
    "WenQuanYi Micro Hei",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Noto Emoji",
    "Unifont",
)
_LONGEST = 24
_ESCAPES = re.compile(r"\\u[0-9a-f]{4}|\\U[0-9a-f]{8}|\\x[0-9a-f]{2}")

# As light on both sides for the same magnitude, so that sign is hue alone and magnitude lightness alone.
_WARM = ((0.25, "#6e3519"), (0.5, "#bf5a1c"), (0.75, "#f2974d"), (1.0, "#ffdfb8"))
_CYAN = ((0.25, "#0a4f5c"), (0.5, "#00859a"), (0.75, "#2fc2d8"), (1.0, "#b9f2fb"))


def signed_colours() -> Colormap:
    """Return the colours of signed numbers: negative warm, positive cyan, zero dark slate, NaN white."""
    below = [((1 - at) / 2, colour) for at, colour in reversed(_WARM)]
    above = [((1 + at) / 2, colour) for at, colour in _CYAN]
    colours = LinearSegmentedColormap.from_list("pyembed", [*below, (0.5, SLATE), *above], N=511)
    return colours.with_extremes(bad="white")


def new_figure(width: float, height: float) -> Figure:
    """Return a figure of some size in inches that can be drawn without a screen."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


@lru_cache(maxsize=1)
def _fonts() -> tuple[list[str], frozenset[int]]:
    """Return the families that labels are set in, and the characters that one of them has."""
    families, known = ["DejaVu Sans"], set[int]()
    installed = {entry.name for entry in font_manager.fontManager.ttflist}
    families += [name for name in _FALLBACK_FONTS if name in installed]
    for family in families:
        known.update(FT2Font(font_manager.findfont(family)).get_charmap())
    return families, frozenset(known)


def legible(text: str) -> str:
    """Return a text, cut if long, with what cannot be printed or no font at hand has as escapes."""
    known = _fonts()[1]
    letters = [
        letter
        if letter.isprintable() and ord(letter) in known
        else letter.encode("unicode_escape", "backslashreplace").decode("ascii")
        for letter in text[:_LONGEST]
    ]
    return "".join(letters) + ("…" if len(text) > _LONGEST else "")


def letters_without_font(figure: Figure) -> str:
    """Return the letters that `legible` wrote as escapes in a picture because no font at hand has them."""
    found = set()
    for text in figure.findobj(Text):
        for code in _ESCAPES.findall(text.get_text()):
            number = int(code[2:], 16)
            if number <= sys.maxunicode and chr(number).isprintable():
                found.add(chr(number))
    return "".join(sorted(found))


def headline(text: str) -> str:
    """Return a text as `legible` does, of any length."""
    return "".join(map(legible, text))


def words(texts: Sequence[str]) -> list[str]:
    """Return texts as labels."""
    return [legible(text) for text in texts]


def font(**options: Any) -> dict[str, Any]:
    """Return the options of a label: its fonts, and that a dollar sign begins no formula."""
    return {"family": _fonts()[0], "parse_math": False, "color": INK, **options}


def restyle(labels: list[Text], **options: Any) -> None:
    """Give labels that matplotlib made, of ticks or of a legend, the options of `font`."""
    for label in labels:
        label.set(**font(**options))


def check_name(path: str | os.PathLike[str]) -> str:
    """Return ``"png"`` or ``"svg"``, by the end of the name; ValueError if it ends in neither."""
    kind = os.path.splitext(os.fspath(path))[1].lower().removeprefix(".")
    if kind not in ("png", "svg"):
        raise ValueError(f"{os.fspath(path)}: pictures are written as .png or .svg")
    return kind


def save(figure: Figure, path: str | os.PathLike[str], *, reading: EmbeddingTable | None = None) -> None:
    """Write a picture as PNG or SVG, by the end of the name; the same picture gives the same file.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : path-like
        What is there is replaced once the new file is whole.
    reading : EmbeddingTable, optional
        A table whose files must not be replaced: the one that the picture is of.

    Raises
    ------
    ValueError
        If the name ends in neither, or is a file of `reading`.
    OSError
        If the file cannot be written; what was there stays.
    """
    kind = check_name(path)
    metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
    # Text stays text in an SVG, so that it can be searched and read out.
    with (
        replacing(path, None if reading is None else reading._source) as file,
        _SETTINGS,
        matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "pyembed"}),
    ):
        figure.savefig(file, format=kind, dpi=DPI, metadata=metadata)
