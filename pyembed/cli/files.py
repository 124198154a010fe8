"""What a command means by MODEL, and by the rows that its arguments choose."""

from __future__ import annotations

import argparse
from contextlib import ExitStack

import numpy as np

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
        if self.model is None or "tokenizer.ggml.tokens" not in self.model.metadata:
            return None
        return self.model.vocabulary

    @property
    def geometry(self) -> Geometry:
        """The rows as points in space, named by the tokens where the file has some."""
        return Geometry(self.table, self.vocabulary)

    def chosen(self, arguments: argparse.Namespace) -> list[tuple[str, int]]:
        """Return label and id of each row that words, ``--tokens`` and ``--ids`` choose, in this order.

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
