"""Tensors: the shapes and types of tables, and, at level ``"full"``, the bytes of every tensor."""

from __future__ import annotations

import math
from typing import Any

from ..architectures import ALWAYS_TIED, NEVER_TIED, WITHOUT_HEAD
from ..dtypes import TENSOR_TYPES
from ..records import TensorInfo
from .report import Findings, shown
from .rules import Severity
from .subject import Subject
from .tensor_rows import examine_rows
from .tensor_rules import (
    EVIDENCE,
    NO_OUTPUT,
    NO_TABLE,
    QUANTISATION_VERSION,
    TABLE_SHAPE,
    TABLE_TYPE,
    UNEXPECTED_OUTPUT,
)

__all__ = ["EVIDENCE", "examine"]

_OUTPUT = "output.weight"
# What ggml's gather on a CPU has no code for, or (I32) yields no floats of.
_NOT_GATHERED = frozenset({"Q8_1", "Q8_K", "I8", "I16", "I32", "I64", "F64"})
# Draft models that may borrow the table of their target.
_BORROWERS = frozenset({"eagle3", "dflash"})
# The output has rows of its own, or the table a width of its own.
_OTHER_OUTPUT = frozenset({"qwen3tts", "wavtokenizer-dec"}) | _BORROWERS
_WIDTH_KEYS = {"wavtokenizer-dec": "features_length"}
_QUANTISATION_VERSION = 2


def examine(subject: Subject, findings: Findings) -> None:
    """Look at the infos of the tensors, and at level ``"full"`` at their bytes."""
    if len(subject.tensors) == 0:
        findings.no_evidence("the file holds no tensors")
        return
    tables = _tables(subject)
    if subject.table_name not in tables:
        if subject.architecture not in _BORROWERS:
            findings.add(NO_TABLE, f"no tensor is named {subject.table_name}")
    else:
        _examine_type(tables[subject.table_name], findings)
    for name, info in tables.items():
        if not (name == _OUTPUT and subject.architecture in _OTHER_OUTPUT):
            _examine_shape(subject, info, findings)
    _examine_output(subject, findings)
    _examine_version(subject, findings)
    if subject.level == "full":
        findings.conclude(examine_rows(subject, findings))
    else:
        findings.conclude("shapes and types were looked at, the tensors' bytes were not")


def _tables(subject: Subject) -> dict[str, TensorInfo]:
    """Return the tables with a row for each token."""
    names = dict.fromkeys((subject.table_name, _OUTPUT))
    return {name: subject.tensors[name] for name in names if name in subject.tensors}


def _examine_type(info: TensorInfo, findings: Findings) -> None:
    if info.type in _NOT_GATHERED:
        findings.add(TABLE_TYPE, f"{info.name} is of type {info.type}", tensor=info.name, offset=info.offset)


def _examine_shape(subject: Subject, info: TensorInfo, findings: Findings) -> None:
    """Compare a table's shape with the tokens and the width that the metadata gives."""
    if not info.shape or info.n_bytes is None:
        return
    facts: dict[str, Any] = {"tensor": info.name, "offset": info.offset}
    n_rows, n_columns = math.prod(info.shape[:-1]), info.shape[-1]
    if any(n != 1 for n in info.shape[:-2]):
        shape = " x ".join(map(str, info.shape))
        findings.add(TABLE_SHAPE, f"{info.name} is {shape}, not one row a token", **facts)
        return
    key = f"{subject.architecture}.{_WIDTH_KEYS.get(subject.architecture or '', 'embedding_length')}"
    width = subject.metadata.get(key)
    if isinstance(width, int) and width != n_columns:
        findings.add(TABLE_SHAPE, f"{info.name} has {n_columns} columns, and {key} is {width}", **facts)
    n_tokens = _n_tokens(subject)
    if n_tokens is None or n_tokens == n_rows:
        return
    if n_rows < n_tokens:
        findings.add(
            TABLE_SHAPE,
            f"{info.name} has {n_rows} rows for {n_tokens} tokens: ids from {n_rows} on have none",
            first_id=n_rows,
            last_id=n_tokens - 1,
            n_ids=n_tokens - n_rows,
            **facts,
        )
    else:
        findings.add(
            TABLE_SHAPE,
            f"{info.name} has {n_rows} rows for {n_tokens} tokens: those from {n_tokens} on belong to none",
            severity=Severity.WARNING,
            first_id=n_tokens,
            last_id=n_rows - 1,
            n_ids=n_rows - n_tokens,
            **facts,
        )


def _n_tokens(subject: Subject) -> int | None:
    """Return how many tokens llama.cpp counts; None where nothing says it."""
    if subject.metadata.get("tokenizer.ggml.model") in ("none", "no_vocab"):
        size = subject.metadata.get(f"{subject.architecture}.vocab_size", 0)  # a list of tokens is not read
        return size if isinstance(size, int) else None
    return None if subject.vocabulary is None else len(subject.vocabulary)


def _examine_output(subject: Subject, findings: Findings) -> None:
    architecture = subject.architecture
    if _OUTPUT in subject.tensors:
        if architecture in ALWAYS_TIED | WITHOUT_HEAD:
            findings.add(UNEXPECTED_OUTPUT, f"{architecture} has no tensor {_OUTPUT}", tensor=_OUTPUT)
    elif architecture in NEVER_TIED:
        findings.add(NO_OUTPUT, f"{architecture} needs a tensor {_OUTPUT}")


def _examine_version(subject: Subject, findings: Findings) -> None:
    """Compare the version of the quantisation, which ggml writes and never reads."""
    columns = subject.source.tensor_columns()
    types = [TENSOR_TYPES[number] for number in set(columns["type"].tolist()) if number in TENSOR_TYPES]
    quantised = sorted(kind.name for kind in types if kind.block_weights > 1)
    if not quantised:
        return
    key = "general.quantization_version"
    version = subject.metadata.get(key)
    if version is None:
        message = f"tensors are of type {', '.join(quantised)}, and there is no {key}"
        findings.add(QUANTISATION_VERSION, message, severity=Severity.NOTE)
    elif version != _QUANTISATION_VERSION:
        findings.add(QUANTISATION_VERSION, f"{key} is {shown(str(version))}")
