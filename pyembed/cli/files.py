"""What a command means by MODEL."""

from __future__ import annotations

import argparse
from contextlib import ExitStack

from ..core.handle import Source
from ..errors import VocabularyError
from ..loader import demo_model, table_of
from ..model import Model
from ..tables.table import EmbeddingTable
from ..tokens.vocabulary import Vocabulary


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the argument MODEL."""
    parser.add_argument("model", metavar="MODEL", help="a .gguf, .safetensors or .npy file, or: demo")


def add_tensor(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--tensor``."""
    parser.add_argument("--tensor", metavar="NAME", help="another tensor than the token embeddings")


def ids_argument(text: str) -> list[int]:
    """Return what an option such as ``--ids 1,2,3`` was given."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of ids such as 1,2,3") from None


def range_argument(text: str) -> range:
    """Return what an option such as ``--range 100:200`` was given."""
    try:
        first, end = map(int, text.split(":"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no range of ids such as 100:200") from None
    return range(first, end)


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

    def token_ids(self, texts: list[str]) -> list[int]:
        """Return the ids of tokens as a person writes them."""
        if self.model is None:
            raise VocabularyError(f"{self.table.path}: only GGUF files hold a vocabulary; use --ids")
        vocabulary = self.model.vocabulary
        return [vocabulary.find(text) for text in texts]

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
