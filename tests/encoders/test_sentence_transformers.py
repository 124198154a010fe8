"""Folders that sentence-transformers itself wrote, and its own vectors; importing it takes seconds."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from tests.helpers.encoders import TEXTS, Array, word_tokenizer

pytest.importorskip("tokenizers")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_cache")]

ROWS = np.random.default_rng(3).standard_normal((word_tokenizer().get_vocab_size(), 64)).astype(np.float32)


@pytest.fixture(scope="module")
def library() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("sentence_transformers")


def saved(
    library: Any, folder: Path, *more: str, limit: int | None = None, direction: str = "right", **options: Any
) -> Any:
    """Return a model of the library, after it was written and read again by it."""
    modules = library.sentence_transformer.modules
    tokenizer = word_tokenizer()
    if limit is not None:
        tokenizer.enable_truncation(limit, direction=direction)
    static = modules.StaticEmbedding(tokenizer, embedding_weights=ROWS)
    parts = [static, *(getattr(modules, name)() for name in more)]
    library.SentenceTransformer(modules=parts, device="cpu", **options).save(str(folder))
    return library.SentenceTransformer(str(folder), device="cpu")


def vectors(model: Any, texts: list[str], **options: Any) -> Array:
    found: Array = model.encode(texts, convert_to_numpy=True, show_progress_bar=False, **options)
    return found


@pytest.mark.parametrize("more", [(), ("Normalize",)], ids=["means", "normalised"])
@pytest.mark.parametrize("limit", [None, 4], ids=["whole", "truncated"])
def test_vectors_are_the_librarys(
    library: Any, tmp_path: Path, more: tuple[str, ...], limit: int | None
) -> None:
    model = saved(library, tmp_path, *more, limit=limit)
    with pyembed.load_encoder(tmp_path) as encoder:
        assert encoder.library == "sentence-transformers"
        assert encoder.normalize is bool(more)
        found, wanted = encoder.encode(TEXTS), vectors(model, TEXTS)
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
        normalised = vectors(model, TEXTS, normalize_embeddings=True)
        np.testing.assert_allclose(encoder.encode(TEXTS, normalize=True), normalised, rtol=0, atol=1e-6)


def test_more_columns_than_there_are(library: Any, tmp_path: Path) -> None:
    model = saved(library, tmp_path, truncate_dim=1 << 40)
    with pyembed.load_encoder(tmp_path) as encoder:
        found, wanted = encoder.encode(TEXTS), vectors(model, TEXTS)
        assert found.shape == wanted.shape == (len(TEXTS), encoder.dim)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("more", [(), ("Normalize",)], ids=["means", "normalised"])
def test_columns_prompts_and_the_default_prompt(library: Any, tmp_path: Path, more: tuple[str, ...]) -> None:
    prompts = {"query": "dog ", "other": "cat "}
    model = saved(library, tmp_path, *more, prompts=prompts, default_prompt_name="query", truncate_dim=24)
    with pyembed.load_encoder(tmp_path) as encoder:
        assert (encoder.default_prompt_name, encoder.prompts["other"]) == ("query", "cat ")
        for name in (None, "query", "other"):
            found, wanted = encoder.encode(TEXTS, prompt_name=name), vectors(model, TEXTS, prompt_name=name)
            assert found.shape == wanted.shape == (len(TEXTS), 24)
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


def test_the_left_end_is_left_out(library: Any, tmp_path: Path) -> None:
    model = saved(library, tmp_path, limit=4, direction="left", prompts={"query": "dog "})
    with pyembed.load_encoder(tmp_path) as encoder:
        for name in (None, "query"):
            found, wanted = encoder.encode(TEXTS, prompt_name=name), vectors(model, TEXTS, prompt_name=name)
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
