"""Tables with other rows: more, fewer, in another order, or of another type; their tokens go with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..core.constants import TextFlag
from ..core.dtypes import tensor_type
from ..core.records import TensorInfo
from ..errors import NotFoundError
from ..files.metadata import Metadata
from ..llama_cpp.architectures import OTHER_OUTPUT, OTHER_PER_LAYER
from ..safe_text import quote
from ..tables.table import EmbeddingTable
from ..tables.token_table import OUTPUT_TABLE, TOKEN_TABLE
from ..tokens.token_list import BYTE, CONTROL, UNKNOWN, USER_DEFINED
from ..tokens.token_text import text_bytes
from ..tokens.vocabulary import Vocabulary
from .derivations import Priority, by_merges, by_scores, formed_by
from .edit import Edit, type_of
from .rows import (
    EncodedRows,
    can_encode,
    encodable_types,
    is_big_endian,
    n_rows_of,
    row_bytes_of,
    stored_rows,
)
from .vocabulary_lists import MODEL, SCORES, TYPES, VocabularyLists, parts_of_products

Ids = npt.NDArray[np.int64]
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

    These are: tokens of special types or roles, bytes and symbols of the alphabet, the parts of each kept
    token by the first merge that makes it, and all that its text is joined by way of, by merges or by scores.
    A text whose tokens are kept is cut into them as before. They keep their order.

    Returns
    -------
    ndarray of int64
        By old id the new one; -1 for a token that is gone.

    Raises
    ------
    ValueError
        If an id is not a token's, or no token would be left.
    """
    lists = VocabularyLists(edit)
    wanted = np.asarray(ids, np.int64).reshape(-1)
    if len(wanted) and (wanted.min() < 0 or wanted.max() >= len(lists)):
        raise ValueError(f"ids to keep go from 0 to {len(lists) - 1}")
    kept = np.zeros(len(lists), np.bool_)
    kept[wanted] = True
    kept |= _indispensable(edit, lists)
    _keep_parts(edit, lists, kept)
    left = np.flatnonzero(kept)
    if not len(left):
        raise ValueError("no token would be left")
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


def _keep_parts(edit: Edit, lists: VocabularyLists, kept: npt.NDArray[np.bool_]) -> None:
    """Mark what kept tokens come about by, and what these do."""
    merges = lists.merges()
    parts = {} if merges is None else parts_of_products(merges)
    priority = _priority_of(edit, lists)
    ids = {text: token_id for token_id, text in reversed(list(enumerate(lists.tokens)))}
    pending = [lists.tokens[token_id] for token_id in np.flatnonzero(kept).tolist()]
    while pending:
        text = pending.pop()
        needed = [part.decode("utf-8", "surrogateescape") for part in parts.get(text_bytes(text), ())]
        if priority is not None:
            needed += formed_by(text, priority)
        for part in needed:
            token_id = ids.get(part)
            if token_id is not None and not kept[token_id]:
                kept[token_id] = True
                pending.append(part)


def _priority_of(edit: Edit, lists: VocabularyLists) -> Priority | None:
    """Return how the vocabulary's family joins texts; None for one that does not."""
    merges, scores = lists.merges(), lists.numbers(SCORES)
    if merges is not None:
        return by_merges(merges)
    if Metadata(edit.source).text(MODEL) == "llama" and scores is not None:
        return by_scores(lists.tokens, scores.tolist())
    return None


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
    rows = EncodedRows(table.gather, *table.shape, kind, is_big_endian(edit.source, info))
    edit.replace_tensor(table.name, info.shape, kind, [rows])
