"""Fixtures that several files of tests share."""

from __future__ import annotations

import os

# On small matrices a BLAS with many threads is slower, by far so where others use the cores too.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from model_files import MakeVocabulary, write_model
from tools.native import ASAN, Build, find_compiler


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of real vocabularies and models, which a clone of the project does not have."""
    folder = os.environ.get("PYEMBED_TEST_DATA")
    if not folder:
        pytest.skip("PYEMBED_TEST_DATA names no folder of real models")
    return Path(folder)


@pytest.fixture(scope="session")
def asan_build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Return the C library compiled with AddressSanitizer and UBSan."""
    compiler = find_compiler("cc", "gcc", "clang")
    if compiler is None:
        pytest.skip("no C compiler is installed")
    return Build(tmp_path_factory.mktemp("asan"), compiler, ASAN)


@pytest.fixture
def rng() -> np.random.Generator:
    """Return random numbers that are the same in every run."""
    return np.random.default_rng(20240229)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[MakeVocabulary]:
    """Return what writes a model of given tokens and opens its vocabulary, for the time of the test."""
    models: list[pyembed.Model] = []

    def made(model: str | None, tokens: list[str | bytes], **options: Any) -> pyembed.Vocabulary:
        path = write_model(tmp_path / f"{len(models)}.gguf", model=model, tokens=tokens, **options)
        models.append(pyembed.load_model(path))
        return models[-1].vocabulary

    yield made
    for model in models:
        model.close()
