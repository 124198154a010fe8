"""What the rows of a table mean: similarity, neighbours, analogies, logits, and what chance would give."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from ..core.address_space import ensure_room
from ..core.aliases import MetricName
from ..core.display import aligned, html_table
from ..core.progress import Progress
from ..errors import VocabularyError
from ..safe_text import printable, quote
from ..tables.scan import as_queries, check_metric
from ..tables.table import EmbeddingTable
from ..tokens.listed import ListedTokens
from ..tokens.lookup import find_word, variants

#: A word as a person writes it, an id, or a vector as wide as the rows.
Item: TypeAlias = "str | bytes | int | npt.ArrayLike"

_BASELINE_ROWS = 1000
_CHUNK = 100


class Neighbour(NamedTuple):
    """A row that was found: its id, the stored text of its token (None where it has none), its score."""

    id: int
    text: str | None
    score: float


class Neighbours(list[Neighbour]):
    """A list of `Neighbour`, the best first, that shows itself as a table."""

    _HEADERS = ("token", "id", "score")

    def _cells(self) -> list[tuple[str, str, str]]:
        return [(printable(one.text or ""), str(one.id), f"{one.score:.4f}") for one in self]

    def __repr__(self) -> str:
        return "\n".join(aligned([self._HEADERS, *self._cells()], 1)) if self else "no neighbours"

    def _repr_html_(self) -> str:
        return html_table("neighbours", self._HEADERS, self._cells())


class Baseline(NamedTuple):
    """What random rows score: a real score is to be judged by it.

    Attributes
    ----------
    mean : float
    p95, p99 : float
        The scores that 95 and 99 of 100 random rows stay below.
    n : int
        How many random scores there were.
    """

    mean: float
    p95: float
    p99: float
    n: int


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """What an `Item` stands for.

    Attributes
    ----------
    id : int or None
        The row; None for a vector.
    text : str or None
        The stored text of its token; None for a vector, or where there is no such token.
    vector : numpy.ndarray of float32, shape (columns,)
    """

    id: int | None
    text: str | None
    vector: npt.NDArray[np.float32]


class Geometry:
    """The rows of a table as points in space, named by a vocabulary where there is one.

    Parameters
    ----------
    table : EmbeddingTable
    vocabulary : Vocabulary, optional
        Token i names row i. Without one, rows are named by id alone.
    """

    def __init__(self, table: EmbeddingTable, vocabulary: ListedTokens | None = None) -> None:
        self.table = table
        self.vocabulary = vocabulary

    # ---------------------------------------------------------------------------------------- names

    def place(self, item: Item) -> Place:
        """Return the row, or the vector, that an item stands for.

        Raises
        ------
        NotFoundError
            (a KeyError) for a text that is not a single token: it lists the pieces and what comes near.
        VocabularyError
            For a text where there is no vocabulary.
        IndexError
            For an id that is not a row.
        TypeError, ValueError
            For what is none of these, a vector of the wrong width or one that is not finite.
        """
        if isinstance(item, str | bytes):
            if self.vocabulary is None:
                raise VocabularyError(
                    f"{self.table.path}: it has no vocabulary to look {quote(item)} up in; use ids",
                    self.table.path,
                )
            return self._row(find_word(self.vocabulary, item))
        if isinstance(item, bool | np.bool_):
            raise TypeError("expected a word, an id or a vector, got bool")
        if isinstance(item, int | np.integer) or (isinstance(item, np.ndarray) and item.ndim == 0):
            return self._row(operator.index(item))
        queries = as_queries(item, self.table.shape[1])
        if len(queries) != 1:
            raise ValueError(f"expected one vector, got {len(queries)}")
        vector = queries[0]
        if not np.isfinite(vector).all():
            column = int(np.argmin(np.isfinite(vector)))
            raise ValueError(f"the vector is not finite: column {column} is {vector[column]}")
        return Place(None, None, vector)

    def _row(self, row_id: int) -> Place:
        vector = self.table.gather(row_id)
        return Place(row_id, self.text(row_id), vector)

    def text(self, row_id: int) -> str | None:
        """Return the stored text of a row's token; None where there is none."""
        if self.vocabulary is None or not 0 <= row_id < len(self.vocabulary):
            return None
        return self.vocabulary.tokens[row_id]

    def _neighbours(self, ids: npt.NDArray[np.int64], scores: npt.NDArray[np.float32]) -> Neighbours:
        found = zip(ids.tolist(), scores.tolist(), strict=True)
        return Neighbours(
            Neighbour(row_id, self.text(row_id), score) for row_id, score in found if row_id >= 0
        )

    def _own(self, places: Iterable[Place], leave_out_variants: bool) -> list[int]:
        """Return the rows of some places, and those that spell the same words."""
        rows = {place.id for place in places if place.id is not None}
        if leave_out_variants and self.vocabulary is not None:
            for row in [row for row in rows if row < len(self.vocabulary)]:
                rows |= {found for found in variants(self.vocabulary, row) if found < len(self.table)}
        return sorted(rows)

    # --------------------------------------------------------------------------------------- scores

    def similarity(self, a: Item, b: Item, metric: MetricName = "cosine") -> float:
        """Return the cosine or the dot product of two items, computed in float64.

        Parameters
        ----------
        a, b : str, int or array-like of shape (columns,)
        metric : {"cosine", "dot"}, optional

        Returns
        -------
        float
            Zero for zero vectors, NaN where a row is not finite.

        Raises
        ------
        ValueError
            For an unknown metric, and as in `place`, like all other exceptions.
        """
        return float(self.similarities([a, b], metric)[0, 1])

    def similarities(self, items: Sequence[Item], metric: MetricName = "cosine") -> npt.NDArray[np.float64]:
        """Return the similarity of each item to each; see `similarity`.

        Parameters
        ----------
        items : sequence of str, int or array-like of shape (columns,)
        metric : {"cosine", "dot"}, optional

        Returns
        -------
        numpy.ndarray of float64, shape (n, n)
        """
        check_metric(metric)
        vectors = np.array([self.place(item).vector for item in items], np.float64)
        vectors = vectors.reshape(len(items), self.table.shape[1])
        ensure_room()
        with np.errstate(all="ignore"):  # what is not finite has scores that are not
            if metric == "cosine":
                vectors = _units(vectors)
            scores = vectors @ vectors.T
        return np.clip(scores, -1, 1) if metric == "cosine" else scores

    def nearest(
        self,
        query: Item,
        k: int = 10,
        metric: MetricName = "cosine",
        *,
        leave_out_variants: bool = False,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> Neighbours:
        """Return the `k` rows that are most similar to an item, the best first.

        A word or an id is not among its own neighbours; for a vector no row is left out.

        Parameters
        ----------
        query : str, int or array-like of shape (columns,)
        k : int
            At least 1, at most the number of rows.
        metric : {"cosine", "dot"}, optional
        leave_out_variants : bool, optional
            Leave out spellings of the same word too: other case, with or without a space, a plural s.
        threads, progress
            As in `EmbeddingTable.scores`.

        Returns
        -------
        Neighbours
            A list of `Neighbour`: fewer than `k` where rows are left out or have no score.

        Raises
        ------
        ValueError
            If `k` is out of range, and as in `place`, like all other exceptions.
        """
        place = self.place(query)
        exclude = self._own([place], leave_out_variants)
        top = self.table.top(place.vector, k, metric, exclude=exclude, threads=threads, progress=progress)
        return self._neighbours(top.ids[0], top.scores[0])

    def analogy(
        self,
        positive: Sequence[Item],
        negative: Sequence[Item] = (),
        k: int = 10,
        metric: MetricName = "cosine",
        *,
        leave_out_variants: bool = False,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> Neighbours:
        """Return the rows nearest to the sum of some items less others: king - man + woman.

        The rows are added as they are, not brought to the same length. Those of the items themselves are left
        out of the result.

        Parameters
        ----------
        positive, negative : sequence of str, int or array-like
            What to add and what to subtract; at least one in all.
        k, metric, leave_out_variants, threads, progress
            As in `nearest`.

        Returns
        -------
        Neighbours
            As of `nearest`.

        Raises
        ------
        TypeError
            If `positive` or `negative` is a text rather than a list of them.
        ValueError
            If both are empty; and as in `nearest`, like all other exceptions.
        """
        target, exclude = self.target(positive, negative, leave_out_variants=leave_out_variants)
        top = self.table.top(target, k, metric, exclude=exclude, threads=threads, progress=progress)
        return self._neighbours(top.ids[0], top.scores[0])

    def target(
        self, positive: Sequence[Item], negative: Sequence[Item] = (), *, leave_out_variants: bool = False
    ) -> tuple[npt.NDArray[np.float32], list[int]]:
        """Return the vector that an analogy looks for, and the rows that it leaves out."""
        for name, items in (("positive", positive), ("negative", negative)):
            if isinstance(items, str | bytes):
                raise TypeError(f"{name} is one text; expected a list of words, ids or vectors")
        added, subtracted = [self.place(i) for i in positive], [self.place(i) for i in negative]
        if not added and not subtracted:
            raise ValueError("an analogy needs at least one word, id or vector")
        sum_ = np.zeros(self.table.shape[1], np.float64)
        for place in added:
            sum_ += place.vector
        for place in subtracted:
            sum_ -= place.vector
        return sum_.astype(np.float32), self._own([*added, *subtracted], leave_out_variants)

    @overload
    def logits(
        self,
        hidden: Any,
        k: None = None,
        *,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> npt.NDArray[np.float32]: ...
    @overload
    def logits(
        self, hidden: Any, k: int, *, threads: int | None = None, progress: Progress | None = None
    ) -> Any: ...
    def logits(
        self,
        hidden: Any,
        k: int | None = None,
        *,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> Any:
        """Return the dot products of hidden states with all rows, or the tokens with the `k` highest.

        Parameters
        ----------
        hidden : array-like of numbers, shape (columns,) or (n, columns)
        k : int, optional
        threads, progress
            As in `EmbeddingTable.scores`.

        Returns
        -------
        numpy.ndarray of float32, shape (rows,) or (n, rows)
            Without `k`.
        Neighbours, or list of such lists
            With `k`: for one hidden state, or for several.

        Raises
        ------
        TypeError, ValueError
            If `hidden` is not numbers or of another width, or `k` is out of range.
        """
        queries = as_queries(hidden, self.table.shape[1])
        is_single = np.ndim(hidden) == 1
        if k is None:
            scores = self.table.scores(queries, threads=threads, progress=progress)
            return scores[0] if is_single else scores
        top = self.table.top(queries, k, threads=threads, progress=progress)
        found = [self._neighbours(ids, scores) for ids, scores in zip(top.ids, top.scores, strict=True)]
        return found[0] if is_single else found

    # -------------------------------------------------------------------------------------- baseline

    def baseline(
        self,
        query: Item | None = None,
        metric: MetricName = "cosine",
        *,
        n: int = _BASELINE_ROWS,
        seed: int = 0,
    ) -> Baseline:
        """Return what an item scores against random rows or, without one, random pairs of rows.

        Rows of norm 0 and rows that are not finite are left out.

        Parameters
        ----------
        query : str, int or array-like of shape (columns,), optional
        metric : {"cosine", "dot"}, optional
        n : int, optional
            How many random rows, or pairs of such.
        seed : int, optional
            The same seed draws the same rows.

        Returns
        -------
        Baseline

        Raises
        ------
        ValueError
            If the table has no other rows, or `n` is below 1.
        """
        check_metric(metric)
        if n < 1:
            raise ValueError(f"n is {n}; expected at least 1")
        norms = self.table.norms
        rows = np.flatnonzero(np.isfinite(norms) & (norms > 0))
        if rows.size == 0:
            raise ValueError(f"{printable(self.table.path)}: all rows are zero or not finite")
        rng = np.random.default_rng(seed)
        if query is None:
            scores = self._pairs(rng.choice(rows, (n, 2)), metric)
        else:
            vector = self.place(query).vector
            scores = self.table.scores(vector, metric, ids=rng.choice(rows, n))[0].astype(np.float64)
        p95, p99 = np.percentile(scores, (95, 99))
        return Baseline(float(scores.mean()), float(p95), float(p99), n)

    def _pairs(self, pairs: npt.NDArray[np.int64], metric: MetricName) -> npt.NDArray[np.float64]:
        scores = np.empty(len(pairs))
        for first in range(0, len(pairs), _CHUNK):
            rows = self.table.gather(pairs[first : first + _CHUNK]).astype(np.float64)
            if metric == "cosine":
                rows = _units(rows)
            scores[first : first + _CHUNK] = np.einsum("ij,ij->i", rows[:, 0], rows[:, 1])
        return scores


def _units(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return vectors of length 1; those of length 0 stay as they are."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(norms == 0, 1, norms)
