"""What a file says of its tokenizer, as llama.cpp reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from ..._native import lib
from ...errors import VocabularyError
from ...files.metadata import Metadata
from ...llama_cpp.special_tokens import CONTROL_TEXTS, CONTROL_TEXTS_BY_ROLE, ROLE_KEYS, USER_DEFINED_TEXTS
from ...safe_text import quote
from ..token_text import TokenType

if TYPE_CHECKING:
    from ..vocabulary import Vocabulary

_PREFIX = "tokenizer.ggml."
_FLAGS = (
    "add_bos_token",
    "add_eos_token",
    "add_space_prefix",
    "remove_extra_whitespaces",
    "normalizer.lowercase",
    "normalizer.nfc",
    "normalizer.strip_accents",
)
_UNKNOWN_IN_MERGE = lib.PYE_MERGE_LEFT_UNKNOWN | lib.PYE_MERGE_RIGHT_UNKNOWN | lib.PYE_MERGE_PRODUCT_UNKNOWN

#: Bytes of a map of characters: the largest known has 300 KB.
_MAX_CHARSMAP = 16 << 20


@dataclass
class TokenSource:
    """A tokenizer's parts, whatever file they are from.

    Attributes
    ----------
    path : str
    family : str or None
        As ``tokenizer.ggml.model``.
    pre : str or None
        As ``tokenizer.ggml.pre``.
    texts : list of str
        By id, as llama.cpp has them: up to a NUL, and a name in place of no text.
    types : list of int
        `TokenType` numbers, as llama.cpp has them: it knows some tokens by their texts.
    scores : sequence of float
    merges : list of str or None
        ``"left right"``, in order, each once.
    special : mapping of str to int
        Ids by role.
    flags : mapping of str to bool
        Those that the file states, by the key without ``tokenizer.ggml.``.
    charsmap : bytes or None
        SentencePiece's map of characters.
    name, architecture : str or None
    by_text : frozenset of str
        Texts of the tokens that llama.cpp gives another type than the file does.
    """

    path: str
    family: str | None
    pre: str | None
    texts: list[str]
    types: Sequence[int]
    scores: Sequence[float]
    merges: list[str] | None = None
    special: Mapping[str, int] = field(default_factory=dict)
    flags: Mapping[str, bool] = field(default_factory=dict)
    charsmap: bytes | None = None
    name: str | None = None
    architecture: str | None = None
    by_text: frozenset[str] = frozenset()

    def fail(self, message: str) -> NoReturn:
        """Raise the error that says why there is no tokenizer for this file."""
        raise VocabularyError(f"{self.path}: {message}", self.path)

    def of_type(self, *types: TokenType) -> list[int]:
        """Return the ids of the tokens of some types, ascending."""
        wanted = {int(kind) for kind in types}
        return [token_id for token_id, kind in enumerate(self.types) if kind in wanted]


def source_of(vocabulary: Vocabulary, metadata: Metadata) -> TokenSource:
    """Return what a GGUF file says of its tokenizer.

    Raises
    ------
    VocabularyError
        If two tokens have the same text, a text is not UTF-8, or a merge names what is not a token: no
        tokenizer can be made of such a file.
    """
    source = TokenSource(
        vocabulary._source.path,
        vocabulary.model,
        vocabulary.pre,
        _texts(vocabulary),
        vocabulary.types.tolist(),
        vocabulary.scores.tolist(),
        special=vocabulary.special,
        flags={key: flag for key in _FLAGS if (flag := metadata.flag(_PREFIX + key)) is not None},
        name=metadata.text("general.name"),
        architecture=metadata.text("general.architecture"),
    )
    _check_texts(source)
    stored = source.types
    source.types = _types_by_text(source, metadata)
    source.by_text = frozenset(
        text for text, a, b in zip(source.texts, stored, source.types, strict=True) if a != b
    )
    merges = metadata.strings(_PREFIX + "merges")
    if merges is not None:
        source.merges = _merges(source, vocabulary, list(merges))
    source.charsmap = _charsmap(source, metadata)
    return source


def _texts(vocabulary: Vocabulary) -> list[str]:
    texts = list(vocabulary.tokens)
    for token_id, text in enumerate(texts):
        if not text or "\0" in text:
            texts[token_id] = text.split("\0", 1)[0] or f"[EMPTY_{token_id}]"
    return texts


def _check_texts(source: TokenSource) -> None:
    if not source.texts:
        source.fail("the vocabulary has no tokens")
    try:
        "".join(source.texts).encode("utf-8")
    except UnicodeEncodeError:
        bad = next(i for i, text in enumerate(source.texts) if any("\ud800" <= c <= "\udfff" for c in text))
        source.fail(
            f"token {bad} {quote(source.texts[bad])} is not UTF-8, so that no tokenizer.json can hold it"
        )
    if len(set(source.texts)) < len(source.texts):
        first: dict[str, int] = {}
        for token_id, text in enumerate(source.texts):
            if first.setdefault(text, token_id) != token_id:
                source.fail(
                    f"tokens {first[text]} and {token_id} are both {quote(text)}: which is meant in a text?"
                )


def _texts_of_roles(metadata: Metadata) -> list[frozenset[str]]:
    """Return the texts of each role for which the file has no key."""
    stated = {role for role, key in ROLE_KEYS if _PREFIX + key in metadata}
    return [texts for role, texts in CONTROL_TEXTS_BY_ROLE.items() if role not in stated]


def control_texts(family: str | None, metadata: Metadata) -> frozenset[str]:
    """Return the texts that make a token a control token to llama.cpp, whatever its type."""
    always = CONTROL_TEXTS - {"</s>"} if family == "gemma4" else CONTROL_TEXTS
    return always.union(*_texts_of_roles(metadata))


def _types_by_text(source: TokenSource, metadata: Metadata) -> list[int]:
    """Return the types, with those that llama.cpp gives to some texts."""
    types = list(source.types)
    known = control_texts(source.family, metadata) | USER_DEFINED_TEXTS
    there = {text: token_id for token_id, text in enumerate(source.texts) if text in known}
    control = [token_id for text, token_id in there.items() if text in CONTROL_TEXTS]
    for texts in _texts_of_roles(metadata):
        control += sorted(token_id for text, token_id in there.items() if text in texts)[:1]
    for token_id in control:
        types[token_id] = int(TokenType.CONTROL)
    for text in there.keys() & USER_DEFINED_TEXTS:
        types[there[text]] = int(TokenType.USER_DEFINED)
    return types


def _merges(source: TokenSource, vocabulary: Vocabulary, merges: list[str]) -> list[str]:
    """Return the merges, of repeated ones the first, as llama.cpp has it."""
    flags = vocabulary.examine().merge_flags
    wrong = np.flatnonzero(flags & np.uint8(_UNKNOWN_IN_MERGE))
    if wrong.size:
        index = int(wrong[0])
        source.fail(
            f"{wrong.size} merges name what is not a token; first merge {index}, {quote(merges[index])}"
        )
    return merges if len(set(merges)) == len(merges) else list(dict.fromkeys(merges))


def _charsmap(source: TokenSource, metadata: Metadata) -> bytes | None:
    key = _PREFIX + "precompiled_charsmap"
    if key not in metadata:
        return None
    values = metadata.numbers(key, most=_MAX_CHARSMAP)
    if values is None or values.dtype.itemsize != 1:
        source.fail(f"{key} is {metadata.describe(key)}; expected at most {_MAX_CHARSMAP >> 20} MiB of bytes")
    return values.tobytes() or None
