"""GGUF files with the constants of hashed rows, in the words of several programs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from tests.helpers.ngram_constants import (
    ENGRAM_MODULI,
    ENGRAM_MULTIPLIERS,
    ENGRAM_ROWS,
    PLE_EOS,
    PLE_MODULI,
    PLE_MULTIPLIERS,
    PLE_OFFSETS,
    PLE_VOCAB,
)

_TYPES = {
    np.dtype(np.int32): gguf.GGUFValueType.INT32,
    np.dtype(np.uint32): gguf.GGUFValueType.UINT32,
    np.dtype(np.int64): gguf.GGUFValueType.INT64,
    np.dtype(np.uint64): gguf.GGUFValueType.UINT64,
    np.dtype(np.float32): gguf.GGUFValueType.FLOAT32,
}
KeyValues = Mapping[str, Any]


def u32(*values: int) -> np.ndarray:
    return np.array(values, np.uint32)


def i32(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def u64(*values: int) -> np.ndarray:
    return np.array(values, np.uint64)


def write(
    path: Path, architecture: str, keys: KeyValues, tensors: Mapping[str, np.ndarray] | None = None
) -> Path:
    """Write a file: arrays keep their types, ints are of 32 bits unless they need more, texts are texts."""
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in keys.items():
        if isinstance(value, np.ndarray):
            writer.add_key_value(key, value.tolist(), gguf.GGUFValueType.ARRAY, _TYPES[value.dtype])
        elif isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, list):
            writer.add_array(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        else:
            (writer.add_uint32 if value < 2**32 else writer.add_uint64)(key, value)
    for name, array in (tensors or {}).items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def ple_of_llama_cpp() -> dict[str, Any]:
    """Return the keys that llama.cpp's converter writes."""
    ple = "qwen4exp.ple."
    return {
        "qwen4exp.vocab_size": PLE_VOCAB,
        ple + "layers": i32(1),
        ple + "ngram_size": 3,
        ple + "heads_per_ngram": 8,
        ple + "conv_kernel": 4,
        ple + "layer_multipliers": u64(*PLE_MULTIPLIERS),
        ple + "head_vocab_sizes": u64(*PLE_MODULI),
        ple + "head_offsets": u64(*PLE_OFFSETS),
        ple + "eos_token_id": PLE_EOS,
        ple + "image_token_id": 248056,
        "qwen4exp.embedding_length_per_layer_input": 160,
    }


def ple_of_ds4() -> dict[str, Any]:
    """Return the keys of the second dialect, which keeps the names of the configuration."""
    return {
        "qwen4exp.text.ngram_size": 3,
        "qwen4exp.text.heads_per_ngram": 8,
        "qwen4exp.text.vocab_size": PLE_VOCAB,
        "qwen4exp.text.ple_layer_ids": u32(2),
        "qwen4exp.ple.layer_multipliers": u64(*PLE_MULTIPLIERS),
        "qwen4exp.ple.head_primes": u64(*PLE_MODULI),
        "qwen4exp.ple.head_offsets": u64(*PLE_OFFSETS),
        "qwen4exp.ple.hash_id": "some name",
        "qwen4exp.ple.hash_seed": 1234,
        "qwen4exp.ple.head_rows": 320001446,
        "qwen4exp.ple.rows": 320001536,
        "qwen4exp.tokenizer.end_of_text_token_id": PLE_EOS,
        "qwen4exp.tokenizer.eos_token_id": 248046,
    }


def token_table(n: int = PLE_VOCAB) -> dict[str, np.ndarray]:
    return {"token_embd.weight": np.zeros((n, 1), np.float16)}


#: Of small Engram files: 40 tokens that fold to 30, three of them dead by no key.
SMALL_MAP = np.concatenate([np.arange(30), np.arange(10)]).astype(np.int32)
SMALL_PRIMES = [[101, 103, 107, 109], [113, 127, 131, 137]]
SMALL_MULTIPLIERS = [[3, 5, 7], [12345678901235, 98765432109877, 55555555555555]]
SMALL_ROWS = [sum(layer) for layer in SMALL_PRIMES]


def flat(*layers: list[int]) -> list[int]:
    return [number for layer in layers for number in layer]


def sums(*layers: list[int]) -> list[int]:
    return [sum(layer[:i]) for layer in layers for i in range(len(layer))]


def engram_d1(*, map_type: type = np.int32) -> dict[str, Any]:
    """Return the keys of llama.cpp's pull request."""
    engram = "deepseek41.engram."
    return {
        engram + "layer_ids": i32(1, 14),
        engram + "head_count": 2,
        engram + "key_length": 256,
        engram + "max_ngram_size": 3,
        engram + "multipliers": u64(*flat(*SMALL_MULTIPLIERS)),
        engram + "primes": u64(*flat(*SMALL_PRIMES)),
        engram + "offsets": u64(*sums(*SMALL_PRIMES)),
        engram + "token_map": SMALL_MAP.astype(map_type),
        engram + "pad_id": 2,
    }


def engram_d2() -> dict[str, Any]:
    """Return the keys of ds4: no offsets, no counts."""
    engram = "deepseek41.engram."
    return {
        engram + "encoding": "e4m3_e8m0_32_row264",
        engram + "layer_ids": u32(1, 14),
        engram + "rows": u64(*SMALL_ROWS),
        engram + "compressed_vocab_size": 30,
        engram + "pad_id": 2,
        engram + "token_map": SMALL_MAP.astype(np.uint32),
        engram + "primes": u32(*flat(*SMALL_PRIMES)),
        engram + "multipliers": u64(*flat(*SMALL_MULTIPLIERS)),
    }


def engram_d3() -> dict[str, Any]:
    engram = "deepseek41.engram."
    return {
        engram + "layers": u32(1, 14),
        engram + "max_ngram_size": 3,
        engram + "head_count": 2,
        engram + "head_dim": 256,
        engram + "compressed_vocab_size": 30,
        engram + "pad_token_id": 32,  # a token, which is mapped to 2
        engram + "num_embeddings": u32(*SMALL_ROWS),
        engram + "token_map": SMALL_MAP.astype(np.uint32),
        engram + "hash_primes": u32(*flat(*SMALL_PRIMES)),
        engram + "hash_offsets": u64(*sums(*SMALL_PRIMES)),
        engram + "hash_multipliers": u64(*flat(*SMALL_MULTIPLIERS)),
        engram + "hash_contract_sha256": "00",
    }


def engram_d4() -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the keys and tensors of a dialect that names byte ranges of other files."""
    engram = "deepseek4.engram."
    keys = {
        engram + "layer_ids": u32(1, 14),
        engram + "num_embeddings": u64(*SMALL_ROWS),
        engram + "max_ngram_size": 3,
        engram + "head_count": 2,
        engram + "head_dim": 256,
        engram + "vocab_size": 101,
        engram + "compressed_vocab_size": 30,
        engram + "pad_id_compressed": 2,
        engram + "1.table_path": "/etc/passwd",
        engram + "1.weight_offset": 0,
        engram + "1.scale_offset": 64,
    }
    tensors = {
        "engram.token_map": SMALL_MAP,
        "engram.multipliers": np.array(SMALL_MULTIPLIERS, np.int64),
        "engram.primes": np.array(SMALL_PRIMES, np.int64),
        "engram.offsets": np.array(sums(*SMALL_PRIMES), np.int64),
    }
    return keys, tensors


def engram_d5() -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the keys and tensors of a file beside the model."""
    engram = "deepseek4-engram."
    keys = {
        engram + "layers": i32(1, 14),
        engram + "row_counts": u64(*SMALL_ROWS),
        engram + "max_ngram_size": 3,
        engram + "ngram_count": 2,
        engram + "head_count": 2,
        engram + "head_dim": 256,
        engram + "vocab_size": 101,
        engram + "compressed_vocab_size": 30,
        engram + "pad_token_id": 32,
        engram + "compressed_pad_id": 2,
    }
    tensors = {
        "engram.token_map": SMALL_MAP,
        "engram.hash_multipliers": np.array(SMALL_MULTIPLIERS, np.int64),
        "engram.hash_primes": np.array(SMALL_PRIMES, np.int64),
        "engram.hash_offsets": np.array([sums(layer) for layer in SMALL_PRIMES], np.int64),
    }
    return keys, tensors


def engram_d7() -> dict[str, Any]:
    """Return keys that leave the primes to be derived."""
    keys = engram_d3()
    for name in ("hash_primes", "hash_offsets"):
        del keys["deepseek41.engram." + name]
    return {**keys, "deepseek41.engram.vocab_size": 101}


def engram_published() -> dict[str, Any]:
    """Return the keys of llama.cpp's pull request with released constants, and a map of the same shape."""
    engram = "deepseek41.engram."
    token_map = np.minimum(np.arange(129280), 99091).astype(np.int32)
    return {
        **engram_d1(),
        engram + "head_count": 8,
        engram + "max_ngram_size": 4,
        engram + "multipliers": u64(*flat(*ENGRAM_MULTIPLIERS)),
        engram + "primes": u64(*flat(*ENGRAM_MODULI)),
        engram + "offsets": u64(*sums(*ENGRAM_MODULI)),
        engram + "token_map": token_map,
        engram + "num_embeddings": u64(*ENGRAM_ROWS),
    }


def small_ple() -> dict[str, Any]:
    """Return the keys of a small file of PLE: 40 tokens, 3 ends texts, two heads, rows of 8."""
    return {
        **ple_of_llama_cpp(),
        "qwen4exp.vocab_size": 40,
        "qwen4exp.ple.heads_per_ngram": 2,
        "qwen4exp.ple.layer_multipliers": u64(*SMALL_MULTIPLIERS[1]),
        "qwen4exp.ple.head_vocab_sizes": u64(*SMALL_PRIMES[0]),
        "qwen4exp.ple.head_offsets": u64(*sums(SMALL_PRIMES[0])),
        "qwen4exp.ple.eos_token_id": 3,
        "qwen4exp.ple.image_token_id": 4,
        "qwen4exp.embedding_length_per_layer_input": 8,
    }


def write_small(folder: Path, rng: np.random.Generator) -> tuple[Path, Path]:
    """Write a small model of PLE, in layer 1, and one of Engram, in layers 1 and 14; rows are 8 floats."""

    def table(rows: int) -> np.ndarray:
        return rng.standard_normal((rows, 8)).astype(np.float32)

    ple = {**token_table(40), "per_layer_token_embd.weight": table(SMALL_ROWS[0])}
    engram = {
        f"blk.{layer}.engram_embd.weight": table(n) for layer, n in zip((1, 14), SMALL_ROWS, strict=True)
    }
    return (
        write(folder / "ple.gguf", "qwen4exp", small_ple(), ple),
        write(folder / "engram.gguf", "deepseek41", engram_d1(), engram),
    )
