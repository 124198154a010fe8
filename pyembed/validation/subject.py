"""What is being validated: an open file, its parts opened once and shared by all kinds of evidence."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from ..core.handle import Source
from ..core.progress import Report, silent
from ..core.records import TensorInfo
from ..errors import FormatError
from ..files.metadata import Metadata, Tensors
from ..llama_cpp.architectures import OTHER_OUTPUT, OTHER_PER_LAYER
from ..tables.table import EmbeddingTable
from ..tokens.vocabulary import Vocabulary
from .facts import Facts


@dataclass
class Subject:
    """An open model file and what was found out about it so far.

    Attributes
    ----------
    source, metadata, tensors
        The open file.
    vocabulary : Vocabulary or None
        None where the file has no usable one; `vocabulary_error` then says why.
    open_table : callable
        Returns the table of a tensor by its name.
    table_name : str
        The tensor that should hold the token embeddings.
    report : callable
        Called with what is being done and the share of it that is done, between 0 and 1, during long work.
    level : str
        How deep to look: ``"header"``, ``"order"`` or ``"full"``. Rows are read at ``"full"`` only: opening a
        table reads all of it in some load modes.
    reference : object
        What to compare with, as the caller gave it; None where there is nothing.
    """

    source: Source
    metadata: Metadata
    tensors: Tensors
    vocabulary: Vocabulary | None
    vocabulary_error: FormatError | None
    open_table: Callable[[str], EmbeddingTable]
    table_name: str
    report: Report = field(default=silent)
    level: str = "full"
    reference: object = None

    @cached_property
    def facts(self) -> Facts | None:
        """What the vocabulary is judged by; None where there is no vocabulary."""
        if self.vocabulary is None:
            return None
        table = self.tensors.get(self.table_name)
        n_rows = None if table is None else math.prod(table.shape[:-1])
        return Facts(self.vocabulary, self.metadata, n_rows)

    @property
    def architecture(self) -> str | None:
        """``general.architecture``; None where the file does not say."""
        return self.metadata.text("general.architecture")

    @property
    def token_tables(self) -> dict[str, TensorInfo]:
        """The tensors with a row for each token by name, whatever their shapes; first the token table."""
        names = {
            self.table_name: True,
            "output.weight": self.architecture not in OTHER_OUTPUT,
            "per_layer_token_embd.weight": self.architecture not in OTHER_PER_LAYER,
        }
        return {name: self.tensors[name] for name, is_one in names.items() if is_one and name in self.tensors}

    @property
    def table(self) -> EmbeddingTable | None:
        """The table of token embeddings; None where the file has none that can be decoded."""
        if self.table_name not in self.tensors:
            return None
        try:
            return self.open_table(self.table_name)
        except FormatError:
            return None
