"""Columns of Arrow: texts and ids out of them, vectors into them."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..inputs.batching import offsets_of
from ..safe_text import quote
from ..tokens.cutting.cutter import MAX_CHARACTERS
from .arrow import pyarrow
from .vectors import Bags, VectorMaker, Vectors, fault_of

#: Why rows failed, by their places.
Faults = dict[int, str]
_SEPARATORS = re.compile(r"[\s,]+")
#: Digits of the largest number of 64 bits.
_MOST_DIGITS = 20


class Made(NamedTuple):
    """What became of the rows of a column.

    Attributes
    ----------
    vectors : Vectors
        Of the rows that did not fail, in their order.
    faults : dict of int to str
        Why the others failed, by their places in the column.
    """

    vectors: Vectors
    faults: Faults


def check_column(name: str, kind: Any, of_ids: bool) -> None:
    """Raise TypeError if a column of an Arrow type does not hold what is wanted of it.

    Texts of numbers are ids too, as of a CSV file, which has no other columns.
    """
    inner = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
    if _is_text(inner) or pyarrow.types.is_null(kind):
        return
    if of_ids and pyarrow.types.is_integer(_item_of(kind)):
        return
    wanted = "ids: whole numbers, or lists of them" if of_ids else "texts"
    raise TypeError(f"column {quote(name)} is of type {quote(str(kind))}; expected {wanted}")


def _is_text(kind: Any) -> bool:
    types = pyarrow.types
    is_view = getattr(types, "is_string_view", None)
    return bool(types.is_string(kind) or types.is_large_string(kind) or (is_view and is_view(kind)))


def _is_list(kind: Any) -> bool:
    types = pyarrow.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _item_of(kind: Any) -> Any:
    return kind.value_type if _is_list(kind) else kind


def vectors_of(column: Any, maker: VectorMaker, threads: int | None) -> Made:
    """Return the vectors of a column, an array of Arrow whose type `check_column` knows."""
    if isinstance(column, pyarrow.ChunkedArray):
        column = column.combine_chunks()
        if isinstance(column, pyarrow.ChunkedArray):  # of older releases
            column = pyarrow.concat_arrays(column.chunks)
    return _of_ids(column, maker, threads) if maker.of_ids else _of_texts(column, maker, threads)


# ---------------------------------------------------------------------------------------------- texts


def _of_texts(column: Any, maker: VectorMaker, threads: int | None) -> Made:
    texts, faults = _texts(column)
    for place, text in enumerate(texts):
        if text is None:
            faults.setdefault(place, "null")
        elif len(text) > MAX_CHARACTERS:
            faults[place] = f"{len(text)} characters: at most {MAX_CHARACTERS} are cut at once"
    if faults:
        places = [place for place in range(len(texts)) if place not in faults]
        return _made(places, [texts[place] for place in places], faults, maker, threads)
    return _made(range(len(texts)), texts, faults, maker, threads)


def _made(places: Any, texts: Any, faults: Faults, maker: VectorMaker, threads: int | None) -> Made:
    """Return the vectors of texts; if some cannot be cut, those of the others."""
    try:
        return Made(maker.of_texts(texts, threads), faults)
    except ValueError as error:
        fault_of(error)
    kept = []
    for place, text in zip(places, texts, strict=True):
        try:
            maker.of_texts([text], 1)
            kept.append(text)
        except ValueError as error:
            faults[place] = fault_of(error)
    return Made(maker.of_texts(kept, threads), faults)


def _texts(column: Any) -> tuple[list[Any], Faults]:
    """Return the texts of a column, and the faults of those that are not UTF-8."""
    try:
        texts: list[Any] = column.to_pylist()
        return texts, {}
    except UnicodeDecodeError:
        pass
    texts, faults = [], {}
    for place, value in enumerate(column):
        try:
            texts.append(value.as_py())
        except UnicodeDecodeError as error:
            texts.append(None)
            faults[place] = f"not UTF-8: {error.reason} at byte {error.start}"
    return texts, faults


# ------------------------------------------------------------------------------------------------ ids


def _of_ids(column: Any, maker: VectorMaker, threads: int | None) -> Made:
    faults: Faults = {}
    if _is_list(column.type):
        bags, nulls = _listed(column)
    elif pyarrow.types.is_integer(column.type):
        nulls = _nulls(column)
        ids = column.drop_null().to_numpy(zero_copy_only=False)
        bags = Bags(ids, offsets_of((~nulls).astype(np.int64)))
    else:
        bags, nulls = _written(column, faults)
    faults.update((int(place), "null") for place in np.flatnonzero(nulls) if int(place) not in faults)
    n_rows = len(maker.table)
    for position in np.flatnonzero((bags.ids < 0) | (bags.ids >= n_rows)).tolist():
        place = int(np.searchsorted(bags.offsets, position, "right")) - 1
        where = position - int(bags.offsets[place])
        faults.setdefault(
            place, f"id {bags.ids[position]} at position {where} is not a row: the table has {n_rows} rows"
        )
    if faults:
        bags = _without(bags, faults)
    return Made(maker.of_bags(Bags(bags.ids, bags.offsets), threads), faults)


def _listed(column: Any) -> tuple[Bags, npt.NDArray[np.bool_]]:
    """Return the ids of a column of lists, and which rows are null or hold a null."""
    nulls = _nulls(column)
    lengths = pyarrow.compute.fill_null(pyarrow.compute.list_value_length(column), 0)
    offsets = offsets_of(lengths.to_numpy(zero_copy_only=False).astype(np.int64))
    flat = column.flatten()
    if flat.null_count:
        holes = np.flatnonzero(_nulls(flat))
        nulls[np.searchsorted(offsets, holes, "right") - 1] = True
        flat = pyarrow.compute.fill_null(flat, 0)
    return Bags(flat.to_numpy(zero_copy_only=False), offsets), nulls


def _written(column: Any, faults: Faults) -> tuple[Bags, npt.NDArray[np.bool_]]:
    """Return ids that are written out, such as ``1 2 3`` or ``[1, 2, 3]``."""
    texts, unreadable = _texts(column)
    faults.update(unreadable)
    ids: list[int] = []
    lengths = np.zeros(len(texts), np.int64)
    for place, text in enumerate(texts):
        if text is None:
            continue
        try:
            numbers = _numbers(text)
        except ValueError:
            faults[place] = f"{quote(text)} is not a list of ids such as 1 2 3"
            continue
        ids += numbers
        lengths[place] = len(numbers)
    nulls = np.fromiter((text is None for text in texts), np.bool_, len(texts))
    return Bags(np.array(ids, np.int64), offsets_of(lengths)), nulls


def _numbers(text: str) -> list[int]:
    text = text.strip()
    if text[:1] == "[" and text[-1:] == "]":
        text = text[1:-1].strip()
    parts = _SEPARATORS.split(text) if text else []
    if any(len(part) > _MOST_DIGITS for part in parts):
        raise ValueError("a number of more than 64 bits")
    numbers = [int(part) for part in parts]
    if any(not -(2**63) <= number < 2**63 for number in numbers):
        raise ValueError("a number of more than 64 bits")
    return numbers


def _without(bags: Bags, faults: Faults) -> Bags:
    lengths = np.diff(bags.offsets)
    good = np.ones(lengths.size, np.bool_)
    good[list(faults)] = False
    return Bags(bags.ids[np.repeat(good, lengths)], offsets_of(lengths[good]))


def _nulls(column: Any) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = column.is_null().to_numpy(zero_copy_only=False).copy()
    return found


# -------------------------------------------------------------------------------------------- vectors


def vector_type(maker: VectorMaker) -> Any:
    """Return the Arrow type of a column of vectors: lists of fixed size; without pooling, lists of those."""
    number = {"f": {4: pyarrow.float32, 2: pyarrow.float16}, "u": {1: pyarrow.uint8}}
    kind = number[maker.storage.kind][maker.storage.itemsize]()
    # No number is ever null, and Parquet is half as fast again where it need not ask.
    one = pyarrow.list_(pyarrow.field("element", kind, nullable=False), maker.width)
    return one if maker.options.pool == "mean" else pyarrow.list_(one)


def vector_column(maker: VectorMaker, made: Made) -> Any:
    """Return the vectors of the rows that did not fail as an array of `vector_type`, without a copy."""
    kind = vector_type(maker)
    flat = pyarrow.array(made.vectors.values.reshape(-1))
    if made.vectors.lengths is None:
        return pyarrow.FixedSizeListArray.from_arrays(flat, type=kind)
    inner = pyarrow.FixedSizeListArray.from_arrays(flat, type=kind.value_type)
    offsets = pyarrow.array(offsets_of(made.vectors.lengths).astype(np.int32))
    return pyarrow.ListArray.from_arrays(offsets, inner, type=kind)


def with_nulls(column: Any, n: int, faults: Faults) -> Any:
    """Return a column of `n` rows: null where a row failed, and the rows of `column` elsewhere."""
    if not faults:
        return column
    good = np.ones(n, np.bool_)
    good[list(faults)] = False
    return column.take(pyarrow.array(np.cumsum(good) - 1, pyarrow.int64(), mask=~good))


def text_sizes(column: Any) -> npt.NDArray[np.int64]:
    """Return the bytes of the texts of a column, or those of its ids, eight each."""
    compute, kind = pyarrow.compute, column.type
    if pyarrow.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if _is_list(kind):
        sizes = compute.multiply(compute.cast(compute.list_value_length(column), pyarrow.int64()), 8)
    elif _is_text(kind):
        if "view" in str(kind):
            column = column.cast(pyarrow.large_string())
        sizes = compute.binary_length(column)
    else:
        return np.full(len(column), 8, np.int64)
    found: npt.NDArray[np.int64] = compute.fill_null(sizes, 0).to_numpy().astype(np.int64, copy=False)
    return found
