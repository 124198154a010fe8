"""Which types llama.cpp reads metadata as, and how a file stores it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .._native import lib
from ..records import MetadataEntry
from ..source import Source
from .container_rules import BOOL, KEY, MISSING_KEY, NESTED_ARRAY, TOO_LONG, VALUE_TYPE
from .report import Findings, shown

_NAMES = {
    lib.PYE_VALUE_U8: "u8",
    lib.PYE_VALUE_I8: "i8",
    lib.PYE_VALUE_U16: "u16",
    lib.PYE_VALUE_I16: "i16",
    lib.PYE_VALUE_U32: "u32",
    lib.PYE_VALUE_I32: "i32",
    lib.PYE_VALUE_F32: "f32",
    lib.PYE_VALUE_BOOL: "bool",
    lib.PYE_VALUE_STRING: "string",
    lib.PYE_VALUE_ARRAY: "array",
    lib.PYE_VALUE_U64: "u64",
    lib.PYE_VALUE_I64: "i64",
    lib.PYE_VALUE_F64: "f64",
}
_MAX_LENGTH = 2**30
_MAX_KEY_BYTES = 65535

# What is read of every model. "u32 or" its array: one value, or one a layer.
_OF_ANY_MODEL = {
    "general.architecture": "string",
    "general.name": "string",
    "general.file_type": "u32",
    "split.count": "u16",
}
_OF_A_SET = {"split.no": "u16", "split.tensors.count": "i32"}
_A_LAYER = "u32, u32[] or i32[]"
_OF_AN_ARCHITECTURE = {
    "context_length": "u32",
    "embedding_length": "u32",
    "block_count": "u32",
    "feed_forward_length": _A_LAYER,
    "attention.head_count": _A_LAYER,
    "attention.head_count_kv": _A_LAYER,
    "attention.key_length": "u32",
    "attention.value_length": "u32",
    "attention.layer_norm_rms_epsilon": "f32",
    "attention.causal": "bool",
    "expert_count": "u32",
    "expert_used_count": "u32",
    "pooling_type": "u32",
    "rope.dimension_count": "u32",
    "rope.freq_base": "f32",
    "rope.scaling.type": "string",
    "rope.scaling.factor": "f32",
    "rope.scaling.attn_factor": "f32",
    "rope.scaling.original_context_length": "u32",
    "vocab_size": "u32",
}
_NEEDED = ("context_length", "embedding_length", "block_count")
_IDS = (
    "bos eos eot eom unknown seperator padding mask fim_pre fim_suf fim_mid fim_pad fim_rep fim_sep prefix "
    "suffix middle"
)
_OF_A_TOKENIZER = {
    "pre": "string",
    "tokens": "string[]",
    "scores": "f32[] or i32[]",
    "token_type": "i32[]",
    "token_type_count": "u32",
    "add_bos_token": "bool",
    "add_eos_token": "bool",
    "add_sep_token": "bool",
    "add_space_prefix": "bool",
    "remove_extra_whitespaces": "bool",
    "normalizer.lowercase": "bool",
    "normalizer.strip_accents": "bool",
    "suppress_tokens": "i32[]",
    **{f"{name}_token_id": "u32" for name in _IDS.split()},
}
_WITHOUT_TOKENS = ("none", "no_vocab")
_WITH_MERGES = {"gpt2", "hybriddna", "whitespace", "gemma4"}


def stored_type(entry: MetadataEntry) -> str:
    """Return how a value is stored: ``"u32"``, or ``"u32[]"`` for an array."""
    if entry.type == lib.PYE_VALUE_ARRAY:
        return _NAMES[entry.element_type] + "[]"
    return _NAMES[entry.type]


def expected_types(architecture: str | None, tokenizer: str | None, is_set: bool) -> Mapping[str, str]:
    """Return the types that llama.cpp reads keys as, for a model that has such a tokenizer."""
    expected = dict(_OF_ANY_MODEL)
    if is_set:
        expected.update(_OF_A_SET)
    if architecture is not None:
        expected.update({f"{architecture}.{key}": kind for key, kind in _OF_AN_ARCHITECTURE.items()})
    expected["tokenizer.ggml.model"] = "string"
    if tokenizer not in _WITHOUT_TOKENS:
        expected.update({f"tokenizer.ggml.{key}": kind for key, kind in _OF_A_TOKENIZER.items()})
    if tokenizer in _WITH_MERGES:
        expected["tokenizer.ggml.merges"] = "string[]"
    if tokenizer == "t5":
        expected["tokenizer.ggml.precompiled_charsmap"] = "i8[] or u8[]"
    return expected


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
    if tokenizer not in (None, *_WITHOUT_TOKENS):
        needed.append("tokenizer.ggml.tokens")
    if has_tensors and architecture is not None:
        needed += [f"{architecture}.{key}" for key in _NEEDED]
    known = set(keys)
    for key in needed:
        if key not in known:
            findings.add(MISSING_KEY, f"there is no metadata key {key}")


def examine_entries(source: Source, entries: Iterable[MetadataEntry], findings: Findings) -> None:
    """Report values and keys that other readers of the format refuse or take otherwise."""
    for entry in entries:
        n_bytes = len(entry.key.encode("utf-8", "surrogateescape"))
        if n_bytes > _MAX_KEY_BYTES:
            message = f"the metadata key {shown(entry.key)} is {n_bytes} bytes long"
            findings.add(KEY, message, offset=entry.offset)
        elif not entry.key.isascii():
            findings.add(KEY, f"the metadata key {shown(entry.key)} is not ASCII", offset=entry.offset)
        if entry.element_type == lib.PYE_VALUE_ARRAY:
            findings.add(NESTED_ARRAY, f"{shown(entry.key)} is an array of arrays", offset=entry.offset)
        if entry.n > _MAX_LENGTH:
            unit = "bytes" if entry.type == lib.PYE_VALUE_STRING else "elements"
            findings.add(TOO_LONG, f"{shown(entry.key)} has {entry.n} {unit}", offset=entry.offset)
        if entry.type == lib.PYE_VALUE_BOOL and (stored := _stored_byte(source, entry.key)) > 1:
            findings.add(BOOL, f"{shown(entry.key)} is stored as {stored}", offset=entry.offset)


def _stored_byte(source: Source, key: str) -> int:
    """Return the byte of a truth value, of which `Metadata` shows only whether it is 0."""
    value = source.metadata_value(key)
    assert value is not None
    value.type, value.element_type, value.n_elements = lib.PYE_VALUE_ARRAY, lib.PYE_VALUE_U8, 1
    return int(source.array_numbers(value)[0])
