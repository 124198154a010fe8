"""SentencePiece's ``.model``: the pieces and roles of a serialized ``ModelProto``."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ...errors import FormatError
from ..token_list import (
    CONTROL,
    MAX_TOKENS,
    NORMAL,
    UNKNOWN,
    Entries,
    TokenFile,
    key_of,
    spelling_for,
    token_list,
)
from .hugging_face_config import added_tokens, overlaid, special_ids

KIND = "SentencePiece model"

_PIECE, _TRAINER, _NORMALIZER = 1, 2, 3  # fields of ModelProto
_MODEL_TYPE = 3  # of TrainerSpec
_UNIGRAM, _BPE = 1, 2
_CHARSMAP, _DUMMY_PREFIX, _EXTRA_SPACES = 2, 3, 4  # of NormalizerSpec
_TEXT, _SCORE, _TYPE = 1, 2, 3  # of a piece
#: Fields of TrainerSpec with the pieces that have a role, and what stands there if they do not.
_ROLES = {45: ("unk", "<unk>"), 46: ("bos", "<s>"), 47: ("eos", "</s>"), 48: ("pad", "<pad>")}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

_FAIRSEQ = ("<s>", "<pad>", "</s>", "<unk>")
#: Where fairseq puts the pieces that SentencePiece has at 0, 1 and 2; all others come one later.
_FAIRSEQ_ID = {"<unk>": 3, "<s>": 0, "</s>": 2}


@dataclass(frozen=True)
class Pieces:
    """The pieces of a model by id, with their scores, and the tokens with a role."""

    entries: Entries
    scores: Mapping[int, float]
    roles: Mapping[str, int]

    def in_fairseq_order(self) -> Pieces | None:
        """Return them with the ids that fairseq gives them; None if they do not begin as fairseq expects.

        fairseq has a dictionary of its own, in XLM-R and its like: ``<s> <pad> </s> <unk>`` come first, and
        piece i of the SentencePiece model, from 3 on, is token i + 1.
        """
        if [self.entries.get(i, ("", 0))[0] for i in range(3)] != list(_FAIRSEQ_ID):
            return None
        new = {i: i + 1 if i >= 3 else _FAIRSEQ_ID[self.entries[i][0]] for i in self.entries}
        return Pieces(
            {new[i]: entry for i, entry in self.entries.items()},
            {new[i]: score for i, score in self.scores.items()},
            {role: new[i] for role, i in self.roles.items()},
        )


@dataclass
class SentencePieceFile(TokenFile):
    """What a SentencePiece model and the files beside it say about tokens.

    Attributes
    ----------
    pieces : Pieces or None
        The pieces alone.
    added : mapping
        The added tokens of the files beside it, by id.
    """

    pieces: Pieces | None = None
    added: Entries | None = None

    def in_fairseq_order(self) -> SentencePieceFile | None:
        """Return the file with fairseq's ids for its pieces; None where that cannot be, or is so already."""
        renumbered = self.pieces.in_fairseq_order() if self.pieces is not None else None
        return None if renumbered is None else _file(self.path, renumbered, self.added or {}, None)


def begins_as_fairseq(texts: list[str]) -> bool:
    """Return whether a vocabulary begins with the four tokens that fairseq puts first."""
    return tuple(texts[:4]) == _FAIRSEQ


def read_sentencepiece(path: str, data: bytes) -> SentencePieceFile:
    """Return the pieces of a model, with the added tokens and roles that files beside it state."""
    added = added_tokens(os.path.dirname(path) or ".")
    pieces = _read_pieces(path, data)
    if begins_as_fairseq([added.get(i, ("", 0))[0] for i in range(4)]):
        renumbered = pieces.in_fairseq_order()
        if renumbered is not None:
            return _file(path, renumbered, added, None)
    return _file(path, pieces, added, pieces)


@dataclass(frozen=True)
class Rules:
    """How a SentencePiece model cuts texts.

    Attributes
    ----------
    is_unigram : bool or None
        False for BPE, None where the file does not say it.
    charsmap : bytes
    adds_prefix, squeezes_spaces : bool
        Whether a text begins with a space, and whether runs of spaces become one.
    """

    is_unigram: bool | None
    charsmap: bytes
    adds_prefix: bool
    squeezes_spaces: bool


def read_rules(path: str, data: bytes) -> Rules:
    """Return how a model cuts texts.

    Raises
    ------
    FormatError
        If it is damaged, or of another kind than unigram and BPE.
    """
    kind, charsmap, flags = 0, b"", {_DUMMY_PREFIX: 1, _EXTRA_SPACES: 1}
    try:
        for field, wire, first, last in _fields(data, 0, len(data)):
            if wire != _BYTES or field not in (_TRAINER, _NORMALIZER):
                continue
            for inner, inner_wire, begin, end in _fields(data, first, last):
                if field == _TRAINER and inner == _MODEL_TYPE and inner_wire == _VARINT:
                    kind, _ = _varint(data, begin, end)
                elif field == _NORMALIZER and inner == _CHARSMAP and inner_wire == _BYTES:
                    charsmap = data[begin:end]
                elif field == _NORMALIZER and inner in flags and inner_wire == _VARINT:
                    flags[inner], _ = _varint(data, begin, end)
        if kind not in (0, _UNIGRAM, _BPE):
            raise ValueError(f"a model of type {kind}; known: 1 (unigram), 2 (BPE)")
    except ValueError as error:
        raise FormatError(f"{path}: not a SentencePiece model: {error}", path) from None
    is_unigram = kind == _UNIGRAM if kind else None
    return Rules(is_unigram, charsmap, bool(flags[_DUMMY_PREFIX]), bool(flags[_EXTRA_SPACES]))


def is_sentencepiece(head: bytes) -> bool:
    """Return whether a file begins with a piece, as a ``ModelProto`` does."""
    if head[:1] != b"\n":
        return False
    try:
        size, at = _varint(head, 1, len(head))
        if head[at : at + 1] != b"\n":  # the piece's own first field, its text
            return False
        text, inner = _varint(head, at + 1, len(head))
    except ValueError:
        return False
    return text <= size - (inner - at)


def _file(path: str, pieces: Pieces, added: Entries, unnumbered: Pieces | None) -> SentencePieceFile:
    entries = overlaid(pieces.entries, added)
    tokens = token_list(path, entries, key_of(spelling_for("llama")))
    # What an added token replaced, or nobody scored, has no score.
    kept = {i: score for i, score in pieces.scores.items() if entries[i][0] == pieces.entries[i][0]}
    tokens.scores = [kept.get(token_id, float("nan")) for token_id in tokens.ids]
    stated = special_ids(os.path.dirname(path) or ".", tokens.ids, tokens.texts)
    special = {role: i for role, i in {**pieces.roles, **stated}.items() if i is not None}
    return SentencePieceFile(KIND, path, "llama", tokens, special=special, pieces=unnumbered, added=added)


def _read_pieces(path: str, data: bytes) -> Pieces:
    entries: Entries = {}
    scores: dict[int, float] = {}
    names = dict(_ROLES.values())
    at = 0
    try:
        for field, wire, first, last in _fields(data, 0, len(data)):
            at = first
            if field == _PIECE and wire == _BYTES:
                if len(entries) == MAX_TOKENS:
                    raise ValueError(f"more than {MAX_TOKENS} pieces are not a vocabulary")
                token_id = len(entries)
                text, scores[token_id], type = _piece(data, first, last)
                entries[token_id] = (text, type)
            elif field == _TRAINER and wire == _BYTES:
                for inner, kind, begin, end in _fields(data, first, last):
                    if inner in _ROLES and kind == _BYTES:
                        names[_ROLES[inner][0]] = data[begin:end].decode("utf-8", "surrogateescape")
        if not entries:
            raise ValueError("it has no pieces")
    except ValueError as error:
        raise FormatError(f"{path}: not a SentencePiece model: {error} (at byte {at})", path, at) from None
    id_of = {text: token_id for token_id, (text, _) in reversed(entries.items())}
    roles = {role: id_of.get(name, -1) for role, name in names.items()}
    # As in SentencePiece, a piece of that name has the role only if its type fits.
    kept = {
        role: i
        for role, i in roles.items()
        if i >= 0 and entries[i][1] == (UNKNOWN if role == "unk" else CONTROL)
    }
    return Pieces(entries, scores, kept)


def _piece(data: bytes, first: int, last: int) -> tuple[str, float, int]:
    text, score, type = b"", 0.0, NORMAL
    for field, wire, begin, end in _fields(data, first, last):
        if field == _TEXT and wire == _BYTES:
            text = data[begin:end]
        elif field == _SCORE and wire == _FIXED32:
            (score,) = struct.unpack_from("<f", data, begin)
        elif field == _TYPE and wire == _VARINT:
            type, _ = _varint(data, begin, end)
    if not 1 <= type <= 6:
        raise ValueError(f"a piece of the unknown type {type}")
    return text.decode("utf-8", "surrogateescape"), score, type


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield number, wire type, first byte and end of each field of a message."""
    while at < end:
        tag, at = _varint(data, at, end)
        wire = tag & 7
        if wire == _VARINT:
            first = at
            _, at = _varint(data, at, end)
            yield tag >> 3, wire, first, at
            continue
        if wire == _BYTES:
            size, at = _varint(data, at, end)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire} at byte {at}")
        if size > end - at:
            raise ValueError(f"a field of {size} bytes, and {end - at} are left")
        yield tag >> 3, wire, at, at + size
        at += size


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise ValueError("an unfinished number")
