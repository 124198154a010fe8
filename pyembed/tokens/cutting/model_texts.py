"""What a model does with texts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from ...core.aliases import IdsLike
from ...tables.arguments import as_ids
from .cutter import TokenizedTexts
from .joining import join

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from ..vocabulary import Vocabulary


class Texts:
    """What an open model does with texts, by its vocabulary."""

    if TYPE_CHECKING:  # what a model has

        @property
        def vocabulary(self) -> Vocabulary: ...  # noqa: D102

    @overload
    def tokenize(  # type: ignore[overload-overlap]  # a text is texts, of one character each; it is not meant
        self, texts: str, *, add_special: bool = False, parse_special: bool = False
    ) -> npt.NDArray[np.int32]: ...
    @overload
    def tokenize(
        self, texts: Iterable[str], *, add_special: bool = False, parse_special: bool = False
    ) -> TokenizedTexts: ...
    def tokenize(
        self, texts: str | Iterable[str], *, add_special: bool = False, parse_special: bool = False
    ) -> Any:
        """Cut a text, or several, into tokens, as llama.cpp does with this model's vocabulary.

        Parameters
        ----------
        texts : str or iterable of str
            Of at most 2**24 characters each. An iterable is read a thousand texts at a time.
        add_special : bool, optional
            Whether a text begins and ends with the tokens that the vocabulary asks for, such as bos. A
            WordPiece vocabulary always asks for ``[CLS]`` and ``[SEP]``.
        parse_special : bool, optional
            Whether control tokens that are spelled out in a text, such as ``"<|im_end|>"``, become those
            tokens. Leave it off for texts of others: they may forge the end of a turn. User-defined tokens
            are found either way.

        Returns
        -------
        ndarray of int32, shape (n,), or TokenizedTexts
            The ids of one text. Of several: ``(ids, offsets)``, where text i has
            ``ids[offsets[i]:offsets[i + 1]]``; ids are int32, offsets int64, one more than there are texts.

        Raises
        ------
        ImportError
            If the extra ``text`` is not installed.
        VocabularyError
            If the file has no vocabulary, or no tokenizer can be made of it; the message names the part.
        TypeError
            For a text that is not a str.
        ValueError
            For a text that is too long, or has a lone surrogate.
        """
        return self.vocabulary.cutter.tokenize(texts, add_special=add_special, parse_special=parse_special)

    def detokenize(self, ids: IdsLike, *, special: bool = False) -> str:
        """Return the text that tokens stand for, one behind the other.

        Bytes that are not UTF-8, as of a character cut in two, become U+FFFD. The space that a vocabulary
        puts before a text is taken away. WordPiece keeps no spaces: there is one between words. Needs no
        other package.

        Parameters
        ----------
        ids : array-like of int
        special : bool, optional
            Whether control tokens are written as they are stored, or left out.

        Raises
        ------
        IndexError
            For an id that is not a token; the message names its position.
        TypeError
            If `ids` holds anything but integers.
        VocabularyError
            If the file has no vocabulary.
        """
        vocabulary = self.vocabulary
        n = len(vocabulary)
        flat = as_ids(ids, n, "id", "the vocabulary", "token").reshape(-1)
        outside = np.flatnonzero((flat < 0) | (flat >= n))
        if outside.size:
            where = int(outside[0])
            raise IndexError(f"id {flat[where]} at position {where} is not a token: the vocabulary has {n}")
        return join(vocabulary, vocabulary._metadata, flat, special=special)

    def tokenizer(self) -> Tokenizer:
        """Return the vocabulary as a ``tokenizers.Tokenizer`` that cuts as llama.cpp does.

        It is a new object each time, to truncate and pad with as you like. Control tokens are found in texts,
        as that package does it by default; docs/text.md lists the texts that it cuts differently.

        Raises
        ------
        ImportError
            If the extra ``text`` is not installed.
        VocabularyError
            If the file has no vocabulary, or no tokenizer can be made of it; the message names the part.
        """
        return self.vocabulary.cutter.tokenizer()

    def tokenizer_json(self, *, published_patterns: bool = False) -> str:
        """Return the vocabulary as the content of a ``tokenizer.json``. Needs no other package.

        Parameters
        ----------
        published_patterns : bool, optional
            Whether to cut with the patterns that the model's makers published, where they are known to differ
            from llama.cpp's in rare texts, such as ``"'\u017f"``. Some packages know a tokenizer by these.

        Raises
        ------
        VocabularyError
            If the file has no vocabulary, or no tokenizer can be made of it; the message names the part.
        """
        return self.vocabulary.cutter.json(published_patterns=published_patterns)
