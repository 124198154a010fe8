"""The tokens of a model: their texts, bytes, scores and types, and the ids of texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._native import ffi, lib
from ..core.constants import DIGEST_BYTES
from ..core.handle import Source
from ..core.strings import decode_string, encode_text
from ..errors import CData, ClosedError, Status
from ..files.metadata import Metadata
from ..llama_cpp.special_tokens import ROLE_DEFAULTS, ROLE_KEYS
from ..safe_text import printable
from ..tables.reopening import FileMark, mark_file, reopen, require_same
from .cutting.cutter import Cutter, Piece
from .cutting.source import source_of
from .listed import TYPES, ListedTokens, Token
from .token_text import SPACE_MARK, Spelling, spelling_of

_CHUNK = 4096
_PREFIX = "tokenizer.ggml."


class VocabularyFacts(NamedTuple):
    """What the laws of a vocabulary's order are judged by; ``pyembed.h`` explains the fields.

    Attributes
    ----------
    tokens, splits : structured ndarray
        A ``pye_token_facts`` and a ``pye_token_splits`` a token.
    products : ndarray of uint32
        The token that each merge makes, ``PYE_NO_TOKEN`` where it is none.
    merge_flags : ndarray of uint8
        What is wrong with each merge.
    first_merges : ndarray of uint32
        The merges that are the first to make their product, ascending.
    """

    tokens: npt.NDArray[np.void]
    splits: npt.NDArray[np.void]
    products: npt.NDArray[np.uint32]
    merge_flags: npt.NDArray[np.uint8]
    first_merges: npt.NDArray[np.uint32]


class Vocabulary(ListedTokens):
    """The tokens of a model, in order of id: an immutable sequence of `Token`.

    ``text in vocabulary`` asks for a stored text, ``token in vocabulary`` for a `Token` of it. Methods raise
    ClosedError once the model is closed.
    """

    def __init__(self, source: Source, metadata: Metadata) -> None:
        self._source = source
        self._metadata = metadata
        self._vocabulary: CData | None = source.open_vocabulary()
        self._n: int = lib.pye_vocabulary_n_tokens(self._vocabulary)

    # ------------------------------------------------------------------------------------ sequence

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[Token]:
        for first in range(0, self._n, _CHUNK):
            yield from self._read(first, min(_CHUNK, self._n - first))

    def __contains__(self, item: object) -> bool:
        if isinstance(item, Token):
            return 0 <= item.id < self._n and self[item.id] == item
        return isinstance(item, str) and self._lookup(item) is not None

    def _read(self, first: int, n: int) -> list[Token]:
        vocabulary, spelling = self._handle(), self._spelling
        tokens = []
        for token_id, raw in enumerate(self._raw(vocabulary, first, n), first):
            text, kind = decode_string(raw.text), raw.type
            token_bytes = spelling.to_bytes(text, kind)
            tokens.append(Token(token_id, text, token_bytes, raw.score, TYPES.get(kind, kind)))
        self._ensure_intact(vocabulary)
        return tokens

    def _raw(self, vocabulary: CData, first: int, n: int) -> CData:
        error, tokens = ffi.new("pye_error *"), ffi.new("pye_token[]", n)
        if n:
            self._source.check(lib.pye_vocabulary_tokens(vocabulary, first, n, tokens, error), error)
        return tokens

    def _ensure_intact(self, vocabulary: CData) -> None:
        """Raise OSError if texts that were copied may be zeros: asking for no tokens asks for just that."""
        if lib.pye_vocabulary_tokens(vocabulary, 0, 0, ffi.NULL, ffi.NULL):
            error = ffi.new("pye_error *")
            self._source.check(lib.pye_vocabulary_tokens(vocabulary, 0, 0, ffi.NULL, error), error)

    def _column(self, field: str, dtype: type[np.generic]) -> npt.NDArray[Any]:
        """Return one field of all tokens, read as a strided array over the C structs."""
        vocabulary = self._handle()
        size, offset = ffi.sizeof("pye_token"), ffi.offsetof("pye_token", field)
        layout = np.dtype({"names": [field], "formats": [dtype], "offsets": [offset], "itemsize": size})
        out = np.empty(self._n, dtype)
        for first in range(0, self._n, _CHUNK):
            n = min(_CHUNK, self._n - first)
            raw = self._raw(vocabulary, first, n)
            out[first : first + n] = np.frombuffer(ffi.buffer(raw), layout)[field]
        out.flags.writeable = False
        return out

    @property
    def tokens(self) -> Sequence[str]:
        """The stored texts in order of id; read when touched."""
        # A list without tokens may be an array of any type.
        return self._metadata.strings(_PREFIX + "tokens") or ()

    @cached_property
    def scores(self) -> npt.NDArray[np.float32]:
        """The scores in order of id, zeros where the file has none; read-only."""
        return self._column("score", np.float32)

    @cached_property
    def types(self) -> npt.NDArray[np.int32]:
        """The types in order of id, as the file numbers them; read-only."""
        return self._column("type", np.int32)

    # --------------------------------------------------------------------------------------- texts

    def _near(self, wanted: str) -> list[str]:
        return [] if self._vocabulary is None else super()._near(wanted)  # asked for by messages

    def _lookup(self, text: str) -> int | None:
        vocabulary = self._handle()
        data = encode_text(text)
        if data is None:
            return None
        out, error = ffi.new("uint64_t *"), ffi.new("pye_error *")
        status = lib.pye_vocabulary_find(vocabulary, data, len(data), out, error)
        if status == Status.NOT_FOUND:
            return None
        self._source.check(status, error)
        return int(out[0])

    def _type_of(self, token_id: int) -> int:
        raw = self._raw(self._handle(), token_id, 1)  # named: an element does not keep its array
        return int(raw[0].type)

    @cached_property
    def _spelling(self) -> Spelling:
        lowercase = self._metadata.flag(_PREFIX + "normalizer.lowercase")
        if lowercase is None:
            # Every WordPiece vocabulary holds single letters, so capitals tell whether case was kept.
            capitals = map(chr, range(ord("A"), ord("Z") + 1))
            lowercase = self.model == "bert" and not any(
                self._lookup(SPACE_MARK + letter) is not None for letter in capitals
            )
        strip_accents = self._metadata.flag(_PREFIX + "normalizer.strip_accents")
        if strip_accents is None:
            strip_accents = lowercase
        return spelling_of(self.model, self.pre, lowercase=lowercase, strip_accents=strip_accents)

    # -------------------------------------------------------------------------------------- cutting

    @cached_property
    def cutter(self) -> Cutter:
        """What cuts texts by this vocabulary."""
        self._handle()
        return Cutter(self._source.path, lambda: source_of(self, self._metadata))

    def pieces(self, text: str, *, add_special: bool = False, parse_special: bool = False) -> list[Piece]:
        """Return the tokens that a text is cut into, each with its place in it.

        Parameters
        ----------
        text : str
        add_special : bool, optional
            Whether the tokens that a text begins and ends with are among them, which come from no character.
        parse_special : bool, optional
            Whether control tokens are found in it; see `Model.tokenize`.

        Returns
        -------
        list of Piece
            Each with ``id``, ``text`` (as it is stored), ``start`` and ``end``: it comes from the characters
            ``text[start:end]``, counted in code points.

        Raises
        ------
        ImportError
            If the extra ``text`` is not installed.
        VocabularyError
            If no tokenizer can be made of the vocabulary; the message names the part.
        ValueError
            For more than 2**24 characters, or a lone surrogate.
        """
        stored = self.tokens.__getitem__
        return self.cutter.pieces(text, stored, add_special=add_special, parse_special=parse_special)

    # ------------------------------------------------------------------------------------ the whole

    @property
    def model(self) -> str | None:
        """The family, ``tokenizer.ggml.model``: ``"gpt2"``, ``"llama"``, ``"bert"``, ..."""
        return self._metadata.text(_PREFIX + "model")

    @property
    def pre(self) -> str | None:
        """The pre-tokenizer, ``tokenizer.ggml.pre``; None where the file does not say."""
        return self._metadata.text(_PREFIX + "pre")

    @cached_property
    def special(self) -> Mapping[str, int]:
        """Ids of the tokens with a role, by its name.

        The names are ``bos``, ``eos``, ``eot``, ``eom``, ``unk``, ``sep``, ``pad``, ``mask``, ``cls`` and
        ``fim_`` with ``pre``, ``suf``, ``mid``, ``pad``, ``rep``, ``sep``. Where the file has no key for a
        role, its family's default holds. Ids outside the vocabulary are left out.
        """
        found = dict(ROLE_DEFAULTS.get(self.model or "", {}))
        for name, key in ROLE_KEYS:
            value = self._metadata.integer(_PREFIX + key)
            if value is not None:
                found[name] = value
        if self.model == "bert" and "bos" in found:
            found.setdefault("cls", found["bos"])  # llama.cpp takes the one for the other
        order = dict.fromkeys(name for name, _ in ROLE_KEYS)
        return {name: found[name] for name in order if 0 <= found.get(name, -1) < self._n}

    @cached_property
    def digest(self) -> str:
        """``"sha256:..."`` over the ordered stored texts: equal exactly when two token lists are.

        Each token counts as its length in bytes (8 bytes, little-endian), then its stored bytes.
        """
        out, error = ffi.new("char[]", DIGEST_BYTES), ffi.new("pye_error *")
        self._source.check(lib.pye_vocabulary_digest(self._handle(), out, error), error)
        return ffi.string(out).decode("ascii")

    def examine(self, *, merges: bool = True, splits: bool = False) -> VocabularyFacts:
        """Return what the laws of the order are judged by.

        Parameters
        ----------
        merges, splits : bool, optional
            Whether to fill those arrays, which are empty otherwise.

        Returns
        -------
        VocabularyFacts
        """
        texts = self._metadata.strings(_PREFIX + "merges") if merges else None
        n_merges = 0 if texts is None else len(texts)
        arrays = _arrays_together(
            tokens=(_layout("pye_token_facts"), self._n),
            splits=(_layout("pye_token_splits"), self._n if splits else 0),
            products=(np.dtype(np.uint32), n_merges),
            first_merges=(np.dtype(np.uint32), min(n_merges, self._n)),
            merge_flags=(np.dtype(np.uint8), n_merges),
        )
        facts, n_first = ffi.new("pye_vocabulary_facts *"), ffi.new("uint64_t *")
        facts.struct_bytes = ffi.sizeof("pye_vocabulary_facts")
        wanted = ["tokens", *(["splits"] if splits else [])]
        if n_merges:
            wanted += ["products", "first_merges", "merge_flags"]
            facts.n_merges, facts.n_first_merges = n_merges, n_first
        for field in wanted:
            setattr(facts, field, ffi.cast("void *", arrays[field].ctypes.data))
        error = ffi.new("pye_error *")
        self._source.check(lib.pye_vocabulary_examine(self._handle(), facts, error), error)
        arrays["first_merges"] = arrays["first_merges"][: n_first[0]]
        return VocabularyFacts(**arrays)

    def _handle(self) -> CData:
        vocabulary = self._vocabulary
        if vocabulary is None:
            raise ClosedError(f"the vocabulary of {self._source.path} is closed")
        return vocabulary

    def close(self) -> None:
        """Let go of the tokens; a model does this when it is closed."""
        self._vocabulary = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (mark_file(self._source), self._metadata.overrides, self.digest)

    def __repr__(self) -> str:
        state = ", closed" if self._vocabulary is None else ""
        return printable(f"<Vocabulary of {printable(self._source.path)}: {self._n} tokens{state}>")


def _reopen(file: FileMark, overrides: Mapping[str, object], digest: str) -> Vocabulary:
    """Return a vocabulary that was pickled."""
    source = reopen(file)
    vocabulary = Vocabulary(source, Metadata(source, overrides))
    require_same(source, "digest of tokens", digest, vocabulary.digest)
    return vocabulary


def _layout(struct: str) -> np.dtype[Any]:
    return np.dtype([(name, f"u{ffi.sizeof(field.type)}") for name, field in ffi.typeof(struct).fields])


def _arrays_together(**kinds: tuple[np.dtype[Any], int]) -> dict[str, npt.NDArray[Any]]:
    """Return new arrays in one piece of memory, for which the system may give large pages.

    First touching small ones is a good part of the time of whoever fills the arrays. The types are in order
    of falling alignment, and even an empty array has an address.
    """
    memory = np.empty(sum(n * dtype.itemsize for dtype, n in kinds.values()) + 1, np.uint8)
    arrays: dict[str, npt.NDArray[Any]] = {}
    at = 0
    for name, (dtype, n) in kinds.items():
        end = at + n * dtype.itemsize
        arrays[name] = memory[at:end].view(dtype)
        at = end
    return arrays
