"""One server that the tests of routes share: a GGUF model, a folder of model2vec, and rows without tokens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.encoders import save_model2vec, save_transformers, word_tokenizer
from tests.helpers.model_files import rows_of_floats
from tools.servers import Server, running


def words_with_rows(width: int) -> tuple[Any, np.ndarray]:
    pytest.importorskip("tokenizers")
    tokenizer = word_tokenizer()
    return tokenizer, rows_of_floats(tokenizer.get_vocab_size(), width).astype(np.float32)


@pytest.fixture(scope="session")
def word_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of model2vec with a small limit of tokens."""
    folder = tmp_path_factory.mktemp("words")
    tokenizer, rows = words_with_rows(24)
    save_model2vec(folder, rows, tokenizer, {"normalize": True, "max_length": 40})
    return folder


@pytest.fixture(scope="session")
def asked_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of sentence-transformers with prompts, whose file cuts texts to six tokens."""
    folder = tmp_path_factory.mktemp("asked")
    tokenizer, rows = words_with_rows(16)
    tokenizer.enable_truncation(6)
    settings = {"prompts": {"query": "dog ", "passage": "the "}, "default_prompt_name": "passage"}
    save_transformers(folder, rows, tokenizer, "root", False, settings)
    return folder


@pytest.fixture(scope="session")
def plain_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of rows without tokens; row 3 is not finite."""
    path = tmp_path_factory.mktemp("rows") / "rows.npy"
    rows = rows_of_floats(10, 4).astype(np.float32)
    rows[3, 2] = np.nan
    np.save(path, rows)
    return path


@pytest.fixture(scope="session")
def server(word_model: Path, asked_model: Path, plain_rows: Path) -> Iterator[Server]:
    for package in ("uvicorn", "starlette", "tokenizers"):
        pytest.importorskip(package)
    given = ("demo", f"words={word_model}", f"rows={plain_rows}", f"asked={asked_model}")
    with running(*given) as started:
        yield started
