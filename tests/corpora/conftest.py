"""A model that corpora are encoded with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.encoders import save_model2vec, word_tokenizer

WIDTH = 8


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder as model2vec writes it; engines are compared anew, not by what other runs remember."""
    pytest.importorskip("tokenizers")
    folder = tmp_path_factory.mktemp("model")
    tokenizer = word_tokenizer()
    n = tokenizer.get_vocab_size(with_added_tokens=True)
    table = np.random.default_rng(0).standard_normal((n, WIDTH)).astype(np.float32)
    save_model2vec(folder, table, tokenizer, {"normalize": True})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYEMBED_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield folder
