"""What a vocabulary is judged by: one array for each property of its tokens and merges."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.constants import TextFlag
from ..files.metadata import Metadata, StringArray
from ..llama_cpp.special_tokens import ID_KEYS
from ..safe_text import quote
from ..tokens.token_text import TokenType, spells_marked
from ..tokens.vocabulary import Vocabulary

#: The flags of texts that hold a place.
PLACEHOLDER = int(TextFlag.PAD | TextFlag.UNUSED | TextFlag.RESERVED)
#: Characters of a token that a message quotes.
MAX_QUOTED = 40

Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def distinct(*parts: Ids) -> Ids:
    """Return the ids of some arrays, ascending, each once; NumPy's own would import numpy.ma for it."""
    ids: Ids = np.sort(np.concatenate(parts))
    kept: Ids = ids[np.diff(ids, prepend=ids[:1] - 1) != 0]
    return kept


class Facts:
    """The facts about the tokens of one vocabulary; all arrays are in order of id.

    Attributes
    ----------
    n : int
        Number of tokens.
    n_rows : int or None
        Number of rows of the token table; None where the file has none.
    model, pre : str or None
        The family and the pre-tokenizer, as the file has them.
    types : ndarray of int32
    typed, scored : bool
        Whether the file has types and scores at all.
    normal : ndarray of bool
        Which tokens are of type NORMAL: all, where the file has no types.
    tokens, products, merge_flags, first_merges : ndarray
        See `VocabularyFacts`.
    """

    def __init__(self, vocabulary: Vocabulary, metadata: Metadata, n_rows: int | None) -> None:
        self.vocabulary = vocabulary
        self.metadata = metadata
        self.n = len(vocabulary)
        self.n_rows = n_rows
        self.model, self.pre = vocabulary.model, vocabulary.pre
        self.types = self._numbers("token_type", np.dtype(np.int32), TokenType.NORMAL.value)
        self.typed = self.n > 0 and "tokenizer.ggml.token_type" in metadata
        self.scored = self.n > 0 and "tokenizer.ggml.scores" in metadata
        known = vocabulary.examine()
        self.tokens, self.products = known.tokens, known.products
        self.merge_flags, self.first_merges = known.merge_flags, known.first_merges
        self.normal: Mask = self.types == TokenType.NORMAL.value

    def _numbers(self, name: str, dtype: np.dtype[Any], absent: float) -> npt.NDArray[Any]:
        """Return an array of the metadata, which is known to be as long as the token list at least."""
        values = self.metadata.numbers(f"tokenizer.ggml.{name}")
        if values is None or values.size < self.n:
            return np.full(self.n, absent, dtype)
        return values[: self.n].astype(dtype, copy=False)

    # Flags meet arrays as plain ints: NumPy looks for its protocols on members of enumerations, in Python
    # code, and drops what a signal's handler raises there.

    def has(self, flag: int) -> Mask:
        """Return for each token whether its text has one of the flags."""
        if not self._all_flags & int(flag):
            return np.zeros(self.n, np.bool_)
        return np.asarray(self._flags & np.uint16(int(flag)) != 0)

    def have(self, ids: Ids, flag: int) -> Mask:
        """Return for each of some tokens whether its text has one of the flags."""
        return np.asarray(self._flags[ids] & np.uint16(int(flag)) != 0)

    def merges_with(self, flag: int) -> Ids:
        """Return the merges that have one of the flags, which few have."""
        if not self._all_merge_flags & int(flag):
            return np.empty(0, np.int64)
        return np.flatnonzero(self.merge_flags & np.uint8(int(flag)) != 0)

    @cached_property
    def scores(self) -> npt.NDArray[np.float32]:
        """The scores in order of id, zeros where the file has none."""
        return self._numbers("scores", np.dtype(np.float32), 0)

    @cached_property
    def special_ids(self) -> list[int]:
        """The ids that the file gives for tokens with a role."""
        ids = (self.metadata.integer(f"tokenizer.ggml.{name}") for name in ID_KEYS)
        return [token_id for token_id in ids if isinstance(token_id, int)]

    @cached_property
    def repeats(self) -> Ids:
        """The tokens whose text another token has that comes before."""
        return np.flatnonzero(self.tokens["first_id"] != np.arange(self.n, dtype=np.uint32))

    @cached_property
    def _all_merge_flags(self) -> int:
        return int(np.bitwise_or.reduce(self.merge_flags))

    @cached_property
    def _all_flags(self) -> int:
        return int(np.bitwise_or.reduce(self._flags, initial=0))

    @cached_property
    def _flags(self) -> npt.NDArray[np.uint16]:
        """A copy that lies together: it is gone through often."""
        return np.ascontiguousarray(self.tokens["flags"])

    @cached_property
    def marked(self) -> bool:
        """Whether texts are plain, with U+2581 for a space, although there may be merges."""
        return spells_marked(self.model, self.pre)

    @cached_property
    def splits(self) -> npt.NDArray[np.void]:
        """How each token's text can be cut in two; takes as long again as all else."""
        return self.vocabulary.examine(merges=False, splits=True).splits

    @property
    def merge_texts(self) -> StringArray | None:
        """The merges as they are written; None where there are none."""
        return self.metadata.strings("tokenizer.ggml.merges")

    def quote(self, token_id: int) -> str:
        """Return a token for a message: its id and its text."""
        text = self.vocabulary.tokens[token_id]
        return f"{token_id} {quote(text, MAX_QUOTED)}"

    def quote_some(self, ids: Iterable[int], most: int = 4) -> str:
        """Return the first few of some tokens for a message."""
        known = [int(token_id) for token_id in ids]
        more = f" and {len(known) - most} more" if len(known) > most else ""
        return ", ".join(self.quote(token_id) for token_id in known[:most]) + more
