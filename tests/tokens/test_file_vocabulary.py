"""The tokens of tokenizers' files, by id and by the texts that people write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from pyembed.tokens.file_vocabulary import FileVocabulary
from pyembed.tokens.lookup import find_word
from tests.helpers.encoders import save_model2vec, word_tokenizer

tokenizers = pytest.importorskip("tokenizers")


def listed(tmp_path: Path, tokenizer: Any, n_most: int = 10**6) -> FileVocabulary:
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return FileVocabulary(str(path), tokenizer, n_most, lambda text, special: tokenizer.encode(text))


def test_pieces_of_words(tmp_path: Path) -> None:
    tokenizer = word_tokenizer()
    vocabulary = listed(tmp_path, tokenizer)
    assert list(vocabulary.tokens) == [tokenizer.id_to_token(row) for row in range(len(vocabulary))]
    able = vocabulary.id("##able")
    assert (vocabulary[able].bytes, vocabulary.written(able)) == (b"able", "##able")
    for text in ("cat", " cat", "CAT", "##able", "über", "[PAD]", "!"):
        row = find_word(vocabulary, text)
        assert vocabulary.tokens[row].casefold() == text.strip().casefold()
    assert vocabulary.special == {"unk": 1}
    assert vocabulary[0].type == pyembed.TokenType.CONTROL
    assert vocabulary.find(vocabulary.written(able)) == able
    with pytest.raises(pyembed.NotFoundError, match=r"un.*##believ.*##able"):
        find_word(vocabulary, "unbelievable")
    with pytest.raises(pyembed.NotFoundError, match="house"):
        find_word(vocabulary, "housse")
    with pytest.raises(IndexError, match="is not a token"):
        vocabulary[len(vocabulary)]
    assert vocabulary[-1] == vocabulary[len(vocabulary) - 1]
    assert [one.id for one in vocabulary.pieces("the cat")] == tokenizer.encode("the cat").ids


def test_bytes_and_marks(tmp_path: Path) -> None:
    made = tokenizers
    words = {"a": 0, "\u0120the": 1, "\u00c3\u00bc": 2, "b": 3}
    bpe = made.Tokenizer(made.models.BPE(words, []))
    bpe.pre_tokenizer, bpe.decoder = made.pre_tokenizers.ByteLevel(), made.decoders.ByteLevel()
    vocabulary = listed(tmp_path, bpe)
    assert [token.bytes for token in vocabulary] == [b"a", b" the", "ü".encode(), b"b"]
    assert (find_word(vocabulary, "the"), vocabulary.find("ü"), vocabulary.model) == (1, 2, "gpt2")
    scored = [("<unk>", 0.0), ("\u2581the", -1.0), ("s", -2.0), ("<0x41>", -3.0)]
    unigram = made.Tokenizer(made.models.Unigram(scored, 0, True))
    vocabulary = listed(tmp_path, unigram)
    assert [token.bytes for token in vocabulary][1:] == [b" the", b"s", b"A"]
    assert (find_word(vocabulary, "the"), vocabulary.special) == (1, {"unk": 0})


def test_ids_are_those_of_the_tokenizer_not_of_the_file(tmp_path: Path) -> None:
    """`tokenizers` numbers added tokens itself; ids without a token, and tokens without a row."""
    document = json.loads(word_tokenizer().to_str())
    n = len(document["model"]["vocab"])
    document["added_tokens"][-1]["id"] = 10**8
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(document), "utf-8")
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    vocabulary = listed(tmp_path, tokenizer)
    assert (len(vocabulary), vocabulary.tokens[n]) == (n + 1, "[EXTRA]")
    assert len(listed(tmp_path, tokenizer, 5)) == 5
    with pytest.raises(pyembed.NotFoundError):
        listed(tmp_path, tokenizer, 5).id("word39")
    gaps = listed(
        tmp_path, tokenizers.Tokenizer(tokenizers.models.WordPiece({"a": 0, "b": 3}, unk_token="a"))
    )
    assert [token.text for token in gaps] == ["a", "", "", "b"]
    assert gaps.types.tolist() == [1, 5, 5, 1]


def test_an_encoder_lists_its_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYEMBED_CACHE", "off")
    tokenizer = word_tokenizer()
    rows = np.ones((tokenizer.get_vocab_size(), 4), np.float32)
    save_model2vec(tmp_path, rows, tokenizer, {})
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"pad_token": "[PAD]"}), "utf-8")
    with pyembed.load_encoder(tmp_path) as encoder:
        vocabulary = encoder.whole_tokenizer.listed(len(encoder.table))
        assert vocabulary.special == {"unk": 1, "pad": 0}
        neighbours = pyembed.Geometry(encoder.table, vocabulary).nearest("cat", 3)
        assert [one.text for one in neighbours] == [vocabulary.tokens[one.id] for one in neighbours]
