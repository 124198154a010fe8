"""Where a row lies: in which file, at which byte, and in blocks of how many bytes."""

from __future__ import annotations

import math
import os
from typing import Any

from ...core.dtypes import tensor_type
from ...core.records import TensorInfo
from ...files.metadata import Tensors
from ...safe_text import printable
from ...tables.table import EmbeddingTable


def places_of(table: EmbeddingTable, row: int) -> list[dict[str, Any]]:
    """Return the pieces of a row as the file stores them, one for each tensor that has some of it.

    A piece is ``{"tensor", "file", "offset", "n_bytes"}``. A table whose rows are found through a mapping has
    none: which stored row is meant is not a matter of its id.
    """
    layout = table.layout
    if layout.mapping:
        return []
    tensors = Tensors(table._source)
    infos = [tensors[name] for name in layout.tensors]
    if layout.n_shards > 1:
        if len(infos) != layout.n_shards:  # codes and scales of shards: their order is the library's
            return []
        shard = row // layout.shard_rows
        return [_piece(infos[shard], layout.code_bytes, row - shard * layout.shard_rows)]
    pieces = []
    for info in infos:
        n_rows = math.prod(info.shape[:-1]) if len(info.shape) > 1 else (info.shape or (1,))[0]
        if info.n_bytes and n_rows == len(table) and info.n_bytes % n_rows == 0:
            pieces.append(_piece(info, info.n_bytes // n_rows, row))
    return pieces


def _piece(info: TensorInfo, n_bytes: int, row: int) -> dict[str, Any]:
    return {
        "tensor": printable(info.name),
        "file": printable(os.path.basename(info.path)),
        "offset": info.offset + row * n_bytes,
        "n_bytes": n_bytes,
    }


def block_of(table: EmbeddingTable) -> dict[str, int]:
    """Return ``{"weights", "bytes"}`` of a block of codes; a group of columns where scales are apart."""
    layout, columns = table.layout, table.shape[1]
    if layout.scales is None or layout.weights:
        kind = tensor_type(layout.codes)
        return {"weights": kind.block_weights, "bytes": kind.block_bytes}
    group = layout.group or columns
    share = layout.code_bytes * group
    if share % columns:
        return {"weights": columns, "bytes": layout.code_bytes}
    return {"weights": group, "bytes": share // columns}
