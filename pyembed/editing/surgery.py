"""Tables with other rows: more, fewer, in another order, or of another type; their tokens go with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..core.constants import TextFlag
from ..core.dtypes import tensor_type
from ..core.records import TensorInfo
from ..errors import NotFoundError
from ..files.copying import Piece
from ..files.metadata import Metadata
from ..llama_cpp.architectures import OTHER_OUTPUT, OTHER_PER_LAYER
from ..safe_text import quote
from ..tables.table import EmbeddingTable
from ..tables.token_table import OUTPUT_TABLE, TOKEN_TABLE
from ..tokens.token_list import BYTE, CONTROL, UNKNOWN, USER_DEFINED
from ..tokens.token_text import text_bytes
from ..tokens.vocabulary import Vocabulary
from .edit import Edit, type_of
from .rows import (
    EncodedRows,
    RepeatedRow,
    can_encode,
    encodable_types,
    encoded,
    mean_row,
    n_rows_of,
    row_bytes_of,
    stored_rows,
)
from .vocabulary_lists import TYPES, VocabularyLists, parts_of_products

Ids = npt.NDArray[np.int64]
Fill = Literal["mean", "zeros"]
FILLS: tuple[Fill, ...] = ("mean", "zeros")
_MOST_ROWS = 1 << 24
_NAMES = {"token": TOKEN_TABLE, "output": OUTPUT_TABLE}


def token_tensors(edit: Edit) -> list[TensorInfo]:
    """Return the tensors with a row for each token: first the token table.

    Raises
    ------
    NotFoundError
        If the model has no token table.
    """
    source = edit.source
    architecture = Metadata(source).text("general.architecture")
    names = [TOKEN_TABLE]
    names += [] if architecture in OTHER_OUTPUT else [OUTPUT_TABLE, "output.bias"]
    names += [] if architecture in OTHER_PER_LAYER else ["per_layer_token_embd.weight"]
    found = [info for name in names if (info := source.tensor(name)) is not None]
    if not found or found[0].name != TOKEN_TABLE:
        raise NotFoundError(f"{source.path}: no {TOKEN_TABLE}")
    for info in found:
        row_bytes_of(info)
    return found


def _same_number(edit: Edit, wanted: int) -> list[TensorInfo]:
    """Return the tensors with a row for each token; ValueError unless they have `wanted` rows."""
    found = token_tensors(edit)
    for info in found:
        if n_rows_of(info) < wanted:
            raise ValueError(
                f"{quote(info.name)} has {n_rows_of(info)} rows for {wanted} tokens: resize it first"
            )
    return found


# ------------------------------------------------------------------------------------------- resize


def resize(edit: Edit, n: int, fill: Fill = "mean") -> None:
    """Give all tables `n` rows, and the vocabulary as many tokens.

    Parameters
    ----------
    edit : Edit
    n : int
        More tokens are called ``[PADi]``, as converters call them; of fewer the last ones go.
    fill : {"mean", "zeros"}
        What new rows are: the mean of the table's rows, or zeros.

    Raises
    ------
    ValueError
        If `n` is not a possible number, a special token would be lost, or a mean cannot be written as a
        table's type.
    """
    if fill not in FILLS:
        raise ValueError(f"new rows are {' or '.join(FILLS)}, not {quote(fill)}")
    if not 0 < n <= _MOST_ROWS:
        raise ValueError(f"a table of {n} rows: from 1 to {_MOST_ROWS} are possible")
    tensors = token_tensors(edit)
    lists = VocabularyLists(edit)
    for info in tensors:
        resize_tensor(edit, info, n, fill)
    if n < len(lists):
        lists.select(np.arange(n, dtype=np.int64))
    elif n > len(lists):
        lists.pad(n)
    else:
        lists.count(n)


def resize_tensor(edit: Edit, info: TensorInfo, n: int, fill: Fill) -> None:
    """Give a tensor `n` rows: the first ones, and behind them new ones."""
    kept = min(n, n_rows_of(info))
    parts: list[Piece] = stored_rows(info, np.arange(kept, dtype=np.int64))
    if n > kept:
        parts.append(RepeatedRow(_filler(edit, info, fill), n - kept))
    if n != n_rows_of(info):
        edit.replace_tensor(info.name, (n, *info.shape[1:]), tensor_type(info.type), parts)


def _filler(edit: Edit, info: TensorInfo, fill: Fill) -> bytes:
    """Return a new row of a tensor."""
    if fill == "zeros":
        return bytes(row_bytes_of(info))
    kind = tensor_type(info.type)
    if not can_encode(kind):
        raise ValueError(
            f"{quote(info.name)} is of type {kind.name}, and a mean can be written as "
            f"{', '.join(encodable_types())}; rows of zeros can have any type"
        )
    if len(info.shape) == 1:
        rows = stored_rows(info, np.arange(n_rows_of(info), dtype=np.int64))
        data = b"".join(
            bytes(chunk) for part in rows if not isinstance(part, bytes) for chunk in part.chunks()
        )
        order = ">" if _big_endian(edit, info) else "<"
        if kind.name != "F32":
            raise ValueError(f"{quote(info.name)} is of type {kind.name}: fill it with zeros")
        values = np.frombuffer(data, f"{order}f4").astype(np.float32)
        return encoded(np.array([[values.mean()]], np.float32), kind, big_endian=_big_endian(edit, info))
    table = EmbeddingTable(edit.source, info.name)
    return encoded(
        mean_row(table.gather, n_rows_of(info), info.shape[1]), kind, big_endian=_big_endian(edit, info)
    )


def _big_endian(edit: Edit, info: TensorInfo) -> bool:
    """Return the byte order of the file that holds a tensor."""
    return next(shard.big_endian for shard in edit.source.shards() if shard.path == info.path)


# ------------------------------------------------------------------------------- another order, fewer


def reorder(edit: Edit, ids: Sequence[int] | Ids) -> None:
    """Put tokens and rows in another order: new token i is what token ``ids[i]`` is now.

    Raises
    ------
    ValueError
        If `ids` does not name each token once.
    """
    lists = VocabularyLists(edit)
    order = np.asarray(ids, np.int64)
    if order.shape != (len(lists),) or not np.array_equal(np.sort(order), np.arange(len(lists))):
        raise ValueError(f"an order of {len(lists)} tokens names each of their ids once")
    _select(edit, lists, order)


def trim(edit: Edit, ids: Sequence[int] | Ids) -> Ids:
    """Keep the tokens `ids` and those without which these or any text could not be made.

    These are: tokens of special types or roles, bytes and symbols of the alphabet, and the parts of each kept
    token by the first merge that makes it. They keep their order.

    Returns
    -------
    ndarray of int64
        By old id the new one; -1 for a token that is gone.

    Raises
    ------
    ValueError
        If an id is not a token's.
    """
    lists = VocabularyLists(edit)
    wanted = np.asarray(ids, np.int64).reshape(-1)
    if len(wanted) and (wanted.min() < 0 or wanted.max() >= len(lists)):
        raise ValueError(f"ids to keep go from 0 to {len(lists) - 1}")
    kept = np.zeros(len(lists), np.bool_)
    kept[wanted] = True
    kept |= _indispensable(edit, lists)
    _keep_parts(lists, kept)
    left = np.flatnonzero(kept)
    _select(edit, lists, left)
    new_ids = np.full(len(lists), -1, np.int64)
    new_ids[left] = np.arange(len(left))
    return new_ids


def _indispensable(edit: Edit, lists: VocabularyLists) -> npt.NDArray[np.bool_]:
    vocabulary = Vocabulary(edit.source, Metadata(edit.source))
    facts = vocabulary.examine(merges=False).tokens
    is_symbol = ((facts["flags"] & int(TextFlag.ALPHABET)) != 0) & (facts["n_code_points"] == 1)
    kept: npt.NDArray[np.bool_] = is_symbol | ((facts["flags"] & int(TextFlag.BYTE)) != 0)
    types = lists.numbers(TYPES)
    if types is not None:
        kept |= np.isin(types, (CONTROL, UNKNOWN, USER_DEFINED, BYTE))
    for token_id in (*lists.special_ids().values(), *vocabulary.special.values()):
        if token_id < len(lists):
            kept[token_id] = True
    return kept


def _keep_parts(lists: VocabularyLists, kept: npt.NDArray[np.bool_]) -> None:
    """Mark the parts of kept tokens, and theirs, by the first merge that makes each."""
    merges = lists.merges()
    if merges is None:
        return
    parts = parts_of_products(merges)
    ids = {text_bytes(text): token_id for token_id, text in reversed(list(enumerate(lists.tokens)))}
    pending = [text_bytes(lists.tokens[token_id]) for token_id in np.flatnonzero(kept).tolist()]
    while pending:
        for part in parts.get(pending.pop(), ()):
            token_id = ids.get(part)
            if token_id is not None and not kept[token_id]:
                kept[token_id] = True
                pending.append(part)


def _select(edit: Edit, lists: VocabularyLists, ids: Ids) -> None:
    tensors = _same_number(edit, len(lists))
    lists.select(ids)
    for info in tensors:
        n = n_rows_of(info)
        # Rows behind the list of tokens are nobody's: they stay behind it as long as the list is as long.
        order = np.concatenate([ids, np.arange(len(lists), n)]) if len(ids) == len(lists) else ids
        edit.replace_tensor(
            info.name, (len(order), *info.shape[1:]), tensor_type(info.type), stored_rows(info, order)
        )


# --------------------------------------------------------------------------------------- another type


def requantise(edit: Edit, name: str, type_name: str) -> None:
    """Store a table as another type.

    Parameters
    ----------
    edit : Edit
    name : str
        A tensor; ``"token"`` and ``"output"`` stand for the token table and the output table.
    type_name : str
        A float type, or one that gguf-py quantises to.

    Raises
    ------
    NotFoundError
        If there is no such tensor.
    ValueError
        For a type that is not written here, or that the rows do not divide into.
    """
    kind = type_of(type_name)
    if not can_encode(kind):
        raise ValueError(
            f"tables of type {kind.name} are not written here; those that are: {', '.join(encodable_types())}"
        )
    table = EmbeddingTable(edit.source, _NAMES.get(name, name))
    info = edit.source.tensor(table.name)
    if info is None or table.layout.tensors != (table.name,) or info.shape[-1] != table.shape[1]:
        raise ValueError(
            f"{quote(table.name)} is stored as {table.layout}; only tables of one tensor, whose rows are "
            "nothing but weights, are stored as another type here"
        )
    if table.shape[1] % kind.block_weights:
        raise ValueError(f"rows of {table.shape[1]} weights do not divide into blocks of {kind.name}")
    rows = EncodedRows(table.gather, *table.shape, kind, _big_endian(edit, info))
    edit.replace_tensor(table.name, info.shape, kind, [rows])
