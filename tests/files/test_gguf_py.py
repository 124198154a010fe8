"""Real files, whole, as gguf-py reads them. It takes about two minutes for them all: `make test-slow`."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

import pyembed

pytestmark = pytest.mark.slow

NAMES = [
    *(f"vocab/ggml-vocab-{name}.gguf" for name in ("bert-bge", "gemma-4", "gpt-2", "llama-bpe", "llama-spm")),
    *(f"vocab/ggml-vocab-{name}.gguf" for name in ("nomic-bert-moe", "phi-3", "qwen2")),
    "models/minilm-f16.gguf",
]


@pytest.mark.parametrize("name", NAMES)
def test_metadata_and_tensors(name: str, data_dir: Path) -> None:
    reader = gguf.GGUFReader(data_dir / name)
    with pyembed.load_model(data_dir / name) as model:
        fields = {key: field for key, field in reader.fields.items() if not key.startswith("GGUF.")}
        assert list(model.metadata) == list(fields)
        for key, field in fields.items():
            got = model.metadata[key]
            assert (got if isinstance(got, str | bool | int | float) else list(got)) == field.contents(), key
        texts = fields["tokenizer.ggml.tokens"].contents()
        assert [token.text for token in model.vocabulary] == texts
        assert [info.name for info in model.tensors.values()] == [tensor.name for tensor in reader.tensors]
        for tensor in reader.tensors:
            expected = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            rows = model.open_table(tensor.name).gather(np.arange(len(expected)))
            np.testing.assert_array_equal(rows.view(np.uint32), expected.view(np.uint32))
