"""Rows of hashed tables as models store them: in shards, with scales, of 8-bit floats."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import pyembed
from pyembed.ngram.derived import engram_moduli
from tests.helpers import ngram_files as files

torch = pytest.importorskip("torch")
save_file = pytest.importorskip("safetensors.torch").save_file

SHARD = "model.language_model.layers.1.ple.ple_embedding.ngram_embedding."


def write(folder: Path, config: object, tensors: object) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return folder


def test_qwens_shards_with_one_scale(tmp_path: Path, rng: np.random.Generator) -> None:
    rows = torch.tensor(rng.standard_normal((424, 160))).to(torch.float8_e4m3fn)
    tensors = {f"{SHARD}shard_{i}.weight": rows[i * 54 : (i + 1) * 54].clone() for i in range(8)}
    scale = torch.tensor([0.0002], dtype=torch.bfloat16)
    config = {
        "ple_layer_ids": [2],
        "ngram_size": 3,
        "heads_per_ngram": 2,
        "ngram_vocab_size_base": 100,
        "seed": 7,
        "vocab_size": 50,
        "eos_token_id": 49,
    }
    with pyembed.open_ngram(write(tmp_path, config, {**tensors, f"{SHARD}weight_scale": scale})) as ngram:
        names = ngram.rows(range(50))
        assert len(np.unique(names // 54)) == 8  # rows of all shards
        want = (rows.float() * scale.float()).numpy()[names]
        np.testing.assert_array_equal(ngram.embed(range(50)), want)
        assert ngram.tables[1].shape == (424, 160)


def test_deepseeks_rows_with_scales_of_groups(tmp_path: Path, rng: np.random.Generator) -> None:
    moduli = engram_moduli(1000, 4, 2, 2)
    n_rows = [sum(moduli[:6]), sum(moduli[6:])]
    codes = [torch.tensor(rng.standard_normal((n, 64))).to(torch.float8_e4m3fn) for n in n_rows]
    scales = [torch.tensor(rng.integers(100, 140, (n, 2)), dtype=torch.uint8) for n in n_rows]
    tensors = {}
    for layer, code, scale in zip((1, 14), codes, scales, strict=True):
        tensors[f"layers.{layer}.engram.embed.weight"] = code
        tensors[f"layers.{layer}.engram.embed.scale"] = scale.view(torch.float8_e8m0fnu)
    config = {
        "engram_layer_ids": [1, 14],
        "engram_num_embeddings": n_rows,
        "engram_max_ngram_size": 4,
        "engram_vocab_size": 1000,
        "engram_n_heads": 2,
        "engram_pad_token_id": 0,
        "vocab_size": 12,
    }
    (tmp_path / "engram_token_map.json").write_text(json.dumps([*range(10), 3, 4]))
    with pyembed.open_ngram(write(tmp_path, config, tensors)) as ngram:
        for number, layer in enumerate(ngram.layers):
            factors = np.ldexp(np.float32(1), scales[number].numpy().astype(np.int32) - 127)
            rows = (codes[number].float().numpy().reshape(-1, 2, 32) * factors[..., None]).reshape(-1, 64)
            names = ngram.rows(range(12), layer=layer)
            np.testing.assert_array_equal(ngram.embed(range(12), layer=layer), rows[names])
            out = np.empty((12, 6, 64), np.uint8), np.empty((12, 6, 2), np.uint8)
            ngram.embed(range(12), out=out, dtype="raw", layer=layer)
            np.testing.assert_array_equal(out[0], codes[number].view(torch.uint8).numpy()[names])
            np.testing.assert_array_equal(out[1], scales[number].numpy()[names])


def test_ds4s_rows_of_264_bytes(tmp_path: Path, rng: np.random.Generator) -> None:
    codes = torch.tensor(rng.standard_normal((420, 256))).to(torch.float8_e4m3fn)
    scales = rng.integers(100, 140, (420, 8)).astype(np.uint8)
    stored = np.concatenate([codes.view(torch.uint8).numpy(), scales], axis=1).view(np.int8)
    path = files.write(
        tmp_path / "m.gguf", "deepseek41", files.engram_d2(), {"blk.1.engram_embd.weight": stored}
    )
    factors = np.ldexp(np.float32(1), scales.astype(np.int32) - 127)
    rows = (codes.float().numpy().reshape(-1, 8, 32) * factors[..., None]).reshape(-1, 256)
    with pyembed.load_model(path, validate="off") as model:
        assert model.ngram is not None
        names = model.ngram.rows(range(40), layer=1)
        np.testing.assert_array_equal(model.ngram.embed(range(40), layer=1), rows[names])
