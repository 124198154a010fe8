"""Which rows are written, under which names, and how they come: some at a time, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.aliases import DTypeName
from ..core.progress import Progress, part_of, report_to
from ..safe_text import printable, quote
from ..tables.arguments import as_ids
from ..tables.table import EmbeddingTable
from ..tokens.vocabulary import Vocabulary
from .words import word_of

_CHUNK_BYTES = 4 << 20
_TEXTS_AT_ONCE = 4096


@dataclass(frozen=True)
class Selection:
    """Rows of a table, in the order in which they are written.

    Attributes
    ----------
    table : EmbeddingTable
        Where the rows come from.
    vocabulary : Vocabulary or None
        Gives the rows their texts; None where the file has none.
    ids : range or numpy.ndarray of int
        The rows.
    report : callable
        Called with the share of the rows that was handed out, between 0 and 1.
    """

    table: EmbeddingTable
    vocabulary: Vocabulary | None
    ids: range | npt.NDArray[Any]
    report: Callable[[float], None]

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of what is written."""
        return len(self.ids), self.table.shape[1]

    def rows(self, dtype: DTypeName) -> Iterator[tuple[npt.NDArray[Any], list[str | None], npt.NDArray[Any]]]:
        """Yield ids, texts and rows of `dtype`, about 4 MiB of rows at a time; texts as of `texts`."""
        step = max(1, _CHUNK_BYTES // (4 * self.table.shape[1]))
        for first in range(0, len(self.ids), step):
            ids = np.asarray(self.ids[first : first + step])
            yield ids, self._texts_of(ids), self.table.gather(ids, dtype=dtype)
            self.report(min(1.0, (first + step) / len(self.ids)))

    def texts(self) -> Iterator[tuple[int, str | None]]:
        """Yield each id with its stored text; None where there is no such token."""
        for first in range(0, len(self.ids), _TEXTS_AT_ONCE):
            ids = np.asarray(self.ids[first : first + _TEXTS_AT_ONCE])
            yield from zip(ids.tolist(), self._texts_of(ids), strict=True)

    def _texts_of(self, ids: npt.NDArray[Any]) -> list[str | None]:
        if self.vocabulary is None:
            return [None] * len(ids)
        tokens, n = self.vocabulary.tokens, len(self.vocabulary)
        if len(ids) and ids[-1] - ids[0] == len(ids) - 1 and (np.diff(ids) == 1).all():
            known: Sequence[str | None] = tokens[int(ids[0]) : int(ids[-1]) + 1]
            return [*known, *[None] * (len(ids) - len(known))]
        return [tokens[row] if row < n else None for row in ids.tolist()]


def selection(
    table: EmbeddingTable,
    vocabulary: Vocabulary | None,
    ids: Any,
    progress: Progress | None,
) -> Selection:
    """Return a selection; without `ids`, of all rows. IndexError for an id that is not a row, now."""
    n = len(table)
    if table.shape[1] == 0:
        raise ValueError(f"{quote(table.name)} of {printable(table.path)} has no columns")
    chosen = range(n) if ids is None else ids if isinstance(ids, range) else as_ids(ids, n).ravel()
    is_empty = not chosen if isinstance(chosen, range) else not chosen.size  # a range may have no len()
    if is_empty:
        none = f"{quote(table.name)} of {printable(table.path)} has no rows"
        raise ValueError("no row was chosen" if n else none)
    # A range may be longer than memory; its ends decide.
    given = np.array([chosen[0], chosen[-1]], object) if isinstance(chosen, range) else chosen
    wrong = np.flatnonzero((given < 0) | (given >= n))
    if wrong.size:
        where = int(wrong[0])
        if isinstance(chosen, range):
            where *= (chosen[-1] - chosen[0]) // chosen.step
        raise IndexError(f"id {given[wrong[0]]} at position {where} is not a row: the table has {n} rows")
    if not isinstance(chosen, range):
        chosen = chosen.astype(np.int64)  # so that differences of ids do not wrap
    return Selection(table, vocabulary, chosen, part_of(report_to(progress), "writing rows"))


def provenance(chosen: Selection) -> dict[str, str]:
    """Return what a file may say of where its rows come from; neither paths nor times, to be reproducible.

    A name that is not UTF-8, which no reader takes, is spelled as `words.word_of` spells it.
    """
    name = chosen.table.name
    facts = {"tensor": name if _is_utf8(name) else word_of(name), "type": chosen.table.type}
    if chosen.vocabulary is not None:
        facts["vocabulary"] = chosen.vocabulary.digest
    return facts


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
