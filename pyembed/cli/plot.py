"""``pyembed plot``: pictures of rows, maps of words, histograms of norms, and tables of similarities."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis.similarity import Geometry
from ..health import known_unused
from .files import OpenFile, add_model, add_tensor, ids_argument
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
    _add_words(rows)
    map_ = _kind(kinds, _map, "map", "words in two dimensions", _MAP_CAVEATS)
    _add_words(map_)
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
    map_.add_argument("--k", type=int, default=10, help="neighbours of each word of --near; default: 10")
    map_.add_argument("--method", choices=["tsne", "pca"], default="tsne", help="default: tsne")
    map_.add_argument("--seed", type=int, default=0, help="of t-SNE's random numbers; default: 0")
    _kind(kinds, _norms, "norms", "a histogram of the rows' norms, with the outliers named")
    heat = _kind(kinds, _similarity, "similarity", "a heat map of the similarities of words")
    _add_words(heat)
    heat.add_argument("--metric", choices=["cosine", "dot"], default="cosine", help="default: cosine")


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
    parser.add_argument(
        "--json", action="store_true", help="print JSON: the tokens that words were taken for"
    )
    parser.set_defaults(run=run, draw=draw)
    return parser


def _add_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="WORD", help="words, as a person writes them")
    parser.add_argument("--ids", type=ids_argument, default=[], metavar="1,2,3", help="rows by their ids")


def _group(text: str) -> tuple[str, list[str]]:
    name, equals, words = text.partition("=")
    found = [word for word in words.split(",") if word]
    if not (name and equals and found):
        raise argparse.ArgumentTypeError(f"{text!r} is no group such as animals=cat,dog")
    return name, found


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from .. import plot

    plot.check_name(arguments.out)
    with OpenFile(arguments.model, arguments.tensor) as file:
        geometry = Geometry(file.table, file.vocabulary)
        figure = arguments.draw(arguments, geometry)
        taken = [(word, geometry.place(word)) for word in _words(arguments)]
    plot.save(figure, arguments.out)
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


def _chosen(arguments: argparse.Namespace, geometry: Geometry) -> tuple[list[int], list[str]]:
    """Return ids and labels of the words and ids of a command line."""
    ids = [_id(geometry, word) for word in arguments.words]
    labels = list(arguments.words)
    for row in arguments.ids:
        ids.append(_id(geometry, row))
        labels.append(_label(geometry, row))
    if not ids:
        raise ValueError("nothing was chosen: name words, or rows with --ids")
    return ids, labels


def _id(geometry: Geometry, item: str | int) -> int:
    row = geometry.place(item).id
    assert row is not None  # a word or an id, no vector
    return row


def _label(geometry: Geometry, row: int) -> str:
    """Return what a person writes for a row's token, or its id."""
    vocabulary = geometry.vocabulary
    if vocabulary is None or row >= len(vocabulary):
        return str(row)
    written = vocabulary.written(row)
    return written.strip(" ") or repr(written)


def _title(arguments: argparse.Namespace, geometry: Geometry, what: str) -> str:
    """Return the title that was asked for, or what is seen and of which file."""
    if arguments.title is not None:
        return str(arguments.title)
    table = geometry.table
    return f"{what}: {os.path.basename(table.path)}, {table.shape[0]} x {table.shape[1]} {table.type}"


def _rows(arguments: argparse.Namespace, geometry: Geometry) -> Figure:
    from ..plot import rows

    ids, labels = _chosen(arguments, geometry)
    return rows(geometry.table.gather(ids), labels, ids, _title(arguments, geometry, "Rows"))


def _map(arguments: argparse.Namespace, geometry: Geometry) -> Figure:
    from ..plot import Point, flatten, places

    points: dict[int, Point] = {}
    for name, words in arguments.group:
        for word in words:
            points.setdefault(_id(geometry, word), Point(word, name))
    for word in arguments.near:
        points[_id(geometry, word)] = Point(word, f"near {word}", is_centre=True)
    for word in arguments.near:
        for found in geometry.nearest(word, arguments.k):
            points.setdefault(found.id, Point(_label(geometry, found.id), f"near {word}"))
    if arguments.words or arguments.ids or not points:
        for row, label in zip(*_chosen(arguments, geometry), strict=True):
            points.setdefault(row, Point(label, "words"))
    flat, axes = flatten(geometry.table.gather(list(points)), arguments.method, arguments.seed)
    method = "t-SNE" if arguments.method == "tsne" else "PCA"
    return places(
        flat, list(points.values()), axes, _title(arguments, geometry, f"{method} of {len(points)} words")
    )


def _norms(arguments: argparse.Namespace, geometry: Geometry) -> Figure:
    from ..plot import norms

    lengths = geometry.table.norms.astype(np.float64)
    unused = known_unused(geometry.vocabulary, len(lengths))
    order = np.argsort(lengths, kind="stable")[: int(np.isfinite(lengths).sum())].tolist()
    lowest, highest = (
        [(_label(geometry, row), float(lengths[row])) for row in rows]
        for rows in (order[:_N_NAMED], order[::-1][:_N_NAMED])
    )
    title = _title(arguments, geometry, "Norms")
    return norms(lengths, lowest, highest, title, lengths[unused & np.isfinite(lengths)])


def _similarity(arguments: argparse.Namespace, geometry: Geometry) -> Figure:
    from ..plot import similarity

    ids, labels = _chosen(arguments, geometry)
    scores = geometry.similarities(ids, arguments.metric)
    return similarity(scores, labels, arguments.metric, _title(arguments, geometry, "Similarities"))
