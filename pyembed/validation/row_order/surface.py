"""What tokens look like when family, case and spaces are taken away: the text that variants share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ...tokens.token_text import TokenType

#: Letters of a text that are looked at. Few tokens are longer, and a hostile one may have a million.
MAX_LETTERS = 24
_MAX_BYTES = 4 * MAX_LETTERS

#: Types whose text is a name rather than a spelling.
_NAMES = frozenset({TokenType.UNKNOWN, TokenType.CONTROL, TokenType.UNUSED, TokenType.BYTE})
#: Texts that name a token, whatever its type says: <s>, <|end|>, [PAD], [unused7].
_NAME = re.compile(rb"<[^<>\s][^<>]*>|\[[A-Za-z_]+[ _]?[0-9]*\]")


def surfaces(texts: Iterable[bytes], types: Sequence[int]) -> list[str]:
    """Return what each token looks like, ``""`` where it has no spelling of its own.

    Parameters
    ----------
    texts : iterable of bytes
        What each token stands for.
    types : sequence of int
        Their `TokenType`.

    Returns
    -------
    list of str
        Case-folded, without spaces around, at most `MAX_LETTERS` long. A byte that is not UTF-8 counts as a
        letter of its own.
    """
    return [
        "" if kind in _NAMES or _NAME.fullmatch(text, 0, _MAX_BYTES) else _fold(text)
        for text, kind in zip(texts, types, strict=True)
    ]


def _fold(text: bytes) -> str:
    letters = text[:_MAX_BYTES].decode("utf-8", "surrogateescape")
    # NUL ends a text in the arrays that the texts are compared in.
    return letters.strip().casefold().replace("\0", "\ufffd")[:MAX_LETTERS]
