"""What all lists of tokens have in common: tokens by id, and by the texts that people write."""

from __future__ import annotations

import operator
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt

from ..errors import NotFoundError, nearest_names
from ..safe_text import quote
from .cutting.cutter import Piece
from .token_text import SPACE_MARK, Spelling, TokenType, as_text

#: Types by their numbers; a file may have others, which stay numbers.
TYPES = {int(kind): kind for kind in TokenType}

_MAX_COMPARED = 4000


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a vocabulary.

    Attributes
    ----------
    id : int
        Its number, which is the row of the token in the model's table.
    text : str
        As the file stores it.
    bytes : bytes
        What the token stands for in a text. Of WordPiece, the piece itself, without any mark.
    score : float
        0 where the file has no scores.
    type : TokenType or int
        A plain int for a number outside `TokenType`; NORMAL where the file has no types.
    """

    id: int
    text: str
    bytes: bytes
    score: float
    type: TokenType | int


class ListedTokens(Sequence[Token]):
    """The tokens of a model or a tokenizer's file, in order of id: what names the rows of a table."""

    @property
    @abstractmethod
    def tokens(self) -> Sequence[str]:
        """The stored texts in order of id."""

    @property
    @abstractmethod
    def types(self) -> npt.NDArray[np.int32]:
        """The types in order of id, as `TokenType` numbers them; read-only."""

    @property
    @abstractmethod
    def model(self) -> str | None:
        """The family, as ``tokenizer.ggml.model`` names it: ``"gpt2"``, ``"llama"``, ``"bert"``, ..."""

    @property
    @abstractmethod
    def pre(self) -> str | None:
        """The pre-tokenizer, as ``tokenizer.ggml.pre`` names it; None where nothing says so."""

    @property
    @abstractmethod
    def special(self) -> Mapping[str, int]:
        """Ids of the tokens with a role, by its name."""

    @abstractmethod
    def pieces(self, text: str, *, add_special: bool = False, parse_special: bool = False) -> list[Piece]:
        """Return the tokens that a text is cut into, each with its place in it."""

    @property
    @abstractmethod
    def _spelling(self) -> Spelling: ...

    @abstractmethod
    def _lookup(self, text: str) -> int | None:
        """Return the lowest id of a stored text."""

    @abstractmethod
    def _type_of(self, token_id: int) -> int: ...

    @abstractmethod
    def _read(self, first: int, n: int) -> list[Token]:
        """Return the `n` tokens from id `first` on; the caller has checked that they exist."""

    @overload
    def __getitem__(self, index: int) -> Token: ...
    @overload
    def __getitem__(self, index: slice) -> list[Token]: ...
    def __getitem__(self, index: int | slice) -> Token | list[Token]:
        n = len(self)
        if isinstance(index, slice):
            positions = range(n)[index]
            if positions.step == 1:
                return self._read(positions.start, len(positions))
            return [self._read(position, 1)[0] for position in positions]
        position = operator.index(index)
        if not -n <= position < n:
            raise IndexError(f"id {position} is not a token: the vocabulary has {n}")
        return self._read(position % n, 1)[0]

    def id(self, text: str) -> int:
        """Return the lowest id whose stored text is exactly `text`.

        Stored texts mark what begins a word in many families: where both ``"\u2581file"`` and ``"file"`` are
        tokens, ``id("file")`` is the one that continues a word. `find` takes texts as a person writes them.

        Returns
        -------
        int
            From 0 up to the number of tokens, that not included.

        Raises
        ------
        NotFoundError
            (a KeyError) if there is none; its message names texts that are spelled alike.
        """
        found = self._lookup(text) if isinstance(text, str) else None
        if found is None:
            why = self._found_as(text)
            raise NotFoundError(f"no token is stored as {quote(text)}{why}", lambda: self._near(str(text)))
        return found

    def _found_as(self, text: object) -> str:
        """Return what `find` makes of a text that is not stored so, for a message."""
        with suppress(NotFoundError):
            return f", but find() takes it for id {self.find(text)}" if isinstance(text, str) else ""
        return ""

    def find(self, text: str | bytes) -> int:
        r"""Return the id of the token that stands for `text`, as a person writes it.

        A space is a space, a newline a newline; bytes that are not valid text may be given as bytes. Control
        tokens are written as they are stored, ``"[CLS]"`` or ``"<|endoftext|>"``. In a WordPiece vocabulary
        ``"king"`` and ``" king"`` both mean the piece that begins a word and ``"##ing"`` one that continues
        it, and case and accents are folded as the tokenizer does where the exact text is absent.

        Returns
        -------
        int
            The id, as `id` returns it.

        Raises
        ------
        NotFoundError
            (a KeyError) if no single token stands for it; its message names some that come near.
        TypeError
            If it is neither text nor bytes.
        """
        wanted = as_text(text)
        spelling = self._spelling
        for guess in spelling.guesses(wanted):
            found = self._lookup(guess)
            if found is not None and spelling.accepts(wanted, guess, self._type_of(found)):
                return found
        continuation = self._lookup(wanted)
        why = f"; id {continuation} is stored so, and continues a word" if continuation is not None else ""
        raise NotFoundError(f"no token stands for {quote(text)}{why}", lambda: self.near(wanted))

    def written(self, token_id: int) -> str:
        """Return what a person writes for a token, which in general leads `find` back to it.

        Raises
        ------
        IndexError
            If no token has that id.
        """
        token = self[token_id]
        return self._spelling.written(token.text, token.type)

    def _near(self, wanted: str) -> list[str]:
        """Return stored texts that are spelled like `wanted`.

        Only texts that begin with the same letter and are about as long are compared closely, and at most a
        few thousand of them: enough to spot a slip, and never slow.
        """
        letters = _letters(wanted)
        first = {letters[:1], letters[:1].upper()}
        n_least, n_most = len(letters) - 2, len(letters) + 3  # one more for a mark
        by_letters: dict[str, str] = {}
        for text in self.tokens:
            if n_least <= len(text) <= n_most and not first.isdisjoint(text[:2]):
                bare = _letters(text)
                if bare[:1] == letters[:1]:
                    by_letters.setdefault(bare, text)
                    if len(by_letters) == _MAX_COMPARED:
                        break
        exact = by_letters.pop(letters, None)
        near = [by_letters[key] for key in nearest_names(letters, by_letters)]
        return ([exact] if exact is not None else []) + near

    def near(self, wanted: str) -> list[str]:
        """Return what a person writes for a few tokens that are spelled like `wanted`, the best first."""
        near = [token for text in self._near(wanted) if (token := self._lookup(text)) is not None]
        return [self.written(token_id) for token_id in near]


def _letters(text: str) -> str:
    """Return a text without the marks that families put around it, for comparing spellings."""
    return text.strip(f" #{SPACE_MARK}\u0120\u010a").casefold()
