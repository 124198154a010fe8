"""The types as which llama.cpp reads metadata: each key as one exact type, without widening.

A type is spelled ``"u32"``, an array of it ``"u32[]"``; where several are read, ``"f32[] or i32[]"``.
"""

from __future__ import annotations

from collections.abc import Mapping

from .pre_tokenizers import WITH_MERGES, WITHOUT_TOKENS
from .special_tokens import ID_KEYS

# What is read of every model. "u32 or" its array: one value, or one a layer.
_OF_ANY_MODEL = {
    "general.architecture": "string",
    "general.name": "string",
    "general.file_type": "u32",
    "split.count": "u16",
}
_OF_A_SET = {"split.no": "u16", "split.tensors.count": "i32"}
_A_LAYER = "u32, u32[], i32[] or bool[]"
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
    "expert_used_count": _A_LAYER,  # of 0.5.0-dev u32 alone
    "pooling_type": "u32",
    "rope.dimension_count": "u32",
    "rope.freq_base": "f32",
    "rope.scaling.type": "string",
    "rope.scaling.factor": "f32",
    "rope.scaling.attn_factor": "f32",
    "rope.scaling.original_context_length": "u32",
    "vocab_size": "u32",
}
#: Keys of ``<architecture>.`` without which no model loads.
NEEDED_OF_AN_ARCHITECTURE = ("context_length", "embedding_length", "block_count")
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
    "normalizer.nfc": "bool",
    "normalizer.strip_accents": "bool",
    "suppress_tokens": "i32[]",
    **{f"{name}": "u32" for name in ID_KEYS},
}


def expected_types(architecture: str | None, tokenizer: str | None, is_set: bool) -> Mapping[str, str]:
    """Return the types that llama.cpp reads keys as, for a model that has such a tokenizer."""
    expected = dict(_OF_ANY_MODEL)
    if is_set:
        expected.update(_OF_A_SET)
    if architecture is not None:
        expected.update({f"{architecture}.{key}": kind for key, kind in _OF_AN_ARCHITECTURE.items()})
    expected["tokenizer.ggml.model"] = "string"
    if tokenizer not in WITHOUT_TOKENS:
        expected.update({f"tokenizer.ggml.{key}": kind for key, kind in _OF_A_TOKENIZER.items()})
    if tokenizer in WITH_MERGES:
        expected["tokenizer.ggml.merges"] = "string[]"
    if tokenizer == "t5":
        expected["tokenizer.ggml.precompiled_charsmap"] = "i8[] or u8[]"
    return expected
