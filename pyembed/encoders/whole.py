"""What an encoder's tokenizer does besides cutting: tokens around a text, their places, texts of ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..tokens.cutting.engine import refusals_named
from ..tokens.file_vocabulary import FileVocabulary

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer


class WholeTokenizer:
    """The tokenizer that cuts an encoder's texts, with what its file puts around them, and without a limit.

    A second tokenizer for that would take as much memory again, hundreds of megabytes for a large vocabulary.

    Parameters
    ----------
    path : str
        For messages.
    tokenizer : tokenizers.Tokenizer
        Without a post-processor.
    around : tokenizers.processors.PostProcessor or None
        What puts tokens around texts, and corrects places.
    """

    def __init__(self, path: str, tokenizer: Tokenizer, around: Any) -> None:
        self._path, self._tokenizer, self._around = path, tokenizer, around

    def cut(self, text: str, *, add_special: bool) -> Encoding:
        """Return the tokens of a text.

        Raises
        ------
        VocabularyError
            If the vocabulary lacks what the text needs, such as an unknown token.
        """
        with refusals_named(self._path, "cut by it"):
            found = self._tokenizer.encode(text, add_special_tokens=False)
            return found if self._around is None else self._around.process(found, None, add_special)

    def join(self, ids: Sequence[int], *, skip_special: bool) -> str:
        """Return the text of some ids."""
        return self._tokenizer.decode(ids, skip_special_tokens=skip_special)

    def listed(self, n_rows: int) -> FileVocabulary:
        """Return the tokens of a table's rows; raises as `FileVocabulary` does."""
        return FileVocabulary(
            self._path, self._tokenizer, n_rows, lambda text, special: self.cut(text, add_special=special)
        )

    @property
    def n_tokens(self) -> int:
        """How many tokens there are, with the added ones."""
        return self._tokenizer.get_vocab_size(with_added_tokens=True)
