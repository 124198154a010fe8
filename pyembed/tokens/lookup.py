"""What a person means by a word: the token of the whole word, as a vocabulary spells it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from ..core.strings import decode_text
from ..errors import NotFoundError
from ..safe_text import quote
from .listed import ListedTokens

_LONGEST_WORD = 256
_LONGEST_PIECE = 64  # characters; longer tokens are not found by `pieces`, which is for messages


def find_word(vocabulary: ListedTokens, text: str | bytes) -> int:
    """Return the id of the token that a person means by `text`.

    ``"king"`` is the token of the whole word, as it stands after a space in a text, where the vocabulary has
    one, else the token of just these letters. Texts that do not begin with a letter or a digit, such as
    ``" king"``, ``"<|endoftext|>"`` or ``"."``, are looked for as they are first. `Vocabulary.find` says how
    a text is written; a text just as it is stored will do too.

    Raises
    ------
    NotFoundError
        (a KeyError) if it is not a single token; the message shows its pieces and words spelled alike.
    """
    written = decode_text(text) if isinstance(text, bytes) else text
    if not isinstance(written, str):
        raise TypeError(f"a word is a {type(text).__name__}; expected str")
    for form in _forms(written):
        found = _find(vocabulary, form)
        if found is not None:
            return found
    with suppress(NotFoundError):
        return vocabulary.id(written)
    parts = pieces(vocabulary, written)
    why = f": its pieces are {' + '.join(map(quote, parts))}" if parts else ""
    raise NotFoundError(f"{quote(written)} is not a single token{why}", lambda: vocabulary.near(written))


def _forms(text: str) -> Iterator[str]:
    if text[:1].isalnum():
        yield f" {text}"
        yield text
    else:
        yield text
        if text[:1] != " ":
            yield f" {text}"


def _find(vocabulary: ListedTokens, text: str) -> int | None:
    try:
        return vocabulary.find(text)
    except NotFoundError:
        return None


def pieces(vocabulary: ListedTokens, text: str) -> list[str]:
    """Return stored texts of tokens that make up `text`, the longest first from left to right; [] if none do.

    What a tokenizer does may differ in detail: this shows a person why a word is not a token. A text
    longer than any word has none.
    """
    if len(text) > _LONGEST_WORD:
        return []
    for whole in _forms(text):
        found = _greedy(vocabulary, whole)
        if found:
            return found
    return []


def _greedy(vocabulary: ListedTokens, text: str) -> list[str]:
    continues = "##" if vocabulary.model == "bert" else ""
    tokens = vocabulary.tokens
    found: list[str] = []
    at = 0
    while at < len(text):
        for end in range(min(len(text), at + _LONGEST_PIECE), at, -1):
            token = _find(vocabulary, (continues if found else "") + text[at:end])
            if token is not None:
                found.append(tokens[token])
                at = end
                break
        else:
            return []
    return found


def variants(vocabulary: ListedTokens, token_id: int) -> set[int]:
    """Return the ids of tokens that spell the same word: other case, with and without a space, a plural s.

    The token itself is among them.
    """
    token = vocabulary[token_id]
    word = decode_text(token.bytes).strip().casefold()
    marks = ("", " ", "##") if vocabulary.model == "bert" else ("", " ")
    found = {token_id}
    for base in dict.fromkeys([word, f"{word}s", word.removesuffix("s")]):
        if not base:
            continue
        for form in dict.fromkeys([base, base.capitalize(), base.title(), base.upper()]):
            for mark in marks:
                match = _find(vocabulary, mark + form)
                if match is not None:
                    found.add(match)
    return found
