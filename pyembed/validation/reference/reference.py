"""What a model is compared with: tokens, and rows where there are some."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from ...tables.table import EmbeddingTable
from ...tokens.token_list import TokenFile


@dataclass
class Rows:
    """Rows of a file, or why the rows that it has are not at hand.

    Attributes
    ----------
    table : EmbeddingTable or None
    unread : str or None
        Why rows that are there could not be read.
    left_out : str or None
        Why they were not to be read.
    close : callable
        Closes the file that they come from.
    """

    table: EmbeddingTable | None = None
    unread: str | None = None
    left_out: str | None = None
    close: Callable[[], None] = lambda: None

    @property
    def are_there(self) -> bool:
        """Whether the file has rows, read or not."""
        return self.table is not None or self.unread is not None or self.left_out is not None


@dataclass
class Reference:
    """What a file, a model or a digest states about tokens and rows.

    Attributes
    ----------
    file : TokenFile
        Tokens, and all that is known about them.
    rows : Rows
    is_model : bool
        Whether it is one file with tensors, which have types and names of their own.
    """

    file: TokenFile
    rows: Rows
    is_model: bool = False

    def __enter__(self) -> Reference:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.rows.close()
