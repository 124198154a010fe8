"""Texts that were published with vocabularies get the published ids."""

from __future__ import annotations

from pathlib import Path

import pytest

import pyembed

pytest.importorskip("tokenizers")

VOCABULARIES = ("bert-bge", "gemma-4", "gpt-2", "llama-bpe", "llama-spm", "phi-3", "qwen2")


@pytest.mark.parametrize("name", VOCABULARIES)
def test_published_ids(name: str, data_dir: Path) -> None:
    path = data_dir / "vocab" / f"ggml-vocab-{name}.gguf"
    texts = Path(f"{path}.inp").read_text("utf-8").split("\n__ggml_vocab_test__\n")
    lines = Path(f"{path}.out").read_text("utf-8").splitlines()
    assert len(lines) > 40
    with pyembed.load_model(path, vocab_only=True) as model:
        found = model.tokenize(texts)
        bounds = found.offsets
        for index, line in enumerate(lines):
            expected = list(map(int, line.split()))
            assert found.ids[bounds[index] : bounds[index + 1]].tolist() == expected, texts[index]
            assert model.tokenize(texts[index]).tolist() == expected
