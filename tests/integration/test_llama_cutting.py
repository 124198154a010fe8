"""Texts get the ids that llama.cpp gives them."""

from __future__ import annotations

from pathlib import Path

import pytest

import pyembed
from pyembed.llama_cpp.pre_cuts import CUTS
from tests.helpers.cut_differently import is_cut_differently
from tests.helpers.llama_cutter import MISSING, LlamaCutter, is_installed
from tests.helpers.random_texts import random_texts

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not is_installed(), reason=MISSING),
]
pytest.importorskip("tokenizers")

N_TEXTS = 2000
VOCABULARIES = (
    *("bert-bge", "gemma-4", "gpt-2", "llama-bpe", "llama-spm", "nomic-bert-moe", "phi-3", "qwen2"),
)


def special_texts(vocabulary: pyembed.Vocabulary) -> list[str]:
    types = (pyembed.TokenType.CONTROL, pyembed.TokenType.USER_DEFINED, pyembed.TokenType.UNKNOWN)
    found = [token.text for token in vocabulary if token.type in types and token.text]
    return [*found[:60], "</s>", "<|im_end|>", "<|tool_response>"]


def listed(found: pyembed.TokenizedTexts) -> list[list[int]]:
    return [part.tolist() for part in map(lambda a, b: found.ids[a:b], found.offsets, found.offsets[1:])]


@pytest.mark.parametrize("name", VOCABULARIES)
def test_ids_are_those_of_llama_cpp(name: str, data_dir: Path) -> None:
    path = data_dir / "vocab" / f"ggml-vocab-{name}.gguf"
    with pyembed.load_model(path, vocab_only=True) as model, LlamaCutter(path) as llama:
        vocabulary = model.vocabulary
        title = model.metadata.text("general.name") or ""
        texts = [
            text
            for text in ("", *random_texts(N_TEXTS, 20240229, also=special_texts(vocabulary)))
            if not is_cut_differently(text, vocabulary, name=title)
        ]
        assert len(texts) > N_TEXTS / 4
        for add, parse in ((False, False), (True, True)):
            expected = llama.cut(texts, add_special=add, parse_special=parse)
            actual = listed(model.tokenize(texts, add_special=add, parse_special=parse))
            differing = [
                (text, ours, theirs)
                for text, ours, theirs in zip(texts, actual, expected, strict=True)
                if ours != theirs
            ]
            assert not differing[:3]


@pytest.mark.parametrize("pre", sorted(CUTS))
def test_every_kind_of_pre_tokenizer_cuts_as_llama_cpp_does(pre: str, data_dir: Path) -> None:
    # One vocabulary for all: what differs in it is where texts are cut before anything is merged.
    path = data_dir / "vocab" / "ggml-vocab-llama-bpe.gguf"
    options = {"kv_overrides": {"tokenizer.ggml.pre": pre}, "vocab_only": True, "validate": "off"}
    with pyembed.load_model(path, **options) as model, LlamaCutter(path, pre) as llama:
        texts = [text for text in random_texts(400, 7) if not is_cut_differently(text, model.vocabulary)]
        assert listed(model.tokenize(texts)) == llama.cut(texts)


@pytest.mark.parametrize("name", ["gpt-2", "llama-spm", "llama-bpe", "gemma-4", "qwen2"])
def test_texts_come_back_as_llama_cpp_writes_them(name: str, data_dir: Path) -> None:
    path = data_dir / "vocab" / f"ggml-vocab-{name}.gguf"
    with pyembed.load_model(path, vocab_only=True) as model, LlamaCutter(path) as llama:
        for text in random_texts(100, 3, also=special_texts(model.vocabulary), never="\0"):
            ids = model.tokenize(text, parse_special=True)
            for special in (False, True):
                expected = llama.join(ids.tolist(), special=special).decode("utf-8", "replace")
                if name == "llama-spm":  # the space before a text is none of it
                    expected = expected.removeprefix(" ")
                assert model.detokenize(ids, special=special) == expected
