"""What each of the page's requests asks of a view; all of it works on the calling thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...analysis.sums import parse_sum
from ...core.aliases import MetricName
from ...safe_text import printable
from ..models import Served
from .file_facts import file_facts, tied_facts, validation_facts
from .requests import MAX_TEXT, Fields
from .sample import is_huge
from .view import View

METRICS = ("cosine", "dot")
MAX_K = 100
_MAX_MATRIX = 96
_MAX_GROUPS = 16
_MAX_PAIRS = 64


def tokens(view: View, served: Served, fields: Fields) -> dict[str, Any]:
    """Cut a sentence: ``text``, and whether with what stands around one, ``special``."""
    text = fields.text("text", MAX_TEXT)
    return {"tokens": view.cut(text, special=fields.get("special") is True)}


def search(view: View, served: Served, fields: Fields) -> dict[str, Any]:
    """Find tokens by a part of their text, or by ``#17``."""
    return {"tokens": view.search(fields.text("text"), fields.number("most", 1, 200, 20))}


def names(view: View, served: Served, fields: Fields) -> dict[str, Any]:
    """Name the rows of some ids."""
    return {"tokens": [view.named(view.checked(row)) for row in fields.ids("ids")]}


def row(view: View, served: Served, fields: Fields) -> dict[str, Any]:
    """Show the row of an ``id`` or a ``word``."""
    return view.row(_row(view, fields))


def nearest(view: View, served: Served, fields: Fields) -> dict[str, Any]:
    """Find what is nearest to an ``id`` or a ``word``."""
    no_variants = fields.get("leave_out_variants") is True
    return view.nearest(_row(view, fields), *_search(fields), no_variants=no_variants)


def sum_(view: View, served: Served, fields: Fields) -> dict[str, Any]:
    """Find what is nearest to a ``sum`` such as ``king - man + woman``."""
    return view.sum(*parse_sum(fields.text("sum")), *_search(fields))


def similarity(view: View, served: Served, fields: Fields) -> dict[str, Any]:
    """Compare the rows of ``ids``, each with each."""
    return view.similarities(fields.ids("ids", _MAX_MATRIX), fields.choice("metric", METRICS))


def pairs(view: View, served: Served, fields: Fields) -> dict[str, Any]:
    """Compare the two words of each of some ``pairs``."""
    given = fields.get("pairs")
    if not isinstance(given, list) or not 1 <= len(given) <= _MAX_PAIRS:
        raise ValueError(f"pairs is not a list of 1 to {_MAX_PAIRS} pairs")
    found = [Fields({"pair": one}).words("pair", 2) for one in given]
    if any(len(one) != 2 for one in found):
        raise ValueError("a pair has two words")
    return {"pairs": view.pairs([(one, other) for one, other in found])}


def map_(view: View, served: Served, fields: Fields) -> dict[str, Any]:
    """Place words on a plane: ``groups`` of words, ``ids``, and words with what is ``near`` them.

    Words that are not a single token are left out, and named in ``unknown``.
    """
    groups, unknown = [], []
    given = fields.get("groups", [])
    if not isinstance(given, list) or len(given) > _MAX_GROUPS or not all(isinstance(g, dict) for g in given):
        raise ValueError(f"groups is not a list of at most {_MAX_GROUPS} objects")
    for one in map(Fields, given):
        rows = []
        for word in one.words("words"):
            try:
                rows.append(view.row_of(word))
            except (KeyError, IndexError):
                unknown.append(word)
        groups.append((one.text("name"), rows))
    if "ids" in fields:
        groups.append(("sentence", fields.ids("ids")))
    near = [view.row_of(word) for word in fields.words("near", 8)]
    k = fields.number("k", 1, MAX_K, 10)
    seed = fields.number("seed", 0, 2**31 - 1, 42)
    answer = view.map(groups, near, k, fields.choice("method", ("tsne", "pca")), seed)
    return {**answer, "unknown": unknown}


def prepare(view: View, served: Served, fields: Fields) -> dict[str, Any]:
    """Compute what later answers need, so that none of them waits for it: norms, and texts to search in."""
    n_rows = len(view.table) if is_huge(view.table) else len(view.table.norms)
    if view.vocabulary is not None:
        view.index()
        if served.encoder is not None:
            view.cut("", special=False)
    return {"n_rows": n_rows}


def file(view: View, served: Served, fields: Fields) -> dict[str, Any]:
    """Show what the file holds."""
    facts = file_facts(view.table, view.vocabulary, served.model, served.name)
    return {**facts, "no_vocabulary": printable(view.no_vocabulary)}


def tied(view: View, served: Served, fields: Fields) -> dict[str, Any]:
    """Show whether the output table is the token table."""
    return {"tied": None} if served.model is None else tied_facts(served.model)


def validation(view: View, served: Served, fields: Fields) -> dict[str, Any]:
    """Validate the file: ``level`` is ``order`` or ``full``."""
    if served.model is None:
        raise ValueError("validation is for GGUF models; this file is another kind")
    return validation_facts(served.model, fields.choice("level", ("order", "full")))


def _row(view: View, fields: Fields) -> int:
    if "word" in fields:
        return view.row_of(fields.text("word"))
    return view.checked(fields.number("id", 0, 2**63 - 1))


def _search(fields: Fields) -> tuple[int, MetricName]:
    return fields.number("k", 1, MAX_K, 10), fields.choice("metric", METRICS)


Question = Callable[[View, Served, Fields], dict[str, Any]]
QUESTIONS: Mapping[str, Question] = {
    "tokens": tokens,
    "search": search,
    "names": names,
    "row": row,
    "nearest": nearest,
    "sum": sum_,
    "similarity": similarity,
    "pairs": pairs,
    "map": map_,
    "prepare": prepare,
    "file": file,
    "tied": tied,
    "validation": validation,
}
