"""Constants of hashed rows in GGUF files: the dialects that are known, and what is wrong in files."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from pyembed.ngram import Ngram
from tests.helpers import ngram_files as files
from tests.helpers.ngram_constants import PLE_EOS, PLE_VOCAB, expected, ple_constants
from tests.helpers.ngram_files import i32, u32, u64

ENGRAM = "deepseek41.engram."
PLE = "qwen4exp.ple."
WIDTH = 8


def tables(rng: np.random.Generator, name: str = "blk.{}.engram_embd.weight") -> dict[str, np.ndarray]:
    return {
        name.format(layer): rng.standard_normal((rows, WIDTH)).astype(np.float32)
        for layer, rows in zip((1, 14), files.SMALL_ROWS, strict=True)
    }


def open_ngram(path: Path) -> Ngram:
    with pyembed.load_model(path, validate="off") as model:
        found = model.ngram
        assert found is model.ngram
        assert found is not None
    assert found.closed  # with its model
    return pyembed.open_ngram(path)


@pytest.mark.parametrize("keys", [files.ple_of_llama_cpp, files.ple_of_ds4])
def test_both_dialects_of_ple(keys: Callable[[], dict[str, Any]], tmp_path: Path) -> None:
    ngram = open_ngram(files.write(tmp_path / "m.gguf", "qwen4exp", keys(), files.token_table()))
    assert (ngram.scheme, ngram.layers, ngram.columns, ngram.n_vocab) == ("ple", (1,), 16, PLE_VOCAB)
    assert ngram.digest == ple_constants().digest
    assert ngram.rows([100, 5, 7])[2, 0] == 12441580
    with pytest.raises(KeyError, match="layer 1 is not in the file"):
        ngram.embed([1])


DIALECTS: dict[str, Callable[[], Any]] = {
    "d1": files.engram_d1,
    "d1 before": lambda: {
        key.replace("deepseek41", "deepseek4"): value for key, value in files.engram_d1().items()
    },
    "d2": files.engram_d2,
    "d3": files.engram_d3,
    "d4": files.engram_d4,
    "d5": files.engram_d5,
    "d7": files.engram_d7,
}


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_of_engram_is_the_same_model(
    name: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    made = DIALECTS[name]()
    keys, tensors = made if isinstance(made, tuple) else (made, {})
    spelled = "layers.{}.engram.embed.weight" if name == "d5" else "blk.{}.engram_embd.weight"
    rows = {} if name == "d4" else tables(rng, spelled)
    path = files.write(tmp_path / "m.gguf", "deepseek41", keys, {**tensors, **rows})
    ngram = open_ngram(path)
    assert (ngram.scheme, ngram.layers, ngram.columns, ngram.n_vocab) == ("engram", (1, 14), 4, 40)
    stream = [31, 5, 39, 0, 0, 12, 2]
    for number, layer in enumerate(ngram.layers):
        names = ngram.rows(stream, layer=layer)
        assert names.tolist() == expected(ngram.constants, stream, number)
        assert names.max() < files.SMALL_ROWS[number]
        if rows:
            embedded = ngram.embed(stream, layer=layer)
            assert embedded.shape == (7, 4, WIDTH)
            np.testing.assert_array_equal(embedded, rows[spelled.format(layer)][names])
        else:
            with pytest.raises(KeyError, match="not in the file"):
                ngram.tables[layer]
    reference = open_ngram(files.write(tmp_path / "d1.gguf", "deepseek41", files.engram_d1()))
    assert ngram.digest == reference.digest


def test_embed_writes_where_it_is_told_and_reads_histories(tmp_path: Path, rng: np.random.Generator) -> None:
    rows = tables(rng)
    path = files.write(tmp_path / "m.gguf", "deepseek41", files.engram_d1(), rows)
    with pyembed.load_model(path, validate="off") as model:
        ngram = model.ngram
        assert ngram is not None
        stream = rng.integers(0, 40, 30)
        whole = ngram.embed(stream, layer=14)
        history = ngram.history()
        history.advance(stream[:11])
        out = np.zeros((19, 4, WIDTH), np.float16)
        assert ngram.embed(stream[11:], history, out, layer=14) is out
        np.testing.assert_array_equal(out, whole[11:].astype(np.float16))
        two = ngram.embed(stream[11:], [None, history], offsets=[0, 0, 19], layer=14, dtype="float32")
        np.testing.assert_array_equal(two, whole[11:])
        before = out.copy()
        with pytest.raises(IndexError):
            ngram.embed([40], history, out[:1], layer=14)
        np.testing.assert_array_equal(out, before)
        again = pickle.loads(pickle.dumps(ngram))
        np.testing.assert_array_equal(again.embed(stream[11:], history, layer=14), whole[11:])
        assert set(ngram.tables) == {1, 14}
        ngram.tables[1].close()
        assert ngram.tables[1].shape == (420, WIDTH)  # opened anew
        assert ngram.tables[1] is model.open_table("blk.1.engram_embd.weight")
        with pytest.raises(KeyError, match="2 is not a layer with hashed rows; these are: 1, 14"):
            ngram.tables[2]


def test_images_of_the_released_vocabulary_are_dead(tmp_path: Path) -> None:
    ngram = open_ngram(files.write(tmp_path / "m.gguf", "deepseek41", files.engram_published()))
    assert ngram.image_token == 129264
    behind = ngram.rows([50, 60, 129264, 70], layer=1)
    assert behind[3].tolist() == ngram.rows([70], layer=1)[0].tolist()
    padding = ngram.rows([2], layer=1)[0]  # the token that padding is
    assert behind[2].tolist() == padding.tolist()


def test_models_without_hashed_rows_have_no_names(tmp_path: Path) -> None:
    """The rows of Gemma's tables a layer are named by tokens."""
    rows = {"per_layer_token_embd.weight": np.zeros((10, 32), np.float32)}
    for architecture in ("gemma3n", "gemma4", "llama"):
        path = files.write(tmp_path / "m.gguf", architecture, {}, {**rows, **files.token_table(10)})
        with pyembed.load_model(path, validate="off") as model:
            assert model.ngram is None
        with pytest.raises(KeyError, match="nothing in it says that rows are hashed"):
            pyembed.open_ngram(path)
    with pyembed.load_model(pyembed.demo_model()) as model:
        assert model.ngram is None


def without(keys: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in keys.items() if key.split(".")[-1] not in names}


REFUSED: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "no multipliers": (
        lambda: without(files.engram_d1(), "multipliers"),
        "multipliers of hashed rows: not there, or under a name that is not known; found: "
        "'deepseek41.engram.layer_ids'",
    ),
    "no map": (lambda: without(files.engram_d2(), "token_map"), "the token map of hashed rows"),
    "no padding": (lambda: without(files.engram_d1(), "pad_id"), r"padding \(pad_id\)"),
    "no primes and no first one": (lambda: without(files.engram_d3(), "hash_primes"), r"moduli \(primes\)"),
    "primes that make other tables": (
        lambda: {**files.engram_d7(), ENGRAM + "vocab_size": 100, ENGRAM + "num_embeddings": u32(1, 2)},
        r"vocab_size', 100, on make tables of \(420, 508\) rows, not \(1, 2\)",
    ),
    "an unknown dialect": (
        lambda: {ENGRAM + "present": 1, "deepseek41.engram_head_dim": 256},
        "layers and multipliers and the token map .* found: 'deepseek41.engram.present'",
    ),
    "aliases that disagree": (
        lambda: {**files.engram_d1(), ENGRAM + "layers": u32(1, 15)},
        "'deepseek41.engram.layer_ids' and 'deepseek41.engram.layers' contradict each other",
    ),
    "paddings that disagree": (
        lambda: {**files.engram_d3(), ENGRAM + "compressed_pad_id": 3},
        "compressed_pad_id' and 'deepseek41.engram.pad_token_id' contradict each other: 3, and token 32 "
        "is mapped to 2",
    ),
    "truncated multipliers": (
        lambda: {**files.engram_d1(), ENGRAM + "multipliers": u64(3, 5, 7, 9, 11)},
        "multipliers' holds 5 numbers, which 2 layers",
    ),
    "truncated primes": (
        lambda: {**files.engram_d2(), ENGRAM + "primes": u32(101, 103, 107, 109, 113, 127)},
        "primes' holds 3 moduli a layer",
    ),
    "truncated offsets": (
        lambda: {**files.engram_d1(), ENGRAM + "offsets": u64(0, 101)},
        "offsets' holds 2 offsets for 8 moduli",
    ),
    "rows of one layer": (
        lambda: {**files.engram_d2(), ENGRAM + "rows": u64(420)},
        "rows' holds 1 numbers for 2 layers",
    ),
    "floats": (
        lambda: {**files.engram_d1(), ENGRAM + "primes": np.array([101.0] * 8, np.float32)},
        "primes' is an array of 8 numbers of float32; expected an array",
    ),
    "a text": (
        lambda: {**files.engram_d1(), ENGRAM + "primes": "101"},
        "primes' is '101'; expected an array",
    ),
    "texts": (lambda: {**files.engram_d1(), ENGRAM + "token_map": ["a", "b"]}, "an array of 2 strings"),
    "below zero": (
        lambda: {**files.engram_d1(), ENGRAM + "token_map": i32(0, 1, -1)},
        "token_map' holds -1; expected whole numbers from 0 to",
    ),
    "heads that do not fit": (lambda: {**files.engram_d1(), ENGRAM + "head_count": 3}, "heads of .*, 3,"),
    "a size that does not fit": (
        lambda: {**files.engram_d1(), ENGRAM + "max_ngram_size": 4},
        "holds 3 multipliers a layer, and '.*max_ngram_size' is 4",
    ),
    "a layer twice": (lambda: {**files.engram_d1(), ENGRAM + "layer_ids": i32(1, 1)}, "names a layer twice"),
    "a prime that is none": (
        lambda: {**files.engram_d2(), ENGRAM + "primes": u32(101, 103, 107, 111, 113, 127, 131, 137)},
        r"'deepseek41.engram.primes': moduli\[0\]\[3\] is 111, which is not a prime",
    ),
    "an even multiplier": (
        lambda: {**files.engram_d1(), ENGRAM + "multipliers": u64(3, 5, 6, 7, 9, 11)},
        r"'deepseek41.engram.multipliers': multipliers\[0\]\[2\] is 6: a multiplier has to be odd",
    ),
    "rows that overlap": (
        lambda: {**files.engram_d1(), ENGRAM + "offsets": u64(0, 100, 204, 311, 0, 113, 240, 371)},
        r"offsets': offsets\[0\]\[1\] is 100: the rows of column 1 overlap those of column 0",
    ),
    "a map beyond its size": (
        lambda: {**files.engram_d2(), ENGRAM + "compressed_vocab_size": 29},
        r"token_map': token_map\[29\] is 29: it has to be below n_compressed, 29",
    ),
    "a map with a number that means dead": (
        lambda: {**files.engram_d2(), ENGRAM + "token_map": u32(0, 1, 2, 0xFFFFFFFF)},
        r"token_map' holds 4294967295; expected whole numbers from 0 to 2147483647",
    ),
    "padding beyond the map": (
        lambda: {**files.engram_d1(), ENGRAM + "pad_id": 30},
        "pad_id': stand_in is 30",
    ),
    "a token of padding beyond the map": (
        lambda: {**files.engram_d3(), ENGRAM + "pad_token_id": 40},
        "pad_token_id' is 40, beyond the token map of 40 tokens",
    ),
    "two schemes": (
        lambda: {**files.engram_d1(), **files.ple_of_llama_cpp()},
        "keys of two schemes of hashed rows are there",
    ),
    "no end of text": (
        lambda: without(files.ple_of_llama_cpp(), "eos_token_id"),
        r"the end of text \(eos_token_id\) of hashed rows: not there",
    ),
    "two ends of text": (
        lambda: {**files.ple_of_ds4(), PLE + "eos_token_id": PLE_EOS + 2},
        "contradict each other",
    ),
    "two layers of ple": (lambda: {**files.ple_of_llama_cpp(), PLE + "layers": i32(1, 2)}, "names 2 layers"),
    "a layer below zero": (
        lambda: {**files.ple_of_ds4(), "qwen4exp.text.ple_layer_ids": u32(0)},
        "layers of hashed rows",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_named(name: str, tmp_path: Path) -> None:
    make, message = REFUSED[name]
    path = files.write(tmp_path / "m.gguf", "deepseek41", make(), files.token_table(10))
    with (
        pyembed.load_model(path, validate="off") as model,
        pytest.raises(pyembed.FormatError, match=message) as caught,
    ):
        _ = model.ngram
    assert str(path) in str(caught.value)
    assert caught.value.path == str(path)


def test_tables_without_a_word_on_hashing(tmp_path: Path) -> None:
    for architecture, name in (
        ("deepseek41", "blk.1.engram_embd.weight"),
        ("qwen4exp", "per_layer_token_embd.weight"),
    ):
        tensors = {name: np.zeros((4, 32), np.float32)}
        path = files.write(tmp_path / "m.gguf", architecture, {"deepseek41.engram_head_dim": 8}, tensors)
        with (
            pyembed.load_model(path, validate="off") as model,
            pytest.raises(
                pyembed.FormatError,
                match=f"{name} is a table of hashed rows, and no key .* found: 'deepseek41.engram_head",
            ),
        ):
            _ = model.ngram


def test_a_table_that_is_shorter_than_names_go(tmp_path: Path) -> None:
    tensors = {"blk.1.engram_embd.weight": np.zeros((400, 4), np.float32)}
    path = files.write(tmp_path / "m.gguf", "deepseek41", files.engram_d1(), tensors)
    with pyembed.load_model(path, validate="off") as model:
        assert model.ngram is not None
        with pytest.raises(pyembed.FormatError, match="has 400 rows, and names of rows go up to 419"):
            model.ngram.embed([1], layer=1)


def test_a_table_whose_rows_are_not_those_stated(tmp_path: Path) -> None:
    tensors = {"blk.1.engram_embd.weight": np.zeros((421, 4), np.float32)}
    path = files.write(tmp_path / "m.gguf", "deepseek41", files.engram_d2(), tensors)
    with (
        pyembed.load_model(path, validate="off") as model,
        pytest.raises(
            pyembed.FormatError,
            match=r"rows' and 'blk.1.engram_embd.weight' contradict each other: 420 rows and 421",
        ),
    ):
        _ = model.ngram


def test_a_large_count_is_refused_before_it_is_read(tmp_path: Path) -> None:
    keys = {**files.engram_d1(), ENGRAM + "primes": np.full(200_000, 101, np.uint32)}
    path = files.write(tmp_path / "m.gguf", "deepseek41", keys)
    with (
        pyembed.load_model(path, validate="off") as model,
        pytest.raises(
            pyembed.FormatError, match="an array of 200000 numbers; expected an array of at most 4096"
        ),
    ):
        _ = model.ngram


def test_a_tensor_of_constants_of_another_type(tmp_path: Path) -> None:
    keys, tensors = files.engram_d5()
    tensors["engram.hash_primes"] = tensors["engram.hash_primes"].astype(np.float32)
    path = files.write(tmp_path / "m.gguf", "deepseek41", keys, tensors)
    with (
        pyembed.load_model(path, validate="off") as model,
        pytest.raises(pyembed.FormatError, match=r"'engram.hash_primes' is of type F32; expected I32 or I64"),
    ):
        _ = model.ngram
