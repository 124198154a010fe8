"""The tokens of a ``tokenizer.json``, as the package that cuts texts by it numbers them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .cutting.cutter import Piece, checked_text
from .listed import TYPES, ListedTokens, Token
from .readers.checked_reads import as_json, as_object
from .readers.tokenizer_json import read_tokenizer_json
from .token_list import NORMAL, UNUSED, TokenFile, spelling_for
from .token_text import PrefixedPieces, Spelling

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer


class FileVocabulary(ListedTokens):
    """The tokens of a tokenizer in order of id; an id that no token has is an unused token without a text.

    Parameters
    ----------
    path : str
        The ``tokenizer.json``, for messages, and for the files beside it that name tokens with a role.
    tokenizer : tokenizers.Tokenizer
        It says which id has which text: not every file does so rightly.
    n_most : int
        Rows of the table: tokens beyond it are left out.
    cut : callable
        Takes a text, and whether to put special tokens around it; returns an ``Encoding``.

    Raises
    ------
    FormatError
        If the file's tokens cannot be read.
    """

    def __init__(
        self, path: str, tokenizer: Tokenizer, n_most: int, cut: Callable[[str, bool], Encoding]
    ) -> None:
        self._cut, self._tokenizer = cut, tokenizer
        content = as_object(path, as_json(path, tokenizer.to_str().encode("utf-8")), "the content")
        stated = read_tokenizer_json(path, content)
        n = 1 + max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
        self._texts = [tokenizer.id_to_token(row) or "" for row in range(min(n, n_most))]
        self._types = _types(stated, self._texts)
        model = as_object(path, content.get("model"), "model")
        special = {"unk": self._unknown(model), **stated.special}
        self._special = {role: row for role, row in special.items() if row is not None and row < len(self)}
        self._family = stated.family
        self._prefix = str(model.get("continuing_subword_prefix") or "##")

    def _unknown(self, model: Mapping[str, Any]) -> int | None:
        text, row = model.get("unk_token"), model.get("unk_id")
        return self._lookup(text) if isinstance(text, str) else row if type(row) is int else None

    def __len__(self) -> int:
        return len(self._texts)

    def _read(self, first: int, n: int) -> list[Token]:
        tokens = []
        for row in range(first, first + n):
            text, kind = self._texts[row], int(self._types[row])
            tokens.append(Token(row, text, self._spelling.to_bytes(text, kind), 0.0, TYPES.get(kind, kind)))
        return tokens

    @property
    def tokens(self) -> Sequence[str]:
        """The texts in order of id, as the file stores them."""
        return self._texts

    @property
    def types(self) -> npt.NDArray[np.int32]:
        """The types in order of id, as `TokenType` numbers them; read-only."""
        return self._types

    @property
    def model(self) -> str | None:
        """The family, as GGUF files name it: ``"bert"`` for WordPiece, ``"t5"`` for Unigram, ..."""
        return self._family

    @property
    def pre(self) -> str | None:
        """None: the file has steps in place of a name."""
        return None

    @property
    def special(self) -> Mapping[str, int]:
        """Ids of the tokens with a role, which files beside a ``tokenizer.json`` name."""
        return self._special

    def pieces(self, text: str, *, add_special: bool = False, parse_special: bool = False) -> list[Piece]:
        """Return the tokens that a text is cut into, each with its place in it.

        Parameters
        ----------
        text : str
        add_special : bool, optional
            Whether the tokens that a text begins and ends with are among them.
        parse_special : bool, optional
            Makes no difference: the file says whether special tokens are found in texts.

        Raises
        ------
        VocabularyError
            If the vocabulary lacks what the text needs.
        TypeError, ValueError
            For what is not a text that can be cut.
        """
        found = self._cut(checked_text(text), add_special)
        places = zip(found.ids, found.tokens, found.offsets, strict=True)
        return [Piece(row, stored, start, end) for row, stored, (start, end) in places]

    @cached_property
    def _spelling(self) -> Spelling:
        if self._family != "bert":
            return spelling_for(self._family)
        folds = not any(self._lookup(letter) is not None for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        return PrefixedPieces(self._prefix, lowercase=folds, strip_accents=folds)

    def _lookup(self, text: str) -> int | None:
        row = self._tokenizer.token_to_id(text)
        return row if row is not None and row < len(self) else None

    def _type_of(self, token_id: int) -> int:
        return int(self._types[token_id])


def _types(stated: TokenFile, texts: list[str]) -> npt.NDArray[np.int32]:
    """Return the types of tokens: what the file states of the same text at the same id."""
    types = np.full(len(texts), NORMAL, np.int32)
    types[[row for row, text in enumerate(texts) if not text]] = UNUSED
    if stated.tokens is not None:
        for row, text, kind in zip(stated.tokens.ids, stated.tokens.texts, stated.tokens.types, strict=True):
            if row < len(texts) and texts[row] == text:
                types[row] = kind
    types.flags.writeable = False
    return types
