"""Which types llama.cpp reads metadata as, and how a file stores it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ...core.constants import ValueType
from ...core.handle import Source
from ...core.records import MetadataEntry
from ...llama_cpp.metadata_types import NEEDED_OF_AN_ARCHITECTURE
from ...llama_cpp.pre_tokenizers import WITHOUT_TOKENS
from ...safe_text import quote
from ..report import Findings
from .rules import BOOL, KEY, MISSING_KEY, NESTED_ARRAY, TOO_LONG, VALUE_TYPE

_NAMES: Mapping[int, str] = {
    ValueType.U8: "u8",
    ValueType.I8: "i8",
    ValueType.U16: "u16",
    ValueType.I16: "i16",
    ValueType.U32: "u32",
    ValueType.I32: "i32",
    ValueType.F32: "f32",
    ValueType.BOOL: "bool",
    ValueType.STRING: "string",
    ValueType.ARRAY: "array",
    ValueType.U64: "u64",
    ValueType.I64: "i64",
    ValueType.F64: "f64",
}
_MAX_LENGTH = 2**30
_MAX_KEY_BYTES = 65535


def stored_type(entry: MetadataEntry) -> str:
    """Return how a value is stored: ``"u32"``, or ``"u32[]"`` for an array."""
    if entry.type == ValueType.ARRAY:
        return _NAMES[entry.element_type] + "[]"
    return _NAMES[entry.type]


def examine_types(entries: Iterable[MetadataEntry], expected: Mapping[str, str], findings: Findings) -> None:
    """Report values that are stored as another type than they are read as."""
    for entry in entries:
        wanted = expected.get(entry.key)
        stored = stored_type(entry)
        if wanted is not None and stored not in wanted.replace(" or ", ", ").split(", "):
            findings.add(
                VALUE_TYPE,
                f"{entry.key} is stored as {stored}; llama.cpp reads {wanted}",
                offset=entry.offset,
            )


def examine_needed(
    keys: Iterable[str],
    architecture: str | None,
    tokenizer: str | None,
    has_tensors: bool,
    findings: Findings,
) -> None:
    """Report keys without which llama.cpp loads no model, or, where there are no tensors, no vocabulary."""
    needed = ["general.architecture", "tokenizer.ggml.model"]
    if tokenizer not in (None, *WITHOUT_TOKENS):
        needed.append("tokenizer.ggml.tokens")
    if has_tensors and architecture is not None:
        needed += [f"{architecture}.{key}" for key in NEEDED_OF_AN_ARCHITECTURE]
    known = set(keys)
    for key in needed:
        if key not in known:
            findings.add(MISSING_KEY, f"there is no metadata key {key}")


def examine_entries(source: Source, entries: Iterable[MetadataEntry], findings: Findings) -> None:
    """Report values and keys that other readers of the format refuse or take otherwise."""
    for entry in entries:
        n_bytes = len(entry.key.encode("utf-8", "surrogateescape"))
        if n_bytes > _MAX_KEY_BYTES:
            message = f"the metadata key {quote(entry.key)} is {n_bytes} bytes long"
            findings.add(KEY, message, offset=entry.offset)
        elif not entry.key.isascii():
            findings.add(KEY, f"the metadata key {quote(entry.key)} is not ASCII", offset=entry.offset)
        if entry.element_type == ValueType.ARRAY:
            findings.add(NESTED_ARRAY, f"{quote(entry.key)} is an array of arrays", offset=entry.offset)
        if entry.n > _MAX_LENGTH:
            unit = "bytes" if entry.type == ValueType.STRING else "elements"
            findings.add(TOO_LONG, f"{quote(entry.key)} has {entry.n} {unit}", offset=entry.offset)
        if entry.type == ValueType.BOOL and (stored := _stored_byte(source, entry.key)) > 1:
            findings.add(BOOL, f"{quote(entry.key)} is stored as {stored}", offset=entry.offset)


def _stored_byte(source: Source, key: str) -> int:
    """Return the stored byte of a truth value: `Metadata` only shows whether it is 0."""
    value = source.metadata_value(key)
    assert value is not None
    value.type, value.element_type, value.n_elements = ValueType.ARRAY, ValueType.U8, 1
    return int(source.array_numbers(value)[0])
