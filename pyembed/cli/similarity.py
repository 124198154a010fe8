"""``pyembed nearest``, ``analogy``, ``similarity`` and ``logits``: what the rows of a table mean."""

from __future__ import annotations

import argparse
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ..analysis.similarity import Baseline, Geometry, Neighbour
from ..analysis.sums import parse_sum
from ..core.aliases import MetricName
from ..core.progress import Progress, Report
from ..safe_text import printable
from .arguments import add_json, add_k, add_metric, add_model, add_rows, add_tensor, add_text, ids_argument
from .files import OpenFile
from .progress import progress_bar
from .show import print_json, print_table


def add_parser(commands: Any) -> None:
    """Add the commands to the parser's."""
    parser = _command(commands, "nearest", "tokens nearest to some words", "nearest demo file string")
    add_rows(parser)
    add_text(parser)
    _add_search(parser)
    parser.set_defaults(run=run_nearest)

    parser = _command(
        commands, "analogy", "tokens nearest to a sum of words", 'analogy demo "files - file + directory"'
    )
    parser.add_argument("sum", nargs="?", metavar="SUM", help='such as "king - man + woman"')
    for sign, does in (("positive", "add"), ("negative", "subtract")):
        parser.add_argument(f"--{sign}", nargs="+", default=[], metavar="WORD", help=f"words to {does}")
        parser.add_argument(
            f"--{sign}-ids", type=ids_argument, default=[], metavar="1,2,3", help=f"rows to {does}"
        )
    _add_search(parser)
    parser.set_defaults(run=run_analogy)

    parser = _command(
        commands, "similarity", "how similar words are to each other", "similarity demo file files open"
    )
    add_rows(parser)
    parser.set_defaults(run=run_similarity)

    parser = _command(
        commands,
        "logits",
        "tokens that hidden states lead to",
        "embed demo file --out states.npy && pyembed logits demo --hidden states.npy --k 5",
    )
    parser.add_argument("--hidden", required=True, metavar="FILE.npy", help="one state, or one a row")
    add_k(parser)
    parser.set_defaults(run=run_logits)


def _command(commands: Any, name: str, text: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=f"Show {text}.",
        epilog=f"example: pyembed {example}",
    )
    add_model(parser)
    add_tensor(parser)
    add_json(parser)
    return parser


def _add_search(parser: argparse.ArgumentParser) -> None:
    add_k(parser)
    add_metric(parser)
    parser.add_argument(
        "--leave-out-variants", action="store_true", help="other case, with or without a space, a plural s"
    )


def _named(geometry: Geometry, word: str, row: int | None) -> dict[str, object]:
    return {"word": word, "id": row, "token": None if row is None else geometry.text(row)}


def _named_as(report: Report, text: str) -> Progress:
    """Return what reports progress under another name."""
    return lambda _, done: report(text, done)


# ------------------------------------------------------------------------------- nearest and analogy


def run_nearest(arguments: argparse.Namespace) -> int:
    """Run the command ``nearest``."""
    searches = []
    with OpenFile(arguments.model, arguments.tensor) as file, progress_bar() as bar:
        geometry = file.geometry
        for word, row, pooled in file.items(arguments):
            item = row if row is not None else pooled
            assert item is not None
            found = geometry.nearest(
                item,
                arguments.k,
                arguments.metric,
                leave_out_variants=arguments.leave_out_variants,
                progress=_named_as(bar, f"nearest to {word}"),
            )
            vector = geometry.place(item).vector
            named = _named(geometry, word, row)
            searches.append({**named, **_scored(geometry, vector, found, arguments.metric)})
        path, tensor = file.table.path, file.table.name
    if arguments.json:
        print_json({"path": path, "tensor": tensor, "metric": arguments.metric, "results": searches})
        return 0
    for index, search in enumerate(searches):
        if index:
            print()
        print(_taken(search))
        _print_found(search, arguments.metric)
    return 0


def run_analogy(arguments: argparse.Namespace) -> int:
    """Run the command ``analogy``."""
    positive, negative = list(arguments.positive), list(arguments.negative)
    if arguments.sum is not None:
        more, less = parse_sum(arguments.sum)
        positive, negative = more + positive, less + negative
    with OpenFile(arguments.model, arguments.tensor) as file, progress_bar() as bar:
        geometry = file.geometry
        terms = [
            file.chosen(argparse.Namespace(words=words, tokens=[], ids=ids)) if words or ids else []
            for words, ids in ((positive, arguments.positive_ids), (negative, arguments.negative_ids))
        ]
        added, subtracted = ([row for _, row in some] for some in terms)
        found = geometry.analogy(
            added,
            subtracted,
            arguments.k,
            arguments.metric,
            leave_out_variants=arguments.leave_out_variants,
            progress=_named_as(bar, "nearest to the sum"),
        )
        target, _ = geometry.target(added, subtracted)
        result = _scored(geometry, target, found, arguments.metric)
        inputs = {
            name: [_named(geometry, *term) for term in some]
            for name, some in zip(("positive", "negative"), terms, strict=True)
        }
        path, tensor = file.table.path, file.table.name
    if arguments.json:
        print_json({"path": path, "tensor": tensor, "metric": arguments.metric, **inputs, **result})
        return 0
    for sign, named in [*(("+", n) for n in inputs["positive"]), *(("-", n) for n in inputs["negative"])]:
        print(f"{sign} {_taken(named)}")
    _print_found(result, arguments.metric)
    return 0


def _scored(
    geometry: Geometry, vector: npt.NDArray[np.float32], found: list[Neighbour], metric: MetricName
) -> dict[str, Any]:
    """Return what was found with both scores, and what random rows score."""
    ids = [neighbour.id for neighbour in found]
    cosines = geometry.table.scores(vector, "cosine", ids=ids)[0].tolist()
    dots = geometry.table.scores(vector, "dot", ids=ids)[0].tolist()
    neighbours = [
        {"id": neighbour.id, "token": neighbour.text, "cosine": cosine, "dot": dot}
        for neighbour, cosine, dot in zip(found, cosines, dots, strict=True)
    ]
    return {"neighbours": neighbours, "baseline": _baseline(geometry.baseline(vector, metric))}


def _baseline(baseline: Baseline) -> dict[str, float]:
    return dict(baseline._asdict())


def _taken(named: dict[str, Any]) -> str:
    word = printable(str(named["word"]))
    if named["id"] is None:
        return f"{word}: the mean of its tokens' rows"
    if named["token"] is None:
        return f"row {named['id']}"
    return f"{word}: token {named['id']}, {printable(named['token'])!r}"


def _number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "-"


def _print_found(result: dict[str, Any], metric: str) -> None:
    print_table(
        ["token", "id", "cosine", "dot"],
        [
            [one["token"] or "", str(one["id"]), _number(one["cosine"]), _number(one["dot"])]
            for one in result["neighbours"]
        ],
    )
    chance = result["baseline"]
    print(
        f"random rows, {metric}: mean {chance['mean']:.4f}, p95 {chance['p95']:.4f}, p99 {chance['p99']:.4f}"
    )


# ------------------------------------------------------------------------------ similarity and logits


def run_similarity(arguments: argparse.Namespace) -> int:
    """Run the command ``similarity``."""
    with OpenFile(arguments.model, arguments.tensor) as file:
        geometry = file.geometry
        chosen = file.chosen(arguments)
        if len(chosen) < 2:
            raise ValueError(f"similarity compares two rows or more; chosen: {len(chosen)}")
        labels, ids = zip(*chosen, strict=True)
        named = [_named(geometry, word, row) for word, row in chosen]
        cosines = geometry.similarities(ids)
        dots = geometry.similarities(ids, "dot")
        chance = geometry.baseline()
        path, tensor = file.table.path, file.table.name
        odd = [row for row in ids if not np.isfinite(file.table.gather(row)).all()]
    if arguments.json:
        matrices = {"cosine": cosines.tolist(), "dot": dots.tolist()}
        facts = {"path": path, "tensor": tensor, "words": named, "not_finite": odd, **matrices}
        print_json({**facts, "baseline": _baseline(chance)})
        return 0
    for name in named:
        print(_taken(name))
    if len(named) == 2:
        print(f"cosine {cosines[0, 1]:.4f}, dot {dots[0, 1]:.4f}")
    else:
        rows = zip(labels, cosines.tolist(), strict=True)
        print_table(["cosine", *labels], [[word, *(f"{value:.4f}" for value in row)] for word, row in rows])
    if odd:
        print(f"rows that hold NaN or infinity, without a similarity: {', '.join(map(str, odd))}")
    print(f"random pairs, cosine: mean {chance.mean:.4f}, p95 {chance.p95:.4f}, p99 {chance.p99:.4f}")
    return 0


def run_logits(arguments: argparse.Namespace) -> int:
    """Run the command ``logits``."""
    try:
        hidden = np.load(arguments.hidden, allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"{arguments.hidden}: not a .npy file of numbers: {error}") from None
    with OpenFile(arguments.model, arguments.tensor) as file, progress_bar() as bar:
        geometry = file.geometry
        if arguments.tensor is None and file.model is not None:
            geometry = Geometry(file.model.output_table, geometry.vocabulary)
        hidden = np.atleast_2d(hidden)
        found = geometry.logits(hidden, arguments.k, progress=_named_as(bar, "logits"))
        path, tensor = geometry.table.path, geometry.table.name
    if arguments.json:
        states = [[{"id": one.id, "token": one.text, "logit": one.score} for one in state] for state in found]
        print_json({"path": path, "tensor": tensor, "states": states})
        return 0
    for index, state in enumerate(found):
        if len(found) > 1:
            print(f"{chr(10) if index else ''}state {index}")
        print_table(
            ["token", "id", "logit"], [[one.text or "", str(one.id), f"{one.score:.4f}"] for one in state]
        )
    return 0
