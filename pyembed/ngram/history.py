"""What a sequence has to remember between two calls: its last tokens."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import SupportsIndex, TypeAlias

from ..core.aliases import IdsLike
from ..tables.arguments import as_ids, check_ids

_VOCABULARY = "the vocabulary"
_MAX_REWIND = 1 << 30


class History:
    """The last tokens of one sequence. Use `Ngram.history` to get one.

    Each sequence has its own. `advance` it by the tokens that were accepted, after the call of `Ngram.rows`
    that named them; `rewind` it by those that are taken back; `copy` it where a sequence forks, or where
    another begins with a prefix that was computed before. It pickles, for sending it elsewhere, and fits
    every `Ngram` of the same constants.

    Not for several threads at once.
    """

    __slots__ = ("_digest", "_ids", "_max_rewind", "_n_kept", "_n_tokens", "_n_vocab", "_rewindable")

    def __init__(self, digest: str, n_kept: int, n_vocab: int, max_rewind: SupportsIndex) -> None:
        most = _as_count(max_rewind, "max_rewind")
        if not 0 <= most <= _MAX_REWIND:
            raise ValueError(f"max_rewind is {most}; expected 0 to {_MAX_REWIND}")
        self._digest = digest
        self._n_kept = n_kept
        self._n_vocab = n_vocab
        self._max_rewind = most
        self._ids: list[int] = []  # the last n_kept + max_rewind, oldest first
        self._rewindable = 0  # how far; at least n_kept ids, or all there were, lie before
        self._n_tokens = 0

    @property
    def digest(self) -> str:
        """Digest of the constants that it belongs to; see `Ngram.digest`."""
        return self._digest

    @property
    def n_tokens(self) -> int:
        """How many tokens the sequence has so far."""
        return self._n_tokens

    @property
    def max_rewind(self) -> int:
        """How far it can be rewound at most."""
        return self._max_rewind

    @property
    def window(self) -> tuple[int, ...]:
        """The last ids that names depend on, oldest first; -1 in place of what lies before the start.

        There is one less than the longest n-grams have tokens. This is what ``pye_ngram_rows`` takes.
        """
        kept = self._ids[-self._n_kept :]
        return (-1,) * (self._n_kept - len(kept)) + tuple(kept)

    def advance(self, accepted_ids: IdsLike) -> None:
        """Add tokens to the sequence.

        Parameters
        ----------
        accepted_ids : array-like of int, of one dimension, or an int
            In the sequence's order; of a draft only what was accepted.

        Raises
        ------
        IndexError
            For an id outside the vocabulary; nothing is added then.
        TypeError, ValueError
            Unless these are integers in one row.
        """
        ids = as_ids(accepted_ids, self._n_vocab, table=_VOCABULARY, row="token")
        if ids.ndim > 1:
            raise ValueError(
                f"accepted_ids has shape {ids.shape}; expected the ids of one sequence, in a row"
            )
        check_ids(ids, self._n_vocab, table=_VOCABULARY, row="token")
        ids = ids.reshape(-1)
        most = self._n_kept + self._max_rewind
        self._ids += ids[-most:].tolist()
        del self._ids[:-most]
        self._rewindable = min(self._max_rewind, self._rewindable + ids.size)
        self._n_tokens += ids.size

    def rewind(self, n: SupportsIndex) -> None:
        """Take the last `n` tokens back.

        Raises
        ------
        ValueError
            For more than `max_rewind`, counted from the furthest point that was reached, or than the sequence
            has; nothing changes then.
        """
        count = _as_count(n, "n")
        if count < 0:
            raise ValueError(f"n is {count}; expected 0 or more")
        if count > self._rewindable:
            raise ValueError(
                f"cannot rewind by {count} tokens: {self._rewindable} of {self._n_tokens} tokens can be "
                f"taken back, with max_rewind={self._max_rewind}"
            )
        if count:
            del self._ids[-count:]
        self._rewindable -= count
        self._n_tokens -= count

    def copy(self) -> History:
        """Return a history of its own that goes on from the same tokens."""
        other = History(self._digest, self._n_kept, self._n_vocab, self._max_rewind)
        other._ids = self._ids.copy()
        other._rewindable = self._rewindable
        other._n_tokens = self._n_tokens
        return other

    __copy__ = copy

    def __repr__(self) -> str:
        return f"<History of {self._n_tokens} tokens: the last are {list(self.window)}>"


def _as_count(given: SupportsIndex, name: str) -> int:
    if isinstance(given, bool) or not hasattr(given, "__index__"):
        raise TypeError(f"{name} is a {type(given).__name__}; expected an int")
    return operator.index(given)


#: What came before a call's ids: of one sequence, or of each of several, None for one that begins there.
Histories: TypeAlias = History | Sequence[History | None]
