"""Tensors: the shapes and types of tables, and, at level ``"full"``, the bytes of every tensor."""

from __future__ import annotations

from typing import Any

from ...core.dtypes import TENSOR_TYPES
from ...core.records import TensorInfo
from ...errors import FormatError, NotFoundError
from ...inputs.recipes import PER_LAYER_TABLE
from ...llama_cpp.architectures import ALWAYS_TIED, BORROWERS, NEVER_TIED, WIDTH_KEYS, WITHOUT_HEAD
from ...safe_text import quote
from ...tables.token_table import OUTPUT_TABLE, TOKEN_TABLE, find_token_table
from ..report import Findings
from ..rules import Severity
from ..subject import Subject
from .rows import examine_rows
from .rules import (
    EVIDENCE,
    NO_OUTPUT,
    NO_TABLE,
    QUANTISATION_VERSION,
    TABLE_NAME,
    TABLE_SHAPE,
    TABLE_TYPE,
    UNEXPECTED_OUTPUT,
)

__all__ = ["EVIDENCE", "examine"]

# What ggml's gather on a CPU has no code for, or (I32) yields no floats of.
_NOT_GATHERED = frozenset({"Q8_1", "Q8_K", "I8", "I16", "I32", "I64", "F64"})
_QUANTISATION_VERSION = 2


def examine(subject: Subject, findings: Findings) -> None:
    """Look at the infos of the tensors, and at level ``"full"`` at their bytes."""
    if len(subject.tensors) == 0:
        findings.no_evidence("the file holds no tensors")
        return
    tables = subject.token_tables
    if subject.table_name not in tables:
        if subject.architecture not in BORROWERS:
            findings.add(NO_TABLE, _why_no_table(subject))
    else:
        _examine_name(subject, findings)
        _examine_type(tables[subject.table_name], findings)
    for info in tables.values():
        if info.name != PER_LAYER_TABLE:  # of it rows may have a shape, and a width of their own
            _examine_shape(subject, info, findings)
    _examine_output(subject, findings)
    _examine_version(subject, findings)
    if subject.level == "full":
        findings.conclude(examine_rows(subject, findings))
    else:
        findings.conclude("shapes and types were looked at, the tensors' bytes were not")


def _why_no_table(subject: Subject) -> str:
    try:
        found = find_token_table(subject.source)
    except (FormatError, NotFoundError) as error:
        return str(error.args[0]).removeprefix(f"{subject.source.path}: ")
    return f"no tensor is named {subject.table_name}, and {found.name} was not taken for it"


def _examine_name(subject: Subject, findings: Findings) -> None:
    name = subject.table_name
    if name not in (TOKEN_TABLE, OUTPUT_TABLE):  # the latter is codeshell's, which llama.cpp looks for
        message = (
            f"the table of token embeddings is named {quote(name)}, and llama.cpp looks for {TOKEN_TABLE}"
        )
        findings.add(TABLE_NAME, message, tensor=name)


def _examine_type(info: TensorInfo, findings: Findings) -> None:
    if info.type in _NOT_GATHERED:
        findings.add(TABLE_TYPE, f"{info.name} is of type {info.type}", tensor=info.name, offset=info.offset)


def _examine_shape(subject: Subject, info: TensorInfo, findings: Findings) -> None:
    """Compare a table's shape with the width that the metadata gives; rows are the vocabulary's matter."""
    if not info.shape or info.n_bytes is None:
        return
    facts: dict[str, Any] = {"tensor": info.name, "offset": info.offset}
    if any(n != 1 for n in info.shape[:-2]):
        shape = " x ".join(map(str, info.shape))
        findings.add(TABLE_SHAPE, f"{info.name} is {shape}, not one row a token", **facts)
        return
    key = f"{subject.architecture}.{WIDTH_KEYS.get(subject.architecture or '', 'embedding_length')}"
    width = subject.metadata.integer(key)
    if width is not None and width != info.shape[-1]:
        findings.add(TABLE_SHAPE, f"{info.name} has {info.shape[-1]} columns, and {key} is {width}", **facts)


def _examine_output(subject: Subject, findings: Findings) -> None:
    architecture = subject.architecture
    if OUTPUT_TABLE in subject.tensors:
        if architecture in ALWAYS_TIED | WITHOUT_HEAD:
            findings.add(
                UNEXPECTED_OUTPUT, f"{architecture} has no tensor {OUTPUT_TABLE}", tensor=OUTPUT_TABLE
            )
    elif architecture in NEVER_TIED:
        findings.add(NO_OUTPUT, f"{architecture} needs a tensor {OUTPUT_TABLE}")


def _examine_version(subject: Subject, findings: Findings) -> None:
    """Compare the version of the quantisation, which ggml writes and never reads."""
    columns = subject.source.tensor_columns()
    types = [TENSOR_TYPES[number] for number in set(columns["type"].tolist()) if number in TENSOR_TYPES]
    quantised = sorted(kind.name for kind in types if kind.block_weights > 1)
    if not quantised:
        return
    key = "general.quantization_version"
    if key not in subject.metadata:
        message = f"tensors are of type {', '.join(quantised)}, and there is no {key}"
        findings.add(QUANTISATION_VERSION, message, severity=Severity.NOTE)
    elif subject.metadata.integer(key) != _QUANTISATION_VERSION:
        findings.add(QUANTISATION_VERSION, f"{key} is {subject.metadata.describe(key)}")
