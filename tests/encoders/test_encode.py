"""Vectors of texts, against the libraries themselves where they are installed, and against their rules."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

import pyembed
from pyembed.encoders import encoder_of
from tests.helpers.encoders import (
    DTYPES,
    TEXTS,
    Array,
    difference,
    rows,
    save_model2vec,
    save_transformers,
    word_tokenizer,
)

tokenizers = pytest.importorskip("tokenizers")
pytestmark = pytest.mark.usefixtures("no_cache")

VOCABULARY = word_tokenizer()
N = VOCABULARY.get_vocab_size(with_added_tokens=True)


# ---------------------------------------------------------------------------------------- model2vec


@pytest.mark.parametrize("parts", ["plain", "weights", "mapping", "both"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("normalize", [True, False])
def test_model2vec(tmp_path: Path, dtype: str, parts: str, normalize: bool) -> None:
    model2vec = pytest.importorskip("model2vec")
    rng = np.random.default_rng(1)
    weights = rng.random(N).astype(np.float32) if parts in ("weights", "both") else None
    mapping = rng.integers(0, 20, N) if parts in ("mapping", "both") else None
    table = rows(dtype, 20 if mapping is not None else N)
    save_model2vec(tmp_path, table, VOCABULARY, {"normalize": normalize}, weights, mapping)
    model = model2vec.StaticModel.from_pretrained(tmp_path)
    with pyembed.load_encoder(tmp_path, engine="tokenizers") as encoder:
        assert encoder.library == "model2vec"
        assert encoder.normalize is normalize
        for options in ({}, {"max_length": 3}, {"max_length": None}, {"normalize": not normalize}):
            found, wanted = encoder.encode(TEXTS, **options), model.encode(TEXTS, **options)
            assert difference(found, wanted) <= 1e-6 * max(1, np.abs(wanted).max())


def test_model2vec_sums_are_the_same_bits(tmp_path: Path) -> None:
    model2vec = pytest.importorskip("model2vec")
    save_model2vec(tmp_path, rows("float32", N), VOCABULARY, {"normalize": False})
    model = model2vec.StaticModel.from_pretrained(tmp_path)
    with pyembed.load_encoder(tmp_path) as encoder:
        assert encoder.encode(TEXTS).tobytes() == model.encode(TEXTS).tobytes()


def test_unknown_tokens_use_up_the_limit(tmp_path: Path) -> None:
    """Of three tokens, two unknown, one counts; the characters are cut before."""
    table = rows("float32", N)
    save_model2vec(tmp_path, table, VOCABULARY, {"max_length": 3})
    with pyembed.load_encoder(tmp_path) as encoder:
        ids, offsets = encoder.tokenize(["zz9 the zz8 cat dog", "the cat dog house"])
        the, cat, dog = (VOCABULARY.token_to_id(word) for word in ("the", "cat", "dog"))
        assert ids[: offsets[1]].tolist() == [the]
        assert ids[offsets[1] :].tolist()[:3] == [the, cat, dog][: offsets[2] - offsets[1]]
        np.testing.assert_array_equal(encoder.encode("zz9 the zz8 cat dog"), table[the])


def test_columns_are_left_out_before_the_norm(tmp_path: Path) -> None:
    model2vec = pytest.importorskip("model2vec")
    save_model2vec(tmp_path, rows("float16", N), VOCABULARY, {"normalize": True})
    model = model2vec.StaticModel.from_pretrained(tmp_path, dimensionality=40)
    with pyembed.load_encoder(tmp_path) as encoder:
        assert difference(encoder.encode(TEXTS, dim=40), model.encode(TEXTS)) <= 1e-6


def test_a_published_layout_with_quantised_rows() -> None:
    """The Unigram model that a package ships: int8 rows behind a mapping, with weights."""
    model2vec = pytest.importorskip("model2vec")
    static_model = pytest.importorskip("static_model")
    folder = Path(static_model.__file__).parent / "model"
    model = model2vec.StaticModel.from_pretrained(folder)
    with pyembed.load_encoder(folder, engine="tokenizers") as encoder:
        assert difference(encoder.encode(TEXTS), model.encode(TEXTS)) <= 1e-6


# -------------------------------------------------------------------------- sentence-transformers


def transformers_vectors(table: Array, texts: list[str], kept: slice = slice(None)) -> Array:
    """Return the plain means: unknown tokens count, nothing is cut but by the file's own truncation."""
    out = np.zeros((len(texts), table.shape[1]), np.float32)
    for number, text in enumerate(texts):
        ids = VOCABULARY.encode(text, add_special_tokens=False).ids[kept]
        for token in ids:
            out[number] += table[token]
        out[number] /= max(len(ids), 1)
    return out


@pytest.mark.parametrize("layout", ["root", "nested", "nested, no modules.json"])
@pytest.mark.parametrize("normalize", [True, False])
def test_sentence_transformers(tmp_path: Path, layout: str, normalize: bool) -> None:
    if layout == "nested, no modules.json" and normalize:
        pytest.skip("without modules nothing says so")
    table = rows("float32", N)
    save_transformers(tmp_path, table, VOCABULARY, layout, normalize)
    wanted = transformers_vectors(table, TEXTS)
    if normalize:
        wanted /= np.maximum(np.linalg.norm(wanted, axis=1, keepdims=True), 1e-12)
    with pyembed.load_encoder(tmp_path) as encoder:
        assert encoder.library == "sentence-transformers"
        assert difference(encoder.encode(TEXTS), wanted) <= 1e-6
        narrow = wanted[:, :30]  # of unit length before, not after
        assert difference(encoder.encode(TEXTS, dim=30), np.ascontiguousarray(narrow)) <= 1e-6
        explicit = encoder.encode(TEXTS[:1], dim=30, normalize=True)
        np.testing.assert_allclose(np.linalg.norm(explicit), 1, rtol=1e-6)


def test_sentence_transformers_settings(tmp_path: Path) -> None:
    """The default prompt, the columns that are kept, and the truncation of the tokenizer's file."""
    table = rows("float32", N)
    limited = word_tokenizer()
    limited.enable_truncation(4)
    settings = {"prompts": {"query": "dog "}, "default_prompt_name": "query", "truncate_dim": 24}
    save_transformers(tmp_path, table, limited, "root", False, settings)
    wanted = transformers_vectors(table, [f"dog {text}" for text in TEXTS], slice(4))[:, :24]
    with pyembed.load_encoder(tmp_path) as encoder:
        assert encoder.dim == 24
        assert difference(encoder.encode(TEXTS), np.ascontiguousarray(wanted)) <= 1e-6
    save_transformers(tmp_path, table, limited, "root", False, {"truncate_dim": 4096})
    with pyembed.load_encoder(tmp_path) as encoder:  # more than there are: all
        assert encoder.dim == table.shape[1]
        assert encoder.encode(TEXTS).shape == (len(TEXTS), encoder.dim)
        with pytest.raises(ValueError, match="dim is 4096"):
            encoder.encode(TEXTS, dim=4096)


@pytest.mark.parametrize("default", [None, "house"])
def test_prompts_by_name(tmp_path: Path, default: str | None) -> None:
    table = rows("float32", N)
    prompts = {"query": "dog ", "house": "the house ", "none": ""}
    settings = {"prompts": prompts, "default_prompt_name": default}
    save_transformers(tmp_path, table, VOCABULARY, "root", False, settings)
    with pyembed.load_encoder(tmp_path) as encoder:
        assert (encoder.prompts, encoder.default_prompt_name) == (prompts, default)
        for name, prompt in [*prompts.items(), (None, prompts[default] if default else "")]:
            texts = [prompt + text for text in TEXTS]
            assert (
                difference(encoder.encode(TEXTS, prompt_name=name), transformers_vectors(table, texts))
                <= 1e-6
            )
            cut = encoder.tokenize(TEXTS, prompt_name=name)
            np.testing.assert_array_equal(encoder.pool(*cut), encoder.encode(TEXTS, prompt_name=name))
            (part,) = encoder.stream(TEXTS, prompt_name=name)
            np.testing.assert_array_equal(part, encoder.encode(TEXTS, prompt_name=name))
        one = encoder.encode("the cat", prompt_name="query")
        np.testing.assert_array_equal(one, encoder.encode("dog the cat", prompt_name="none"))
        with pytest.raises(ValueError, match=r"prompt_name is 'quary'; expected one of .*'query', 'house'"):
            encoder.encode(TEXTS, prompt_name="quary")


@pytest.mark.parametrize("direction", ["right", "left"])
def test_the_end_that_a_file_leaves_out(tmp_path: Path, direction: str) -> None:
    table = rows("float32", N)
    limited = word_tokenizer()
    limited.enable_truncation(4, direction=direction)
    save_transformers(tmp_path, table, limited, "root", False)
    first, last = (transformers_vectors(table, TEXTS, kept) for kept in (slice(4), slice(-4, None)))
    with pyembed.load_encoder(tmp_path) as encoder:
        assert encoder.truncation_direction == direction
        wanted = {"right": first, "left": last}
        assert difference(encoder.encode(TEXTS), wanted[direction]) <= 1e-6
        assert difference(encoder.encode(TEXTS, truncation_direction="right"), first) <= 1e-6
        assert difference(encoder.encode(TEXTS, truncation_direction="left"), last) <= 1e-6


@pytest.mark.parametrize("limit", [0, 1, 3, 600])
def test_the_end_of_long_texts_by_the_rules_of_model2vec(tmp_path: Path, limit: int) -> None:
    """Characters are cut before tokens, from the same end."""
    save_model2vec(tmp_path, rows("float32", N), VOCABULARY, {})
    words = ["the", "cat", "dog", "house", "a", ",", ".", "!"]
    texts = [" ".join(words * n) for n in (1, 2, 200)]
    with pyembed.load_encoder(tmp_path) as encoder:
        ids, offsets = encoder.tokenize(texts, max_length=limit, truncation_direction="left")
        whole, bounds = encoder.tokenize(texts, max_length=None)
        for number in range(len(texts)):
            found = ids[offsets[number] : offsets[number + 1]]
            all_ids = whole[bounds[number] : bounds[number + 1]]
            assert found.size == min(limit, all_ids.size)
            np.testing.assert_array_equal(found, all_ids[all_ids.size - found.size :])


def test_the_same_files_by_the_rules_of_another_library(tmp_path: Path) -> None:
    model2vec = pytest.importorskip("model2vec")
    table = rows("float32", N)
    save_transformers(tmp_path, table, VOCABULARY, "root", False)
    model = model2vec.StaticModel.from_pretrained(tmp_path)
    with pyembed.load_encoder(tmp_path, library="model2vec") as encoder:
        assert difference(encoder.encode(TEXTS), model.encode(TEXTS)) <= 1e-6
    with pyembed.load_encoder(tmp_path) as encoder:
        assert difference(encoder.encode(TEXTS), model.encode(TEXTS)) > 0.01


def test_rows_of_model2vec_without_its_config(tmp_path: Path) -> None:
    """sentence-transformers folds weights and mapping into the rows."""
    rng = np.random.default_rng(2)
    table, weights, mapping = rows("float32", 12), rng.random(N).astype(np.float32), rng.integers(0, 12, N)
    save_model2vec(tmp_path, table, VOCABULARY, {}, weights, mapping)
    with pyembed.load_encoder(tmp_path, library="sentence-transformers") as encoder:
        wanted = transformers_vectors(table[mapping] * weights[:, None], TEXTS)
        assert difference(encoder.encode(TEXTS), wanted) <= 1e-6


# --------------------------------------------------------------------------------------- WordLlama


@pytest.fixture(scope="module")
def wordllama_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    wordllama = pytest.importorskip("wordllama")
    base = Path(wordllama.__file__).parent
    folder = tmp_path_factory.mktemp("wordllama")
    for name in ("weights/l2_supercat_256.safetensors", "tokenizers/l2_supercat_tokenizer_config.json"):
        (folder / name).parent.mkdir()
        shutil.copy(base / name, folder / name)
    return folder


@pytest.mark.parametrize("part", ["", "weights/l2_supercat_256.safetensors"])
def test_wordllama(wordllama_files: Path, part: str) -> None:
    from wordllama import WordLlama

    model = WordLlama.load(config="l2_supercat", dim=256, cache_dir=wordllama_files, disable_download=True)
    with pyembed.load_encoder(wordllama_files / part) as encoder:
        assert encoder.library == "wordllama"
        wanted = model.embed(TEXTS)
        assert difference(encoder.encode(TEXTS), wanted) <= 1e-6
        has_tokens = np.abs(wanted).max(axis=1) > 0
        with np.errstate(invalid="ignore"):
            wanted = model.embed(TEXTS, norm=True)
        found = encoder.encode(TEXTS, normalize=True)
        assert difference(found[has_tokens], wanted[has_tokens]) <= 1e-6
        assert not found[~has_tokens].any()  # there it is NaN


def test_wordllama_in_bits(wordllama_files: Path, tmp_path: Path) -> None:
    from wordllama import WordLlama

    for name in ("weights", "tokenizers"):
        shutil.copytree(wordllama_files / name, tmp_path / name)
    weights = tmp_path / "weights" / "l2_supercat_256.safetensors"
    binary = weights.rename(weights.with_name("l2_supercat_256_binary.safetensors"))
    model = WordLlama.load(
        config="l2_supercat", dim=256, binary=True, cache_dir=tmp_path, disable_download=True
    )
    with pyembed.load_encoder(binary) as encoder:
        np.testing.assert_array_equal(encoder.encode(TEXTS), model.embed(TEXTS))
        assert encoder.encode(TEXTS, dtype="float32").shape == (len(TEXTS), 256)


# ------------------------------------------------------------------------------------ other models


def test_a_gguf_file_by_its_own_vocabulary() -> None:
    texts = ["file and string", "", "the\tother   one", "日本"]
    with (
        pyembed.load_encoder(pyembed.demo_model()) as encoder,
        pyembed.load_model(pyembed.demo_model()) as model,
    ):
        assert encoder.library == "none"
        found = encoder.encode(texts)
        tokenized = model.tokenize(texts)
        np.testing.assert_array_equal(found, model.table.pool(*tokenized))


def test_an_encoder_of_an_open_model_leaves_it_open() -> None:
    with pyembed.load_model(pyembed.demo_model()) as model:
        with encoder_of(model, cache=False) as encoder:
            assert encoder.library == "none"
            np.testing.assert_array_equal(
                encoder.encode("a file"), model.table.pool(*model.tokenize(["a file"]))[0]
            )
            with pickle.loads(pickle.dumps(encoder)) as again:
                np.testing.assert_array_equal(again.encode("a file"), encoder.encode("a file"))
        assert not model.closed
        with pytest.raises(pyembed.ClosedError):
            encoder.encode("a file")
        model.embed([1])


def test_a_table_with_a_tokenizer_beside_it(tmp_path: Path) -> None:
    table = rows("float32", N)
    save_transformers(tmp_path, table, VOCABULARY, "root", False)
    for name in ("modules.json", "config_sentence_transformers.json"):
        (tmp_path / name).unlink()
    (tmp_path / "tokenizer.json").rename(tmp_path / "words.json")
    with pytest.raises(pyembed.FormatError, match="no tokenizer beside the table"):
        pyembed.load_encoder(tmp_path / "model.safetensors")
    with pyembed.load_encoder(tmp_path, tokenizer=tmp_path / "words.json") as encoder:
        assert encoder.library == "none"
        assert difference(encoder.encode(TEXTS), transformers_vectors(table, TEXTS)) <= 1e-6
