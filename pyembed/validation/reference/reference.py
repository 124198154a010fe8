"""What a model is compared with: tokens, and rows where there are some."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from ...tables.table import EmbeddingTable
from ...tokens.token_list import TokenFile


@dataclass
class Reference(TokenFile):
    """What a file, a model or a digest says about tokens and rows.

    Attributes
    ----------
    table : EmbeddingTable or None
        Its rows.
    no_table : str
        Why there are none.
    close : callable
        Closes the file that the rows come from.
    """

    table: EmbeddingTable | None = None
    no_table: str = "it has no rows"
    close: Callable[[], None] = lambda: None

    @classmethod
    def of_tokens(cls, file: TokenFile) -> Reference:
        """Return a reference that has the tokens of a file, and no rows."""
        return cls(**vars(file))

    @property
    def is_model(self) -> bool:
        """Whether it is one file with tensors, which have types and names of their own."""
        return self.kind.endswith(" file")

    def __enter__(self) -> Reference:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
