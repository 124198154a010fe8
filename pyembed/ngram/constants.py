"""What the names of hashed rows are computed from: numbers alone, wherever they were found."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .._native import lib

Numbers: TypeAlias = "npt.NDArray[np.uint64]"
TokenMap: TypeAlias = "npt.NDArray[np.uint32]"

#: In a token map: the token is dead, such as the one in place of an image.
DEAD: int = lib.PYE_NGRAM_DEAD
MAX_SIZE: int = lib.PYE_NGRAM_MAX_SIZE
MAX_HEADS: int = lib.PYE_NGRAM_MAX_HEADS
MAX_LAYERS: int = lib.PYE_NGRAM_MAX_LAYERS
MAX_TOKENS = 1 << 24
"""Of a token map: ten times as many as any vocabulary has."""


class Scheme(str, Enum):
    """How names are made; it equals its own name as a string.

    ``PLE`` is that of Qwen, ``ENGRAM`` that of DeepSeek, ``LONGCAT`` that of LongCat.
    """

    PLE = "ple"
    ENGRAM = "engram"
    LONGCAT = "longcat"


@dataclass(frozen=True, eq=False)
class Constants:
    """The constants of a model, as found: nothing is checked but shapes and types.

    Attributes
    ----------
    scheme : Scheme
    path : str
        The file or folder that they are of.
    layers : tuple of int
        The model's numbers, from 0, of the layers that have a table.
    max_size, n_heads : int
        Tokens of the longest n-grams; columns for n-grams of one size.
    n_vocab : int
        Tokens of the vocabulary.
    moduli : numpy.ndarray of uint64, shape (layers, columns)
    multipliers : numpy.ndarray of uint64, shape (layers, max_size), or None
        None for LongCat, which has none.
    offsets : numpy.ndarray of uint64, shape (layers, columns), or None
        None where they are the running sums of the moduli.
    stand_in : int
        What is hashed in place of tokens that are not there: the EOS id, or the mapped id of padding.
    token_map : numpy.ndarray of uint32, shape (n_vocab,), or None
        What is hashed of each token of Engram, or `DEAD`.
    n_compressed : int
        Mapped ids are below; 0 without a map.
    image_token : int or None
        The id that stands in place of an image, where the file says. To Engram that token is dead.
    tables : tuple of str or None
        Names of the layers' tables, for LongCat of the columns'; None where there is none.
    n_rows : tuple of int or None
        Rows of these tables, as they are or as the file states them.
    origins : mapping of str to str
        The key or tensor that each of these fields comes from.
    contradictions : tuple of str
        What several keys say of the same thing, and differently.
    """

    scheme: Scheme
    path: str
    layers: tuple[int, ...]
    max_size: int
    n_heads: int
    n_vocab: int
    moduli: Numbers
    multipliers: Numbers | None = None
    offsets: Numbers | None = None
    stand_in: int = 0
    token_map: TokenMap | None = None
    n_compressed: int = 0
    image_token: int | None = None
    tables: tuple[str | None, ...] = ()
    n_rows: tuple[int | None, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)
    contradictions: tuple[str, ...] = ()

    @property
    def n_columns(self) -> int:
        """Names that a token has in each layer."""
        return (self.max_size - 1) * self.n_heads

    @property
    def n_hashed(self) -> int:
        """Numbers that are hashed are below: mapped ids, or ids."""
        return self.n_vocab if self.token_map is None else self.n_compressed

    @property
    def hashed_map(self) -> TokenMap | None:
        """The token map, in which the image's token is dead; None where ids are hashed as they are."""
        if self.token_map is None or self.image_token is None or self.image_token >= len(self.token_map):
            return self.token_map
        marked = self.token_map.copy()
        marked[self.image_token] = DEAD
        return marked

    @property
    def running_sums(self) -> Numbers:
        """Where each column's rows begin if they follow each other without gaps, of each layer."""
        sums = np.zeros_like(self.moduli)
        np.cumsum(self.moduli[:, :-1], axis=1, dtype=np.uint64, out=sums[:, 1:])
        return sums

    @property
    def n_used_rows(self) -> list[int]:
        """Rows of each layer's table that names reach."""
        if self.scheme is Scheme.LONGCAT:
            return [int(n) for n in self.moduli[0]]
        offsets = self.running_sums if self.offsets is None else self.offsets
        return [
            max(int(offset) + int(n) for offset, n in zip(*layer, strict=True))
            for layer in zip(offsets, self.moduli, strict=True)
        ]

    @property
    def digest(self) -> str:
        """SHA-256 of all that names depend on: equal exactly if all names are."""
        facts = (self.scheme.value, self.layers, self.max_size, self.n_heads, self.n_vocab, self.stand_in)
        offsets = None if self.scheme is Scheme.LONGCAT else self.offsets
        if offsets is None and self.scheme is not Scheme.LONGCAT:
            offsets = self.running_sums
        content = hashlib.sha256(repr(facts).encode())
        for numbers in (self.multipliers, self.moduli, offsets, self.hashed_map):
            content.update(b"none" if numbers is None else numbers.astype("<u8").tobytes())
        return content.hexdigest()


def as_table(numbers: Any, n_layers: int) -> Numbers:
    """Return flat numbers, layer after layer, as uint64 of shape (layers, numbers of each)."""
    return np.ascontiguousarray(numbers, np.uint64).reshape(n_layers, -1)
