"""llama.cpp is given rows instead of ids, and computes the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import pyembed
from pyembed.inputs.recipes import Norm
from tests.helpers.complete_models import BLUEPRINTS, CONTEXT, WIDTH, write_complete_model
from tests.helpers.llama_cpp_engine import Engine

pytestmark = pytest.mark.integration

IDS = np.array([5, 9, 400, 3, 3, 77, 511])
ENCODERS = {"bert", "nomic-bert", "gemma-embedding2"}
TYPES = ("F32", "F16", "Q8_0", "Q4_0", "Q4_K", "Q6_K")


@pytest.fixture(scope="module")
def real_vocabulary(data_dir: Path) -> Iterator[pyembed.Model]:
    with pyembed.load_model(data_dir / "vocab" / "ggml-vocab-llama-spm.gguf", vocab_only=True) as model:
        yield model


@pytest.mark.parametrize("table_type", TYPES)
@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_logits_with_a_real_vocabulary(
    architecture: str, table_type: str, tmp_path: Path, real_vocabulary: pyembed.Model
) -> None:
    path = write_complete_model(
        tmp_path / "m.gguf", architecture, table_type=table_type, vocabulary=real_vocabulary
    )
    with pyembed.load_model(path) as model, Engine(path) as engine:
        assert model.table.type == table_type
        ids = np.array([1, *(model.vocabulary.find(word) for word in (" The", " king", " of")), 31999, 0])
        expected = engine.run(ids=ids)
        actual = engine.run(rows=model.embeddings_for("llama.cpp", ids))
        assert expected.shape == (len(ids), 32000)
        np.testing.assert_array_equal(actual.view(np.uint32), expected.view(np.uint32))
        # The engine tells other rows from these.
        assert (engine.run(rows=model.embed(ids + np.where(ids, -1, 1))) != expected).any(axis=1).all()


@pytest.mark.parametrize("architecture", BLUEPRINTS)
def test_first_layer_and_results(architecture: str, tmp_path: Path) -> None:
    path = write_complete_model(tmp_path / "m.gguf", architecture)
    encode = architecture in ENCODERS
    with pyembed.load_model(path, validate="off") as model, Engine(path) as engine:
        expected = engine.run(ids=IDS, encode=encode)
        assert np.isfinite(expected).all()
        assert np.ptp(expected, axis=0).all()
        seen, mine = engine.first_layer(len(IDS), WIDTH), model.input_embeddings(IDS)
        if any(isinstance(step, Norm) for step in model.input_recipe.steps):
            np.testing.assert_allclose(mine, seen, rtol=3e-6, atol=3e-7)  # in which order sums are taken
        else:
            np.testing.assert_array_equal(mine.view(np.uint32), seen.view(np.uint32))
        rows = model.embeddings_for("llama.cpp", IDS)
        assert rows.shape[1] == engine.n_input
        actual = engine.run(rows=rows, encode=encode)
        np.testing.assert_array_equal(actual.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("architecture", ["gemma", "gemma3"])
def test_a_scale_applied_twice_or_never_is_seen(architecture: str, tmp_path: Path) -> None:
    path = write_complete_model(tmp_path / "m.gguf", architecture)
    with pyembed.load_model(path, validate="off") as model, Engine(path) as engine:
        expected = engine.run(ids=IDS)
        wrong = model.input_embeddings(IDS) if architecture == "gemma" else model.embed(IDS)
        assert not np.allclose(engine.run(rows=wrong), expected)


def test_spliced_vectors_reach_the_engine(tmp_path: Path) -> None:
    path = write_complete_model(tmp_path / "m.gguf", "llama")
    with pyembed.load_model(path, validate="off") as model, Engine(path) as engine:
        expected = engine.run(ids=IDS)
        spliced = model.embeddings_for(
            "llama.cpp", [5, -1, -1, 3, 3, 77, 511], replace={1: model.embed([9, 400])}
        )
        np.testing.assert_array_equal(engine.run(rows=spliced), expected)


def test_the_positions_are_as_many_as_the_table_has(tmp_path: Path) -> None:
    path = write_complete_model(tmp_path / "m.gguf", "gpt2")
    with pyembed.load_model(path, validate="off") as model:
        assert model.input_embeddings(np.zeros(CONTEXT, int)).shape == (CONTEXT, WIDTH)
        with pytest.raises(
            IndexError, match=r"position 64 at position 64 .* position_embd\.weight has 64 rows"
        ):
            model.input_embeddings(np.zeros(CONTEXT + 1, int))
