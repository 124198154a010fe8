"""Means of float64 rows: their library computes them in float64, where tables are float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..tables.table import EmbeddingTable
from .engines import Cuts

_FLOATS = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}


def float64_means(table: EmbeddingTable, cuts: Cuts) -> npt.NDArray[np.float64]:
    """Return the mean of the rows of each text, zeros for one without tokens; a text at a time."""
    layout = table.layout
    means = np.zeros((cuts.lengths.size, table.shape[1]))
    ends = np.cumsum(cuts.lengths)
    for number, end in enumerate(ends):
        ids = cuts.ids[end - cuts.lengths[number] : end]
        if not ids.size:
            continue
        raw = table.gather(ids, dtype="raw")
        rows: npt.NDArray[Any] = np.ascontiguousarray(raw[:, : layout.code_bytes]).view("<f8")
        if layout.weights and layout.scales is not None:
            rows = rows * np.ascontiguousarray(raw[:, layout.code_bytes :]).view(_FLOATS[layout.scales])
        means[number] = rows.mean(axis=0)
    return means
