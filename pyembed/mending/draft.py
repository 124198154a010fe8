"""The vocabulary and the rows that a model is to have, while mendings change them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.constants import ValueType
from ..core.dtypes import tensor_type
from ..core.handle import Source
from ..core.records import TensorInfo
from ..editing.edit import Edit
from ..editing.rows import n_rows_of, row_bytes_of, stored_rows
from ..editing.surgery import token_tensors
from ..editing.values import Value
from ..editing.vocabulary_lists import MERGES, PREFIX, SCORES, TOKENS, TYPES
from ..errors import NotFoundError
from ..files.copying import Piece
from ..files.metadata import Metadata

Ids = npt.NDArray[np.int64]


@dataclass
class Tokens:
    """The lists of a vocabulary; None where the file has none."""

    texts: list[str] | None
    types: list[int] | None
    scores: list[float] | None
    merges: list[str] | None

    def copy(self) -> Tokens:
        """Return lists that can be changed without these."""
        return Tokens(
            None if self.texts is None else list(self.texts),
            None if self.types is None else list(self.types),
            None if self.scores is None else list(self.scores),
            None if self.merges is None else list(self.merges),
        )

    def columns(self) -> list[list[Any]]:
        """Return the lists that have an entry for each token."""
        n = 0 if self.texts is None else len(self.texts)
        return [part for part in (self.texts, self.types, self.scores) if part is not None and len(part) == n]


@dataclass
class Rows:
    """The rows of one tensor that are to be: which of the stored ones, or bytes of their own.

    Attributes
    ----------
    info : TensorInfo
    sources : ndarray of int64
        By new row the stored one.
    given : dict of int to bytes
        By new row, what stands there in place of a stored one.
    """

    info: TensorInfo
    sources: Ids
    given: dict[int, bytes] = field(default_factory=dict)

    @property
    def is_changed(self) -> bool:
        """Whether they are not the stored rows."""
        n = n_rows_of(self.info)
        return bool(self.given) or len(self.sources) != n or not np.array_equal(self.sources, np.arange(n))

    def pieces(self) -> list[Piece]:
        """Return the rows as bytes and ranges of the file."""
        parts: list[Piece] = []
        first = 0
        for row in sorted(self.given):
            parts += stored_rows(self.info, self.sources[first:row])
            parts.append(self.given[row])
            first = row + 1
        return [*parts, *stored_rows(self.info, self.sources[first:])]


class Draft:
    """A model as it is to be; it begins as the model is.

    Parameters
    ----------
    source : Source
        The open model.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.metadata = Metadata(source)
        self.tokens = read_tokens(self.metadata)
        self.values: dict[str, Value | None] = {}
        try:
            self.tensors = [info for info in token_tensors(Edit(source)) if info.n_bytes is not None]
        except (NotFoundError, ValueError):  # no table, or one that rows are not taken from
            self.tensors = []
        self.rows = {
            info.name: Rows(info, np.arange(n_rows_of(info), dtype=np.int64)) for info in self.tensors
        }

    def copy(self) -> Draft:
        """Return a draft that can be changed without this one."""
        made = copy(self)
        made.tokens = self.tokens.copy()
        made.values = dict(self.values)
        made.rows = {
            name: Rows(rows.info, rows.sources.copy(), dict(rows.given)) for name, rows in self.rows.items()
        }
        return made

    # ------------------------------------------------------------------------------------- reading

    @property
    def n_tokens(self) -> int:
        """How many tokens there are to be."""
        return 0 if self.tokens.texts is None else len(self.tokens.texts)

    @property
    def n_rows(self) -> int | None:
        """How many rows the token table is to have; None where there is none."""
        return len(self.rows[self.tensors[0].name].sources) if self.tensors else None

    def text(self, key: str) -> str | None:
        """Return a text of the metadata as it is to be."""
        value = self.values.get(key)
        if value is not None:
            return value.value if isinstance(value.value, str) else None
        return None if key in self.values else self.metadata.text(key)

    # ------------------------------------------------------------------------------------- changes

    def put(self, key: str, kind: ValueType, value: Any) -> None:
        """Give a scalar key a value."""
        self.values[key] = Value(kind, value)

    def resize_rows(self, n: int, make: Callable[[TensorInfo], bytes]) -> None:
        """Give all tables `n` rows; `make` returns a new one for each tensor."""
        for rows in self.rows.values():
            have = len(rows.sources)
            if n <= have:
                rows.sources = rows.sources[:n]
                rows.given = {row: data for row, data in rows.given.items() if row < n}
                continue
            filler = make(rows.info)
            assert len(filler) == row_bytes_of(rows.info)
            rows.sources = np.concatenate([rows.sources, np.zeros(n - have, np.int64)])
            rows.given.update(dict.fromkeys(range(have, n), filler))

    # ------------------------------------------------------------------------------------- result

    def commit(self, edit: Edit) -> tuple[set[str], set[str]]:
        """Put all that differs from the stored model into an edit; return which keys and tensors that are."""
        keys = set(self._commit_lists(edit))
        for key, value in self.values.items():
            if value is None:
                if edit.has(key):
                    edit.unset(key)
                    keys.add(key)
            elif not self._is_stored(key, value):
                edit.set(key, value)
                keys.add(key)
        tensors = set()
        for name, rows in self.rows.items():
            if rows.is_changed:
                shape = (len(rows.sources), *rows.info.shape[1:])
                edit.replace_tensor(name, shape, tensor_type(rows.info.type), rows.pieces())
                tensors.add(name)
        return keys, tensors

    def _is_stored(self, key: str, value: Value) -> bool:
        entry = self.source.metadata_value(key)
        return entry is not None and entry.type == value.kind and self.metadata[key] == value.value

    def _commit_lists(self, edit: Edit) -> list[str]:
        stored = read_tokens(self.metadata)
        changed = []
        for key, old, new, kind in (
            (TOKENS, stored.texts, self.tokens.texts, ValueType.STRING),
            (TYPES, stored.types, self.tokens.types, ValueType.I32),
            (SCORES, stored.scores, self.tokens.scores, ValueType.F32),
            (MERGES, stored.merges, self.tokens.merges, ValueType.STRING),
        ):
            if _same(old, new):
                continue
            changed.append(key)
            if new is None:
                edit.unset(key)
                continue
            entry = self.source.metadata_value(key)
            if entry is not None and entry.type == ValueType.ARRAY and kind != ValueType.STRING:
                kind = ValueType(entry.element_type) if entry.element_type not in _NO_NUMBERS else kind
            edit.set(key, Value(kind, new, True))
        n = self.n_tokens
        key = f"{self.metadata.text('general.architecture')}.vocab_size"
        size = self.metadata.integer(key)
        if size is not None and size != n and (stored.texts is None or n != len(stored.texts)):
            value = self.source.metadata_value(key)
            assert value is not None
            edit.set(key, Value(ValueType(value.type), n))
            changed.append(key)
        return changed


_NO_NUMBERS = (ValueType.STRING, ValueType.ARRAY, ValueType.BOOL)


def _same(old: Sequence[Any] | None, new: Sequence[Any] | None) -> bool:
    """Return whether two lists hold the same; NaN equals itself."""
    if old is None or new is None:
        return old is new
    return len(old) == len(new) and all(a == b or (a != a and b != b) for a, b in zip(old, new, strict=True))


def read_tokens(metadata: Metadata) -> Tokens:
    """Return the lists of a vocabulary, whatever their lengths."""
    texts, merges = metadata.strings(TOKENS), metadata.strings(MERGES)
    types, scores = metadata.numbers(TYPES), metadata.numbers(SCORES)
    return Tokens(
        None if texts is None else list(texts),
        None if types is None else types.tolist(),
        None if scores is None else scores.tolist(),
        None if merges is None else list(merges),
    )


def id_key(name: str) -> str:
    """Return the key of the id of a special token, from the name that stands behind the prefix."""
    return PREFIX + name
