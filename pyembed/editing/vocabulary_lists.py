"""The lists of a vocabulary, one entry a token, and what names tokens by their ids."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.constants import ValueType
from ..errors import VocabularyError
from ..files.metadata import Metadata, StringArray
from ..llama_cpp.special_tokens import END_TEXTS, ROLE_DEFAULTS, ROLE_KEYS, TURN_TEXTS
from ..safe_text import quote
from ..tokens.token_list import CONTROL, UNUSED, USER_DEFINED
from ..tokens.token_text import text_bytes
from .edit import Edit
from .values import Value

PREFIX = "tokenizer.ggml."
MODEL = PREFIX + "model"
TOKENS, SCORES, TYPES, MERGES = (PREFIX + name for name in ("tokens", "scores", "token_type", "merges"))
SUPPRESSED = PREFIX + "suppress_tokens"
#: Keys that repeat the list of tokens in another form.
_OTHER_FORMS = ("tokenizer.huggingface.json", "tokenizer.rwkv.world")
#: Texts of added tokens that are of type control by what they are for.
_MARKS = frozenset((*END_TEXTS, *TURN_TEXTS))
_ID_KEY = re.compile(r"tokenizer\.ggml\.\w+_token_id")
#: The scores that converters give to tokens which only fill a list up, and to those that were added.
PAD_SCORE, ADDED_SCORE = -10_000.0, -1_000.0

Ids = npt.NDArray[np.int64]


class VocabularyLists:
    """The vocabulary of an open model, to be changed in an `Edit`.

    Raises
    ------
    VocabularyError
        If the file has no list of tokens, or other lists are not as long.
    """

    def __init__(self, edit: Edit) -> None:
        self._edit = edit
        self._metadata = Metadata(edit.source)
        self._kinds = {entry.key: entry for entry in edit.source.metadata_entries()}
        tokens = self._metadata.strings(TOKENS)
        if tokens is None:
            path = edit.source.path
            raise VocabularyError(f"{path}: no list of tokens ({TOKENS})", path)
        self.tokens: Sequence[str] = list(tokens)
        for key in (SCORES, TYPES):
            if key in self._kinds and (self._kinds[key].n != len(self.tokens) or not self._is_list(key)):
                path = edit.source.path
                raise VocabularyError(f"{path}: {key} is not a list of {len(self.tokens)} numbers", path)

    def __len__(self) -> int:
        return len(self.tokens)

    def _is_list(self, key: str) -> bool:
        entry = self._kinds.get(key)
        return (
            entry is not None
            and entry.type == ValueType.ARRAY
            and entry.element_type not in (ValueType.STRING, ValueType.ARRAY)
        )

    def numbers(self, key: str) -> npt.NDArray[Any] | None:
        """Return the scores or the types; None where the file has none."""
        return self._metadata.numbers(key)

    def special_ids(self) -> dict[str, int]:
        """Return the keys of special tokens with their ids."""
        found = {key: self._metadata.integer(key) for key in self._kinds if _ID_KEY.fullmatch(key)}
        return {key: token_id for key, token_id in found.items() if token_id is not None}

    # ---------------------------------------------------------------------------------- new lists

    def select(self, ids: Ids) -> None:
        """Let the new list consist of some tokens of the old, in the order of `ids`, each once.

        Merges whose tokens are not all left go. Ids of special tokens follow their tokens.

        Raises
        ------
        ValueError
            If a special token would be lost, or the file repeats its list in a form that is not changed here.
        """
        self._refuse_other_forms()
        new_ids = np.full(len(self), -1, np.int64)
        new_ids[ids] = np.arange(len(ids))
        specials = self.special_ids()
        for key, token_id in specials.items():
            if token_id < len(self) and new_ids[token_id] < 0:
                text = quote(self.tokens[token_id])
                raise ValueError(
                    f"{key} is {token_id}, {text}, which would be lost; keep it, or unset the key"
                )
        self._put_strings(TOKENS, [self.tokens[token_id] for token_id in ids.tolist()])
        for key in (SCORES, TYPES):
            values = self.numbers(key)
            if values is not None:
                self._put_numbers(key, values[ids])
        for key, token_id in specials.items():
            if token_id < len(self):
                self._put_number(key, int(new_ids[token_id]))
        self._state_defaults(new_ids)
        self._select_suppressed(new_ids)
        self._select_merges(new_ids)
        if len(ids) != len(self):
            self.count(len(ids))

    def extend(self, n: int, names: Sequence[str] = ()) -> None:
        """Add tokens up to `n`: `names`, which texts are searched for, then ``[PADi]``, as converters do.

        Raises
        ------
        ValueError
            If one of these is a token already, or the file repeats its list in another form.
        """
        self._refuse_other_forms()
        pads = [f"[PAD{token_id}]" for token_id in range(len(self) + len(names), n)]
        added = [*names, *pads]
        taken = set(added).intersection(self.tokens)
        if taken:
            raise ValueError(f"{quote(min(taken))} is a token already: the list cannot be filled up with it")
        self._put_strings(TOKENS, [*self.tokens, *added])
        kinds = [CONTROL if name in _MARKS else USER_DEFINED for name in names]
        for key, own, filler in (
            (SCORES, [ADDED_SCORE] * len(names), PAD_SCORE),
            (TYPES, kinds, UNUSED),
        ):
            values = self.numbers(key)
            if values is not None:
                more = np.array([*own, *[filler] * len(pads)]).astype(values.dtype)
                self._put_numbers(key, np.concatenate([values, more]))
        self.count(n)

    def _refuse_other_forms(self) -> None:
        for key in _OTHER_FORMS:
            if self._edit.has(key):
                raise ValueError(f"{key} repeats the list of tokens and would contradict it: unset it first")

    def _state_defaults(self, new_ids: Ids) -> None:
        """Give keys to special tokens that need none where they are, since llama.cpp knows these ids."""
        defaults = ROLE_DEFAULTS.get(self._metadata.text(MODEL) or "", {})
        for role, token_id in defaults.items():
            keys = [PREFIX + name for known, name in ROLE_KEYS if known == role]
            is_stated = any(self._metadata.integer(key) is not None for key in keys)
            if not is_stated and token_id < len(self) and new_ids[token_id] not in (-1, token_id):
                self._edit.set(keys[0], Value(ValueType.U32, int(new_ids[token_id])))

    def _select_suppressed(self, new_ids: Ids) -> None:
        values = self.numbers(SUPPRESSED)
        if values is None:
            return
        known = values[(values >= 0) & (values < len(self))].astype(np.int64)
        left = new_ids[known]
        self._put_numbers(SUPPRESSED, left[left >= 0].astype(values.dtype))

    def _select_merges(self, new_ids: Ids) -> None:
        merges = self._metadata.strings(MERGES)
        if merges is None or (new_ids >= 0).all():
            return
        kept = {text_bytes(self.tokens[token_id]) for token_id in np.flatnonzero(new_ids >= 0).tolist()}
        left = [text for text in merges if all(part in kept for part in merge_parts(text))]
        self._put_strings(MERGES, left)

    def count(self, n: int) -> None:
        """State the length of the list where the file does."""
        key = f"{self._metadata.text('general.architecture')}.vocab_size"
        if key in self._kinds and self._metadata.integer(key) is not None:
            self._put_number(key, n)

    def merges(self) -> StringArray | None:
        """Return the merges; None where the file has none."""
        return self._metadata.strings(MERGES)

    # ----------------------------------------------------------------------- values of stored types

    def _put_strings(self, key: str, texts: Sequence[str]) -> None:
        self._edit.set(key, Value(ValueType.STRING, texts, True))

    def _put_numbers(self, key: str, values: npt.NDArray[Any]) -> None:
        self._edit.set(key, Value(ValueType(self._kinds[key].element_type), values, True))

    def _put_number(self, key: str, value: int) -> None:
        self._edit.set(key, Value(ValueType(self._kinds[key].type), value))


def merge_parts(merge: str) -> tuple[bytes, bytes, bytes]:
    """Return the two texts that a merge joins, and what it makes of them."""
    data = text_bytes(merge)
    cut = data.find(b" ", 1)
    left, right = (data, b"") if cut < 0 else (data[:cut], data[cut + 1 :])
    return left, right, left + right


def parts_of_products(merges: Sequence[str]) -> Mapping[bytes, tuple[bytes, bytes]]:
    """Return by product the parts of the first merge that makes it."""
    found: dict[bytes, tuple[bytes, bytes]] = {}
    for merge in merges:
        left, right, product = merge_parts(merge)
        found.setdefault(product, (left, right))
    return found
