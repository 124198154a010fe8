"""What an encoder is made of."""

from __future__ import annotations

from dataclasses import dataclass

from ..tables.table import EmbeddingTable
from .choice import Chosen
from .rules import Rules
from .spellings import Vocabulary


@dataclass(frozen=True)
class Parts:
    """The parts of one encoder.

    Attributes
    ----------
    table : EmbeddingTable
        The encoder closes it.
    rules : Rules
    vocabulary : Vocabulary
    chosen : Chosen
    """

    table: EmbeddingTable
    rules: Rules
    vocabulary: Vocabulary
    chosen: Chosen
