"""Mendings of rows: moved to their tokens, replaced where they are not finite, cut where they have none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt

from ..core.dtypes import tensor_type
from ..core.handle import Source
from ..core.paths import Path
from ..core.records import TensorInfo
from ..editing.rows import can_encode, encoded, is_big_endian, mean_row, row_bytes_of
from ..editing.vocabulary_lists import PREFIX
from ..errors import FormatError, NotFoundError
from ..tables.checking import RowFault
from ..tables.table import EmbeddingTable
from ..tables.token_table import OUTPUT_TABLE, TOKEN_TABLE
from ..tokens.token_list import NORMAL, key_of, spelling_for
from ..validation.reference import open_reference
from .draft import Draft
from .mendings import CannotMend, Mending, NothingToMend
from .row_places import by_reference, by_spelling, partner_rows, rows_with

Ids = npt.NDArray[np.int64]
_TABLES = (TOKEN_TABLE, OUTPUT_TABLE)
#: Where fewer rows are those of a reference, wherever they lie, it is another model's.
_LEAST_EQUAL = 0.9


@dataclass
class TheirRows:
    """The rows of a reference, by the names of our tables, and the tokens that they belong to."""

    tables: dict[str, EmbeddingTable] = field(default_factory=dict)
    keys: list[bytes] | None = None


@contextmanager
def rows_of_reference(path: Path | None) -> Iterator[TheirRows]:
    """Yield the rows of a reference as long as it is open; none where it has none that can be read."""
    with ExitStack() as stack:
        found = TheirRows()
        if path is not None:
            reference = stack.enter_context(open_reference(path))
            if reference.file.tokens is not None:
                found.keys = reference.file.tokens.keys
            if reference.rows.table is not None:
                found.tables[TOKEN_TABLE] = reference.rows.table
                if reference.file.kind == "gguf file":
                    source = stack.enter_context(closing(Source(path, format="gguf")))
                    if source.tensor(OUTPUT_TABLE) is not None:
                        found.tables[OUTPUT_TABLE] = EmbeddingTable(source, OUTPUT_TABLE)
        yield found


def mendings_of_counts(theirs: TheirRows) -> tuple[Mending, ...]:
    """Return the mendings of the number of rows, which a header shows."""
    cut = Mending(
        "rows without tokens",
        "rows behind the reference's last token are cut off",
        lambda draft: _cut(draft, theirs),
    )
    added = Mending(
        "rows for padding", "tokens that only fill up the list have the mean of all rows", _rows_for_padding
    )
    if theirs.keys is None:
        return (added,)
    taken = Mending(
        "the reference's rows",
        "tokens behind the last row have the rows of the reference",
        lambda draft: _rows_for_tokens(draft, theirs),
    )
    return (cut, taken, added)


def mendings_of_rows(theirs: TheirRows) -> tuple[Mending, ...]:
    """Return the mendings of rows, in the order in which they are tried."""
    if theirs.tables and theirs.keys is not None:
        places = Mending(
            "rows of the reference",
            "rows lie at the ids of their tokens, as the rows of the reference show; rows that the file has "
            "lost are the reference's",
            lambda draft: _move_by_reference(draft, theirs),
        )
    else:
        places = Mending(
            "rows by spelling",
            "rows lie at the ids of their tokens, as the rows of tokens that are spelled alike show",
            _move_by_spelling,
        )
    source = "those of the reference" if theirs.tables else "the mean of all others"
    return (
        places,
        Mending(
            "rows that are not finite",
            f"rows that hold NaN or infinities are {source}",
            lambda draft: _replace_broken(draft, theirs),
        ),
    )


def _table(draft: Draft, info: TensorInfo) -> EmbeddingTable:
    try:
        return EmbeddingTable(draft.source, info.name)
    except (FormatError, NotFoundError) as error:
        raise CannotMend(f"rows that can be read: {error}") from None


def _keys(draft: Draft) -> list[bytes]:
    texts, types = draft.tokens.texts, draft.tokens.types
    if texts is None:
        raise CannotMend("a list of tokens")
    key = key_of(spelling_for(draft.text(f"{PREFIX}model"), draft.text(f"{PREFIX}pre")))
    kinds = types if types is not None and len(types) == len(texts) else [NORMAL] * len(texts)
    return [key(text, kind) for text, kind in zip(texts, kinds, strict=True)]


# ------------------------------------------------------------------------------------------- places


def _move_by_reference(draft: Draft, theirs: TheirRows) -> None:
    assert theirs.keys is not None
    partner = partner_rows(_keys(draft), theirs.keys)
    moved = False
    for name, table in theirs.tables.items():
        if name in draft.rows:
            moved |= _move_one(draft, name, table, partner)
    if not moved:
        raise NothingToMend("rows that lie elsewhere")


def _move_one(draft: Draft, name: str, theirs: EmbeddingTable, partner: Ids) -> bool:
    rows = draft.rows[name]
    ours = _table(draft, rows.info)
    place = by_reference(ours, theirs, partner)
    n = min(len(place), len(rows.sources))
    place = place[:n]
    ids = np.arange(n)
    claimed = np.zeros(len(ours), np.bool_)
    claimed[place[(place >= 0) & (place != ids)]] = True
    lost = np.flatnonzero((place < 0) & (claimed[:n] | _broken(ours)[:n]))
    place[place < 0] = np.flatnonzero(place < 0)  # rows that were trained on stay
    if len(lost):
        data = _encoded_rows(draft, rows.info, theirs, partner[lost])
        rows.given.update(zip(lost.tolist(), data, strict=True))
    if not len(lost) and np.array_equal(place, ids):
        return False
    rows.sources[:n] = place
    return True


def _encoded_rows(draft: Draft, info: TensorInfo, theirs: EmbeddingTable, rows: Ids) -> list[bytes]:
    """Return rows of a reference as a tensor stores them."""
    kind = tensor_type(info.type)
    if not can_encode(kind):
        raise CannotMend(f"rows of type {kind.name}, which are not written here, for {len(rows)} lost rows")
    values = theirs.gather(rows)
    if not np.isfinite(values).all():
        raise CannotMend(f"a reference whose rows are finite, for {len(rows)} lost rows")
    data = encoded(values, kind, big_endian=is_big_endian(draft.source, info))
    width = row_bytes_of(info)
    return [data[first : first + width] for first in range(0, len(data), width)]


def _move_by_spelling(draft: Draft) -> None:
    if TOKEN_TABLE not in draft.rows:
        raise CannotMend("a table of rows")
    place = _by_spelling(draft, TOKEN_TABLE)
    _set_places(draft, TOKEN_TABLE, place)
    if OUTPUT_TABLE in draft.rows:
        try:
            _set_places(draft, OUTPUT_TABLE, _by_spelling(draft, OUTPUT_TABLE))
        except CannotMend:  # it is in order, or does not show that it is not
            return


def _by_spelling(draft: Draft, name: str) -> Ids:
    texts, types = draft.tokens.texts, draft.tokens.types
    if texts is None:
        raise CannotMend("a list of tokens")
    kinds = types if types is not None and len(types) == len(texts) else [NORMAL] * len(texts)
    spelling = spelling_for(draft.text(f"{PREFIX}model"), draft.text(f"{PREFIX}pre"))
    data = [spelling.to_bytes(text, kind) for text, kind in zip(texts, kinds, strict=True)]
    return by_spelling(data, kinds, texts, _table(draft, draft.rows[name].info))


def _set_places(draft: Draft, name: str, place: Ids) -> None:
    rows = draft.rows[name]
    n = min(len(place), len(rows.sources))
    if np.any(place[:n] < 0):
        raise CannotMend("a reference with rows: some rows are lost")
    rows.sources[:n] = place[:n]


# ----------------------------------------------------------------------------------- rows replaced, cut


def _broken(table: EmbeddingTable) -> npt.NDArray[np.bool_]:
    """Return which rows of a table hold something that is not finite."""
    return rows_with(table, RowFault.NAN | RowFault.INFINITE)


def _replace_broken(draft: Draft, theirs: TheirRows) -> None:
    replaced = False
    for name in _TABLES:
        if name not in draft.rows:
            continue
        rows = draft.rows[name]
        broken = _broken(_table(draft, rows.info))
        ids = np.flatnonzero(broken[rows.sources])
        ids = np.array([row for row in ids.tolist() if row not in rows.given], np.int64)
        if len(ids):
            rows.given.update(zip(ids.tolist(), _replacements(draft, rows.info, theirs, ids), strict=True))
            replaced = True
    if not replaced:
        raise CannotMend("rows of a token table that hold something that is not finite")


def _replacements(draft: Draft, info: TensorInfo, theirs: TheirRows, ids: Ids) -> list[bytes]:
    table = theirs.tables.get(info.name)
    if table is not None and theirs.keys is not None and table.shape[1] == info.shape[-1]:
        partner = partner_rows(_keys(draft), theirs.keys)
        if ids.max() < len(partner) and partner[ids].min() >= 0 and partner[ids].max() < len(table):
            return _encoded_rows(draft, info, table, partner[ids])
    return [_mean(draft, info)] * len(ids)


def _mean(draft: Draft, info: TensorInfo) -> bytes:
    kind = tensor_type(info.type)
    if not can_encode(kind) or len(info.shape) != 2:
        raise CannotMend(f"a type that means can be written as; {info.name} is of type {kind.name}")
    table = _table(draft, info)
    mean = mean_row(table.gather, len(table), table.shape[1])
    return encoded(mean, kind, big_endian=is_big_endian(draft.source, info))


def _cut(draft: Draft, theirs: TheirRows) -> None:
    n = draft.n_rows
    assert theirs.keys is not None
    if n is None or n <= draft.n_tokens or draft.n_tokens != len(theirs.keys):
        raise CannotMend("more rows than the reference has tokens")
    table = theirs.tables.get(TOKEN_TABLE)
    if table is not None and len(table) > draft.n_tokens:
        raise CannotMend("a reference that has no rows behind its last token")
    draft.resize_rows(draft.n_tokens, _never)


def _never(info: TensorInfo) -> bytes:
    raise AssertionError("no row is made where rows are cut")


def _rows_for_padding(draft: Draft) -> None:
    texts, n = draft.tokens.texts, draft.n_rows
    if texts is None or n is None or n >= len(texts):
        raise CannotMend("tokens without a row")
    behind = texts[n:]
    if not all(_is_filler(text) for text in behind):
        raise CannotMend("a reference with rows: tokens in use have none")
    draft.resize_rows(len(texts), partial(_mean, draft))


def _rows_for_tokens(draft: Draft, theirs: TheirRows) -> None:
    """Give tokens without a row that of the reference; which rows moved meanwhile is seen after that."""
    n, keys = draft.n_rows, _keys(draft)
    if n is None or n >= len(keys):
        raise CannotMend("tokens without a row")
    if not theirs.tables or theirs.keys is None:
        raise CannotMend("a reference with rows: tokens in use have none")
    partner = partner_rows(keys, theirs.keys)
    rows = partner[n:]
    made: dict[str, list[bytes]] = {}
    for name, own in draft.rows.items():
        table = theirs.tables.get(name)
        if table is None or rows.min() < 0 or rows.max() >= len(table):
            raise CannotMend(f"a reference with rows in {name} for these tokens")
        if np.mean(by_reference(_table(draft, own.info), table, partner) >= 0) < _LEAST_EQUAL:
            raise CannotMend(f"a reference whose rows in {name} are the model's")
        made[name] = _encoded_rows(draft, own.info, table, rows)
    for name, data in made.items():
        own = draft.rows[name]
        own.sources = np.concatenate([own.sources, np.zeros(len(rows), np.int64)])
        own.given.update(zip(range(n, n + len(rows)), data, strict=True))


def _is_filler(text: str) -> bool:
    """Return whether a token only fills a list up."""
    lower = text.lower()
    return lower.startswith(("[pad", "<pad", "[unused", "<unused", "<|reserved", "<reserved", "<|unused"))
