"""Tables with more rows or fewer, and the tokens that go with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..core.dtypes import tensor_type
from ..core.records import TensorInfo
from ..files.copying import Piece
from ..files.metadata import Metadata
from ..safe_text import quote
from ..tables.table import EmbeddingTable
from ..tokens.vocabulary import Vocabulary
from .edit import Edit
from .rows import (
    EncodedRows,
    RepeatedRow,
    can_encode,
    encodable_types,
    encoded,
    is_big_endian,
    mean_row,
    n_rows_of,
    row_bytes_of,
    stored_rows,
)
from .surgery import token_tensors
from .vocabulary_lists import VocabularyLists

Ids = npt.NDArray[np.int64]
Rows = npt.NDArray[np.float32]
Gather = Callable[[Ids], Rows]
Fill = Literal["mean", "zeros", "pieces"]
FILLS: tuple[Fill, ...] = ("mean", "zeros", "pieces")
_MOST_ROWS = 1 << 24


def resize(edit: Edit, n: int, fill: Fill = "mean", names: Sequence[str] = ()) -> None:
    """Give all tables `n` rows, and the vocabulary as many tokens.

    Parameters
    ----------
    edit : Edit
    n : int
        Of fewer tokens the last ones go.
    fill : {"mean", "zeros", "pieces"}
        What new rows are: the mean of the table's rows; zeros; or, for tokens with a name, the mean of the
        rows of the tokens that the name is cut into so far, and for others that of the table. Rows that no
        token had so far stay, but for those of names with ``"pieces"``.
    names : sequence of str, optional
        Texts of new tokens, which texts are searched for: of type control where the text is one that marks
        turns, of type user-defined otherwise. Further ones are called ``[PADi]``, as converters call them.

    Raises
    ------
    ValueError
        If `n` is not a possible number, a name is a token already or more are given than tokens are added, a
        special token would be lost, or a mean cannot be written as a table's type.
    ImportError, VocabularyError
        With ``"pieces"``: as `Model.tokenize` does.
    """
    if fill not in FILLS:
        raise ValueError(f"new rows are {', '.join(FILLS[:-1])} or {FILLS[-1]}, not {quote(fill)}")
    if not 0 < n <= _MOST_ROWS:
        raise ValueError(f"a table of {n} rows: from 1 to {_MOST_ROWS} are possible")
    tensors = token_tensors(edit)
    lists = VocabularyLists(edit)
    _check_names(names, lists, n, fill)
    pieces = _pieces_of(edit, names) if fill == "pieces" else []
    for info in tensors:
        _resize_tensor(edit, info, n, _Filling(edit, info, fill, len(lists), pieces))
    if n < len(lists):
        lists.select(np.arange(n, dtype=np.int64))
    elif n > len(lists):
        lists.extend(n, names)
    else:
        lists.count(n)


def _check_names(names: Sequence[str], lists: VocabularyLists, n: int, fill: Fill) -> None:
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise ValueError("names of new tokens are a list of texts")
    if fill == "pieces" and not names:
        raise ValueError("rows from pieces need the names of the new tokens")
    if len(names) > max(0, n - len(lists)):
        raise ValueError(f"{len(names)} names for {max(0, n - len(lists))} new tokens: give more rows")
    if "" in names:
        raise ValueError("the name of a token is empty")
    if len(set(names)) < len(names):
        twice = next(name for k, name in enumerate(names) if name in names[:k])
        raise ValueError(f"{quote(twice)} is named twice")


def _pieces_of(edit: Edit, names: Sequence[str]) -> list[Ids]:
    """Return the ids that each name is cut into so far."""
    vocabulary = Vocabulary(edit.source, Metadata(edit.source))
    unknown = vocabulary.special.get("unk")
    found = []
    for name in names:
        ids = np.array([piece.id for piece in vocabulary.pieces(name)], np.int64)
        ids = ids[ids != unknown] if unknown is not None else ids
        if not len(ids):
            raise ValueError(f"{quote(name)} is cut into no token that has a row of its own")
        found.append(ids)
    return found


class _Filling:
    """What new rows of a tensor are."""

    def __init__(self, edit: Edit, info: TensorInfo, fill: Fill, first: int, pieces: Sequence[Ids]) -> None:
        self._edit, self._info, self._fill, self._pieces = edit, info, fill, pieces
        self._kind = tensor_type(info.type)
        #: The ids of tokens whose rows are made of pieces.
        self.named = range(first, first + len(pieces))

    def rows_of_pieces(self) -> Piece:
        """Return the rows of all tokens with a name."""
        gather, width = self._stored()
        pieces = self._pieces

        def means(ids: Ids) -> Rows:
            rows = [gather(pieces[k]).mean(axis=0, dtype=np.float64) for k in ids.tolist()]
            return np.array(rows, np.float32).reshape(len(ids), width)

        endian = is_big_endian(self._edit.source, self._info)
        return EncodedRows(means, len(pieces), width, self._kind, endian)

    def one_row(self) -> bytes:
        """Return the row of a token without a name."""
        if self._fill == "zeros":
            return bytes(row_bytes_of(self._info))
        gather, width = self._stored()
        n = n_rows_of(self._info)
        # A row of zeros says nothing, a bias of zero is one.
        is_bias = len(self._info.shape) == 1
        mean = gather(np.arange(n)).mean(axis=0, keepdims=True) if is_bias else mean_row(gather, n, width)
        return encoded(mean, self._kind, big_endian=is_big_endian(self._edit.source, self._info))

    def _stored(self) -> tuple[Gather, int]:
        """Return what reads rows, and their width."""
        info = self._info
        if not can_encode(self._kind):
            raise ValueError(
                f"{quote(info.name)} is of type {self._kind.name}, and a mean can be written as "
                f"{', '.join(encodable_types())}; rows of zeros can have any type"
            )
        if len(info.shape) == 2:
            return EmbeddingTable(self._edit.source, info.name).gather, info.shape[1]
        if self._kind.name != "F32":
            raise ValueError(f"{quote(info.name)} is of type {self._kind.name}: fill it with zeros")
        rows = stored_rows(info, np.arange(n_rows_of(info), dtype=np.int64))
        data = b"".join(
            bytes(chunk) for part in rows if not isinstance(part, bytes) for chunk in part.chunks()
        )
        order = ">" if is_big_endian(self._edit.source, info) else "<"
        values = np.frombuffer(data, f"{order}f4").astype(np.float32)[:, None]
        return lambda ids: values[ids], 1


def _resize_tensor(edit: Edit, info: TensorInfo, n: int, filling: _Filling) -> None:
    """Give a tensor `n` rows: those that it has, those of new tokens, and others behind."""
    have = n_rows_of(info)
    named = filling.named
    kept = min(n, have, named.start) if named else min(n, have)
    parts: list[Piece] = stored_rows(info, np.arange(kept, dtype=np.int64))
    first = kept
    if named:
        if kept < named.start:
            parts.append(RepeatedRow(filling.one_row(), named.start - kept))
        parts.append(filling.rows_of_pieces())
        first = named.stop
        parts += stored_rows(info, np.arange(first, min(n, have), dtype=np.int64))
        first = max(first, min(n, have))
    if n > first:
        parts.append(RepeatedRow(filling.one_row(), n - first))
    if n != have or named:
        edit.replace_tensor(info.name, (n, *info.shape[1:]), tensor_type(info.type), parts)
