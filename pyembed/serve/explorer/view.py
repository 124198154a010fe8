"""One open model as the page sees it: its tokens, their rows, and what comes near them."""

from __future__ import annotations

import base64
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ...analysis.flatten import MAX_POINTS, flatten
from ...analysis.similarity import Geometry, Neighbours
from ...core.aliases import MetricName
from ...errors import NotFoundError, VocabularyError
from ...tables.table import EmbeddingTable
from ...tokens.listed import ListedTokens, Token
from ...tokens.lookup import find_word
from ...tokens.token_text import TokenType
from .cloud import Cloud
from .places import block_of, places_of
from .sample import Sample, is_huge, sample_of
from .shown import shown
from .text_index import TextIndex

_N_RANDOM = 4
_PAIRS = 400
_N_BASELINE = 1000
_SEED = 0


class View:
    """What the page asks of one model. Any number of threads may use it.

    What takes long (facts of all rows, the texts to search in) is computed when first asked for, once.

    Parameters
    ----------
    table : EmbeddingTable
        Open, for as long as the view is used.
    vocabulary : Vocabulary or None
        Token i names row i.
    no_vocabulary : str, optional
        Why there is none; else "".
    """

    def __init__(
        self, table: EmbeddingTable, vocabulary: ListedTokens | None, no_vocabulary: str = ""
    ) -> None:
        self.table = table
        self.vocabulary = vocabulary
        self.no_vocabulary = no_vocabulary
        self.geometry = Geometry(self.table, self.vocabulary)
        self.cloud = Cloud(self.table, self.vocabulary)
        self._lock = threading.Lock()
        self._index: TextIndex | None = None

    # ---------------------------------------------------------------------------------------- tokens

    def row_of(self, word: str) -> int:
        """Return the row that a person means: a word, a token as it is written, or ``#17`` for an id.

        Raises
        ------
        NotFoundError
            (a KeyError) if there is no such token.
        IndexError
            For an id that is not a row.
        """
        number = word[1:] if word.startswith("#") else word if self.vocabulary is None else ""
        if number.isascii() and number.isdecimal() and len(number) < 20:
            return self.checked(int(number))
        if self.vocabulary is None:
            raise VocabularyError(
                f"{self.table.path}: it has no vocabulary; write ids, such as #17", self.table.path
            )
        row = find_word(self.vocabulary, word)
        if row >= len(self.table):
            raise NotFoundError(f"token {row} has no row: the table has {len(self.table)}")
        return row

    def checked(self, row: int) -> int:
        """Return an id that is a row; IndexError for any other."""
        if not 0 <= row < len(self.table):
            raise IndexError(f"id {row} is not a row: the table has {len(self.table)}")
        return row

    def named(self, row: int) -> dict[str, Any]:
        """Return what the page calls a row: id, the text of its token made harmless, and its type."""
        if self.vocabulary is None or row >= len(self.vocabulary):
            return {"id": row, "text": None, "stored": None, "bytes": "", "type": "none", "roles": []}
        return self._described(self.vocabulary[row])

    def _described(self, token: Token) -> dict[str, Any]:
        assert self.vocabulary is not None
        kind = token.type
        name = kind.name.lower().replace("_", " ") if isinstance(kind, TokenType) else f"type {kind}"
        return {
            "id": token.id,
            "text": shown(self.vocabulary.written(token.id)),
            "stored": shown(token.text),
            "bytes": token.bytes[:256].hex(),
            "type": name,
            "score": token.score,
            "roles": self._roles.get(token.id, []),
        }

    @cached_property
    def _roles(self) -> dict[int, list[str]]:
        roles: dict[int, list[str]] = {}
        for role, row in (self.vocabulary.special if self.vocabulary is not None else {}).items():
            roles.setdefault(row, []).append(role)
        return roles

    def cut(self, text: str, *, special: bool) -> list[dict[str, Any]]:
        """Return the tokens of a text, each with the characters that it comes from.

        Raises
        ------
        ImportError, VocabularyError, ValueError
            As `Vocabulary.pieces` does.
        """
        if self.vocabulary is None:
            raise VocabularyError(f"{self.table.path}: it has no vocabulary to cut texts by", self.table.path)
        pieces = self.vocabulary.pieces(text, add_special=special, parse_special=True)
        known = {one: self.named(one) for one in {piece.id for piece in pieces}}
        return [{**known[piece.id], "start": piece.start, "end": piece.end} for piece in pieces]

    def search(self, text: str, most: int) -> list[dict[str, Any]]:
        """Return tokens whose text has `text` in it, whatever its case; the one that is meant comes first."""
        rows: list[int] = []
        with suppress(KeyError, IndexError, VocabularyError):
            rows.append(self.row_of(text))
        if self.vocabulary is not None and text.strip():
            rows += self.index().find(text.strip(), most)
        return [self.named(row) for row in list(dict.fromkeys(rows))[:most] if row < len(self.table)]

    def index(self) -> TextIndex:
        """Return what finds tokens by a part of their texts."""
        assert self.vocabulary is not None
        with self._lock:
            if self._index is None:
                self._index = TextIndex(self.vocabulary)
            return self._index

    # ------------------------------------------------------------------------------------------ rows

    def row(self, row: int) -> dict[str, Any]:
        """Return a row: its token, its numbers, its bytes, and where they lie.

        ``values`` is base64 of little-endian float32, ``raw`` of the bytes as stored: codes, then scales.
        """
        values = self.table.gather(self.checked(row))
        raw = self.table.gather(row, dtype="raw").tobytes()
        with np.errstate(all="ignore"):
            norm = float(np.sqrt(np.square(values, dtype=np.float64).sum()))
        return {
            **self.named(row),
            "norm": norm,
            "rank": self._rank(norm),
            "ranked": len(self._sorted_norms),
            "values": base64.b64encode(values.astype("<f4").tobytes()).decode("ascii"),
            "raw": base64.b64encode(raw).decode("ascii"),
            "raw_codes": self.table.raw_bytes.codes,
            "places": places_of(self.table, row),
            "block": block_of(self.table),
        }

    def _rank(self, norm: float) -> float | None:
        """Return the share of rows that are shorter, of a huge table the share of some rows."""
        sorted_norms = self._sorted_norms
        if not len(sorted_norms) or not np.isfinite(norm):
            return None
        return float(np.searchsorted(sorted_norms, np.float32(norm)) / len(sorted_norms))

    @cached_property
    def _sorted_norms(self) -> npt.NDArray[np.float32]:
        norms = self._sample.norms
        return np.sort(norms[np.isfinite(norms)])

    @cached_property
    def _sample(self) -> Sample:
        return sample_of(self.table)

    # ------------------------------------------------------------------------------------ neighbours

    def nearest(self, row: int, k: int, metric: MetricName, *, no_variants: bool = False) -> dict[str, Any]:
        """Return the rows nearest to a row, with what random rows score."""
        found = self.geometry.nearest(self.checked(row), self._k(k), metric, leave_out_variants=no_variants)
        return {"of": self.named(row), **self._scored(self.geometry.place(row).vector, found, metric)}

    def sum(
        self, positive: Sequence[str], negative: Sequence[str], k: int, metric: MetricName
    ) -> dict[str, Any]:
        """Return the rows nearest to a sum of words less others, with what random rows score."""
        terms = [[self.row_of(word) for word in words] for words in (positive, negative)]
        added, subtracted = terms
        found = self.geometry.analogy(added, subtracted, self._k(k), metric)
        target, _ = self.geometry.target(added, subtracted)
        named = [[self.named(row) for row in rows] for rows in terms]
        return {"positive": named[0], "negative": named[1], **self._scored(target, found, metric)}

    def _k(self, k: int) -> int:
        return min(k, len(self.table))

    def _scored(
        self, vector: npt.NDArray[np.float32], found: Neighbours, metric: MetricName
    ) -> dict[str, Any]:
        random = self._random_rows
        ids = [one.id for one in found] + random
        scores = np.stack([self.table.scores(vector, kind, ids=ids)[0] for kind in ("cosine", "dot")], axis=1)
        rows = [
            {**self.named(row), "cosine": cosine, "dot": dot}
            for row, (cosine, dot) in zip(ids, scores.tolist(), strict=True)
        ]
        baseline = self._baseline(vector, metric)
        return {"found": rows[: len(found)], "random": rows[len(found) :], "baseline": baseline}

    def _baseline(self, vector: npt.NDArray[np.float32], metric: MetricName) -> dict[str, float] | None:
        """Return what random rows score; None where all are zero or not finite."""
        if not is_huge(self.table):
            try:
                return dict(self.geometry.baseline(vector, metric)._asdict())
            except ValueError:
                return None
        rows = self._usable
        if not len(rows):
            return None
        chosen = np.random.default_rng(_SEED).choice(rows, _N_BASELINE)
        scores = self.table.scores(vector, metric, ids=chosen)[0].astype(np.float64)
        p95, p99 = np.percentile(scores, (95, 99)).tolist()
        return {"mean": float(scores.mean()), "p95": p95, "p99": p99, "n": _N_BASELINE}

    @cached_property
    def _random_rows(self) -> list[int]:
        """Rows that stand for chance, the same each time."""
        rows = self._usable
        if self.vocabulary is not None:
            named = rows[rows < min(len(self.vocabulary), len(self.table))]
            normal = named[self.vocabulary.types[named] == TokenType.NORMAL.value]
            rows = normal if len(normal) else named
        chosen = np.random.default_rng(_SEED).choice(rows, min(_N_RANDOM, len(rows)), replace=False)
        found: list[int] = chosen.tolist()
        return found

    @cached_property
    def _usable(self) -> npt.NDArray[np.int64]:
        """Rows that have a direction, of a huge table some of them."""
        ids, norms = self._sample
        return ids[np.isfinite(norms) & (norms > 0)]

    def similarities(self, rows: list[int], metric: MetricName) -> dict[str, Any]:
        """Return the similarity of each row to each, and that of random pairs."""
        for row in rows:
            self.checked(row)
        scores = self.geometry.similarities(rows, metric)
        baseline = None
        with suppress(ValueError):  # all rows are zero or not finite
            if not is_huge(self.table):
                baseline = dict(self.geometry.baseline(None, metric, n=_PAIRS)._asdict())
        return {"scores": scores.tolist(), "baseline": baseline}

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        """Return the cosine of the words of each pair; None where one of them is not a single token."""
        found: list[dict[str, Any]] = []
        for words in pairs:
            try:
                one, other = self.row_of(words[0]), self.row_of(words[1])
            except (KeyError, IndexError):
                found.append({"words": words, "cosine": None, "tokens": []})
                continue
            cosine = self.geometry.similarity(one, other)
            found.append({"words": words, "cosine": cosine, "tokens": [self.named(one), self.named(other)]})
        return found

    def map(
        self, groups: Sequence[tuple[str, Sequence[int]]], near: Sequence[int], k: int, method: str, seed: int
    ) -> dict[str, Any]:
        """Return rows as points of a plane: those of groups, and rows with their nearest.

        Raises
        ------
        ValueError
            For fewer than 3 rows, too many, or one without a direction.
        """
        points: dict[int, tuple[str, bool]] = {}
        for name, rows in groups:
            for row in rows:
                points.setdefault(self.checked(row), (name, False))
        for row in near:
            points[self.checked(row)] = (f"near {self._label(row)}", True)
        for row in near:
            if len(points) > MAX_POINTS:
                break
            for found in self.geometry.nearest(row, self._k(k)):
                points.setdefault(found.id, (f"near {self._label(row)}", False))
        flat, axes = flatten(self.table.gather(list(points)), method, seed)
        named = [
            {**self.named(row), "group": group, "centre": centre, "x": x, "y": y}
            for (row, (group, centre)), (x, y) in zip(points.items(), flat.tolist(), strict=True)
        ]
        return {"points": named, "axes": axes, "method": method}

    def _label(self, row: int) -> str:
        text = self.named(row)["text"]
        return f"#{row}" if text is None else str(text).strip() or repr(text)
