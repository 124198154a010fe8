"""``.safetensors``: a length, a JSON header, and the tensors' bytes, all little-endian."""

from __future__ import annotations

import json
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ..core.aliases import DTypeName
from .selection import Selection, provenance

_TYPES = {"float32": ("F32", 4), "float16": ("F16", 2), "bfloat16": ("BF16", 2)}
_MAX_HEADER = 100_000_000  # readers refuse a longer one


def write(files: list[IO[bytes]], chosen: Selection, dtype: DTypeName) -> None:
    """Write the tensors ``embeddings`` and ``ids`` (I64); tokens are a JSON list in the metadata."""
    name, size = _TYPES[dtype]
    n, columns = chosen.shape
    end = n * columns * size
    facts = provenance(chosen)
    if chosen.vocabulary is not None:
        facts["tokens"] = json.dumps([text for _, text in chosen.texts()])
    header = json.dumps(
        {
            "__metadata__": facts,
            "embeddings": {"dtype": name, "shape": [n, columns], "data_offsets": [0, end]},
            "ids": {"dtype": "I64", "shape": [n], "data_offsets": [end, end + 8 * n]},
        }
    ).encode("ascii")
    header += b" " * (-len(header) % 8)  # so that tensors are aligned
    if len(header) > _MAX_HEADER:
        raise ValueError(
            f"the texts of {n} tokens take {len(header)} bytes, more than a safetensors header may hold; "
            "choose fewer rows or another format"
        )
    files[0].write(len(header).to_bytes(8, "little") + header)
    for _, _, rows in chosen.rows(dtype):
        files[0].write(little_endian(rows))
    files[0].write(little_endian(np.asarray(chosen.ids, np.int64)))


def little_endian(array: npt.NDArray[Any]) -> bytes:
    """Return the bytes of an array in the byte order that files want."""
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
