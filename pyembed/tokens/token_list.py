"""One comparable form for the token lists of all kinds of files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ..errors import FormatError
from .token_text import SPACE_MARK, MarkedSpaces, Spelling, TokenType, WordPiece, spelling_of

MAX_TOKENS = 1 << 21
"""Eight times as many as the largest known tokenizer has: a longer list is not a vocabulary."""

MAX_ID = 2**31

Entries: TypeAlias = dict[int, tuple[str, int]]
"""Text and `TokenType` number by id."""


def token_bytes(text: str) -> bytes:
    """Return a text's bytes; lone surrogates, which JSON can contain, keep a form of their own."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def key_of(spelling: Spelling) -> Callable[[str, int], bytes]:
    """Return the function that maps a stored text and type to the form in which two files are compared.

    WordPiece becomes the ``##`` form of ``vocab.txt``, a byte alphabet the bytes themselves. U+2581 becomes a
    space in all tokens of a family that marks spaces with it, since converters replace it in some of them;
    byte tokens keep their ``<0xNN>``, which distinguishes them from the character of that byte.
    """
    if isinstance(spelling, WordPiece):
        return lambda text, type: token_bytes(spelling.written(text, type))
    if isinstance(spelling, MarkedSpaces):
        return lambda text, type: token_bytes(text.replace(SPACE_MARK, " "))
    return spelling.to_bytes


def spelling_for(family: str | None, pre: str | None = None) -> Spelling:
    """Return the spelling of a family named as ``tokenizer.ggml.model`` names it."""
    return spelling_of(family, pre, lowercase=False, strip_accents=False)


@dataclass
class TokenList:
    """Tokens in ascending order of id; ids may have gaps.

    Attributes
    ----------
    ids : list of int
    texts : list of str
        As the file stores them.
    keys : list of bytes
        What is compared, see `key_of`.
    types : list of int
        `TokenType` numbers; ``UNDEFINED`` where the file does not state one.
    scores : sequence of float or None
        NaN for tokens without one; None where the file has no scores.
    """

    ids: Sequence[int]
    texts: Sequence[str]
    keys: list[bytes]
    types: Sequence[int]
    scores: Sequence[float] | None = None

    def __len__(self) -> int:
        return len(self.ids)


def token_list(path: str, entries: Entries, key: Callable[[str, int], bytes]) -> TokenList:
    """Return the tokens of a mapping from id to text and type.

    Raises
    ------
    FormatError
        For more than `MAX_TOKENS` tokens.
    """
    check_number(path, len(entries))
    ids = sorted(entries)
    texts = [entries[token_id][0] for token_id in ids]
    types = [entries[token_id][1] for token_id in ids]
    return TokenList(ids, texts, [key(text, type) for text, type in zip(texts, types, strict=True)], types)


def bytes_list(path: str, entries: Entries, keys: Mapping[int, bytes]) -> TokenList:
    """Return tokens that are stored as bytes, `keys` by id; others stand for their texts."""
    check_number(path, len(entries))
    ids = sorted(entries)
    texts = [entries[token_id][0] for token_id in ids]
    found = [keys[i] if i in keys else token_bytes(text) for i, text in zip(ids, texts, strict=True)]
    return TokenList(ids, texts, found, [entries[token_id][1] for token_id in ids])


def check_number(path: str, n: int) -> None:
    """Raise FormatError for more tokens than a vocabulary can have."""
    if n > MAX_TOKENS:
        raise FormatError(f"{path}: {n} tokens; more than {MAX_TOKENS} are not a vocabulary", path)


@dataclass
class TokenFile:
    """What a file states about tokens.

    Attributes
    ----------
    kind : str
        What it is, for messages: ``"gguf file"``, ``"tokenizer.json"``, ...
    path : str
    family : str or None
        As ``tokenizer.ggml.model``; None where it has no tokens.
    tokens : TokenList or None
    digest : str or None
        ``"sha256:..."``, where that is known.
    special : mapping of str to int
        Ids by role, of the roles that it states.
    merges : sequence of str or None
        ``"left right"``, in order; None where it states none.
    pre : str or None
        As ``tokenizer.ggml.pre``; None where it states none.
    """

    kind: str
    path: str
    family: str | None = None
    tokens: TokenList | None = None
    digest: str | None = None
    special: Mapping[str, int] = field(default_factory=dict)
    merges: Sequence[str] | None = None
    pre: str | None = None


UNDEFINED, NORMAL, CONTROL, USER_DEFINED, UNKNOWN, UNUSED, BYTE = (
    int(kind)
    for kind in (
        TokenType.UNDEFINED,
        TokenType.NORMAL,
        TokenType.CONTROL,
        TokenType.USER_DEFINED,
        TokenType.UNKNOWN,
        TokenType.UNUSED,
        TokenType.BYTE,
    )
)
