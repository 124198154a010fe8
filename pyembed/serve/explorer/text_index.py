"""Finding tokens by a part of their text, as a person types it."""

from __future__ import annotations

import numpy as np

from ...core.strings import decode_text
from ...tokens.listed import ListedTokens
from .shown import shown


class TextIndex:
    """The texts of all tokens, one a line, in one string that is searched as a whole."""

    def __init__(self, vocabulary: ListedTokens) -> None:
        # What is shown holds no line break.
        lines = [shown(decode_text(token.bytes)).casefold() for token in vocabulary]
        self._ends = np.cumsum([len(line) + 1 for line in lines], dtype=np.int64)
        self._texts = "\n".join(lines) + "\n"

    def find(self, text: str, most: int) -> list[int]:
        """Return ids of at most `most` tokens with `text` in theirs: those that begin with it come first."""
        wanted = shown(text).casefold()
        if not wanted:
            return []
        found: dict[int, None] = {}
        for form in (f"\n{wanted}\n", f"\n {wanted}\n", f"\n{wanted}", f"\n {wanted}", wanted):
            at = self._texts.find(form)
            while at >= 0 and len(found) < most:
                shift = form.startswith("\n")
                found.setdefault(int(np.searchsorted(self._ends, at + shift, side="right")))
                at = self._texts.find(form, at + 1)
        return list(found)
