"""Mendings as SARIF ``fixes``: bytes of a file to replace, where a mending changes no more than these."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import numpy as np

from ..core.handle import Source
from ..core.paths import Files
from ..editing.edit import Edit
from ..editing.in_place import patch_of
from ..editing.rows import row_bytes_of
from ..files.byte_ranges import FileRange, tensor_range
from ..validation.sarif import uri_of
from .draft import Draft, Rows
from .mendings import CannotMend, Mending

#: Longer replacements are not put into a log: `pyembed repair` makes them.
_MOST_BYTES = 1 << 16
#: The name of a file, where in it bytes are replaced, and by what.
_Replacement = tuple[str, int, bytes]


def fix_of(files: Files, mending: Mending) -> dict[str, Any] | None:
    """Return a ``fix`` for a mending by itself.

    None where it is not a short replacement: of bytes of a header, or of rows of tables that keep their size.
    """
    with closing(Source(files, format="gguf")) as source:
        draft = Draft(source)
        try:
            mending.change(draft)
        except CannotMend:
            return None
        edit = Edit(source)
        keys, tensors = draft.commit(edit)
        if tensors:
            found = [] if keys else _rows_replaced([draft.rows[name] for name in sorted(tensors)])
        else:
            changed = [plan for plan in edit.plans() if plan.is_changed]
            patch = patch_of(changed[0]) if len(changed) == 1 else None
            found = [] if patch is None else [(patch.path, patch.offset, patch.new)]
    if not 0 < sum(len(data) for _, _, data in found) <= _MOST_BYTES:
        return None
    changes = [
        {
            "artifactLocation": {"uri": uri_of(path)},
            "replacements": [_replacement(offset, data) for name, offset, data in found if name == path],
        }
        for path in dict.fromkeys(path for path, _, _ in found)
    ]
    return {"description": {"text": mending.text}, "artifactChanges": changes}


def _replacement(offset: int, data: bytes) -> dict[str, Any]:
    return {
        "deletedRegion": {"byteOffset": offset, "byteLength": len(data)},
        "insertedContent": {"binary": base64.b64encode(data).decode("ascii")},
    }


def _rows_replaced(tables: Sequence[Rows]) -> list[_Replacement]:
    """Return the runs of rows that change, with the bytes that are to stand there; none for too many."""
    found: list[_Replacement] = []
    left = _MOST_BYTES
    for rows in tables:
        width, whole = row_bytes_of(rows.info), tensor_range(rows.info)
        if len(rows.sources) * width != whole.n_bytes:
            return []
        changed = rows.sources != np.arange(len(rows.sources))
        changed[list(rows.given)] = True
        ids = np.flatnonzero(changed)
        left -= len(ids) * width
        if left < 0:
            return []
        for run in np.split(ids, np.flatnonzero(np.diff(ids) != 1) + 1) if len(ids) else []:
            data = b"".join(_row(rows, whole, width, row) for row in run.tolist())
            found.append((whole.path, whole.offset + int(run[0]) * width, data))
    return found


def _row(rows: Rows, whole: FileRange, width: int, row: int) -> bytes:
    if row in rows.given:
        return rows.given[row]
    stored = FileRange(whole.path, whole.offset + int(rows.sources[row]) * width, width)
    return b"".join(map(bytes, stored.chunks()))
