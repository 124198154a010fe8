"""How each family of tokenizers spells the bytes of a token in the text that a file stores.

A family answers two questions: which bytes does a stored text stand for, and which stored texts could stand
for what a person wrote? The second is a list of guesses, best first; the vocabulary tries them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from enum import IntEnum
from typing import Protocol

from .._native import lib
from ..core.strings import decode_text, encode_text
from ..llama_cpp.pre_tokenizers import MARKED_PRE_TOKENIZERS, WITH_MARKED_SPACES, WITH_PLAIN_SPACES

SPACE_MARK = "\u2581"


class TokenType(IntEnum):
    """What a token is for, as ``tokenizer.ggml.token_type`` numbers it."""

    UNDEFINED = lib.PYE_TOKEN_UNDEFINED
    NORMAL = lib.PYE_TOKEN_NORMAL
    UNKNOWN = lib.PYE_TOKEN_UNKNOWN
    CONTROL = lib.PYE_TOKEN_CONTROL
    USER_DEFINED = lib.PYE_TOKEN_USER_DEFINED
    UNUSED = lib.PYE_TOKEN_UNUSED
    BYTE = lib.PYE_TOKEN_BYTE


PLAIN_TYPES = frozenset({TokenType.UNKNOWN, TokenType.CONTROL, TokenType.USER_DEFINED})
"""Types whose text stands for itself in every family."""


class Spelling(Protocol):
    """One family's way to store the texts of tokens."""

    def to_bytes(self, text: str, type: int) -> bytes:
        """Return the bytes that a token of this stored text and type stands for."""
        ...

    def guesses(self, wanted: str) -> Iterator[str]:
        """Yield stored texts that could be meant by `wanted`, best first."""
        ...

    def accepts(self, wanted: str, text: str, type: int) -> bool:
        """Return whether the token of this stored text and type is what `wanted` means."""
        ...

    def written(self, text: str, type: int) -> str:
        """Return what a person writes for it, which `guesses` and `accepts` lead back to the token."""
        ...


def text_bytes(text: str) -> bytes:
    """Return the bytes of a text that came out of a file."""
    return encode_text(text) or b""


class Plain:
    """Texts that stand for themselves."""

    def to_bytes(self, text: str, type: int) -> bytes:
        """Return the text's own bytes."""
        return text_bytes(text)

    def guesses(self, wanted: str) -> Iterator[str]:
        """Yield the text itself."""
        yield wanted

    def accepts(self, wanted: str, text: str, type: int) -> bool:
        """Return whether the token stands for just these bytes."""
        return self.to_bytes(text, type) == encode_text(wanted)

    def written(self, text: str, type: int) -> str:
        """Return the bytes it stands for as text."""
        return decode_text(self.to_bytes(text, type))


def _byte_alphabet() -> list[str]:
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (chr(0x100 + index) for index in range(256))
    return [chr(byte) if byte in printable else next(others) for byte in range(256)]


_SYMBOL_OF = _byte_alphabet()
_BYTE_OF = {symbol: byte for byte, symbol in enumerate(_SYMBOL_OF)}


class ByteAlphabet(Plain):
    """GPT-2's: each byte is one printable character. Special tokens are stored plainly.

    So is a normal token with a character outside the alphabet, which some converters let through.
    """

    def __init__(self, suffix: str = "") -> None:
        self._suffix = suffix

    def to_bytes(self, text: str, type: int) -> bytes:
        """Map each character back to its byte."""
        if self._suffix:
            text = text.removesuffix(self._suffix)
        if type in PLAIN_TYPES:
            return text_bytes(text)
        try:
            return bytes([_BYTE_OF[symbol] for symbol in text])
        except KeyError:
            return text_bytes(text)

    def guesses(self, wanted: str) -> Iterator[str]:
        """Yield the mapped text, then the plain one."""
        data = encode_text(wanted)
        if data is not None:
            mapped = "".join([_SYMBOL_OF[byte] for byte in data])
            if self._suffix:
                yield mapped + self._suffix
            yield mapped
            yield wanted


_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class MarkedSpaces(Plain):
    """SentencePiece's: plain text with U+2581 for a space, and byte tokens ``<0xNN>``."""

    mark = SPACE_MARK

    def to_bytes(self, text: str, type: int) -> bytes:
        """Turn marks into spaces, and a byte token into its byte."""
        if type == TokenType.BYTE:
            byte = _BYTE_TOKEN.fullmatch(text)
            return bytes([int(byte[1], 16)]) if byte else text_bytes(text)
        return text_bytes(text if type in PLAIN_TYPES else text.replace(self.mark, " "))

    def guesses(self, wanted: str) -> Iterator[str]:
        """Yield the text with marks, then as it is, then the byte token."""
        yield wanted.replace(" ", self.mark)
        yield wanted
        data = encode_text(wanted)
        if data is not None and len(data) == 1:
            yield f"<0x{data[0]:02X}>"


class PlainWithBytes(MarkedSpaces):
    """PLaMo's: plain text, spaces too, and byte tokens ``<0xNN>``."""

    mark = " "


class WordPiece(Plain):
    """BERT's: U+2581 before what begins a word, nothing before what continues one.

    A person writes ``word`` or ``" word"`` for the former and ``##ing`` for the latter.

    Parameters
    ----------
    lowercase, strip_accents : bool
        What the tokenizer does to a text before it looks for pieces.
    """

    def __init__(self, *, lowercase: bool, strip_accents: bool) -> None:
        self._lowercase = lowercase
        self._strip_accents = strip_accents

    def to_bytes(self, text: str, type: int) -> bytes:
        """Drop the mark: it says where a piece may stand and is not part of its bytes."""
        return text_bytes(text if type in PLAIN_TYPES else text.removeprefix(SPACE_MARK))

    def guesses(self, wanted: str) -> Iterator[str]:
        """Yield the piece as written, then as the tokenizer would fold it."""
        for form in dict.fromkeys([wanted, self._fold(wanted)]):
            if form.startswith("##") and form[2:3] not in ("", SPACE_MARK):
                yield form[2:]
            yield SPACE_MARK + form.removeprefix(" ")
        yield wanted

    def accepts(self, wanted: str, text: str, type: int) -> bool:
        """Refuse a continuation where a whole word was asked for; bracketed names may be stored unmarked."""
        if type in PLAIN_TYPES:
            return text == wanted
        if text.startswith(SPACE_MARK):
            return True
        bracketed = text.startswith("[") and text.endswith("]")
        return wanted.startswith("##") or (bracketed and text == wanted)

    def written(self, text: str, type: int) -> str:
        """Return a continuation with ``##`` before it, all else bare."""
        unmarked = type in PLAIN_TYPES or (text.startswith("[") and text.endswith("]"))
        return text.removeprefix(SPACE_MARK) if unmarked or text.startswith(SPACE_MARK) else f"##{text}"

    def _fold(self, text: str) -> str:
        if self._lowercase:
            text = text.lower()
        if self._strip_accents:
            # Letter by letter: of a whole text the marks would be sorted first, which may take their square.
            parts = "".join([unicodedata.normalize("NFD", letter) for letter in text])
            text = "".join(part for part in parts if unicodedata.category(part) != "Mn")
        return text


class PrefixedPieces(WordPiece):
    """BERT's in files of its own: nothing before what begins a word, a prefix before what continues one.

    A person writes it as for `WordPiece`: ``##`` before a continuation, whatever the file's prefix.
    """

    def __init__(self, prefix: str, *, lowercase: bool, strip_accents: bool) -> None:
        super().__init__(lowercase=lowercase, strip_accents=strip_accents)
        self._prefix = prefix

    def to_bytes(self, text: str, type: int) -> bytes:
        """Drop the prefix: it says where a piece may stand and is not part of its bytes."""
        return text_bytes(text if type in PLAIN_TYPES else text.removeprefix(self._prefix))

    def guesses(self, wanted: str) -> Iterator[str]:
        """Yield the piece as written, then as the tokenizer would fold it."""
        for form in dict.fromkeys([wanted, self._fold(wanted)]):
            if form.startswith("##"):
                yield self._prefix + form[2:]
            yield form.removeprefix(" ")

    def accepts(self, wanted: str, text: str, type: int) -> bool:
        """Refuse a special token where its text was not written just so."""
        return type not in PLAIN_TYPES or text == wanted

    def written(self, text: str, type: int) -> str:
        """Return a continuation with ``##`` before it, all else bare."""
        is_continuation = type not in PLAIN_TYPES and text.startswith(self._prefix)
        return f"##{text.removeprefix(self._prefix)}" if is_continuation else text


_ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_ESCAPED = {b"t": b"\t", b"n": b"\n", b"r": b"\r"}


class EscapedBytes(Plain):
    r"""RWKV's: the body of a Python bytes literal, such as ``\xe4\xbd`` or ``\n``."""

    def to_bytes(self, text: str, type: int) -> bytes:
        """Undo the escapes."""
        data = text_bytes(text)
        if type in PLAIN_TYPES:
            return data
        return _ESCAPE.sub(self._unescape, data)

    @staticmethod
    def _unescape(match: re.Match[bytes]) -> bytes:
        if match[1]:
            return bytes([int(match[1], 16)])
        return _ESCAPED.get(match[2], match[2])

    def guesses(self, wanted: str) -> Iterator[str]:
        """Yield the escaped text, then the plain one."""
        data = encode_text(wanted)
        if data is not None:
            yield repr(data)[2:-1]
        yield wanted


def spells_marked(model: str | None, pre: str | None) -> bool:
    """Return whether texts are stored plainly, with U+2581 for a space."""
    return model in WITH_MARKED_SPACES or (model == "gpt2" and pre in MARKED_PRE_TOKENIZERS)


def spelling_of(model: str | None, pre: str | None, *, lowercase: bool, strip_accents: bool) -> Spelling:
    """Return the spelling of a vocabulary by its ``tokenizer.ggml.model`` and ``.pre``."""
    if spells_marked(model, pre):
        return MarkedSpaces()
    if model in {"gpt2", "whitespace"}:
        return ByteAlphabet()
    if model == "hybriddna":
        return ByteAlphabet(suffix="\ue000")
    if model == "bert":
        return WordPiece(lowercase=lowercase, strip_accents=strip_accents)
    if model in WITH_PLAIN_SPACES:
        return PlainWithBytes()
    return EscapedBytes() if model == "rwkv" else Plain()


def as_text(wanted: str | bytes) -> str:
    """Return what `find` was given as text; bytes that are not UTF-8 become surrogates."""
    if isinstance(wanted, bytes):
        return decode_text(wanted)
    if not isinstance(wanted, str):
        raise TypeError(f"expected str or bytes, got {type(wanted).__name__}")
    return wanted
