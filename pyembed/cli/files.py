"""What a command means by MODEL, and by the rows that its arguments choose."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..analysis.similarity import Geometry
from ..core.handle import Source
from ..errors import VocabularyError
from ..loader import demo_model, table_of
from ..model import Model
from ..tables.arguments import check_ids
from ..tables.table import EmbeddingTable
from ..tokens.lookup import find_word
from ..tokens.vocabulary import Vocabulary


def model_path(model: str) -> str:
    """Return the path that MODEL stands for."""
    return demo_model() if model == "demo" else model


class Chosen(NamedTuple):
    """What arguments chose: a row, or a vector that was pooled from some.

    Attributes
    ----------
    label : str
    id : int or None
        None for a vector.
    vector : ndarray of float32 or None
        None for a row.
    """

    label: str
    id: int | None = None
    vector: npt.NDArray[np.float32] | None = None

    @property
    def item(self) -> int | npt.NDArray[np.float32]:
        """The id, or the vector, as `Geometry` takes either."""
        if self.vector is not None:
            return self.vector
        assert self.id is not None
        return self.id


class OpenFile:
    """A table of a file of any format, with its model where it is GGUF."""

    def __init__(self, model: str, tensor: str | None) -> None:
        source = Source(model_path(model))
        self.model: Model | None = None
        self.table: EmbeddingTable
        if source.format == "gguf":
            with ExitStack() as stack:
                stack.callback(source.close)
                self.model = stack.enter_context(Model(source))
                self.table = self.model.table if tensor is None else self.model.open_table(tensor)
                stack.pop_all()  # from here on `__exit__` closes the model
        else:
            self.table = table_of(source, tensor)

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The tokens of the rows; None where the file has none."""
        return self.model.vocabulary if self.model is not None and self.model.has_vocabulary else None

    @property
    def geometry(self) -> Geometry:
        """The rows as points in space, named by the tokens where the file has some."""
        return Geometry(self.table, self.vocabulary)

    def items(self, arguments: argparse.Namespace) -> list[Chosen]:
        """Return the rows that `chosen` has, and behind them the vectors of ``--text`` with ``--pool``.

        Raises
        ------
        ValueError
            If nothing was chosen; and see `chosen`.
        """
        if arguments.pool is None:
            return [Chosen(label, row) for label, row in self.chosen(arguments)]
        if not arguments.text:
            raise ValueError("--pool is for --text, and there is none")
        named = arguments.words or arguments.tokens or arguments.ids
        plain = argparse.Namespace(words=arguments.words, tokens=arguments.tokens, ids=arguments.ids, text=[])
        rows = [Chosen(label, row) for label, row in self.chosen(plain)] if named else []
        return [*rows, *(Chosen(text, vector=self._mean(text)) for text in arguments.text)]

    def vectors(self, chosen: list[Chosen]) -> npt.NDArray[np.float32]:
        """Return the rows and vectors that were chosen, rows first, in one array."""
        rows = self.table.gather([one.id for one in chosen if one.id is not None])
        vectors = [one.vector for one in chosen if one.vector is not None]
        return np.concatenate([rows, np.array(vectors)]) if vectors else rows

    def _mean(self, text: str) -> npt.NDArray[np.float32]:
        """Return the mean of the rows of a text's tokens, of no token zeros."""
        rows = self.table.gather(self._ids_of(text))
        if not len(rows):
            return np.zeros(self.table.shape[1], np.float32)
        mean: npt.NDArray[np.float32] = rows.sum(axis=0) / np.float32(len(rows))
        return mean

    def _ids_of(self, text: str) -> list[int]:
        self._tokens()
        assert self.model is not None
        ids = self.model.tokenize(text)
        check_ids(ids, len(self.table))
        found: list[int] = ids.tolist()
        return found

    def chosen(self, arguments: argparse.Namespace) -> list[tuple[str, int]]:
        """Return label and id of each row that words, ``--tokens``, ``--ids`` and ``--text`` choose.

        Raises
        ------
        NotFoundError, VocabularyError, IndexError
            For a word that is not a token, words in a file without tokens, an id that is not a row.
        ValueError
            If nothing was chosen.
        """
        words, ids = list(arguments.words), list(arguments.ids)
        if self.vocabulary is None and all(word.isdecimal() for word in words):
            words, ids = [], [*map(int, words), *ids]  # rows without names go by their numbers
        rows = [(word, find_word(self._tokens(), word)) for word in words]
        rows += [(token, self._tokens().find(token)) for token in arguments.tokens]
        check_ids(np.array(ids, object), len(self.table))
        rows += [(self.label(row), row) for row in ids]
        for text in getattr(arguments, "text", ()):
            rows += [(self.label(row), row) for row in self._ids_of(text)]
        if not rows:
            raise ValueError("nothing was chosen: name words, tokens with --tokens, or rows with --ids")
        return rows

    def _tokens(self) -> Vocabulary:
        if self.vocabulary is None:
            raise VocabularyError(f"{self.table.path} has no vocabulary: choose rows with --ids")
        return self.vocabulary

    def label(self, row: int) -> str:
        """Return what a person writes for a row's token, or its id."""
        vocabulary = self.vocabulary
        if vocabulary is None or row >= len(vocabulary):
            return str(row)
        written = vocabulary.written(row)
        return written.strip(" ") or repr(written)

    def token_texts(self, ids: list[int]) -> list[str | None]:
        """Return the stored texts of ids; None where there is no such token."""
        vocabulary = self.vocabulary
        if vocabulary is None:
            return [None] * len(ids)
        tokens = vocabulary.tokens
        return [tokens[token_id] if token_id < len(tokens) else None for token_id in ids]

    def __enter__(self) -> OpenFile:
        return self

    def __exit__(self, kind: object, exception: object, trace: object) -> None:
        opened = self.table if self.model is None else self.model
        opened.__exit__(kind, exception, trace)
