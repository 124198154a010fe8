"""What the page says of the file: sizes, whether its tables are tied, and what validation finds."""

from __future__ import annotations

import os
from typing import Any

from ...core.dtypes import tensor_type
from ...health import share_of, tied_how
from ...model import Model
from ...safe_text import printable
from ...tables.table import EmbeddingTable
from ...tokens.listed import ListedTokens
from .published import published

_TYPES = ("F32", "F16", "BF16", "Q8_0", "Q6_K", "Q4_K", "Q4_0")


def file_facts(
    table: EmbeddingTable, vocabulary: ListedTokens | None, model: Model | None, name: str
) -> dict[str, Any]:
    """Return what a file holds, in plain data; sizes in bytes. Reads the header only."""
    rows, columns = table.shape
    share = share_of(table)
    sizes = [(kind, tensor_type(kind).n_bytes(rows, columns)) for kind in _TYPES]
    return {
        "name": printable(name),
        "file": printable(os.path.basename(table.path)),
        "tensor": printable(table.name),
        "rows": rows,
        "columns": columns,
        "type": table.type,
        "layout": str(table.layout),
        "n_bytes": table.n_bytes,
        "share": share.table_weights / share.all_weights if share.all_weights else None,
        "table_weights": share.table_weights,
        "all_weights": share.all_weights,
        "all_bytes": share.all_bytes,
        "sizes": [{"type": kind, "n_bytes": n_bytes} for kind, n_bytes in sizes],
        "vocabulary": None if vocabulary is None else _vocabulary_facts(vocabulary),
        "architecture": None if model is None else printable(model.architecture or "not said"),
        "title": None if model is None else printable(model.metadata.text("general.name") or ""),
        "validates": model is not None,
        "published": published(),
    }


def _vocabulary_facts(vocabulary: ListedTokens) -> dict[str, Any]:
    return {
        "n": len(vocabulary),
        "model": printable(vocabulary.model or "not said"),
        "pre": printable(vocabulary.pre or ""),
        "special": [{"role": role, "id": row} for role, row in vocabulary.special.items()],
    }


def tied_facts(model: Model) -> dict[str, Any]:
    """Return whether the output table is the token table; where both are stored, by comparing their bytes.

    ``tied`` is as `Health.tied` has it: ``"absent"``, ``"bytes"``, ``"no"`` or None.
    """
    return {"tied": tied_how(model)}


def validation_facts(model: Model, level: str) -> dict[str, Any]:
    """Return what a validation finds; each finding names the ids that it is about."""
    report = model.validate("full" if level == "full" else "order")
    found = report.to_dict()
    kept = ("rule", "severity", "message", "first_id", "last_id", "n_ids", "tensor", "offset")
    return {
        "ok": found["ok"],
        "verdict": found["verdict"],
        "summary": printable(found["summary"]),
        "level": found["level"],
        "findings": [
            {key: printable(one[key]) if isinstance(one[key], str) else one[key] for key in kept}
            for one in found["findings"]
        ],
        "omitted": found["omitted"],
        "verdicts": found["verdicts"],
    }
