"""Folders and files that are not an encoder, or a damaged one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from tests.helpers.encoders import save_model2vec, save_transformers, word_tokenizer

pytest.importorskip("tokenizers")
pytestmark = pytest.mark.usefixtures("no_cache")

VOCABULARY = word_tokenizer()
N = VOCABULARY.get_vocab_size(with_added_tokens=True)
ROWS = np.ones((N, 8), np.float32)


def broken(folder: Path, name: str, content: Any) -> None:
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", "{", "not JSON"),
        ("config.json", {"max_length": -1}, "max_length must be"),
        ("config.json", {"max_length": 1.5}, "max_length must be"),
        ("tokenizer.json", "[]", "must be an object"),
        ("tokenizer.json", {"model": {"vocab": {}}}, "empty"),
        (
            "tokenizer.json",
            {"model": {"type": "WordPiece", "vocab": {"a": "x"}}},
            "must give each text an id",
        ),
        (
            "tokenizer.json",
            {"model": {"type": "WordPiece", "vocab": {"a": 0, "b": 1}}},
            "do not belong together",
        ),
        ("model.safetensors", "no", "."),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, content: Any, message: str) -> None:
    save_model2vec(tmp_path, ROWS, VOCABULARY, {})
    broken(tmp_path, name, content)
    with pytest.raises(pyembed.FormatError, match=message):
        pyembed.load_encoder(tmp_path)


@pytest.mark.parametrize(
    ("truncation", "message"),
    [
        ({"max_length": -1}, "max_length must be"),
        ({"max_length": 4, "direction": "Up"}, "truncation.direction is 'Up'"),
        ({"max_length": 4, "direction": ["Left"]}, "truncation.direction is"),
    ],
)
def test_truncations_that_say_nothing(tmp_path: Path, truncation: Any, message: str) -> None:
    save_transformers(tmp_path, ROWS, VOCABULARY, "root", False)
    document = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    broken(tmp_path, "tokenizer.json", {**document, "truncation": truncation})
    with pytest.raises(pyembed.FormatError, match=message):
        pyembed.load_encoder(tmp_path)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ([{"type": "x.Transformer", "path": ""}], "expected StaticEmbedding"),
        ([{"type": "x.StaticEmbedding", "path": "../elsewhere"}], "leads out of the folder"),
        ([{"type": "x.StaticEmbedding", "path": "/etc"}], "leads out of the folder"),
        ([{"type": "x.StaticEmbedding", "path": ""}, {"type": "x.Dense", "path": "1"}], "Dense"),
        ([], "none"),
        ({}, "must be a list"),
    ],
)
def test_modules_that_are_not_an_encoders(tmp_path: Path, modules: Any, message: str) -> None:
    save_transformers(tmp_path, ROWS, VOCABULARY, "root", False)
    broken(tmp_path, "modules.json", modules)
    with pytest.raises(pyembed.FormatError, match=message):
        pyembed.load_encoder(tmp_path)


@pytest.mark.parametrize(
    ("weights", "mapping", "message"),
    [
        (np.ones(N - 1, np.float32), None, "weights"),
        (np.ones(N, np.int32), None, "weights"),
        (None, np.zeros(N, np.float32), "mapping"),
        (None, np.zeros(N - 1, np.int64), "do not belong together"),
        (None, np.full(N, N, np.int64), "mapping.*not one of the"),
        (None, np.full(N, -1, np.int32), "mapping.*not one of the"),
    ],
)
def test_parts_that_do_not_fit(tmp_path: Path, weights: Any, mapping: Any, message: str) -> None:
    save_model2vec(tmp_path, ROWS, VOCABULARY, {}, weights, mapping)
    with pytest.raises(pyembed.FormatError, match=message):
        pyembed.load_encoder(tmp_path)


def test_vocabularies_that_lack_what_texts_need(tmp_path: Path) -> None:
    save_model2vec(tmp_path, ROWS, VOCABULARY, {})
    document = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    document["model"]["unk_token"] = "[NONE]"
    broken(tmp_path, "tokenizer.json", document)
    with pytest.raises(pyembed.VocabularyError, match="tokenizers cannot cut by it: WordPiece error"):  # noqa: SIM117
        with pyembed.load_encoder(tmp_path, engine="tokenizers") as encoder:
            encoder.encode("zzz")


def test_a_prompt_that_is_no_text(tmp_path: Path) -> None:
    settings = {"prompts": {"query": "\ud800"}, "default_prompt_name": "query"}
    save_transformers(tmp_path, ROWS, VOCABULARY, "root", False, settings)
    with pytest.raises(pyembed.FormatError, match="the prompt 'query' cannot be cut"):
        pyembed.load_encoder(tmp_path)
    for prompts, message in (
        ({"other": 5}, "'other' cannot be cut"),
        (["query"], "prompts must be an object"),
    ):
        broken(tmp_path, "config_sentence_transformers.json", {"prompts": prompts})
        with pytest.raises(pyembed.FormatError, match=message):
            pyembed.load_encoder(tmp_path)
    broken(tmp_path, "config_sentence_transformers.json", {**settings, "prompts": None})
    with pytest.raises(pyembed.FormatError, match="is not among the prompts"):
        pyembed.load_encoder(tmp_path)


def test_paths_that_are_no_encoder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pyembed.load_encoder(tmp_path / "nothing")
    with pytest.raises(pyembed.FormatError, match="0 safetensors files"):
        pyembed.load_encoder(tmp_path)
    with pytest.raises(ValueError, match="library is 'fasttext'"):
        pyembed.load_encoder(tmp_path, library="fasttext")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="engine is 'sed'"):
        pyembed.load_encoder(tmp_path, engine="sed")  # type: ignore[arg-type]
