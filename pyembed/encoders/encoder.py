"""Texts to vectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sized
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..core.aliases import DTypeLike, IdsLike
from ..core.closing import Closing
from ..core.dtypes import output_type, round_to
from ..core.progress import Progress, report_to
from ..errors import ClosedError
from ..inputs.batching import offsets_of
from ..safe_text import printable
from ..tables.arguments import as_ids, check_ids, thread_count
from ..tables.scan import index_of
from ..tables.table import EmbeddingTable
from ..tokens.cutting.cutter import batches
from ..tokens.cutting.engine import post_processor
from .choice import EngineChoice
from .counting import Counting, OfModel, counted, counting_of
from .doubles import float64_means
from .engines import Cuts
from .parts import Parts
from .rules import Direction
from .whole import WholeTokenizer


class _Pooling(NamedTuple):
    """The options of one call, with the model's where the caller gave none."""

    normalize: bool
    normalizes_first: bool  # before columns are left out
    dim: int
    dtype: str | None
    threads: int | None


class Encoder(Closing):
    """A static embedding model: the vector of a text is made of the rows of its tokens. See `load_encoder`.

    Any number of threads may use one encoder. It pickles, as the paths and options that it was opened with.
    """

    def __init__(self, parts: Parts, reopen: tuple[Any, ...], close: Any) -> None:
        self._parts = parts
        self._reopen = reopen
        self._close = close
        self._closed = False
        name = {"F16": "float16", "F64": "float64"}.get(parts.table.layout.codes, "float32")
        self._table_dtype = np.dtype(name)

    @property
    def engine(self) -> EngineChoice:
        """What cuts the texts, and why that."""
        return self._parts.chosen.choice

    @property
    def library(self) -> str:
        """The library whose rules make vectors of tokens; ``"none"``: the mean of the rows of all tokens."""
        return self._parts.rules.library

    @property
    def dim(self) -> int:
        """How many numbers a vector has where the caller does not say."""
        width = self._parts.table.shape[1]
        return min(self._parts.rules.dim or width, width)  # as sentence-transformers does with fewer

    @property
    def max_length(self) -> int | None:
        """How many tokens of a text count where the caller does not say; None for all."""
        return self._parts.rules.max_length

    @property
    def truncation_direction(self) -> Direction:
        """Which end of a text with more tokens is left out where the caller does not say."""
        return self._parts.rules.direction

    @property
    def prompts(self) -> Mapping[str, str]:
        """The model's prompts by name; read-only, and empty for most models."""
        return MappingProxyType(dict(self._parts.rules.prompts))

    @property
    def default_prompt_name(self) -> str | None:
        """The prompt that is put before texts where the caller names none; None for no prompt."""
        return self._parts.rules.default_prompt

    @property
    def normalize(self) -> bool:
        """Whether vectors are divided by their norm where the caller does not say."""
        return self._parts.rules.normalize

    @property
    def as_bits(self) -> bool:
        """Whether vectors are one bit a column where the caller gives no dtype."""
        return self._parts.rules.as_bits

    @property
    def table(self) -> EmbeddingTable:
        """The rows."""
        return self._parts.table

    @property
    def tokenizer_digest(self) -> str:
        """A digest of what cuts the texts: the vocabulary and its rules, whatever engine follows them."""
        return self._parts.chosen.digest

    @cached_property
    def whole_tokenizer(self) -> WholeTokenizer:
        """The tokenizer with what its file puts around texts; built when asked for (for this package)."""
        self._ensure_open()
        vocabulary = self._parts.vocabulary
        around = post_processor(vocabulary.path, vocabulary.documents.around)
        return WholeTokenizer(vocabulary.path, self._parts.chosen.reference().tokenizer, around)

    @property
    def closed(self) -> bool:
        """Whether the encoder was closed."""
        return self._closed

    def close(self) -> None:
        """Let go of the table and its file. Closing twice is allowed."""
        self._closed = True
        self._close()

    def _ensure_open(self) -> None:
        if self._closed:
            raise ClosedError(f"the encoder of {self._parts.table.path} is closed")

    def encode(
        self,
        texts: str | Iterable[str],
        *,
        prompt_name: str | None = None,
        normalize: bool | None = None,
        max_length: int | OfModel | None = "model",
        truncation_direction: Direction | None = None,
        dim: int | None = None,
        dtype: DTypeLike | None = None,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> npt.NDArray[Any]:
        """Return the vectors of a text, or of several.

        Parameters
        ----------
        texts : str or iterable of str
            An iterable is read some thousand texts at a time, and only the vectors are kept; `stream`
            does not even keep those.
        prompt_name : str, optional
            Which of `prompts` to put before every text; without it the model's default, if it has one.
        normalize : bool, optional
            Whether to divide each vector by its Euclidean norm; without it as the model says. A text without
            tokens yields zeros, whatever its library makes of it.
        max_length : int or None, optional
            How many tokens of a text count at most, None for all; without it as the model says.
        truncation_direction : {"right", "left"}, optional
            Which end of a text with more tokens is left out; without it as the model says. The prompt belongs
            to the text.
        dim : int, optional
            Keep this many columns, the first ones: for models that were trained for that.
        dtype : {"float32", "float16", "bfloat16"}, optional
            Sums and means are float32, rounded once to this at the end. Without it vectors have the dtype and
            the roundings of the model's own library: those of a float16 model are float16, rounded as often
            as there.
        threads : int, optional
            1: the calling thread alone. Else cutting takes as many as its package likes, and pooling at most
            this many.
        progress : callable, optional
            Called with what is being done and the share that is done, 0 for an iterable of unknown length; a
            false answer that is not None cancels.

        Returns
        -------
        numpy.ndarray, shape (dim,) or (texts, dim)

        Raises
        ------
        TypeError
            For a text that is not a str.
        ValueError
            For a text that is too long to be cut, or has a lone surrogate; for an option out of range; for a
            prompt that the model does not have; if the encoder is closed.
        LoadCancelledError
            If `progress` cancelled.
        """
        counting = self._counting(prompt_name, max_length, truncation_direction, threads)
        pooling = self._pooling(normalize, dim, dtype, threads)
        is_one = isinstance(texts, str)
        parts = list(self._stream([texts] if isinstance(texts, str) else texts, counting, pooling, progress))
        vectors = np.concatenate(parts) if parts else self._vectors([], counting, pooling)
        return vectors[0] if is_one else vectors

    def stream(
        self,
        texts: Iterable[str],
        *,
        prompt_name: str | None = None,
        normalize: bool | None = None,
        max_length: int | OfModel | None = "model",
        truncation_direction: Direction | None = None,
        dim: int | None = None,
        dtype: DTypeLike | None = None,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> Iterator[npt.NDArray[Any]]:
        """Yield the vectors of texts, those of a few thousand texts at a time at most, in their order.

        Memory does not grow with the number of texts. Options and errors are those of `encode`; those of a
        text are raised when its turn comes.

        Yields
        ------
        numpy.ndarray, shape (texts, dim)
        """
        counting = self._counting(prompt_name, max_length, truncation_direction, threads)
        return self._stream(texts, counting, self._pooling(normalize, dim, dtype, threads), progress)

    def _stream(
        self, texts: Iterable[str], counting: Counting, pooling: _Pooling, progress: Progress | None
    ) -> Iterator[npt.NDArray[Any]]:
        report = report_to(progress)
        total = len(texts) if isinstance(texts, Sized) else 0
        done = 0
        for batch in batches(texts, len(counting.prompt)):
            yield self._vectors(batch, counting, pooling)
            done += len(batch)
            report("encoding texts", min(1.0, done / total) if total else 0.0)

    def tokenize(
        self,
        texts: Iterable[str],
        *,
        prompt_name: str | None = None,
        max_length: int | OfModel | None = "model",
        truncation_direction: Direction | None = None,
        threads: int | None = None,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the ids of the tokens that count: what `encode` pools the rows of.

        Parameters
        ----------
        texts : iterable of str
        prompt_name, max_length, truncation_direction, threads
            As for `encode`.

        Returns
        -------
        ids : numpy.ndarray of int64, shape (n,)
            Those of all texts, one after the other.
        offsets : numpy.ndarray of int64, shape (texts + 1,)
            Text i has ``ids[offsets[i]:offsets[i + 1]]``.

        Raises
        ------
        TypeError, ValueError
            As for `encode`.
        """
        counting = self._counting(prompt_name, max_length, truncation_direction, threads)
        found = [counted(self._parts, batch, counting) for batch in batches(texts, len(counting.prompt))]
        if len(found) == 1:
            return found[0].ids, offsets_of(found[0].lengths)
        ids = np.concatenate([cuts.ids for cuts in found]) if found else np.empty(0, np.int64)
        lengths = np.concatenate([cuts.lengths for cuts in found]) if found else np.empty(0, np.int64)
        return ids, offsets_of(lengths)

    def pool(
        self,
        ids: IdsLike,
        offsets: IdsLike,
        *,
        normalize: bool | None = None,
        dim: int | None = None,
        dtype: DTypeLike | None = None,
        threads: int | None = None,
    ) -> npt.NDArray[Any]:
        """Return the vectors of texts that are cut already, as `tokenize` does it.

        ``encoder.pool(*encoder.tokenize(texts))`` is what ``encoder.encode(texts)`` returns, bit for bit.

        Parameters
        ----------
        ids : array-like of int, shape (n,)
            Every id counts: none is left out, and no limit applies.
        offsets : array-like of int, shape (texts + 1,)
            Text i has ``ids[offsets[i]:offsets[i + 1]]``; a text without ids yields zeros.
        normalize, dim, dtype, threads
            As in `encode`.

        Returns
        -------
        numpy.ndarray, shape (texts, dim)

        Raises
        ------
        IndexError
            For an id that is not a row; the message names its position.
        TypeError
            If ids or offsets are not integers.
        ValueError
            For offsets that do not begin with 0, fall, or do not end with n; for an option out of range; if
            the encoder is closed.
        """
        pooling = self._pooling(normalize, dim, dtype, threads)
        n_rows = len(self._parts.table)
        rows = as_ids(ids, n_rows).reshape(-1)
        check_ids(rows, n_rows)
        bounds = as_ids(offsets, None, "offset").reshape(-1).astype(np.int64, copy=False)
        lengths = bounds[1:] - bounds[:-1]
        if not bounds.size or bounds[0] != 0 or bounds[-1] != rows.size or lengths.min(initial=0) < 0:
            raise ValueError(f"offsets must begin with 0, never fall, and end with {rows.size}")
        return self._pooled(Cuts(rows.astype(np.int64, copy=False), lengths), pooling)

    # ------------------------------------------------------------------------------------- one batch

    def _counting(self, prompt_name: Any, max_length: Any, direction: Any, threads: Any) -> Counting:
        self._ensure_open()
        return counting_of(self._parts.rules, prompt_name, max_length, direction, threads)

    def _pooling(self, normalize: bool | None, dim: int | None, dtype: Any, threads: Any) -> _Pooling:
        self._ensure_open()
        rules, width = self._parts.rules, self._parts.table.shape[1]
        columns = self.dim if dim is None else index_of("dim", dim)
        if not 1 <= columns <= max(width, 1):
            raise ValueError(f"dim is {columns}; expected 1 to {width}, the columns of the table")
        return _Pooling(
            normalize=rules.normalize if normalize is None else bool(normalize),
            normalizes_first=normalize is None and rules.narrows_last,
            dim=columns,
            dtype=None if dtype is None else output_type(dtype).name,
            threads=thread_count(threads) or None,
        )

    def _vectors(self, texts: list[str], counting: Counting, pooling: _Pooling) -> npt.NDArray[Any]:
        return self._pooled(counted(self._parts, texts, counting), pooling)

    def _pooled(self, cuts: Cuts, wanted: _Pooling) -> npt.NDArray[Any]:
        parts = self._parts
        own = self._own_dtype(wanted)
        is_whole = wanted.dim == parts.table.shape[1] or wanted.normalizes_first
        at_once = wanted.normalize and is_whole and own == np.float32
        vectors: npt.NDArray[Any]
        if own == np.float64:
            vectors = float64_means(parts.table, cuts)
        else:
            bounds = offsets_of(cuts.lengths)
            vectors = parts.table.pool(cuts.ids, bounds, normalize=at_once, threads=wanted.threads)
        if not wanted.normalizes_first:
            vectors = vectors[:, : wanted.dim]
        with np.errstate(over="ignore", under="ignore"):
            vectors = vectors.astype(own, copy=False)
            if wanted.normalize and not at_once:
                vectors = normalized(vectors)
        vectors = np.ascontiguousarray(vectors[:, : wanted.dim])
        if wanted.dtype is not None:
            return round_to(vectors, output_type(wanted.dtype))
        return _bits(vectors) if parts.rules.as_bits else vectors

    def _own_dtype(self, wanted: _Pooling) -> np.dtype[Any]:
        """Return the dtype that means and quotients are rounded to."""
        keeps = wanted.dtype is None and self._parts.rules.keeps_dtype
        return self._table_dtype if keeps else np.dtype(np.float32)

    def __reduce__(self) -> tuple[Any, ...]:
        self._ensure_open()
        return self._reopen

    def __copy__(self) -> Encoder:
        return self  # nothing in it changes: who copies shares the table and the tokenizer

    def __deepcopy__(self, memo: object) -> Encoder:
        return self

    def __repr__(self) -> str:
        state = ", closed" if self._closed else ""
        path, engine = printable(self._parts.table.path), self.engine.name
        return f"<Encoder of {path}: {self.dim} columns, {self.library}, {engine}{state}>"


def normalized(vectors: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return vectors divided by their norms, rounded to their own dtype; zeros stay zeros."""
    wide = vectors.astype(np.float64)
    norms = np.sqrt(np.square(wide).sum(axis=1, keepdims=True))
    divided: npt.NDArray[Any] = (
        (wide / np.where(norms == 0, 1, norms)).astype(np.float32).astype(vectors.dtype)
    )
    return divided


def _bits(vectors: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """Return one bit a column, whether it is above 0; the first is the highest of the first byte."""
    if vectors.shape[1] % 64:
        raise ValueError(
            f"vectors of {vectors.shape[1]} bits do not fill words of 64; give dtype= for floats"
        )
    return np.packbits(vectors > 0, axis=1).view(np.uint64)
