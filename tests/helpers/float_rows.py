"""A table of floats that several tests gather from, and outputs for its rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from tests.helpers.model_files import TOKEN_TABLE, rows_of_floats, write_model

N_ROWS, N_COLUMNS = 300, 8
ROWS = rows_of_floats(N_ROWS, N_COLUMNS)
BFLOAT16_ROWS = ROWS.astype(ml_dtypes.bfloat16).view(np.uint16)


def write_rows(path: Path) -> Path:
    """Write a model with `ROWS` as its table of tokens."""
    return write_model(path, tensors={TOKEN_TABLE: ROWS})


def filled(shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    """Return an output that shows what was not written."""
    return np.full(shape, 7, dtype)
