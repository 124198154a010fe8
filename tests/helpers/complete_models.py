"""Complete small models of random weights, which an inference engine can run; written with gguf-py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import gguf
import numpy as np

import pyembed
from tests.helpers.oracles import TYPES, ggml_quantize

WIDTH, HIDDEN, HEADS, HEAD, CONTEXT = 256, 128, 4, 64, 64
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Blueprint:
    """The tensors of an architecture, rows first, and what its metadata says beside the sizes, of one block.

    Attributes
    ----------
    norms : tuple of str
        Tensors [WIDTH] with weights near 1, beside those of `tensors`.
    biases : {"", "norms", "all"}
        Which tensors, apart from the tables, have a bias.
    metadata, tokenizer : mapping
        Keys below the architecture's name, and below ``tokenizer.ggml`` where no vocabulary brings them.
    """

    tensors: Mapping[str, Shape]
    norms: tuple[str, ...]
    biases: Literal["", "norms", "all"] = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tokenizer: Mapping[str, int] = field(default_factory=dict)


_EPSILON = {"attention.layer_norm_epsilon": 1e-5}
_RMS_EPSILON = {"attention.layer_norm_rms_epsilon": 1e-5}
_SPLIT = {
    "blk.0.attn_q": (WIDTH, WIDTH),
    "blk.0.attn_k": (WIDTH, WIDTH),
    "blk.0.attn_v": (WIDTH, WIDTH),
    "blk.0.attn_output": (WIDTH, WIDTH),
}
_FUSED = {"blk.0.attn_qkv": (3 * WIDTH, WIDTH), "blk.0.attn_output": (WIDTH, WIDTH)}
_MLP = {"blk.0.ffn_up": (HIDDEN, WIDTH), "blk.0.ffn_down": (WIDTH, HIDDEN)}
_GATED = {**_SPLIT, **_MLP, "blk.0.ffn_gate": (HIDDEN, WIDTH)}
_BLOCK_NORMS = ("blk.0.attn_norm", "blk.0.ffn_norm")
_TWO_NORMS = ("output_norm", *_BLOCK_NORMS)
_POSITIONS = {"position_embd": (CONTEXT, WIDTH)}
_HEAD_NORMS = {"blk.0.attn_q_norm": (HEAD,), "blk.0.attn_k_norm": (HEAD,)}
_GEMMA_KEYS = {**_RMS_EPSILON, "attention.key_length": HEAD, "attention.value_length": HEAD}
_POST_NORMS = ("blk.0.post_attention_norm", "blk.0.post_ffw_norm")

_PER_LAYER = {"blk.0.inp_gate": (32, WIDTH), "blk.0.proj": (WIDTH, 32), "blk.0.layer_output_scale": (1,)}


def _in_both_blocks(tensors: Mapping[str, Shape]) -> dict[str, Shape]:
    """Return the tensors of a block, and the same of a second one."""
    return {**tensors, **{name.replace("blk.0.", "blk.1."): shape for name, shape in tensors.items()}}


BLUEPRINTS = {
    "llama": Blueprint(_GATED, _TWO_NORMS, metadata=_RMS_EPSILON),
    "minicpm": Blueprint(
        _GATED, _TWO_NORMS, metadata={**_RMS_EPSILON, "embedding_scale": 11.3, "residual_scale": 0.7}
    ),
    "granite": Blueprint(
        _GATED, _TWO_NORMS, metadata={**_RMS_EPSILON, "embedding_scale": 12.7, "logit_scale": 8.0}
    ),
    "gemma": Blueprint(_GATED, _TWO_NORMS, metadata=_GEMMA_KEYS),
    "gemma2": Blueprint(
        _GATED, (*_TWO_NORMS, *_POST_NORMS), metadata={**_GEMMA_KEYS, "attention.sliding_window": 32}
    ),
    "gemma3": Blueprint(
        {**_GATED, **_HEAD_NORMS},
        (*_TWO_NORMS, *_POST_NORMS),
        metadata={**_GEMMA_KEYS, "attention.sliding_window": 32},
    ),
    "qwen3vl": Blueprint(
        {**_GATED, **_HEAD_NORMS},
        _TWO_NORMS,
        metadata={
            **_GEMMA_KEYS,
            "n_deepstack_layers": 1,
            "rope.dimension_sections": [16, 8, 8, 0],
        },
    ),
    "gpt2": Blueprint({**_FUSED, **_MLP, **_POSITIONS}, _TWO_NORMS, biases="all", metadata=_EPSILON),
    "starcoder": Blueprint({**_FUSED, **_MLP, **_POSITIONS}, _TWO_NORMS, biases="all", metadata=_EPSILON),
    "bloom": Blueprint({**_FUSED, **_MLP}, ("token_embd_norm", *_TWO_NORMS), biases="all", metadata=_EPSILON),
    "bert": Blueprint(
        {**_SPLIT, **_MLP, **_POSITIONS, "token_types": (2, WIDTH)},
        ("token_embd_norm", "blk.0.attn_output_norm", "blk.0.layer_output_norm"),
        biases="all",
        metadata={**_EPSILON, "attention.causal": False},
        tokenizer={"token_type_count": 2},
    ),
    "mpt": Blueprint(
        {**_FUSED, **_MLP, **_POSITIONS},
        _TWO_NORMS,
        biases="all",
        metadata={**_EPSILON, "attention.max_alibi_bias": 8.0},
    ),
    "nomic-bert": Blueprint(
        {
            "blk.0.attn_qkv": (3 * WIDTH, WIDTH),
            "blk.0.attn_output": (WIDTH, WIDTH),
            **_MLP,
            "blk.0.ffn_gate": (HIDDEN, WIDTH),
            "token_types": (2, WIDTH),
        },
        ("token_embd_norm", "blk.0.attn_output_norm", "blk.0.layer_output_norm"),
        biases="norms",
        metadata={**_EPSILON, "attention.causal": False, "rope.freq_base": 1000.0},
        tokenizer={"token_type_count": 2},
    ),
    # Of two blocks, since it asks for the mask of full attention and for that of a window.
    "gemma-embedding2": Blueprint(
        {
            "output": (WIDTH, WIDTH),
            "per_layer_model_proj": (2 * 32, WIDTH),
            "per_layer_proj_norm": (32,),
            **_in_both_blocks(_GATED | _HEAD_NORMS | _PER_LAYER),
        },
        (
            "output_norm",
            *_in_both_blocks(dict.fromkeys((*_BLOCK_NORMS, *_POST_NORMS, "blk.0.post_norm"), ())),
        ),
        metadata={
            **_GEMMA_KEYS,
            "block_count": 2,
            "attention.sliding_window": 32,
            "attention.sliding_window_pattern": [True, False],
            "embedding_length_per_layer_input": 32,
        },
    ),
    "k2-horizon": Blueprint(_GATED, _TWO_NORMS, metadata=_RMS_EPSILON),
    "muse-spark": Blueprint(
        {
            **_SPLIT,
            **_HEAD_NORMS,
            "output": (512, WIDTH),
            "blk.0.attn_gate": (WIDTH, WIDTH),
            "blk.0.ffn_gate_inp": (4, WIDTH),
            "blk.0.exp_probs_b.bias": (4,),
            "blk.0.ffn_latent_down": (32, WIDTH),
            "blk.0.ffn_latent_up": (WIDTH, 32),
            "blk.0.ffn_pre_exp_norm": (32,),
            "blk.0.ffn_post_exp_norm": (32,),
            "blk.0.ffn_gate_exps": (4, 16, 32),
            "blk.0.ffn_up_exps": (4, 16, 32),
            "blk.0.ffn_down_exps": (4, 32, 16),
        },
        (
            *("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm", "blk.0.post_ffw_norm"),
            *(f"blk.0.{part}_resid_{name}" for part in ("attn", "ffn") for name in ("alpha", "beta")),
        ),
        metadata={
            **_RMS_EPSILON,
            "attention.sliding_window": 32,
            "attention.sliding_window_pattern": [True],
            "expert_count": 4,
            "expert_used_count": 2,
            "expert_feed_forward_length": 16,
            "expert_gating_func": 2,
            "expert_weights_norm": True,
            "expert_weights_scale": 1.5,
            "moe_latent_size": 32,
            "post_norm_epsilon": 0.5,
            "logit_scale": 2.0,
            "final_logit_softcapping": 30.0,
            "rope.freq_base_swa": 1e4,
        },
    ),
}
_TABLES = ("position_embd", "token_types")


def write_complete_model(
    path: Path,
    architecture: str = "llama",
    *,
    table_type: str = "F32",
    n_vocab: int = 512,
    vocabulary: pyembed.Model | None = None,
    seed: int = 0,
) -> Path:
    """Write a model; without the `vocabulary` of another it has `n_vocab` tokens without names."""
    plan = BLUEPRINTS[architecture]
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, architecture)
    sizes = {
        "block_count": 1,
        "context_length": CONTEXT,
        "embedding_length": WIDTH,
        "feed_forward_length": HIDDEN,
        "attention.head_count": HEADS,
    }
    for key, value in {**sizes, **plan.metadata}.items():
        _add_value(writer, f"{architecture}.{key}", value)
    if vocabulary is None:
        writer.add_tokenizer_model("none")
        writer.add_uint32(f"{architecture}.vocab_size", n_vocab)
        for key, value in plan.tokenizer.items():
            _add_value(writer, f"tokenizer.ggml.{key}", value)
    else:
        n_vocab = len(vocabulary.vocabulary)
        _copy_vocabulary(writer, vocabulary)
    rows = rng.standard_normal((n_vocab, WIDTH), np.float32) * np.float32(0.1)
    _add_table(writer, "token_embd.weight", rows, table_type)
    for name in plan.norms:
        writer.add_tensor(f"{name}.weight", _near_one(rng, (WIDTH,)))
    for name, shape in plan.tensors.items():
        values = _near_one(rng, shape) if len(shape) == 1 else rng.standard_normal(shape, np.float32) / 16
        full = name if name.endswith(".bias") else f"{name}.weight"
        writer.add_tensor(full, values.astype(np.float32))
    biased = dict.fromkeys(plan.norms, WIDTH) if plan.biases else {}
    if plan.biases == "all":
        biased |= {name: shape[0] for name, shape in plan.tensors.items() if name not in _TABLES}
    for name, n in biased.items():
        writer.add_tensor(f"{name}.bias", rng.standard_normal(n, np.float32) / np.float32(16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _near_one(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return (1 + rng.standard_normal(shape, np.float32) / 8).astype(np.float32)


def _add_value(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    add: Callable[[str, Any], None]
    if isinstance(value, bool):
        add = writer.add_bool
    elif isinstance(value, list):
        add = writer.add_array
    else:
        add = writer.add_uint32 if isinstance(value, int) else writer.add_float32
    add(key, value)


def _copy_vocabulary(writer: gguf.GGUFWriter, source: pyembed.Model) -> None:
    for key, value in source.metadata.items():
        if not key.startswith("tokenizer.ggml."):
            continue
        if isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, pyembed.StringArray):
            writer.add_array(key, [text.encode("utf-8", "surrogateescape") for text in value])
        elif isinstance(value, np.ndarray):
            writer.add_array(key, value.tolist())
        else:
            _add_value(writer, key, value)


def _add_table(writer: gguf.GGUFWriter, name: str, rows: np.ndarray, type_name: str) -> None:
    if type_name == "F32":
        writer.add_tensor(name, rows)
    elif type_name == "F16":
        writer.add_tensor(name, rows.astype(np.float16))
    else:
        blocks = ggml_quantize(type_name, rows)
        assert blocks is not None, f"ggml cannot quantise {type_name}"
        kind = gguf.GGMLQuantizationType(TYPES[type_name][0])
        writer.add_tensor(name, blocks.reshape(len(rows), -1), raw_dtype=kind)
