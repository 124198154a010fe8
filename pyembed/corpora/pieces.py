"""Some rows of a file."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Piece(NamedTuple):
    """Rows of a file, one after the other.

    Attributes
    ----------
    table : pyarrow.Table
        Those that could be read.
    rows : ndarray of int64
        Their numbers in the file, from 0.
    faults : dict of int to str
        The numbers of the others, and why.
    first, end : int
        The number of the first, and the one after the last.
    share : float
        How much of the file had been read then, 0 to 1.
    """

    table: Any
    rows: npt.NDArray[np.int64]
    faults: dict[int, str]
    first: int
    end: int
    share: float
