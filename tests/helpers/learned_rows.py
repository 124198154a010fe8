"""Makes rows that look learned: tokens that are spelled alike get rows that lie close together."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_N_KINDS = 1 << 14
_RANK = 192
_N_LETTERS = 3


class LearnedRows:
    """Rows made of the runs of three letters in a text, of one vector for the text folded, and of noise.

    Each run of letters has a random vector of low rank, as has each text; a random projection takes them
    to as many columns as are wanted. Rows are made when asked for, so that a large table needs no memory.
    """

    def __init__(self, texts: Sequence[bytes], n_columns: int, *, noise: float = 0.7, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self._texts, self._noise, self._seed = texts, noise, seed
        self._vectors = rng.standard_normal((_N_KINDS, _RANK), np.float32)
        self._project = rng.standard_normal((_RANK, n_columns), np.float32) / np.float32(_RANK**0.5)
        self.shape = (len(texts), n_columns)

    def gather(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return the rows of a range of ids."""
        kinds, owners = [], []
        for place, token in enumerate(ids.tolist()):
            found = _kinds(self._texts[token])
            kinds += found
            owners += [place] * len(found)
        mixed = np.zeros((len(ids), _RANK), np.float32)
        np.add.at(mixed, owners, self._vectors[kinds])
        mixed /= np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-6)
        rows = mixed @ self._project
        noise = np.random.default_rng((self._seed, int(ids[0]))).standard_normal(rows.shape, np.float32)
        # The projected part has columns of deviation 1 / sqrt(rank).
        rows += self._noise * noise * np.float32(_RANK**-0.5)
        return rows


def _kinds(text: bytes) -> list[int]:
    letters = b"^" + text.strip().lower()[:32] + b"$"
    runs = [letters[i : i + _N_LETTERS] for i in range(max(1, len(letters) - _N_LETTERS + 1))]
    return [zlib.crc32(run) % _N_KINDS for run in [*runs, letters]]
