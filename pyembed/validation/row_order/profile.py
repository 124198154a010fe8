"""Token by token: whether the row that a map names suits the token better than the rows around it.

The rows of a token's partners predict a direction for its own. Under a right map the token's row agrees with
it best among the 65 rows around; under a wrong one its rank is any. How often which rank comes is taken from
the table itself, so that the same code serves tables whose rows tell much and those whose rows tell little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .partners import N_SCRIPTS, Partners
from .rows import Floats, Rows

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

#: Rows on either side that a row has to beat.
REACH = 32
_WINDOW = 2 * REACH + 1
_CHUNK = 2048
#: Multiplications in one product of matrices: BLAS libraries hand larger ones out to threads, which for
#: thousands of small ones costs more than the products, by far so where cores are shared.
_PRODUCT = 1 << 18
#: A token with fewer rivals left, or partners less alike than this, says nothing.
_MIN_RIVALS = 16
_LEAST_ALIKE = 0.34
#: Rank categories: first; 2 to 4; 5 to 16; the rest. What chance gives each.
_EDGES = np.array([0.5, 3.5, 15.5])
CHANCE = np.array([1, 3, 12, 49]) / _WINDOW
#: Bins of the best partner's closeness.
_CLOSENESS = np.array([0.5, 0.6, 0.7, 0.8, 0.9])
#: Share of a rate that is believed; the rest is chance, so that one odd token costs at most 1.2 nats.
_BELIEF = 0.7
#: Tokens by which a bin's rates lean on those of all bins.
_PRIOR = 20.0


@dataclass(frozen=True)
class Predicted:
    """Directions that partners predict for tokens, made when asked for: all of them would fill memory."""

    rows: Rows
    partners: Partners
    rows_of: Ints

    def of(self, tokens: Ints) -> tuple[Floats, Ints]:
        """Return directions, zeros where no partner's row is known, and the partners' rows, -1 for none."""
        ids, closeness = self.partners.ids[tokens], self.partners.closeness[tokens]
        own = self.rows_of[ids]
        known = (closeness >= _LEAST_ALIKE) & (own >= 0)
        known &= self.rows.usable[np.where(known, own, 0)]
        weights = np.where(known, closeness * closeness, 0).astype(np.float32)
        values = self.rows.values[np.where(known, own, 0)]
        return np.matmul(weights[:, None, :], values)[:, 0], np.where(known, own, -1)


def ranks(predicted: Predicted, shift: int, where: npt.NDArray[np.bool_] | None = None) -> Floats:
    """Return the rank, 0 to 64, of row t + `shift` for each token t; NaN where there is no evidence.

    Rows of the token's partners are not rivals, nor are rows as far from the one in question as a
    partner's id is from the token's: those are spelled alike as well if the shift is the right one. Tokens
    far from all of `where` are left out.
    """
    rows, partners = predicted.rows, predicted.partners
    n_tokens, n_rows, width = len(partners.ids), *rows.values.shape
    found = np.full(n_tokens, np.nan, np.float32)
    for first in range(0, n_tokens, _CHUNK):
        tokens = np.arange(first, min(first + _CHUNK, n_tokens))
        low = first + shift - REACH
        if low + _CHUNK + 2 * REACH <= 0 or low >= n_rows:
            continue
        if where is not None and not where[max(0, first - _CHUNK) : first + 2 * _CHUNK].any():
            continue
        wanted, own = predicted.of(tokens)
        if not (own >= 0).any():
            continue
        slab = np.zeros((_CHUNK + 2 * REACH, width), np.float32)
        present = np.zeros(len(slab), np.bool_)
        begin, end = max(low, 0), min(low + len(slab), n_rows)
        slab[begin - low : end - low] = rows.values[begin:end]
        present[begin - low : end - low] = rows.usable[begin:end]
        band = _band(wanted, slab)[: len(tokens)]
        rival = np.lib.stride_tricks.sliding_window_view(present, _WINDOW)[: len(tokens)].copy()
        centre = tokens + shift
        _leave_out(rival, own - centre[:, None] + REACH, own >= 0)
        alike = partners.closeness[tokens] >= _LEAST_ALIKE
        _leave_out(
            rival,
            partners.ids[tokens] - tokens[:, None] + REACH,
            alike & (partners.ids[tokens] != tokens[:, None]),
        )
        n_rivals = rival.sum(axis=1) - 1
        # The row itself is among those that reach its own agreement; a tie counts against it.
        above = ((band >= band[:, REACH, None]) & rival).sum(axis=1) - 1
        clear = rival[:, REACH] & (n_rivals >= _MIN_RIVALS) & (own >= 0).any(axis=1)
        found[tokens[clear]] = above[clear] * (2 * REACH / n_rivals[clear])
    return found


def _band(wanted: Floats, slab: Floats) -> Floats:
    """Return the agreement of token i with rows i to i + 64 of the slab."""
    width = slab.shape[1]
    padded = np.zeros((_CHUNK, width), np.float32)
    padded[: len(wanted)] = wanted
    tile = next(size for size in (64, 32, 16, 8, 4) if size * (size + 2 * REACH) * width <= _PRODUCT)
    n_tiles, span = _CHUNK // tile, tile + 2 * REACH
    step, item = slab.strides
    tiles = np.lib.stride_tricks.as_strided(slab, (n_tiles, span, width), (tile * step, step, item))
    product = np.matmul(padded.reshape(n_tiles, tile, width), tiles.transpose(0, 2, 1))
    step, line, item = product.strides
    band = np.lib.stride_tricks.as_strided(
        product, (n_tiles, tile, _WINDOW), (step, line + item, item), writeable=False
    )
    return band.reshape(_CHUNK, _WINDOW)


def _leave_out(rival: npt.NDArray[np.bool_], places: Ints, where: npt.NDArray[np.bool_]) -> None:
    where = where & (places >= 0) & (places < _WINDOW)
    token, _ = np.nonzero(where)
    rival[token, places[where]] = False


class Evidence:
    """Turns ranks into nats for a map, by the rates of ranks that the table itself shows."""

    def __init__(self, partners: Partners) -> None:
        near = np.digitize(partners.closeness[:, 0], _CLOSENESS)
        self._bin = near * N_SCRIPTS + partners.script
        self._nats = np.zeros(((len(_CLOSENESS) + 1) * N_SCRIPTS, len(CHANCE)))

    def learn(self, rank: Floats) -> None:
        """Estimate how often which rank comes, from the ranks of tokens whose rows are trusted."""
        clear = ~np.isnan(rank)
        counts = np.zeros_like(self._nats)
        np.add.at(counts, (self._bin[clear], np.digitize(rank[clear], _EDGES)), 1)
        pooled = (counts.sum(axis=0) + CHANCE) / (counts.sum() + 1)
        rates = (counts + _PRIOR * pooled) / (counts.sum(axis=1, keepdims=True) + _PRIOR)
        nats = np.log((_BELIEF * rates + (1 - _BELIEF) * CHANCE) / CHANCE)
        # Tokens whose rank is hardly better than chance say nothing either way.
        nats[rates[:, 0] < 3 * CHANCE[0]] = 0
        self._nats = nats

    def of(self, rank: Floats) -> Doubles:
        """Return nats by which each token speaks for the map that the ranks were found with."""
        clear = ~np.isnan(rank)
        nats = np.zeros(len(rank))
        nats[clear] = self._nats[self._bin[clear], np.digitize(rank[clear], _EDGES)]
        return nats
