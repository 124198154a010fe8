"""The container: header, metadata and where tensors lie, as llama.cpp would take them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.constants import MAX_DIMS, UNKNOWN_BYTES
from ...core.records import Shard
from ...files.gguf_kind import kind_of_gguf
from ...llama_cpp.architectures import ARCHITECTURES
from ...llama_cpp.metadata_types import expected_types
from ...safe_text import quote
from ..report import Findings
from ..report_text import count
from ..subject import Subject
from .extents import Extents
from .rules import (
    ALIGNMENT,
    ARCHITECTURE,
    BYTE_ORDER,
    CHAT_TEMPLATE,
    EMPTY_TENSOR,
    INSIDE_ARCHIVE,
    TENSOR_NAME,
    TENSOR_TYPE,
    VERSION,
)
from .values import examine_entries, examine_needed, examine_types

# ggml keeps a name in 64 bytes, and the last one ends it.
_MAX_NAME_BYTES = 63


def examine(subject: Subject, findings: Findings) -> None:
    """Look at the header, the metadata and the extents of tensors, in every file."""
    tensors = subject.source.tensor_columns()
    shards = subject.source.shards()
    for number, shard in enumerate(shards):
        _examine_header(shard, None if number == 0 else shard.path, findings)
    _examine_metadata(subject, len(tensors) > 0, len(shards) > 1, findings)
    _examine_tensors(subject, tensors, findings)
    for number, shard in enumerate(shards):
        _extents(subject, tensors, number, shard).examine(findings)
    kind = kind_of_gguf(subject.metadata, subject.tensors)
    files = "one file" if len(shards) == 1 else f"a set of {len(shards)} files"
    n_bytes = sum(shard.n_bytes for shard in shards)
    findings.conclude(
        f"{files} of GGUF version {shards[0].version}, {n_bytes} bytes, "
        f"{count(len(subject.metadata), 'metadata key')} and {count(len(tensors), 'tensor')}"
        + (f"; it is {kind}, and no language model" if kind is not None else "")
    )


def _examine_header(shard: Shard, path: str | None, findings: Findings) -> None:
    if shard.first > 0:
        message = f"the GGUF file lies inside a zip archive, from byte {shard.first} to {shard.end}"
        findings.add(INSIDE_ARCHIVE, message, offset=shard.first, path=path)
    if shard.version == 1:
        findings.add(VERSION, "the file is of GGUF version 1", offset=shard.first + 4, path=path)
    if shard.big_endian:
        findings.add(BYTE_ORDER, "the file is big-endian", offset=shard.first + 4, path=path)
    if shard.alignment & (shard.alignment - 1):
        message = f"general.alignment is {shard.alignment}, which is not a power of two"
        findings.add(ALIGNMENT, message, path=path)


def _examine_metadata(subject: Subject, has_tensors: bool, is_set: bool, findings: Findings) -> None:
    entries = subject.source.metadata_entries()
    architecture = subject.architecture
    tokenizer = subject.metadata.text("tokenizer.ggml.model")
    examine_entries(subject.source, entries, findings)
    examine_types(entries, expected_types(architecture, tokenizer, is_set), findings)
    examine_needed(subject.metadata, architecture, tokenizer, has_tensors, findings)
    if architecture is not None and architecture not in ARCHITECTURES:
        message = f"llama.cpp knows no language model of architecture {quote(architecture)}"
        findings.add(ARCHITECTURE, message)
    names = " ".join(
        subject.metadata.text(f"general.{key}") or "" for key in ("name", "finetune", "basename")
    )
    is_for_chat = any(word in names.casefold() for word in ("instruct", "chat"))
    if is_for_chat and has_tensors and not subject.metadata.text("tokenizer.chat_template"):
        findings.add(CHAT_TEMPLATE, f"{quote(names.strip())} has no tokenizer.chat_template")


def _examine_tensors(subject: Subject, tensors: npt.NDArray[Any], findings: Findings) -> None:
    is_dimension = np.arange(MAX_DIMS) < tensors["n_dims"][:, None]
    for rule, is_wrong, what in (
        (TENSOR_NAME, tensors["name_bytes"] > _MAX_NAME_BYTES, "has a name of 64 bytes or more"),
        (TENSOR_TYPE, tensors["n_bytes"] == UNKNOWN_BYTES, "is of {type}, which cannot be decoded"),
        (EMPTY_TENSOR, ((tensors["shape"] == 0) & is_dimension).any(axis=1), "has the shape {shape}"),
    ):
        wrong = np.flatnonzero(is_wrong)

        def describe(which: int, wrong: npt.NDArray[np.intp] = wrong, what: str = what) -> dict[str, Any]:
            info = subject.source.tensor(int(wrong[which]))
            assert info is not None
            text = what.format(type=info.type, shape=" x ".join(map(str, info.shape)))
            message = f"tensor {quote(info.name)} {text}"
            path = None if info.path == subject.source.path else info.path
            return {"message": message, "tensor": info.name, "offset": info.offset, "path": path}

        findings.add_many(rule, len(wrong), describe)


def _extents(subject: Subject, tensors: npt.NDArray[Any], number: int, shard: Shard) -> Extents:
    positions = np.flatnonzero(tensors["shard"] == number)
    is_known = tensors["n_bytes"][positions] != UNKNOWN_BYTES

    def name_of(position: int) -> str:
        info = subject.source.tensor(int(positions[position]))
        assert info is not None
        return info.name

    return Extents(
        shard,
        tensors["offset"][positions].astype(np.int64),
        np.where(is_known, tensors["n_bytes"][positions], 0).astype(np.int64),
        is_known,
        name_of,
        None if number == 0 else shard.path,
    )
