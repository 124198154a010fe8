"""Mendings as SARIF ``fixes``: bytes of a header to replace, where a mending changes no more than these."""

from __future__ import annotations

import base64
from contextlib import closing
from typing import Any

from ..core.handle import Source
from ..core.paths import Files
from ..editing.edit import Edit
from ..editing.in_place import patch_of
from ..validation.sarif import uri_of
from .draft import Draft
from .mendings import CannotMend, Mending

#: Longer replacements are not put into a log: `pyembed repair` makes them.
_MOST_BYTES = 1 << 16


def fix_of(files: Files, mending: Mending) -> dict[str, Any] | None:
    """Return a ``fix`` for a mending by itself; None where it is not a short replacement in a header."""
    with closing(Source(files, format="gguf")) as source:
        draft = Draft(source)
        try:
            mending.change(draft)
        except CannotMend:
            return None
        edit = Edit(source)
        draft.commit(edit)
        changed = [plan for plan in edit.plans() if plan.is_changed]
        patch = patch_of(changed[0]) if len(changed) == 1 else None
    if patch is None or not 0 < patch.n_bytes <= _MOST_BYTES:
        return None
    replacement = {
        "deletedRegion": {"byteOffset": patch.offset, "byteLength": patch.n_bytes},
        "insertedContent": {"binary": base64.b64encode(patch.new).decode("ascii")},
    }
    change = {"artifactLocation": {"uri": uri_of(patch.path)}, "replacements": [replacement]}
    return {"description": {"text": mending.text}, "artifactChanges": [change]}
