"""What an engine is given in place of ids, and engines that are not known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from tests.helpers.recipe_models import (
    EPSILONS,
    FACTOR,
    IDS,
    ROOT,
    TABLE,
    WIDTH,
    open_model,
)


@pytest.mark.parametrize(
    ("architecture", "form"),
    [
        *[
            (name, "raw")
            for name in ("llama", "gemma", "gemma2", "afmoe", "minicpm", "minicpm3", "grok", "granite")
        ],
        *[
            (name, "raw")
            for name in ("hrm_text", "talkie", "bloom", "bert", "gpt2", "mpt", "modern-bert", "muse-spark")
        ],
        *[(name, "input") for name in ("gemma3", "gemma3n", "gemma4", "gemma-embedding", "gemma-embedding2")],
    ],
)
def test_what_llama_cpp_is_given(architecture: str, form: str, tmp_path: Path) -> None:
    with open_model(tmp_path / "m.gguf", architecture, embedding_scale=FACTOR, **EPSILONS) as model:
        given = model.embeddings_for("llama.cpp", IDS)
        np.testing.assert_array_equal(
            given, model.embed(IDS) if form == "raw" else model.input_embeddings(IDS)
        )
        assert model.input_recipe.batch_embd == form


def test_inputs_that_hold_further_vectors(tmp_path: Path) -> None:
    with open_model(tmp_path / "m.gguf", "qwen3vl", n_deepstack_layers=2) as model:
        out = np.full((2, 4, 3 * WIDTH), 7, np.float32)
        image = np.full((2, 3 * WIDTH), 0.5)
        assert model.embeddings_for("llama.cpp", IDS, out=out, replace={(1, 2): image}) is out
        np.testing.assert_array_equal(out[0, :, :WIDTH], TABLE[IDS[0]])
        assert not out[0, :, WIDTH:].any()
        assert (out[1, 2:] == 0.5).all()


def test_granite_that_sees(tmp_path: Path) -> None:
    with open_model(
        tmp_path / "m.gguf", "granite", embedding_scale=2.0, deepstack_mapping=[-1, 0, 1, -1, 1]
    ) as model:
        assert model.input_recipe.n_deepstack == 2
        given = model.embeddings_for("llama.cpp", IDS)
        assert given.shape == (2, 4, 3 * WIDTH)
        np.testing.assert_array_equal(given[..., :WIDTH], TABLE[IDS] * np.float32(2))


def test_vectors_between_scaled_rows_are_not_scaled(tmp_path: Path) -> None:
    with open_model(tmp_path / "m.gguf", "gemma3") as model:
        given = model.embeddings_for("llama.cpp", [1, -1, 2], replace={1: np.ones(WIDTH)})
        np.testing.assert_array_equal(given[[0, 2]], TABLE[[1, 2]] * ROOT)
        assert (given[1] == 1).all()


def test_engines_that_are_not_known(tmp_path: Path) -> None:
    with open_model(tmp_path / "m.gguf", "llama") as model:
        with pytest.raises(ValueError, match=r"unknown engine 'vllm'; known: llama\.cpp, transformers"):
            model.embeddings_for("vllm", [1])
        np.testing.assert_array_equal(model.embeddings_for("transformers", IDS), TABLE[IDS])
    with (
        open_model(tmp_path / "m.gguf", "gemma") as model,
        pytest.raises(pyembed.RecipeError, match=r"of gemma is not known, or differs"),
    ):
        model.embeddings_for("transformers", [1])


@pytest.mark.parametrize(
    ("architecture", "key", "value"),
    [
        ("qwen3vl", "n_deepstack_layers", 2**20),
        ("granite", "deepstack_mapping", list(range(1000))),
        ("granite", "deepstack_mapping", ["a", "b"]),
        ("granite", "deepstack_mapping", 3),
        ("deepseek4", "hyper_connection__count", 2.5),
    ],
)
def test_counts_that_a_file_should_not_ask_for(
    architecture: str, key: str, value: Any, tmp_path: Path
) -> None:
    with (
        open_model(tmp_path / "m.gguf", architecture, **{key: value}) as model,
        pytest.raises(
            pyembed.RecipeError,
            match=r"expected a whole number|expected an array of at most 512 integers",
        ),
    ):
        model.embeddings_for("llama.cpp", [1])
