"""What models call: texts to ids, and to pieces with their places."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .document import document_text, tokenizer_document
from .engine import build, refusals_named
from .source import TokenSource

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Characters of one text: `tokenizers` needs a few hundred bytes for each while it cuts.
MAX_CHARACTERS = 1 << 24
#: Characters and texts that are handed to `tokenizers` together.
_BATCH_CHARACTERS, _BATCH_TEXTS = 1 << 20, 4096
#: Texts that are checked together; a divisor of those of a batch.
_CHECKED_TEXTS = 64


class TokenizedTexts(NamedTuple):
    """The ids of several texts, one behind the other.

    Attributes
    ----------
    ids : ndarray of int32
    offsets : ndarray of int64
        One more than there are texts: text i has ``ids[offsets[i] : offsets[i + 1]]``.
    """

    ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]


class Piece(NamedTuple):
    """A token and where in a text it comes from.

    Attributes
    ----------
    id : int
    text : str
        The token's text as it is stored.
    start, end : int
        The characters of the text that it comes from are ``text[start:end]``. Tokens that share the bytes of
        one character share its place; a mark that was put before the text comes from no character.
    """

    id: int
    text: str
    start: int
    end: int


class Cutter:
    """One vocabulary as a tokenizer; built when it is first needed, by whichever thread needs it.

    Parameters
    ----------
    path : str
        For messages.
    source : callable
        Returns the `TokenSource`.
    """

    def __init__(self, path: str, source: Callable[[], TokenSource]) -> None:
        self._path = path
        self._source_of = source
        self._built: dict[bool, Tokenizer] = {}

    def source(self) -> TokenSource:
        """Return what the file says of its tokenizer."""
        return self._source_of()

    def json(self, *, published_patterns: bool = False) -> str:
        """Return the content of a ``tokenizer.json``; see `Model.tokenizer_json`."""
        return document_text(tokenizer_document(self._source_of(), published=published_patterns))

    def tokenizer(self, *, special: bool = True) -> Tokenizer:
        """Return a new tokenizer, in which control tokens are found in texts if they are `special`."""
        source = self._source_of()
        return build(source.path, tokenizer_document(source, special=special))

    def tokenize(
        self, texts: str | Iterable[str], *, add_special: bool, parse_special: bool
    ) -> npt.NDArray[np.int32] | TokenizedTexts:
        """Return the ids of a text, or of several; see `Model.tokenize`."""
        tokenizer = self._shared(parse_special)
        if isinstance(texts, str):
            return np.array(self._encoded(tokenizer, texts, add_special).ids, np.int32)
        found: list[npt.NDArray[np.int32]] = []
        sizes = [0]
        for batch in batches(texts):
            with refusals_named(self._path, "cut by it"):
                encodings = tokenizer.encode_batch_fast(batch, add_special_tokens=add_special)
            for encoding in encodings:
                found.append(np.array(encoding.ids, np.int32))
                sizes.append(len(found[-1]))
        ids = np.concatenate(found) if found else np.empty(0, np.int32)
        return TokenizedTexts(ids, np.cumsum(sizes, dtype=np.int64))

    def pieces(
        self, text: str, stored: Callable[[int], str], *, add_special: bool, parse_special: bool
    ) -> list[Piece]:
        """Return the tokens of a text with their places; `stored` gives a token's text."""
        encoding = self._encoded(self._shared(parse_special), text, add_special)
        return [
            Piece(token_id, stored(token_id), start, end)
            for token_id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
        ]

    def _encoded(self, tokenizer: Tokenizer, text: str, add_special: bool) -> Any:
        checked = checked_text(text)
        with refusals_named(self._path, "cut by it"):
            return tokenizer.encode(checked, add_special_tokens=add_special)

    def _shared(self, special: bool) -> Tokenizer:
        """Return the tokenizer that is kept; of threads that all build one, each gets the first."""
        tokenizer = self._built.get(special)
        if tokenizer is None:
            tokenizer = self._built.setdefault(special, self.tokenizer(special=special))
        return tokenizer


def batches(texts: Iterable[str], n_before_each: int = 0) -> Iterator[list[str]]:
    """Yield texts a few at a time, each checked; `n_before_each` characters are to be put before each."""
    if isinstance(texts, bytes | bytearray) or not isinstance(texts, Iterable):
        raise TypeError(f"a text is a str; got {type(texts).__name__}")
    # Texts that are in memory anyway are checked many at a time; others are asked for one by one.
    n_together = _CHECKED_TEXTS if isinstance(texts, list | tuple) else 1
    source = iter(texts)
    batch: list[str] = []
    n_characters = n_before = 0
    while group := list(islice(source, n_together)):
        n_group = _characters_of_good(group, n_before_each)
        # Long texts are too many for one batch, and where one is at fault it is found in its turn.
        parts = [group] if n_group is not None else [[text] for text in group]
        for part in parts:
            n_alone = len(checked_text(part[0], n_before)) + n_before_each if n_group is None else n_group
            n_characters += n_alone
            n_before += len(part)
            batch += part
            if n_characters >= _BATCH_CHARACTERS or len(batch) >= _BATCH_TEXTS:
                yield batch
                batch, n_characters = [], 0
    if batch:
        yield batch


def _characters_of_good(texts: list[str], n_before_each: int) -> int | None:
    """Return how many characters some texts have; None where they fill a batch, or are not all texts."""
    if set(map(type, texts)) != {str}:
        return None
    n_characters = sum(map(len, texts)) + len(texts) * n_before_each
    if n_characters > _BATCH_CHARACTERS:
        return None
    joined = "".join(texts)
    try:
        return n_characters if joined.isascii() or joined.encode("utf-8") else None
    except UnicodeEncodeError:
        return None


def checked_text(text: Any, index: int | None = None) -> str:
    """Return a text that can be cut; `index` is its place among others.

    Raises
    ------
    TypeError
        If it is not a str.
    ValueError
        If it has more than `MAX_CHARACTERS`, or a surrogate, which no text has.
    """
    which = "the text" if index is None else f"text {index}"
    if not isinstance(text, str):
        raise TypeError(f"{which} is of type {type(text).__name__}; expected str: decode bytes first")
    if len(text) > MAX_CHARACTERS:
        raise ValueError(
            f"{which} has {len(text)} characters; at most {MAX_CHARACTERS} are cut at once: give it in parts "
            "that end where a line does"
        )
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{which} has the lone surrogate U+{ord(text[error.start]):04X} at character {error.start}: "
                "decode bytes as what they are, or with errors='replace'"
            ) from None
    return text
