"""Models of any architecture with what its first layer may add to rows: positions, types, a norm."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gguf
import numpy as np

import pyembed
from tests.helpers.model_files import TOKEN_TABLE, rows_of_floats, write_model

N, WIDTH, POSITIONS, EPSILON = 20, 48, 9, 1e-5
TABLE = rows_of_floats(N, WIDTH)
POSITION = rows_of_floats(POSITIONS, WIDTH, seed=1)
TYPE = rows_of_floats(2, WIDTH, seed=2)
WEIGHT, BIAS = rows_of_floats(2, WIDTH, seed=3) + np.array([[1], [0]], np.float32)
EXTRAS = {
    "position_embd.weight": POSITION,
    "token_types.weight": TYPE,
    "token_embd_norm.weight": WEIGHT,
    "token_embd_norm.bias": BIAS,
}
IDS = np.array([[3, 0, 19, 3], [7, 7, 1, 2]])
FACTOR, ROOT = 3.3, np.float32(math.sqrt(WIDTH))
EPSILONS = {"attention__layer_norm_epsilon": EPSILON, "attention__layer_norm_rms_epsilon": EPSILON}


def open_model(
    path: Path,
    architecture: str,
    *,
    tensors: dict[str, np.ndarray] | None = None,
    **metadata: Any,
) -> pyembed.Model:
    """Write a model with metadata of its architecture, ``__`` for a dot, and open it."""

    def add(writer: gguf.GGUFWriter) -> None:
        for key, value in metadata.items():
            name = f"{architecture}.{key.replace('__', '.')}"
            if isinstance(value, list):
                writer.add_array(name, value)
            elif isinstance(value, int):
                writer.add_uint32(name, value)
            else:
                writer.add_float32(name, value)

    tensors = EXTRAS if tensors is None else tensors
    write_model(path, architecture=architecture, tensors={TOKEN_TABLE: TABLE, **tensors}, add=add)
    return pyembed.load_model(path, validate="off")
