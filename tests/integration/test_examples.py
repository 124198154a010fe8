"""The programs of examples/python, as a reader would run them."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pyembed
from tests.helpers.complete_models import write_complete_model
from tests.helpers.ngram_files import write_small

pytestmark = pytest.mark.integration
EXAMPLES = Path(__file__).parents[2] / "examples" / "python"


def run(name: str, *arguments: object) -> str:
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_llama_cpp_batch(architecture: str, tmp_path: Path, data_dir: Path) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    with pyembed.load_model(data_dir / "vocab" / "ggml-vocab-llama-spm.gguf", vocab_only=True) as vocabulary:
        path = write_complete_model(
            tmp_path / "m.gguf", architecture, table_type="Q6_K", vocabulary=vocabulary
        )
    output = run("llama_cpp_batch.py", path, 1, 450, 7484)
    assert "logits equal bit for bit" in output
    assert ("multiply by 16 (sqrt(n_embd))" in output) == (architecture == "gemma3")


def test_transformers_inputs_embeds() -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")
    output = run("transformers_inputs_embeds.py")
    assert output.count("equal logits: True") == 2
    assert "Embedding(1000, 64, type=F32, dtype=torch.float32)" in output


def test_prompt_embeds_request() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    body = json.loads(run("prompt_embeds_request.py", pyembed.demo_model(), 5, 6, 7))
    loaded = torch.load(io.BytesIO(base64.b64decode(body["prompt_embeds"])), weights_only=True)
    with pyembed.load_model(pyembed.demo_model()) as model:
        expected = torch.from_numpy(model.embed([5, 6, 7])).bfloat16()
    assert torch.equal(loaded, expected)


def test_asyncio_server() -> None:
    output = run("asyncio_server.py", pyembed.demo_model())
    with pyembed.load_model(pyembed.demo_model()) as model:
        first = np.float32(model.embed(1)[0])
        assert output.splitlines() == [
            *2 * [f"3 x {model.n_embd}, first value {first:.6f}"],
            f"error: id {model.n_vocab} at position 0 is not a row: the table has {model.n_vocab} rows",
        ]


@pytest.mark.slow
def test_ray_corpus(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="ray is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    (tmp_path / "docs").mkdir()
    for name in ("a", "b"):
        table = pyarrow.table({"text": ["open the file", "string"] * 25})
        parquet.write_table(table, tmp_path / "docs" / f"{name}.parquet")
    output = run("ray_corpus.py", pyembed.demo_model(), tmp_path / "docs", tmp_path / "out")
    assert output.splitlines()[-1] == f"100 rows in 2 parts in {tmp_path / 'out'}, 0 failed"
    found = parquet.read_table(tmp_path / "out").column("embedding").to_pylist()
    with pyembed.load_encoder(pyembed.demo_model()) as encoder:
        assert found == encoder.encode(["open the file", "string"] * 50).tolist()


def test_ngram_layers(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    assert run("ngram_layers.py", *write_small(tmp_path, np.random.default_rng(3))).splitlines() == [
        "ple in layer 1: 1500 rows, all as in one pass",
        "engram in layer 1 and 14: 3000 rows, all as in one pass",
    ]
