"""What users ask of a model's rows most often, without a `Geometry` of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from ..core.aliases import MetricName
from ..tables.table import EmbeddingTable
from ..tokens.vocabulary import Vocabulary
from .similarity import Geometry, Item, Neighbours


class Compared:
    """The part of `Model` that compares rows."""

    if TYPE_CHECKING:  # what a model has

        @property
        def table(self) -> EmbeddingTable: ...  # noqa: D102, `Model` has it
        @property
        def output_table(self) -> EmbeddingTable: ...  # noqa: D102
        def _names(self) -> Vocabulary | None: ...

    @property
    def geometry(self) -> Geometry:
        """The token table as points in space, named by the vocabulary if there is one."""
        return Geometry(self.table, self._names())

    def similarity(self, a: Item, b: Item, metric: MetricName = "cosine") -> float:
        """Return the cosine, or with ``metric="dot"`` the dot product, of two words, ids or vectors.

        ``"king"`` means the token of the whole word, as the vocabulary stores it; what exceptions there are,
        `Geometry.place` says, and what it raises.

        Returns
        -------
        float
            The cosine between -1 and 1, 0 for a row of zeros; NaN where a row is not finite.
        """
        return self.geometry.similarity(a, b, metric)

    def nearest(
        self, query: Item, k: int = 10, metric: MetricName = "cosine", *, leave_out_variants: bool = False
    ) -> Neighbours:
        """Return the `k` tokens most similar to a word, an id or a vector, the best first.

        Parameters, result and errors are those of `Geometry.nearest`.
        """
        return self.geometry.nearest(query, k, metric, leave_out_variants=leave_out_variants)

    def analogy(
        self,
        positive: Sequence[Item],
        negative: Sequence[Item] = (),
        k: int = 10,
        metric: MetricName = "cosine",
        *,
        leave_out_variants: bool = False,
    ) -> Neighbours:
        """Return the `k` tokens nearest to a sum of words, ids or vectors, the best first.

        Parameters, result and errors are those of `Geometry.analogy`.
        """
        return self.geometry.analogy(positive, negative, k, metric, leave_out_variants=leave_out_variants)

    @overload
    def logits(self, hidden: Any, k: None = None) -> npt.NDArray[np.float32]: ...
    @overload
    def logits(self, hidden: Any, k: int) -> Any: ...
    def logits(self, hidden: Any, k: int | None = None) -> Any:
        """Return the logits of hidden states, or their `k` best tokens, from `output_table`.

        That is the token table itself where the model ties the two. No scale or cap that the architecture
        applies to its logits is in them.

        Parameters
        ----------
        hidden : array-like of numbers, shape (columns,) or (n, columns)
        k : int, optional

        Returns
        -------
        numpy.ndarray of float32, shape (rows,) or (n, rows); or Neighbours, or a list of such
            As `Geometry.logits` returns them.

        Raises
        ------
        NotFoundError
            (a KeyError) if the model has no output projection.
        TypeError, ValueError
            As `Geometry.logits` does.
        """
        return Geometry(self.output_table, self._names()).logits(hidden, k)
