"""Batches that are more than rows of a table: spliced vectors, padding, sequences of different lengths."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ..core.aliases import PaddingSide
from ..core.dtypes import OUTPUT_TYPES, OutputType, round_to, widen_bfloat16
from ..tables.arguments import (
    IntArray,
    as_array,
    as_ids,
    as_rows,
    as_torch,
    as_window,
    check_ids,
    flat_rows,
    refuse_masked,
    rows_kind,
    torch_array,
)
from ..tables.table import EmbeddingTable

# Writes the rows of its second argument, ids, to its first; it checks all ids before it writes.
GatherRows: TypeAlias = Callable[[npt.NDArray[Any], IntArray], None]


class PaddedRows(NamedTuple):
    """Sequences of different lengths in one rectangle.

    Attributes
    ----------
    rows : numpy.ndarray of shape (sequences, length, columns)
        What was passed as `out`, where that was. Zero where `mask` is false.
    mask : numpy.ndarray of bool, of shape (sequences, length)
        Where there is a token: an attention mask.
    lengths : numpy.ndarray of int64, of shape (sequences,)
        Tokens of each sequence.
    """

    rows: Any
    mask: npt.NDArray[np.bool_]
    lengths: IntArray


class Overlay:
    """What lies over the rows of a batch: vectors in the place of some, zeros in the place of others.

    Everything is checked when it is made, so that what is written afterwards is written whole.

    Parameters
    ----------
    shape : tuple of int
        Shape of the ids.
    width : int
        Columns of the result.
    kind : OutputType
    replace : mapping, optional
        Vectors by the position of the first that they take the place of.
    mask : array-like of bool, optional
        False for padding; also 0 and 1.
    offsets : array-like of int, optional
        Where each sequence of a flat batch begins, and the end of the last.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        width: int,
        kind: OutputType,
        *,
        replace: Mapping[Any, Any] | None = None,
        mask: Any = None,
        offsets: Any = None,
    ) -> None:
        self._shape = shape
        self._live = np.ones(math.prod(shape), np.bool_)
        self._padding: npt.NDArray[np.bool_] | None = None
        self._vectors: list[tuple[int, npt.NDArray[Any]]] = []
        if mask is not None:
            self._live &= _as_mask(mask, shape).reshape(-1)
            self._padding = ~self._live
        starts, lengths, batch = _sequences(shape, offsets)
        if replace is not None and not isinstance(replace, Mapping):
            raise TypeError(f"replace is of type {type(replace).__name__}; expected a dict of vectors")
        for where, given in (replace or {}).items():
            self._place(where, as_vectors(given, where, width, kind), starts, lengths, batch)

    def _place(
        self,
        where: Any,
        vectors: npt.NDArray[Any],
        starts: IntArray,
        lengths: IntArray,
        batch: tuple[int, ...],
    ) -> None:
        *sequence, position = _key(where, len(batch) + 1)
        for part, n in zip(sequence, batch, strict=True):
            if not 0 <= part < n:
                raise IndexError(f"replace[{where!r}] is for sequence {part}, but there are {n}")
        number = int(np.ravel_multi_index(sequence, batch)) if batch else 0
        length, end = int(lengths[number]), position + len(vectors)
        if not 0 <= position < length or end > length:
            to = f" to {end - 1}" if len(vectors) > 1 else ""
            raise IndexError(f"replace[{where!r}] is for position {position}{to}, but there are {length} ids")
        first = int(starts[number]) + position
        live = self._live[first : first + len(vectors)]
        if self._padding is not None and self._padding[first : first + len(vectors)].any():
            raise ValueError(f"replace[{where!r}] is for a position at which the mask says there is no token")
        if not live.all():
            raise ValueError(f"replace[{where!r}] overlaps other vectors that are to be put there")
        live[...] = False
        self._vectors.append((first, vectors))

    def padded(self, mask: npt.NDArray[np.bool_]) -> Overlay:
        """Return the same for ids that were moved, in their order, to where `mask` is true."""
        moved = Overlay(mask.shape, 0, OUTPUT_TYPES["float32"], mask=mask)
        places = np.flatnonzero(mask)
        moved._live[places] = self._live
        moved._vectors = [(int(places[first]), vectors) for first, vectors in self._vectors]
        return moved

    def spare(self, rows: npt.NDArray[Any]) -> None:
        """Copy vectors that lie in the memory of `rows`, which is about to be written."""
        self._vectors = [
            (first, vectors.copy() if np.may_share_memory(vectors, rows) else vectors)
            for first, vectors in self._vectors
        ]

    def live_ids(self, ids: IntArray) -> IntArray:
        """Return `ids` with 0 where a row would be overwritten: what stands there is not a token."""
        if self._live.all():
            return ids
        return np.where(self._live.reshape(self._shape), ids, 0).astype(ids.dtype, copy=False)

    def write(self, rows: npt.NDArray[Any]) -> None:
        """Put the vectors and zeros over the gathered rows, of shape ``shape + (width,)``."""
        if self._padding is not None:
            rows[self._padding.reshape(self._shape)] = 0
        flat = flat_rows(rows)
        for first, vectors in self._vectors:
            if flat is not None:
                flat[first : first + len(vectors)] = vectors
                continue
            for number, vector in enumerate(vectors, first):
                rows[np.unravel_index(number, self._shape)] = vector


def _key(where: Any, n: int) -> list[int]:
    """Return the `n` integers of a key of `replace`."""
    parts = where if isinstance(where, tuple) else (where,)
    try:
        if any(isinstance(part, bool | np.bool_) for part in parts):
            raise TypeError
        key = [operator.index(part) for part in parts]
    except TypeError:
        raise TypeError(f"replace has the key {where!r}; expected integers") from None
    if len(key) != n:
        form = "one integer, a position" if n == 1 else f"a tuple of {n} integers, the position last"
        raise ValueError(f"replace has the key {where!r}; expected {form}")
    return key


def _sequences(shape: tuple[int, ...], offsets: Any) -> tuple[IntArray, IntArray, tuple[int, ...]]:
    """Return where the sequences of a batch begin, their lengths, and the shape of the batch of them."""
    if offsets is None:
        n, length = math.prod(shape[:-1]), shape[-1] if shape else 1
        return np.arange(n) * length, np.full(n, length), shape[:-1]
    if len(shape) != 1:
        raise ValueError(f"offsets are for flat ids, not for ids of shape {shape}")
    bounds = as_offsets(offsets, shape[0])
    return bounds[:-1], np.diff(bounds), (len(bounds) - 1,)


def offsets_of(lengths: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return offsets of sequences of these lengths: where each begins, from 0 on, and the end of the last."""
    sizes = np.asarray(lengths, np.int64)
    offsets = np.zeros(sizes.size + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return offsets


def as_offsets(offsets: Any, n_ids: int) -> IntArray:
    """Return offsets as int64: 0, where each further sequence begins, and at last the number of ids."""
    bounds = as_ids(offsets, n_ids + 1, "offset", "a batch of these ids", "place")
    check_ids(bounds, n_ids + 1, "offset", "a batch of these ids", "place")
    bounds = bounds.astype(np.int64)
    if (
        bounds.ndim != 1
        or not bounds.size
        or bounds[0] != 0
        or bounds[-1] != n_ids
        or (np.diff(bounds) < 0).any()
    ):
        raise ValueError(
            f"offsets should be one row of numbers from 0 to {n_ids}, the number of ids, that never fall: "
            "where each sequence begins, and the end of the last"
        )
    return bounds


def _as_mask(mask: Any, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    refuse_masked(mask, "mask")
    array = torch_array(mask, "mask") if as_torch(mask) is not None else as_array(mask, "mask")
    if array.dtype.kind in "iu" and not ((array == 0) | (array == 1)).all():
        raise ValueError("mask holds other numbers than 0 and 1")
    if array.dtype.kind not in "biu" and array.size:
        raise TypeError(f"mask is of dtype {array.dtype.name}; expected bool, or integers 0 and 1")
    if array.shape != shape:
        raise ValueError(f"mask has shape {array.shape}; expected {shape}, that of ids")
    return array.astype(np.bool_)


def as_vectors(given: Any, where: Any, width: int, kind: OutputType) -> npt.NDArray[Any]:
    """Return vectors as [n, `width`] of the kind's storage, rounded to nearest even where they are wider.

    Parameters
    ----------
    given : array-like of float, [width] or [n, width]
        NumPy, ml_dtypes, torch on the CPU, lists. uint16 stands for bfloat16 where that is the kind.
    where : object
        The key in `replace`, for messages.
    """
    refuse_masked(given, f"replace[{where!r}]")
    array = np.asarray(_as_floats(given, where, kind))
    if array.shape[-1:] != (width,) or array.ndim not in (1, 2):
        raise ValueError(
            f"replace[{where!r}] has shape {array.shape}; expected ({width},) or (n, {width}) "
            "for vectors as wide as the rows"
        )
    array = array.reshape(-1, width)
    if not len(array):
        raise ValueError(f"replace[{where!r}] holds no vector")
    if array.dtype == np.uint16:
        return array if kind.name == "bfloat16" else round_to(widen_bfloat16(array), kind)
    return round_to(array, kind)


def _as_floats(given: Any, where: Any, kind: OutputType) -> npt.NDArray[Any]:
    """Return an array of a native float dtype, or of uint16 that holds the bits of bfloat16."""
    tensor = as_torch(given)
    if tensor is not None:
        array = torch_array(given, f"replace[{where!r}]")
        if array.dtype == np.uint16 and str(tensor.dtype) == "torch.bfloat16":
            return array
    else:
        array = as_array(given, f"replace[{where!r}]")
        if array.dtype.name == "bfloat16" or (array.dtype == np.uint16 and kind.name == "bfloat16"):
            return array.view(np.uint16)
        if array.dtype.kind in "iu" and isinstance(given, list | tuple):
            array = array.astype(np.float64)
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise TypeError(f"replace[{where!r}] is of dtype {array.dtype.name}; expected floats")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def gather(
    table: EmbeddingTable,
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
    """Gather rows straight into one buffer, with vectors and padding laid over; see `Model.embed`."""
    n_rows, width = table.shape
    kind = rows_kind(dtype, out)
    limits = None if window is None else as_window(window, n_rows)
    ids = as_ids(ids, n_rows if limits is None else None)
    overlay = Overlay(ids.shape, width, kind, replace=replace, mask=mask, offsets=offsets)
    return _assemble(rows_of(table, kind, threads, limits), ids, overlay, (width, width), kind, out)


def widened(
    table: EmbeddingTable,
    gather_rows: GatherRows,
    ids: Any,
    times: int,
    kind: OutputType,
    *,
    out: Any = None,
    replace: Mapping[Any, Any] | None = None,
) -> Any:
    """Gather rows into the first columns of a result that is `times` as wide; see `Model.embeddings_for`."""
    n_rows, width = table.shape
    ids = as_ids(ids, n_rows)
    overlay = Overlay(ids.shape, times * width, kind, replace=replace)
    return _assemble(gather_rows, ids, overlay, (width, times * width), kind, out)


def rows_of(
    table: EmbeddingTable, kind: OutputType, threads: int | None, window: tuple[int, int] | None = None
) -> GatherRows:
    """Return what gathers rows of a table to which nothing is added."""
    return lambda rows, ids: table.fill(rows, ids, kind, threads, window)


def _assemble(
    gather_rows: GatherRows,
    ids: IntArray,
    overlay: Overlay,
    widths: tuple[int, int],
    kind: OutputType,
    out: Any,
) -> Any:
    """Gather rows as wide as the first of `widths` into a result as wide as the second; lay the rest over."""
    shape = (*ids.shape, widths[1])
    rows = np.empty(shape, kind.storage) if out is None else as_rows(out, shape, kind)
    overlay.spare(rows)
    gather_rows(rows[..., : widths[0]], overlay.live_ids(ids))
    rows[..., widths[0] :] = 0
    overlay.write(rows)
    return rows if out is None else out


def gather_padded(
    table: EmbeddingTable,
    sequences: Any,
    *,
    offsets: Any = None,
    padding_side: PaddingSide = "right",
    length: int | None = None,
    out: Any = None,
    dtype: Any = None,
    threads: int | None = None,
    replace: Mapping[Any, Any] | None = None,
) -> PaddedRows:
    """Gather sequences into a rectangle; see `Model.embed_padded`."""
    if padding_side not in ("right", "left"):
        raise ValueError(f"unknown padding_side {padding_side!r}; known: right, left")
    n_rows, width = table.shape
    flat, bounds = _flatten(sequences, offsets, n_rows)
    lengths = np.diff(bounds)
    longest = int(lengths.max(initial=0))
    length = longest if length is None else operator.index(length)
    if length < longest:
        raise ValueError(f"length is {length}, but a sequence has {longest} ids")
    columns, first = np.arange(length), length - lengths[:, None]
    mask = columns < lengths[:, None] if padding_side == "right" else columns >= first
    kind = rows_kind(dtype, out)
    overlay = Overlay(flat.shape, width, kind, replace=replace, offsets=bounds)
    # Here they still stand where the caller knows them by.
    check_ids(overlay.live_ids(flat), n_rows)
    ids = np.zeros(mask.shape, flat.dtype)
    ids[mask] = flat
    overlay = overlay.padded(mask)
    rows = _assemble(rows_of(table, kind, threads), ids, overlay, (width, width), kind, out)
    return PaddedRows(rows, mask, lengths)


def _flatten(sequences: Any, offsets: Any, n_rows: int) -> tuple[IntArray, IntArray]:
    """Return ids one after the other, and where each sequence begins and ends among them."""
    if offsets is not None:
        flat = as_ids(sequences, n_rows)
        if flat.ndim != 1:
            raise ValueError(f"offsets are for flat ids, not for ids of shape {flat.shape}")
        return flat, as_offsets(offsets, len(flat))
    if not isinstance(sequences, Iterable):
        raise TypeError(f"sequences is a {type(sequences).__name__}; expected sequences of ids")
    parts = []
    for number, sequence in enumerate(sequences):
        try:
            part = as_ids(sequence, n_rows)
        except (TypeError, ValueError, IndexError) as error:
            raise type(error)(f"sequence {number}: {error}") from None
        if part.ndim != 1:
            raise ValueError(f"sequence {number} has shape {part.shape}; expected one row of ids")
        parts.append(part)
    bounds = np.zeros(len(parts) + 1, np.int64)
    np.cumsum([len(part) for part in parts], out=bounds[1:])
    # int64 holds every row of a table; an id of 2^63 or more becomes negative, which is not a row either.
    flat = np.zeros(bounds[-1], np.int64)
    if parts:
        np.concatenate(parts, out=flat, casting="unsafe")
    return flat, bounds


def runs_of(ids: Any, token: int) -> list[tuple[tuple[int, ...], int]]:
    """Return where a placeholder token stands: the position of the first of each run, and the run's length.

    For a model whose prompts mark an image by a token that is repeated once for each vector of it: the
    positions are keys for ``replace``, the lengths say how many vectors each one wants.

    Returns
    -------
    list of (tuple of int, int)
        Positions have as many integers as `ids` has dimensions. A run ends with its sequence.
    """
    array = as_ids(ids, 2**63 - 1)
    if array.ndim == 0:
        array = array.reshape(1)
    marks = np.zeros((*array.shape[:-1], array.shape[-1] + 2), np.int8)
    marks[..., 1:-1] = array == token
    steps = np.diff(marks, axis=-1)
    begins, ends = np.argwhere(steps == 1), np.argwhere(steps == -1)
    return [
        (tuple(map(int, begin)), int(end[-1] - begin[-1])) for begin, end in zip(begins, ends, strict=True)
    ]
