"""All tokens at once: a point, a norm, a type, a script each, and whether the row looks untrained."""

from __future__ import annotations

import struct
import threading
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt

from ...analysis.near_duplicates import chunk_rows
from ...analysis.projection import Projection, ProjectionMethod, project
from ...analysis.untrained import RowSums, find_untrained, known_unused
from ...safe_text import json_text
from ...tables.table import EmbeddingTable
from ...tokens.listed import ListedTokens
from ...tokens.scripts import SCRIPTS, script_of
from ...tokens.token_text import TokenType
from .sample import MOST_ROWS, is_huge
from .shown import shown

#: Types of tokens, as numbers; the last is that of a row without a token.
TYPES = (*(kind.name.lower().replace("_", " ") for kind in TokenType), "no token")
#: What is known of a row's training, as numbers.
TRAINING = ("trained", "known unused", "looks untrained")
_NO_TOKEN = len(TYPES) - 1
#: Weights that are decoded to tell untrained rows from others: some seconds.
_MAX_WEIGHTS = 1 << 31


@dataclass(frozen=True, slots=True)
class RowFacts:
    """Facts of all rows, each of shape (rows,).

    Attributes
    ----------
    norms : ndarray of float32
    types, scripts, training : ndarray of uint8
        Places in `TYPES`, `SCRIPTS` and `TRAINING`.
    no_untrained : str
        Why no row is said to look untrained; "" where that was looked at.
    """

    norms: npt.NDArray[np.float32]
    types: npt.NDArray[np.uint8]
    scripts: npt.NDArray[np.uint8]
    training: npt.NDArray[np.uint8]
    no_untrained: str


class Cloud:
    """The points and the facts of a table, computed when first asked for, once."""

    def __init__(self, table: EmbeddingTable, vocabulary: ListedTokens | None) -> None:
        self._table = table
        self._vocabulary = vocabulary
        self._lock = threading.Lock()
        self._facts: RowFacts | None = None
        self._projections: dict[str, Projection] = {}

    def facts(self) -> RowFacts:
        """Return the facts of all rows. Reads every row once; ValueError if they are too many."""
        self._require_drawable()
        with self._lock:
            if self._facts is None:
                self._facts = _row_facts(self._table, self._vocabulary)
            return self._facts

    def _require_drawable(self) -> None:
        if is_huge(self._table):
            raise ValueError(
                f"the table has {len(self._table):,} rows; a map shows up to {MOST_ROWS:,}: choose words, or "
                "the rows nearest to one"
            )

    def projection(self, method: ProjectionMethod) -> Projection:
        """Return the rows as points."""
        with self._lock:
            if method not in self._projections:
                self._projections[method] = project(self._table, method)
            return self._projections[method]

    def binary(self, method: ProjectionMethod) -> bytes:
        """Return all of it for the page.

        That is the length of a JSON object as a little-endian uint32, the object, spaces up to a multiple of
        4, then the arrays that its ``arrays`` names, one after the other: x, y and norm as little-endian
        float32, type, script and training as uint8.
        """
        facts, flat = self.facts(), self.projection(method)
        head = json_text(
            {
                "n": len(self._table),
                "method": method,
                "shares": list(flat.shares),
                "n_sample": flat.n_sample,
                "types": TYPES,
                "scripts": SCRIPTS,
                "training_names": TRAINING,
                "no_untrained": facts.no_untrained,
                "arrays": ["x", "y", "norm", "type", "script", "training"],
            }
        ).encode("ascii")
        head += b" " * (-len(head) % 4)
        floats = [flat.points[:, 0], flat.points[:, 1], facts.norms]
        codes = [facts.types, facts.scripts, facts.training]
        parts = [array.astype("<f4").tobytes() for array in floats] + [array.tobytes() for array in codes]
        return b"".join([struct.pack("<I", len(head)), head, *parts])

    def parquet(self, method: ProjectionMethod) -> bytes:
        """Return the points as a Parquet file that embedding-atlas opens.

        Columns are ``id``, ``text``, ``projection_x``, ``projection_y``, ``norm``, ``type``, ``script`` and
        ``training``; rows without a direction are left out.

        Raises
        ------
        ImportError
            If pyarrow is not installed.
        """
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise ImportError("writing Parquet needs pyarrow: pip install 'pyembed-gguf[parquet]'") from error
        facts, flat = self.facts(), self.projection(method)
        ids = np.flatnonzero(np.isfinite(flat.points).all(axis=1))
        named = [(facts.types, TYPES), (facts.scripts, SCRIPTS), (facts.training, TRAINING)]
        words = [
            pyarrow.DictionaryArray.from_arrays(pyarrow.array(codes[ids].astype(np.int8)), list(names))
            for codes, names in named
        ]
        columns = {
            "id": pyarrow.array(ids, pyarrow.int64()),
            "text": pyarrow.array(self._texts(ids), pyarrow.string()),
            "projection_x": pyarrow.array(flat.points[ids, 0]),
            "projection_y": pyarrow.array(flat.points[ids, 1]),
            "norm": pyarrow.array(facts.norms[ids]),
            **dict(zip(("type", "script", "training"), words, strict=True)),
        }
        out = BytesIO()
        pyarrow.parquet.write_table(pyarrow.table(columns), out)
        return out.getvalue()

    def _texts(self, ids: npt.NDArray[np.int64]) -> list[str]:
        vocabulary = self._vocabulary
        stored = [] if vocabulary is None else [shown(text) for text in vocabulary.tokens]
        return [stored[row] if row < len(stored) else f"row {row}" for row in ids.tolist()]


def _row_facts(table: EmbeddingTable, vocabulary: ListedTokens | None) -> RowFacts:
    n = len(table)
    training, no_untrained = _training(table, vocabulary)
    types, scripts = np.full(n, _NO_TOKEN, np.uint8), np.full(n, len(SCRIPTS) - 1, np.uint8)
    if vocabulary is not None:
        stored = vocabulary.types[:n]
        places = {int(kind): place for place, kind in enumerate(TokenType)}
        for kind, place in places.items():
            types[: len(stored)][stored == kind] = place
        types[: len(stored)][~np.isin(stored, list(places))] = places[int(TokenType.UNDEFINED)]
        shown = min(n, len(vocabulary))
        scripts[:shown] = np.fromiter(
            (script_of(token.bytes) for _, token in zip(range(shown), vocabulary, strict=False)),
            np.uint8,
            shown,
        )
    return RowFacts(table.norms, types, scripts, training, no_untrained)


def _training(table: EmbeddingTable, vocabulary: ListedTokens | None) -> tuple[npt.NDArray[np.uint8], str]:
    """Return what is known of the training of all rows, and why not more; see `RowFacts`."""
    n, columns = table.shape
    training = known_unused(vocabulary, n).astype(np.uint8)
    if n * columns > _MAX_WEIGHTS:
        return (
            training,
            "The table is too large to look for rows that were never trained: pyembed health does.",
        )
    sums, step = RowSums(n, columns), chunk_rows(table)
    for first in range(0, n, step):
        sums.add(first, table.gather(range(first, min(n, first + step))))
    found = find_untrained(table.gather, sums.norms, sums.finite, sums.mean, vocabulary)
    training[found.ids] = TRAINING.index("looks untrained")
    if found.min_cosine is None:
        return training, "Too few rows are known to be unused to tell untrained ones from others."
    return training, ""
