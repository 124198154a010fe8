"""An open GGUF model: its tables, its vocabulary, and what it says of itself."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import Any, TypeVar, overload

import numpy.typing as npt

from .errors import NotFoundError
from .gguf import Metadata, Tensors
from .source import Change, Source
from .table import EmbeddingTable
from .vocabulary import Vocabulary

Out = TypeVar("Out")

TOKEN_TABLE = "token_embd.weight"
OUTPUT_TABLE = "output.weight"
# Architectures that end in hidden states: nothing projects them back to tokens.
_WITHOUT_HEAD = {
    "bert",
    "eurobert",
    "jina-bert-v2",
    "jina-bert-v3",
    "modern-bert",
    "neo-bert",
    "nomic-bert",
    "nomic-bert-moe",
}


class Model:
    """An open GGUF model. Use `load_model` to get one.

    It is immutable, and any number of threads may use it. `close`, or the end of a ``with`` block, closes
    its tables and its vocabulary too; whatever is asked of them afterwards raises ValueError.
    """

    def __init__(self, source: Source, kv_overrides: Mapping[str, object] | None = None) -> None:
        self._source = source
        self._metadata = Metadata(source, kv_overrides)
        self._tensors = Tensors(source)
        self._tables: dict[str, EmbeddingTable] = {}
        self._vocabulary: Vocabulary | None = None
        self._lock = threading.RLock()
        # codeshell may store its one table under the name of the output.
        reverse = self.architecture == "codeshell" and TOKEN_TABLE not in self._tensors
        self._token_table = OUTPUT_TABLE if reverse else TOKEN_TABLE

    # ---------------------------------------------------------------------------------------- facts

    @property
    def path(self) -> str:
        """The file that was opened."""
        return self._source.path

    @property
    def load_mode(self) -> str:
        """The load mode really in use: ``"none"``, ``"mmap"``, ``"mlock"``, ``"mmap+mlock"`` or ``"dio"``."""
        return self._source.load_mode

    @property
    def metadata(self) -> Metadata:
        """The metadata, with ``kv_overrides`` applied: a read-only mapping that decodes when touched."""
        self._source.ensure_open()
        return self._metadata

    @property
    def tensors(self) -> Tensors:
        """The tensors by name: a read-only mapping to `TensorInfo`."""
        self._source.ensure_open()
        return self._tensors

    @property
    def architecture(self) -> str | None:
        """``general.architecture``; None where the file does not say."""
        value = self.metadata.get("general.architecture")
        return value if isinstance(value, str) else None

    @property
    def n_vocab(self) -> int:
        """Number of tokens; without a vocabulary, of rows of the token table."""
        if "tokenizer.ggml.tokens" in self.metadata:
            return len(self.vocabulary)
        return math.prod(self.tensors[self._token_table].shape[:-1])

    @property
    def n_embd(self) -> int:
        """Columns of the token table; without a table, ``<architecture>.embedding_length``."""
        if self._token_table in self.tensors:
            return self.tensors[self._token_table].shape[-1]
        value = self.metadata.get(f"{self.architecture}.embedding_length")
        if isinstance(value, int):
            return value
        raise NotFoundError(f"{self.path}: neither {TOKEN_TABLE} nor an embedding_length is there")

    # --------------------------------------------------------------------------------------- tables

    def open_table(self, name: str) -> EmbeddingTable:
        """Return the table of any tensor of one dimension or more; the same object each time.

        Raises
        ------
        NotFoundError
            (a KeyError) if no tensor has that name; the message names some that come near.
        UnsupportedTypeError
            If its type cannot be decoded here.
        """
        table = self._tables.get(name)
        if table is not None and not table.closed:
            return table
        with self._lock:
            self._source.ensure_open()
            table = self._tables.get(name)
            if table is None or table.closed:
                table = self._tables[name] = EmbeddingTable(self._source, name)
            return table

    @property
    def table(self) -> EmbeddingTable:
        """The table of token embeddings, ``token_embd.weight``: row i is that of token i."""
        return self.open_table(self._token_table)

    @property
    def tied(self) -> bool:
        """Whether the output projection is the token table: in GGUF, if there is no ``output.weight``."""
        if self.architecture in _WITHOUT_HEAD or self._token_table not in self.tensors:
            return False
        return self._token_table == OUTPUT_TABLE or OUTPUT_TABLE not in self.tensors

    @property
    def output_table(self) -> EmbeddingTable:
        """The output projection, one row a token; the same object as `table` where the model ties them.

        Raises
        ------
        NotFoundError
            (a KeyError) for an architecture without an output projection.
        """
        if OUTPUT_TABLE in self.tensors:
            return self.open_table(OUTPUT_TABLE)
        if self.architecture in _WITHOUT_HEAD:
            raise NotFoundError(f"{self.path}: the architecture {self.architecture} has no output table")
        return self.table

    @overload
    def embed(
        self, ids: Any, *, out: None = None, dtype: Any = "float32", threads: int | None = None
    ) -> npt.NDArray[Any]: ...
    @overload
    def embed(self, ids: Any, *, out: Out, dtype: Any = "float32", threads: int | None = None) -> Out: ...
    def embed(self, ids: Any, *, out: Any = None, dtype: Any = "float32", threads: int | None = None) -> Any:
        """Return the embeddings of some tokens: ``model.table.gather``, where the arguments are explained.

        Rows are raw: no scale that the architecture applies is in them.
        """
        return self.table.gather(ids, out=out, dtype=dtype, threads=threads)

    # ----------------------------------------------------------------------------------- vocabulary

    @property
    def vocabulary(self) -> Vocabulary:
        """The tokens of the model.

        Raises
        ------
        VocabularyError
            If the file has none, or one whose parts contradict each other.
        """
        with self._lock:
            self._source.ensure_open()
            if self._vocabulary is None:
                self._vocabulary = Vocabulary(self._source, self._metadata)
            return self._vocabulary

    # --------------------------------------------------------------------------------------- closing

    def close(self) -> None:
        """Close the model, its tables and its vocabulary. Calls of other threads finish undisturbed."""
        with self._lock:
            self._source.close()
            for table in self._tables.values():
                table.close()
            if self._vocabulary is not None:
                self._vocabulary.close()

    def check(self) -> Change | None:
        """Return what became of the model's files since they were opened; None if nothing did.

        Compares device, inode, size and time of change, which takes a system call a file. A replacement by
        rename, the way to bring out a new version, is ``"replaced"``: this model goes on with the old file.
        To serve the new one, open it, let new requests have it, and let go of the old one without closing
        it: it ends with the last request that uses it.

        Raises
        ------
        OSError
            If it cannot be told.
        """
        return self._source.change()

    def __enter__(self) -> Model:
        self._source.ensure_open()
        return self

    def __exit__(self, kind: object, exception: object, trace: object) -> None:
        if isinstance(exception, NotFoundError):
            exception.settle()
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._source.closed else f"{self.architecture}, {self.load_mode}"
        return f"<Model {self.path}: {state}>"
