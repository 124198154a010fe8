"""``pyembed plot``: pictures of rows, maps of words, histograms of norms, and tables of similarities."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis.similarity import Geometry
from ..analysis.untrained import known_unused
from ..files.atomic_write import check_is_not_read
from .arguments import add_json, add_k, add_metric, add_model, add_rows, add_tensor, add_text
from .files import Chosen, OpenFile
from .show import print_facts, print_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_N_NAMED = 8
_MAP_CAVEATS = (
    "A map in two dimensions cannot be true to hundreds. t-SNE keeps words beside those they are most "
    "similar to; how large a group is, and how far two groups are apart, means nothing, and another --seed "
    "gives another picture. PCA (--method pca) is a plain projection on the two directions in which the "
    "words differ most: its axes name the share of the variance, and what the rest holds is not seen. Check "
    "what a map suggests against the numbers of: pyembed plot similarity."
)


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "plot",
        help="draw rows, a map of words, norms or similarities (PNG or SVG)",
        description="Draw a picture of a table and write it as PNG or SVG. Needs the extra 'plot'.",
        epilog="example: pyembed plot map demo --near file string --out map.png",
    )
    kinds = parser.add_subparsers(metavar="KIND", required=True)
    rows = _kind(
        kinds, _rows, "rows", "rows as bars of coloured cells: negative warm, positive cyan, zero dark"
    )
    add_rows(rows)
    add_text(rows)
    map_ = _kind(kinds, _map, "map", "words in two dimensions", _MAP_CAVEATS)
    add_rows(map_)
    add_text(map_)
    map_.add_argument(
        "--group",
        action="append",
        default=[],
        type=_group,
        metavar="NAME=A,B,C",
        help="words that share a colour; may be repeated",
    )
    map_.add_argument(
        "--near", nargs="+", default=[], metavar="WORD", help="words, each with its nearest --k"
    )
    add_k(map_, "neighbours of each word of --near")
    map_.add_argument("--method", choices=["tsne", "pca"], default="tsne", help="default: tsne")
    map_.add_argument("--seed", type=int, default=0, help="of t-SNE's random numbers; default: 0")
    _kind(kinds, _norms, "norms", "a histogram of the rows' norms, with the outliers named")
    heat = _kind(kinds, _similarity, "similarity", "a heat map of the similarities of words")
    add_rows(heat)
    add_text(heat)
    add_metric(heat)


def _kind(
    kinds: Any, draw: Callable[..., Figure], name: str, text: str, more: str = ""
) -> argparse.ArgumentParser:
    words = "" if name == "norms" else " file string buffer class"
    parser: argparse.ArgumentParser = kinds.add_parser(
        name,
        help=text,
        description=f"Draw {text}. {more}".strip(),
        epilog=f"example: pyembed plot {name} demo{words} --out {name}.png",
    )
    add_model(parser)
    add_tensor(parser)
    parser.add_argument("--out", required=True, metavar="FILE.png", help="the file to write: .png or .svg")
    parser.add_argument("--title", help="what stands above the picture")
    add_json(parser, "print JSON: the tokens that words were taken for")
    parser.set_defaults(run=run, draw=draw)
    return parser


def _group(text: str) -> tuple[str, list[str]]:
    name, equals, words = text.partition("=")
    found = [word for word in words.split(",") if word]
    if not (name and equals and found):
        raise argparse.ArgumentTypeError(f"{text!r} is not a group such as animals=cat,dog")
    return name, found


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from .. import plot

    plot.check_name(arguments.out)
    with OpenFile(arguments.model, arguments.tensor) as file:
        check_is_not_read(arguments.out, file.table._source)
        geometry = file.geometry
        figure = arguments.draw(arguments, file)
        taken = [(word, geometry.place(word)) for word in _words(arguments)]
        plot.save(figure, arguments.out, reading=file.table)
    if missing := plot.letters_without_font(figure):
        print(
            f"pyembed: no font here has {missing[:20]}: the picture shows escapes; "
            "Noto Sans CJK, for one, has more letters",
            file=sys.stderr,
        )
    if arguments.json:
        tokens = [{"word": word, "id": place.id, "text": place.text} for word, place in taken]
        print_json({"out": arguments.out, "tokens": tokens})
        return 0
    print_facts(
        [("written", arguments.out), *((word, f"{place.text} ({place.id})") for word, place in taken)]
    )
    return 0


def _words(arguments: argparse.Namespace) -> list[str]:
    """Return the words of a command line, of whatever kind of picture, each once."""
    grouped = [word for _, words in getattr(arguments, "group", []) for word in words]
    found = [*getattr(arguments, "words", []), *grouped, *getattr(arguments, "near", [])]
    return list(dict.fromkeys(found))


def _id(geometry: Geometry, word: str) -> int:
    row = geometry.place(word).id
    assert row is not None  # a word is a row
    return row


def _title(arguments: argparse.Namespace, file: OpenFile, what: str) -> str:
    """Return the title that was asked for, or one that names the picture and the file."""
    if arguments.title is not None:
        return str(arguments.title)
    table = file.table
    return f"{what}: {os.path.basename(table.path)}, {table.shape[0]} x {table.shape[1]} {table.type}"


def _rows(arguments: argparse.Namespace, file: OpenFile) -> Figure:
    from ..plot import rows

    chosen = file.items(arguments)
    labels, ids = [one.label for one in chosen], [one.id for one in chosen]
    return rows(file.vectors(chosen), labels, ids, _title(arguments, file, "Rows"))


def _map(arguments: argparse.Namespace, file: OpenFile) -> Figure:
    from ..plot import Point, flatten, places

    geometry = file.geometry
    points: dict[int, Point] = {}
    for name, words in arguments.group:
        for word in words:
            points.setdefault(_id(geometry, word), Point(word, name))
    for word in arguments.near:
        points[_id(geometry, word)] = Point(word, f"near {word}", is_centre=True)
    for word in arguments.near:
        for found in geometry.nearest(word, arguments.k):
            points.setdefault(found.id, Point(file.label(found.id), f"near {word}"))
    pooled: list[Chosen] = []
    if arguments.words or arguments.tokens or arguments.ids or arguments.text or not points:
        for one in file.items(arguments):
            if one.id is None:
                pooled.append(one)
            else:
                points.setdefault(one.id, Point(one.label, "words"))
    vectors = file.vectors([*(Chosen("", row) for row in points), *pooled])
    shown = [*points.values(), *(Point(one.label, "texts") for one in pooled)]
    flat, axes = flatten(vectors, arguments.method, arguments.seed)
    method = "t-SNE" if arguments.method == "tsne" else "PCA"
    return places(flat, shown, axes, _title(arguments, file, f"{method} of {len(shown)} words"))


def _norms(arguments: argparse.Namespace, file: OpenFile) -> Figure:
    from ..plot import norms

    lengths = file.table.norms.astype(np.float64)
    unused = known_unused(file.vocabulary, len(lengths))
    order = np.argsort(lengths, kind="stable")[: int(np.isfinite(lengths).sum())].tolist()
    lowest, highest = (
        [(file.label(row), float(lengths[row])) for row in rows]
        for rows in (order[:_N_NAMED], order[::-1][:_N_NAMED])
    )
    title = _title(arguments, file, "Norms")
    return norms(lengths, lowest, highest, title, lengths[unused & np.isfinite(lengths)])


def _similarity(arguments: argparse.Namespace, file: OpenFile) -> Figure:
    from ..plot import similarity

    chosen = file.items(arguments)
    scores = file.geometry.similarities([one.item for one in chosen], arguments.metric)
    labels = [one.label for one in chosen]
    return similarity(scores, labels, arguments.metric, _title(arguments, file, "Similarities"))
