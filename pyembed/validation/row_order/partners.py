"""Which tokens are spelled alike: pairs whose rows lie close together in a learned table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .surface import MAX_LETTERS

#: Neighbours in the sorted texts with which a token is compared, on either side.
_REACH = 4
#: Partners of a token that predict its row.
MAX_PARTNERS = 8
#: Pairs at least so close in spelling, and so far apart in id, show on their own whether rows agree.
STRONG = 0.7
MIN_APART = 3

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Partners:
    """Tokens that are spelled alike.

    Attributes
    ----------
    ids : int64, shape (tokens, MAX_PARTNERS)
        The closest partners of each token, best first; its own id where there are fewer.
    closeness : float32, shape (tokens, MAX_PARTNERS)
        Letters in common over letters of the longer text, 0 where there is no partner.
    script : int64, shape (tokens,)
        The kind of letter that a text begins with, 0 to `N_SCRIPTS` - 1.
    strong : int64, shape (pairs, 2)
        Pairs with closeness of at least `STRONG`, each once, ids at least `MIN_APART` apart.
    """

    ids: Ints
    closeness: Floats
    script: Ints
    strong: Ints


#: Where kinds of letters begin: ASCII, Latin with accents, other alphabets, ideographs and syllables, bytes.
_SCRIPTS = np.array([0x80, 0x250, 0x2E80, 0xD800], np.uint32)
N_SCRIPTS = 6


def find_partners(texts: list[str]) -> Partners:
    """Pair tokens by common beginnings and common endings of their `surfaces`."""
    n = len(texts)
    present = [index for index, text in enumerate(texts) if text]
    ids = np.full((n, 4 * _REACH), -1, np.int64)
    closeness = np.zeros((n, 4 * _REACH), np.float32)
    script = np.zeros(n, np.int64)
    for side, step in enumerate((1, -1)):
        spelled = {index: texts[index][::step] for index in present}
        order = np.array(sorted(present, key=spelled.__getitem__), np.int64)
        letters, lengths = _matrix([spelled[index] for index in order.tolist()])
        if side == 0:
            script[order] = _script_of(letters[:, 0])
        for away in range(1, min(_REACH, len(order) - 1) + 1):
            ratio = _ratio(letters, lengths, away)
            slot = 2 * (side * _REACH + away - 1)
            before, after = order[:-away], order[away:]
            ids[before, slot], closeness[before, slot] = after, ratio
            ids[after, slot + 1], closeness[after, slot + 1] = before, ratio
    return Partners(*_best(ids, closeness), script, _strong(ids, closeness))


def _matrix(texts: list[str]) -> tuple[npt.NDArray[np.uint32], Ints]:
    """Return texts as rows of code points, zeros after their ends, and their lengths."""
    array = np.array(texts or [""], f"U{MAX_LETTERS}")
    letters = array.view(np.uint32).reshape(len(array), MAX_LETTERS)
    return letters, np.count_nonzero(letters, axis=1).astype(np.int64)


def _script_of(first: npt.NDArray[np.uint32]) -> Ints:
    letter = (first >= ord("a")) & (first <= ord("z"))
    return np.where(letter, N_SCRIPTS - 1, np.searchsorted(_SCRIPTS, first, side="right"))


def _ratio(letters: npt.NDArray[np.uint32], lengths: Ints, away: int) -> Floats:
    """Return letters in common over letters of the longer text, for rows `away` from each other."""
    differ = letters[:-away] != letters[away:]
    first, second = lengths[:-away], lengths[away:]
    common = np.where(differ.any(axis=1), differ.argmax(axis=1), MAX_LETTERS)
    return (np.minimum(common, np.minimum(first, second)) / np.maximum(first, second)).astype(np.float32)


def _best(ids: Ints, closeness: Floats) -> tuple[Ints, Floats]:
    """Keep the closest partners, none twice."""
    by_id = np.argsort(ids, axis=1, kind="stable")
    ids, closeness = np.take_along_axis(ids, by_id, 1), np.take_along_axis(closeness, by_id, 1)
    repeated = ids[:, 1:] == ids[:, :-1]
    np.maximum(closeness[:, 1:], closeness[:, :-1], out=closeness[:, 1:], where=repeated)
    closeness[:, :-1][repeated] = 0
    best = np.argsort(-closeness, axis=1, kind="stable")[:, :MAX_PARTNERS]
    ids, closeness = np.take_along_axis(ids, best, 1), np.take_along_axis(closeness, best, 1)
    own = np.arange(len(ids))[:, None]
    return np.where(closeness > 0, ids, own), closeness


def _strong(ids: Ints, closeness: Floats) -> Ints:
    first, slot = np.nonzero(closeness >= STRONG)
    second = ids[first, slot]
    apart = second - first >= MIN_APART
    # One number a pair: NumPy compares rows in Python code, and drops what a signal's handler raises there.
    pairs = np.unique(first[apart] * len(ids) + second[apart])
    return np.stack(np.divmod(pairs, len(ids)), axis=1)
