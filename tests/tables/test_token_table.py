"""Which tensor of a file is taken for the token table, by its name and by what lies beside it."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from pyembed.cli import main
from pyembed.tables.tensor_names import is_something_else, is_token_table, parse_name
from tests.helpers.model_files import rows_of_floats, write_model

ROWS = rows_of_floats(64, 32)
OTHER = rows_of_floats(64, 32, seed=1)
SQUARE = rows_of_floats(32, 32, seed=2)
LAYER = {"model.layers.0.self_attn.q_proj.weight": SQUARE}
DTYPES = {"float32": "F32", "float64": "F64", "int8": "I8", "int32": "I32", "int64": "I64", "uint32": "U32"}

# Names of token tables in models that people have, with the prefixes that programs put before them.
NAMES = [
    "model.embed_tokens.weight",
    "model.language_model.embed_tokens.weight",
    "language_model.model.embed_tokens.weight",
    "text_model.embeddings.token_embedding.weight",
    "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight",
    "conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight",
    "token_embedding.weight",
    "text_encoders.t5xxl.transformer.shared.weight",
    "shared.weight",
    "encoder.embed_tokens.weight",
    "model.shared.weight",
    "decoder.embed_tokens.weight",
    "transformer.wte.weight",
    "transformer.embd.wte.weight",
    "gpt_neox.embed_in.weight",
    "albert.embeddings.word_embeddings.weight",
    "new.embeddings.word_embeddings.weight",
    "transformer.word_embedding.weight",
    "transformer.embeddings.weight",
    "emb.weight",
    "model.embeddings.weight",
    "model.model.embed_tokens.weight",
    "thinker.model.embed_tokens.weight",
    "base_model.model.model.embed_tokens.weight",
    "_orig_mod.model.embed_tokens.weight",
    "module.model.embed_tokens.weight",
    "0.auto_model.embeddings.word_embeddings.weight",
    "model.embed.weight",
    "text_embed.weight",
    "model.text_embedding.weight",
    "backbone.embeddings.weight",
    "embeddings.tok_embeddings.weight",
    "rwkv.embeddings.weight",
    "embedding.weight",
    "transformer.tokens_embed.weight",
    "embeddings",
    "decoder.token_embedding.weight",
    "params/token_embedder/embedding",
    "transformer/embedder/input_embedding",
    "Model.Embed_Tokens.weight",
    "base_model.model.model.embed_tokens.base_layer.weight",
    "base_model.model.model.embed_tokens.modules_to_save.default.weight",
]
NO_NAMES = [
    "lm_head.weight",
    "output.weight",
    "embed_out.weight",
    "transformer.wpe.weight",
    "model.decoder.embed_positions.weight",
    "bert.embeddings.position_embeddings.weight",
    "bert.embeddings.token_type_embeddings.weight",
    "model.layers.0.self_attn.q_proj.weight",
    "model.layers.61.embed_tokens.weight",
    "mtp.embed_tokens.weight",
    "model.embed_vision.embedding.weight",
    "vision_model.embeddings.patch_embedding.weight",
    "patch_embed.proj.weight",
    "model.language_model.embed_tokens_per_layer.weight",
    "model.diffusion_model.img_in.weight",
    "time_embed.0.weight",
    "cls.predictions.decoder.weight",
    "classifier.weight",
    "score.weight",
    "prompt_embeddings",
    "pos_embed",
    "label_emb.weight",
    "text_projection.weight",
    "token_embd_norm.weight",
    "blk.0.attn_q.weight",
    "decoder.positional_embedding",
    "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
    "talker.codec_embedding.weight",
    "model.layers.3.mlp.shared.weight",
    "embeddings.LayerNorm.weight",
    "position.embedding.weight",
    "v.token_embd.weight",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_token_tables(name: str) -> None:
    assert is_token_table(parse_name(name).stem)
    assert parse_name(name).is_rows


@pytest.mark.parametrize("name", NO_NAMES)
def test_names_of_something_else(name: str) -> None:
    stem = parse_name(name).stem
    assert is_something_else(stem)
    assert not is_token_table(stem)


def info(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what ``pyembed info`` prints."""
    assert main(["info", str(path)]) == 0
    return capsys.readouterr().out


def save(path: Path, tensors: Mapping[str, Any]) -> Path:
    """Write a safetensors file of arrays, or of (name of a type, array of its bytes)."""
    header, data = {}, b""
    for name, stored in tensors.items():
        dtype, array = stored if isinstance(stored, tuple) else (DTYPES[stored.dtype.name], stored)
        raw = np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": dtype,
            "shape": array.shape,
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@pytest.mark.parametrize("name", ["module.model.embed_tokens.weight", "wte.weight", "odd.name", "table"])
def test_a_table_beside_a_layer(name: str, tmp_path: Path) -> None:
    layer = LAYER if is_token_table(parse_name(name).stem) else {}
    with pyembed.open_table(save(tmp_path / "m.safetensors", {**layer, name: ROWS})) as table:
        assert table.name == name
        np.testing.assert_array_equal(table[:], ROWS)


@pytest.mark.parametrize("name", NO_NAMES)
def test_the_only_matrix_is_not_taken_for_a_table(name: str, tmp_path: Path) -> None:
    path = save(tmp_path / "m.safetensors", {name: ROWS, "model.norm.weight": ROWS[0]})
    with pytest.raises(pyembed.FormatError, match=r"Say tensor=.*64 x 32") as caught:
        pyembed.open_table(path)
    assert f"{name!r} (64 x 32, F32)" in str(caught.value)
    with pyembed.open_table(path, tensor=name) as table:
        np.testing.assert_array_equal(table[:], ROWS)


def test_a_file_of_a_set_says_so(tmp_path: Path) -> None:
    path = save(tmp_path / "model-00002-of-00002.safetensors", {"lm_head.weight": ROWS})
    with pytest.raises(ValueError, match=r"index\.json"):
        pyembed.open_table(path)


@pytest.mark.parametrize("shape", [(2048,), (2, 32, 32)])
def test_a_table_of_another_shape_is_not_passed_over(shape: tuple[int, ...], tmp_path: Path) -> None:
    tensors = {"model.embed_tokens.weight": ROWS.reshape(shape), **LAYER}
    with pytest.raises(ValueError, match="not two dimensions"):
        pyembed.open_table(save(tmp_path / "m.safetensors", tensors))


def test_leading_dimensions_of_one(tmp_path: Path) -> None:
    tensors = {"model.embed_tokens.weight": ROWS.reshape(1, 64, 32), **LAYER}
    with pyembed.open_table(save(tmp_path / "m.safetensors", tensors)) as table:
        np.testing.assert_array_equal(table[:], ROWS)


def test_copies_are_taken_and_different_tables_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("encoder.embed_tokens.weight", "shared.weight", "decoder.embed_tokens.weight")
    path = save(tmp_path / "m.safetensors", dict.fromkeys(names, ROWS))
    with pyembed.open_table(path) as table:
        assert table.name == "shared.weight"
    shown = info(path, capsys)
    assert "shared.weight, 64 x 32" in shown
    assert "decoder.embed_tokens.weight, encoder.embed_tokens.weight" in shown
    almost = ROWS.copy()
    almost[-1, -1] += 1
    path = save(tmp_path / "m.safetensors", {**dict.fromkeys(names, ROWS), names[0]: almost})
    with pytest.raises(ValueError, match="do not hold the same bytes") as caught:
        pyembed.open_table(path)
    assert all(name in str(caught.value) for name in names)
    with pytest.raises(ValueError, match="do not hold the same bytes"):
        pyembed.open_table(save(path, {"wte.weight": ROWS, "shared.weight": ROWS[:63]}))


# What tables are stored as in ways that cannot be decoded; none of the rows may come out.
CODES = np.rint(ROWS * 40).astype(np.int8)
SCALE = np.ones((64, 1), np.float32)
BYTES = np.zeros((64, 32), np.uint8)
CODED: dict[str, dict[str, Any]] = {
    "aqlm": {"codebooks": ROWS, "codes": CODES, "scales": SCALE},
    "hqq": {"W_q": ("U8", BYTES), "scale": SCALE, "zero": SCALE},
    "quanto": {"weight._data": CODES, "weight._scale": SCALE},
    "gptq": {"qweight": np.zeros((8, 32), np.int32), "scales": SCALE, "qzeros": np.zeros((8, 4), np.int32)},
}
CODED_WEIGHTS: dict[str, dict[str, Any]] = {
    "int8 of bitsandbytes": {"weight": CODES, "SCB": SCALE[:, 0]},
    "zero points": {"weight": CODES, "weight_scale": SCALE, "weight_zero_point": CODES[:, :1]},
    "packed": {
        "weight_packed": np.zeros((64, 8), np.int32),
        "weight_scale": SCALE,
        "weight_shape": np.array([64, 32], np.int64),
    },
    "nf4": {
        "weight": ("U8", BYTES),
        "weight.absmax": SCALE[:, 0],
        "weight.quant_map": SCALE[:16, 0],
        "weight.quant_state.bitsandbytes__nf4": ("U8", BYTES[0]),
    },
}
SCALED: dict[str, dict[str, Any]] = {
    "int8": {"weight": CODES, "weight_scale": SCALE},
    "fp8": {"weight": ("F8_E4M3", BYTES), "scale_weight": np.float32(0.001).reshape(())},
    "fp8 rows": {"weight": ("F8_E4M3", BYTES), "weight_scale_inv": SCALE},
}


def of_tokens(parts: dict[str, Any], stem: str = "model.embed_tokens") -> dict[str, Any]:
    return {f"{stem}.{part}": stored for part, stored in parts.items()}


@pytest.mark.parametrize("kind", CODED)
def test_coded_tables_are_refused(kind: str, tmp_path: Path) -> None:
    tensors = of_tokens(CODED[kind])
    path = save(tmp_path / "m.safetensors", {**tensors, **LAYER})
    with pytest.raises(pyembed.UnsupportedTypeError, match="its rows are codes") as caught:
        pyembed.open_table(path)
    assert all(name in str(caught.value) for name in tensors)


@pytest.mark.parametrize("kind", CODED_WEIGHTS)
def test_codes_of_unknown_kinds_are_refused_under_every_name(kind: str, tmp_path: Path) -> None:
    tensors = of_tokens(CODED_WEIGHTS[kind])
    path = save(tmp_path / "m.safetensors", {**tensors, **LAYER})
    for name in (None, next(iter(tensors))):
        with pytest.raises(pyembed.UnsupportedTypeError, match="cannot be decoded"):
            pyembed.open_table(path, tensor=name)


@pytest.mark.parametrize("kind", SCALED)
def test_tables_with_scales_are_found(kind: str, tmp_path: Path) -> None:
    path = save(tmp_path / "m.safetensors", {**of_tokens(SCALED[kind]), **LAYER})
    with pyembed.open_table(path) as table:
        assert table.name == "model.embed_tokens.weight"
        assert table.layout.scales == "F32"
        assert table.shape == (64, 32)


def test_copies_have_the_same_scales(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    tensors = {**of_tokens(SCALED["int8"]), **of_tokens(SCALED["int8"], "shared")}
    with pyembed.open_table(save(path, tensors)) as table:
        assert table.name == "shared.weight"
    tensors["shared.weight_scale"] = 2 * SCALE
    with pytest.raises(pyembed.FormatError, match="do not hold the same bytes"):
        pyembed.open_table(save(path, tensors))
    del tensors["shared.weight_scale"]
    with pytest.raises(pyembed.FormatError, match="do not hold the same bytes"):
        pyembed.open_table(save(path, tensors))


def test_token_tables_in_shards_are_found(tmp_path: Path) -> None:
    shards = {f"model.embed_tokens.shard_{i}.weight": ROWS[8 * i : 8 * i + 8] for i in range(8)}
    path = save(tmp_path / "m.safetensors", {**shards, **LAYER})
    with pyembed.open_table(path) as table:
        assert table.name == "model.embed_tokens"
        np.testing.assert_array_equal(table[:], ROWS)
    path = save(tmp_path / "m.safetensors", {**shards, "shared.weight": ROWS})
    with pytest.raises(pyembed.FormatError, match=r"model\.embed_tokens.*shared\.weight"):
        pyembed.open_table(path)


def test_a_mapping_of_another_table_is_refused(tmp_path: Path) -> None:
    tensors = {"wte.weight": ROWS[:16], "mapping": np.zeros(64, np.int64), "weights": np.ones(64)}
    path = save(tmp_path / "m.safetensors", tensors)
    with pytest.raises(pyembed.UnsupportedTypeError, match="'mapping', 'weights'"):
        pyembed.open_table(path)


def test_whole_numbers_are_read_only_when_asked_for(tmp_path: Path) -> None:
    path = save(tmp_path / "m.safetensors", {"embedding.weight": CODES})
    with pytest.raises(pyembed.UnsupportedTypeError, match=r"I8.*say tensor='embedding\.weight'"):
        pyembed.open_table(path)
    with pyembed.open_table(path, tensor="embedding.weight") as table:
        np.testing.assert_array_equal(table[:], CODES.astype(np.float32))


@pytest.mark.parametrize(
    "beside", ["embeddings.LayerNorm.weight", "embeddings.norm.scale", "embed_tokens.embed_scale"]
)
def test_what_lies_beside_a_table_and_is_no_part_of_it(beside: str, tmp_path: Path) -> None:
    name = "embed_tokens.weight" if beside.startswith("embed_tokens") else "embeddings.weight"
    path = save(tmp_path / "m.safetensors", {name: ROWS, beside: ROWS[0]})
    with pyembed.open_table(path) as table:
        assert table.name == name


# ------------------------------------------------------------------------------------------------ GGUF


def test_gguf_files_of_other_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tensors = {"model.embed_tokens.weight": ROWS, "lm_head.weight": OTHER, **LAYER}
    path = write_model(tmp_path / "m.gguf", tensors=tensors)
    with pyembed.load_model(path) as model:
        assert model.table.name == model.token_table_name == "model.embed_tokens.weight"
        assert model.n_embd == 32
        assert not model.tied
        assert model.output_table.name == "lm_head.weight"
        found = {finding.rule: finding for finding in model.validate("order").findings}
    assert "llama.cpp looks for token_embd.weight" in found["tensor/table-name"].message
    assert found["tensor/table-name"].llama_cpp == "refuse"
    assert "model.embed_tokens.weight, 64 x 32" in info(path, capsys)
    write_model(path, tensors={"shared.weight": ROWS, **LAYER})
    with pyembed.load_model(path, load_mode="none") as model:
        assert model.tied
        assert model.output_table is model.table
        np.testing.assert_array_equal(model.table[:], ROWS)


def test_gguf_files_with_two_tables(tmp_path: Path) -> None:
    names = ("text_encoders.t5xxl.shared.weight", "text_encoders.clip_l.token_embedding.weight")
    path = write_model(tmp_path / "m.gguf", tensors={names[0]: ROWS, names[1]: OTHER})
    with pyembed.load_model(path) as model:
        assert model.token_table_name is None
        with pytest.raises(pyembed.FormatError, match="Say tensor=") as caught:
            _ = model.table
        assert all(name in str(caught.value) for name in names)
        np.testing.assert_array_equal(model.open_table(names[1])[:], OTHER)
        (finding,) = [f for f in model.validate("order").findings if f.rule == "tensor/no-table"]
        assert names[1] in finding.message


def test_coded_tables_in_gguf_files(tmp_path: Path) -> None:
    tensors = {"model.embed_tokens.weight": np.zeros((64, 4), np.int32), "model.embed_tokens.scales": SCALE}
    path = write_model(tmp_path / "m.gguf", tensors=tensors)
    with pyembed.load_model(path) as model, pytest.raises(pyembed.UnsupportedTypeError, match="codes"):
        _ = model.table


def write_special(path: Path, kind: str) -> Path:
    what, architecture, tensors = {
        "adapter": ("adapter", "llama", {"token_embd.weight.lora_a": ROWS, "token_embd.weight.lora_b": ROWS}),
        "bare adapter": (
            None,
            "llama",
            {"blk.0.attn_q.weight.lora_a": ROWS, "blk.0.attn_q.weight.lora_b": ROWS},
        ),
        "imatrix": (
            "imatrix",
            "llama",
            {"token_embd.weight.in_sum2": ROWS, "token_embd.weight.counts": ROWS},
        ),
        "mmproj": ("mmproj", "clip", {"v.position_embd.weight": ROWS, "mm.0.weight": ROWS}),
        "old mmproj": (None, "clip", {"v.token_embd.weight": ROWS}),
        "control vector": (None, "controlvector", {"direction.1": ROWS[0]}),
    }[kind]

    def add(writer: Any) -> None:
        if what is not None:
            writer.add_type(what)
        if what == "adapter":
            writer.add_string("adapter.type", "lora")

    return write_model(path, architecture=architecture, tensors=tensors, add=add)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("adapter", "a LoRA adapter"),
        ("bare adapter", "a LoRA adapter"),
        ("imatrix", "an importance matrix"),
        ("mmproj", "a projector of images or sound (mmproj)"),
        ("old mmproj", "a projector of images or sound (mmproj)"),
        ("control vector", "a control vector"),
    ],
)
def test_gguf_files_that_are_no_model(
    kind: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_special(tmp_path / "m.gguf", kind)
    with pytest.raises(KeyError) as caught:
        pyembed.open_table(path)
    assert f"this is {says}" in str(caught.value)
    assert "it has no token table" in str(caught.value)
    with pyembed.load_model(path) as model, pytest.raises(KeyError, match="it has no token table"):
        _ = model.table
    report = pyembed.validate(path, level="order")
    (finding,) = [finding for finding in report.findings if finding.rule == "tensor/no-table"]
    assert f"this is {says}" in finding.message
    assert says in report.verdicts[0].text
    assert says in info(path, capsys)


def test_long_names_take_no_time(tmp_path: Path) -> None:
    names = ["weight._a" * 50_000 + "..", "a." * 200_000 + "embed_tokens.weight"]
    path = save(tmp_path / "m.safetensors", dict.fromkeys(names, ROWS))
    with pytest.raises(pyembed.FormatError, match="which tensor is the token table") as caught:
        pyembed.open_table(path)
    assert len(str(caught.value)) < 1000
