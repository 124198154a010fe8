"""One comparable form for the token lists of all kinds of files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import FormatError
from .token_text import SPACE_MARK, MarkedSpaces, Spelling, TokenType, WordPiece, spelling_of

MAX_TOKENS = 1 << 22
"""More than any tokenizer has, by a factor of ten: a longer list is refused."""

MAX_ID = 2**31


def token_bytes(text: str) -> bytes:
    """Return a text's bytes; lone surrogates, which JSON can spell, keep a form of their own."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def key_of(spelling: Spelling) -> Callable[[str, int], bytes]:
    """Return what turns a stored text and type into the form in which tokens of two files are compared.

    WordPiece becomes the ``##`` form of ``vocab.txt``, a byte alphabet the bytes themselves. Where U+2581
    stands for a space it becomes one in all tokens, since converters do that to some of them; byte tokens
    keep their ``<0xNN>``, which sets them apart from the character of that byte.
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
        `TokenType` numbers; ``UNDEFINED`` where the file does not say.
    scores : sequence of float or None
    """

    ids: Sequence[int]
    texts: Sequence[str]
    keys: list[bytes]
    types: Sequence[int]
    scores: Sequence[float] | None = None

    def __len__(self) -> int:
        return len(self.ids)


def token_list(
    path: str, entries: Mapping[int, tuple[str, int]], key: Callable[[str, int], bytes]
) -> TokenList:
    """Return the tokens of a mapping from id to text and type.

    Raises
    ------
    FormatError
        For an id that cannot be one, or too many tokens.
    """
    if len(entries) > MAX_TOKENS:
        raise FormatError(f"{path}: {len(entries)} tokens; at most {MAX_TOKENS} are read", path)
    ids = sorted(entries)
    for wrong in [*ids[:1], *ids[-1:]]:
        if not 0 <= wrong < MAX_ID:
            raise FormatError(f"{path}: {wrong} is not a token id: ids are from 0 to 2^31 - 1", path)
    texts = [entries[token_id][0] for token_id in ids]
    types = [entries[token_id][1] for token_id in ids]
    return TokenList(ids, texts, [key(text, type) for text, type in zip(texts, types, strict=True)], types)


@dataclass
class TokenFile:
    """What a file says about tokens.

    Attributes
    ----------
    kind : str
        What it is, for messages: ``"GGUF file"``, ``"tokenizer.json"``, ...
    path : str
    family : str or None
        As ``tokenizer.ggml.model``; None where it has no tokens.
    tokens : TokenList or None
    digest : str or None
        ``"sha256:..."``, where that is known.
    special : mapping of str to int
        Ids by role; only roles that it states.
    merges : sequence of str or None
        ``"left right"``, in order.
    pre : str or None
    """

    kind: str
    path: str
    family: str | None = None
    tokens: TokenList | None = None
    digest: str | None = None
    special: Mapping[str, int] = field(default_factory=dict)
    merges: Sequence[str] | None = None
    pre: str | None = None


NORMAL, CONTROL, USER_DEFINED, UNKNOWN, UNUSED, BYTE = (
    int(kind)
    for kind in (
        TokenType.NORMAL,
        TokenType.CONTROL,
        TokenType.USER_DEFINED,
        TokenType.UNKNOWN,
        TokenType.UNUSED,
        TokenType.BYTE,
    )
)
