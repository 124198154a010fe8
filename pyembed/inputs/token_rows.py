"""The rows of tokens, with more around them: what `Model` returns for ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
import numpy.typing as npt

from ..core.aliases import DTypeLike, Float32, IdsLike, PaddingSide, Raw, SequencesLike
from ..tables.table import EmbeddingTable
from .batching import PaddedRows, gather, gather_padded

Out = TypeVar("Out")


class TokenRows:
    """The part of `Model` that gathers the rows of tokens."""

    if TYPE_CHECKING:  # what a model has

        @property
        def table(self) -> EmbeddingTable: ...  # noqa: D102

    @overload
    def embed(
        self,
        ids: IdsLike,
        *,
        out: None = None,
        dtype: Float32 | None = None,
        threads: int | None = None,
        replace: Mapping[Any, Any] | None = None,
        mask: Any = None,
        offsets: IdsLike | None = None,
        window: tuple[int, int] | None = None,
    ) -> npt.NDArray[np.float32]: ...
    @overload
    def embed(
        self,
        ids: IdsLike,
        *,
        out: None = None,
        dtype: DTypeLike | Raw | None,
        threads: int | None = None,
        replace: Mapping[Any, Any] | None = None,
        mask: Any = None,
        offsets: IdsLike | None = None,
        window: tuple[int, int] | None = None,
    ) -> npt.NDArray[Any]: ...
    @overload
    def embed(
        self,
        ids: IdsLike,
        *,
        out: Out,
        dtype: DTypeLike | Raw | None = None,
        threads: int | None = None,
        replace: Mapping[Any, Any] | None = None,
        mask: Any = None,
        offsets: IdsLike | None = None,
        window: tuple[int, int] | None = None,
    ) -> Out: ...
    def embed(
        self,
        ids: Any,
        *,
        out: Any = None,
        dtype: Any = None,
        threads: int | None = None,
        replace: Mapping[Any, Any] | None = None,
        mask: Any = None,
        offsets: Any = None,
        window: tuple[int, int] | None = None,
    ) -> Any:
        """Return the embeddings of some tokens, as ``model.table.gather`` does, with more around them.

        Rows are raw: no scale that the architecture applies is in them.

        Parameters
        ----------
        ids, out, dtype, threads, window
            As for `EmbeddingTable.gather`; with ``dtype="raw"`` there can be neither `replace` nor `mask`
            nor `offsets`.
        replace : mapping of position to vectors, optional
            Vectors of images, audio or soft prompts that take the place of rows: of shape (columns,) for the
            row at that position, or (n, columns) for the n rows from there on. For ids of one dimension a
            position is an int, otherwise a tuple such as (batch, position). Vectors of other floats are
            rounded to `dtype`, to nearest even. The ids that they replace may be anything.
        mask : array-like of bool, optional
            Of the ids' shape. Where it is false (or 0) there is no token: the row is zero, the id may be
            anything.
        offsets : array-like of int, optional
            For `ids` that hold sequences one after the other: 0, where each further sequence begins, and the
            number of ids. Keys of `replace` are then (sequence, position in it).

        Raises
        ------
        IndexError, TypeError, ValueError
            As for `EmbeddingTable.gather`; IndexError for a position in `replace` that is none, ValueError
            for vectors of another width, or that overlap. `out` is untouched then.
        """
        if replace is None and mask is None and offsets is None:
            return self.table.gather(ids, out=out, dtype=dtype, threads=threads, window=window)
        return gather(
            self.table,
            ids,
            out=out,
            dtype=dtype,
            threads=threads,
            replace=replace,
            mask=mask,
            offsets=offsets,
            window=window,
        )

    def embed_padded(
        self,
        sequences: SequencesLike,
        *,
        offsets: IdsLike | None = None,
        padding_side: PaddingSide = "right",
        length: int | None = None,
        out: Any = None,
        dtype: DTypeLike | None = None,
        threads: int | None = None,
        replace: Mapping[Any, Any] | None = None,
    ) -> PaddedRows:
        """Return the embeddings of sequences of different lengths in one rectangle, zero where there is none.

        Parameters
        ----------
        sequences : iterable of array-like of int
            The ids of each sequence; with `offsets`, the ids of all sequences one after the other.
        padding_side : {"right", "left"}, optional
            Where the zeros go.
        length : int, optional
            Length of the rectangle; that of the longest sequence if not given.
        replace : mapping of (sequence, position) to vectors, optional
            As for `embed`; positions count from the first id of the sequence, whatever the padding.
        out, dtype, threads
            As for `EmbeddingTable.gather`; `out` is of shape (sequences, length, columns).

        Returns
        -------
        PaddedRows
            ``.rows``, ``.mask`` and ``.lengths``.
        """
        return gather_padded(
            self.table,
            sequences,
            offsets=offsets,
            padding_side=padding_side,
            length=length,
            out=out,
            dtype=dtype,
            threads=threads,
            replace=replace,
        )
