"""The row as a first layer is given it, against the formulas of each architecture written out once more."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf.constants import MODEL_ARCH_NAMES

import pyembed
from pyembed.inputs.recipes import PerLayer, Scale
from pyembed.llama_cpp.architectures import ARCHITECTURES
from tests.helpers.model_files import rows_of_floats, write_model
from tests.helpers.recipe_models import (
    BIAS,
    EPSILON,
    EPSILONS,
    EXTRAS,
    FACTOR,
    IDS,
    POSITION,
    POSITIONS,
    ROOT,
    TABLE,
    TYPE,
    WEIGHT,
    WIDTH,
    N,
    open_model,
)


def layer_norm(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + np.float32(EPSILON))


def rms_norm(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(EPSILON))


PLACES = POSITION[np.arange(IDS.shape[1])]
EXPECTED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    **dict.fromkeys(
        ["gemma", "gemma2", "gemma3", "gemma3n", "gemma4", "gemma-embedding", "gemma-embedding2", "afmoe"],
        lambda x: x * ROOT,
    ),
    **dict.fromkeys(
        ["minicpm", "grok", "granite", "granite_swa", "granitemoe", "granitehybrid", "hrm_text"],
        lambda x: x * np.float32(FACTOR),
    ),
    "minicpm3": lambda x: x * np.float32(12),
    "talkie": rms_norm,
    "muse-glimmer": rms_norm,
    "muse-spark": rms_norm,
    "bloom": lambda x: layer_norm(x) * WEIGHT + BIAS,
    "rwkv6": lambda x: layer_norm(x) * WEIGHT + BIAS,
    "rwkv7": lambda x: layer_norm(x) * WEIGHT + BIAS,
    "modern-bert": lambda x: layer_norm(x) * WEIGHT,
    "bert": lambda x: layer_norm(PLACES + (x + TYPE[0])) * WEIGHT + BIAS,
    **dict.fromkeys(
        ["nomic-bert", "nomic-bert-moe", "jina-bert-v2", "jina-bert-v3"],
        lambda x: layer_norm(x + TYPE[0]) * WEIGHT + BIAS,
    ),
    "gpt2": lambda x: x + PLACES,
    "starcoder": lambda x: x + PLACES,
    "mpt": lambda x: x + PLACES,
}
NOT_HERE = {"graniteswitch", "wavtokenizer-dec", "gemma4-assistant", "dflash", "eagle3"}


@pytest.mark.parametrize("architecture", sorted(set(ARCHITECTURES) - NOT_HERE))
def test_every_architecture(architecture: str, tmp_path: Path) -> None:
    with open_model(tmp_path / "m.gguf", architecture, embedding_scale=FACTOR, **EPSILONS) as model:
        actual = model.input_embeddings(IDS)
        assert actual.dtype == np.float32
        expected = EXPECTED.get(architecture, lambda x: x)(TABLE[IDS])
        if expected.dtype == np.float32:
            np.testing.assert_array_equal(actual.view(np.uint32), expected.view(np.uint32))
        else:
            np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
        assert bool(model.input_recipe.steps) == (architecture in EXPECTED)
        assert architecture in str(model.input_recipe)
        np.testing.assert_array_equal(model.embed(IDS), TABLE[IDS])


def test_every_known_architecture_has_a_row() -> None:
    assert set(MODEL_ARCH_NAMES.values()) - {"clip"} <= set(ARCHITECTURES)
    assert set(EXPECTED) | NOT_HERE <= set(ARCHITECTURES)


# ---------------------------------------------------------------------------------------- the words


def test_words_and_data(tmp_path: Path) -> None:
    with open_model(tmp_path / "m.gguf", "bert", **EPSILONS) as model:
        assert str(model.input_recipe) == (
            "bert: to each row\n"
            "1. add the row of token_types.weight for the token type (2 rows)\n"
            "2. add the row of position_embd.weight for the position (9 rows)\n"
            "3. LayerNorm with epsilon 9.99999975e-06, token_embd_norm.weight and token_embd_norm.bias\n"
            "llama.cpp applies them to batch.embd too"
        )
        data = json.loads(json.dumps(model.input_recipe.to_json()))
        assert [step["step"] for step in data["steps"]] == ["add_row", "add_row", "norm"]
        assert data["steps"][1]["table"] == "position_embd.weight"
        assert data["problem"] is None
        assert data["batch_embd"] == "raw"


def test_words_of_a_scale(tmp_path: Path) -> None:
    with open_model(tmp_path / "m.gguf", "gemma3") as model:
        assert str(model.input_recipe) == (
            "gemma3: to each row\n"
            "1. multiply by 6.92820311 (sqrt(n_embd))\n"
            "llama.cpp takes batch.embd as it is"
        )
        (step,) = model.input_recipe.steps
        assert step == Scale(float(ROOT), "sqrt(n_embd)")


def test_words_of_nothing(tmp_path: Path) -> None:
    with open_model(tmp_path / "m.gguf", "llama") as model:
        assert str(model.input_recipe) == "llama: the row as it is"


def test_an_unknown_architecture_says_so(tmp_path: Path) -> None:
    with open_model(tmp_path / "m.gguf", "llama9") as model:
        assert "unknown" in str(model.input_recipe)
        assert model.input_recipe.problem is not None
        for call in (
            model.input_embeddings,
            model.per_layer_embeddings,
            lambda ids: model.embeddings_for("llama.cpp", ids),
        ):
            with pytest.raises(pyembed.RecipeError, match=r"m\.gguf: llama9: an unknown architecture"):
                call([1])
        assert issubclass(pyembed.RecipeError, ValueError)
        np.testing.assert_array_equal(model.embed([1]), TABLE[[1]])


@pytest.mark.parametrize("architecture", sorted(NOT_HERE))
def test_what_stays_out_says_why(architecture: str, tmp_path: Path) -> None:
    with (
        open_model(tmp_path / "m.gguf", architecture) as model,
        pytest.raises(pyembed.RecipeError, match=f"{architecture}: not computed here: it"),
    ):
        model.input_embeddings([1])


# -------------------------------------------------------------------------------------------- scales


@pytest.mark.parametrize(
    ("architecture", "metadata", "factor"),
    [
        ("minicpm", {}, 12.0),
        ("minicpm", {"embedding_scale": 0.0}, 1.0),
        ("grok", {}, 78.38367176906169),
        ("granite", {}, 1.0),
        ("granite", {"embedding_scale": 0.0}, 1.0),
        ("minicpm3", {"embedding_scale": 5.0}, 12.0),
        ("hrm_text", {}, 1.0),
    ],
)
def test_factors(architecture: str, metadata: dict[str, Any], factor: float, tmp_path: Path) -> None:
    with open_model(tmp_path / "m.gguf", architecture, **metadata) as model:
        np.testing.assert_array_equal(model.input_embeddings(IDS), TABLE[IDS] * np.float32(factor))


def test_overrides_reach_the_recipe(tmp_path: Path) -> None:
    open_model(tmp_path / "m.gguf", "granite", embedding_scale=2.0).close()
    with pyembed.load_model(
        tmp_path / "m.gguf", validate="off", kv_overrides={"granite.embedding_scale": 5.0}
    ) as model:
        np.testing.assert_array_equal(model.input_embeddings(IDS), TABLE[IDS] * np.float32(5))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_factor_that_is_none(value: float, tmp_path: Path) -> None:
    with (
        open_model(tmp_path / "m.gguf", "grok", embedding_scale=value) as model,
        pytest.raises(
            pyembed.RecipeError, match=f"grok.embedding_scale is {value}; expected a finite number"
        ),
    ):
        model.input_embeddings([1])


# --------------------------------------------------------------------------- positions and types


def test_given_positions_and_types(tmp_path: Path) -> None:
    positions, types = np.array([[8, 0, 1, 2], [3, 3, 4, 5]]), np.array([[0, 1, 1, 0], [1, 1, 1, 1]])
    with open_model(tmp_path / "m.gguf", "bert", **EPSILONS) as model:
        expected = layer_norm((TABLE[IDS] + TYPE[types]) + POSITION[positions]) * WEIGHT + BIAS
        actual = model.input_embeddings(IDS, positions, types)
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(model.input_embeddings(IDS.tolist(), positions.tolist(), types), actual)
        # One row of them serves all sequences.
        np.testing.assert_array_equal(
            model.input_embeddings(IDS, positions[0], types),
            model.input_embeddings(IDS, positions[[0, 0]], types),
        )
        assert model.input_embeddings(3).shape == (WIDTH,)
        np.testing.assert_array_equal(model.input_embeddings(3), model.input_embeddings([3])[0])
        assert model.input_embeddings(np.zeros((2, 0), int)).shape == (2, 0, WIDTH)


def test_positions_and_types_that_are_none(tmp_path: Path) -> None:
    out = np.full((2, 4, WIDTH), 7, np.float32)
    with open_model(tmp_path / "m.gguf", "bert", **EPSILONS) as model:
        message = r"position 9 at position \(0, 1\) is not a row: position_embd.weight has 9 rows"
        with pytest.raises(IndexError, match=message):
            model.input_embeddings(IDS, [0, 9, 1, 2], out=out)
        with pytest.raises(IndexError, match="position -1"):
            model.input_embeddings(IDS, [0, -1, 1, 2], out=out)
        with pytest.raises(IndexError, match=r"token type 2 at position \(1, 3\)"):
            model.input_embeddings(IDS, None, [[0, 0, 0, 0], [0, 0, 0, 2]], out=out)
        with pytest.raises(
            IndexError, match=r"id 20 at position \(1, 0\) is not a row: the table has 20 rows"
        ):
            model.input_embeddings([[1, 2], [20, 3]], out=out)
        with pytest.raises(ValueError, match=r"positions has shape \(3,\); expected \(2, 4\)"):
            model.input_embeddings(IDS, [0, 1, 2], out=out)
        with pytest.raises(TypeError, match="must be integers"):
            model.input_embeddings(IDS, [0.5, 1, 2, 3], out=out)
        with pytest.raises(ValueError, match="out has shape"):
            model.input_embeddings(IDS, out=out[:1])
    assert (out == 7).all()


def test_types_where_there_is_no_table(tmp_path: Path) -> None:
    tensors = {name: EXTRAS[name] for name in EXTRAS if name != "token_types.weight"}
    with open_model(tmp_path / "m.gguf", "nomic-bert", tensors=tensors, **EPSILONS) as model:
        expected = layer_norm(TABLE[IDS]) * WEIGHT + BIAS
        np.testing.assert_allclose(model.input_embeddings(IDS), expected, rtol=1e-5, atol=1e-6)
        with pytest.raises(
            ValueError, match=r"token_types were given, but the model has no token_types\.weight"
        ):
            model.input_embeddings(IDS, None, np.zeros_like(IDS))


@pytest.mark.parametrize(
    ("architecture", "without", "message"),
    [
        ("gpt2", "position_embd.weight", r"the file has no position_embd\.weight, which gpt2 uses"),
        ("jina-bert-v2", "token_types.weight", r"has no token_types\.weight"),
        ("bloom", "token_embd_norm.bias", r"has no token_embd_norm\.bias"),
    ],
)
def test_tensors_that_are_absent(architecture: str, without: str, message: str, tmp_path: Path) -> None:
    tensors = {name: EXTRAS[name] for name in EXTRAS if name != without}
    with (
        open_model(tmp_path / "m.gguf", architecture, tensors=tensors, **EPSILONS) as model,
        pytest.raises(pyembed.RecipeError, match=message),
    ):
        model.input_embeddings([1])


def test_an_optional_table_that_is_absent(tmp_path: Path) -> None:
    with open_model(tmp_path / "m.gguf", "mpt", tensors={}) as model:
        np.testing.assert_array_equal(model.input_embeddings(IDS), TABLE[IDS])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"position_embd.weight": POSITION[:, :16]},
            r"position_embd.weight has shape \(9, 16\); its rows should be 48",
        ),
        ({"token_embd_norm.weight": np.ones((2, WIDTH), "f4")}, r"has shape \(2, 48\); expected \(48,\)"),
    ],
)
def test_tensors_of_other_shapes(change: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    with (
        open_model(tmp_path / "m.gguf", "bert", tensors={**EXTRAS, **change}, **EPSILONS) as model,
        pytest.raises(pyembed.RecipeError, match=message),
    ):
        model.input_embeddings([1])


def test_a_norm_without_epsilon(tmp_path: Path) -> None:
    with (
        open_model(tmp_path / "m.gguf", "bloom") as model,
        pytest.raises(pyembed.RecipeError, match=r"bloom\.attention\.layer_norm_epsilon is absent"),
    ):
        model.input_embeddings([1])


# -------------------------------------------------------------------------------- out, dtypes, tiles


@pytest.mark.parametrize("architecture", ["gemma", "bert", "llama"])
def test_out_of_any_layout(architecture: str, tmp_path: Path) -> None:
    with open_model(tmp_path / "m.gguf", architecture, **EPSILONS) as model:
        expected = model.input_embeddings(IDS)
        out = np.zeros((2, 4, WIDTH), np.float32)
        assert model.input_embeddings(IDS, out=out) is out
        np.testing.assert_array_equal(out, expected)
        wide = np.zeros((2, 4, WIDTH + 5), np.float32)
        model.input_embeddings(IDS, out=wide[..., 2:-3])
        np.testing.assert_array_equal(wide[..., 2:-3], expected)
        assert not wide[..., :2].any()
        assert not wide[..., -3:].any()
        irregular = np.zeros((4, 2, WIDTH), np.float32).transpose(1, 0, 2)
        model.input_embeddings(IDS, out=irregular)
        np.testing.assert_array_equal(irregular, expected)


@pytest.mark.parametrize("architecture", ["gemma3", "bert"])
def test_narrow_dtypes_are_rounded_once(architecture: str, tmp_path: Path) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    with open_model(tmp_path / "m.gguf", architecture, **EPSILONS) as model:
        full = model.input_embeddings(IDS)
        np.testing.assert_array_equal(model.input_embeddings(IDS, dtype="float16"), full.astype(np.float16))
        bits = full.astype(ml_dtypes.bfloat16).view(np.uint16)
        np.testing.assert_array_equal(model.input_embeddings(IDS, dtype="bfloat16"), bits)
        out = np.zeros(full.shape, ml_dtypes.bfloat16)
        model.input_embeddings(IDS, out=out)
        np.testing.assert_array_equal(out.view(np.uint16), bits)


def test_many_rows_are_the_same_as_few(tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, N, (70, 90))  # several tiles
    positions = np.random.default_rng(1).integers(0, POSITIONS, ids.shape)
    with open_model(tmp_path / "m.gguf", "bert", **EPSILONS) as model:
        whole = model.input_embeddings(ids, positions)
        for row in (0, 33, 69):
            np.testing.assert_array_equal(whole[row], model.input_embeddings(ids[row], positions[row]))


def test_ids_and_positions_that_lie_in_the_output(tmp_path: Path) -> None:
    n = 5000  # several tiles
    ids = np.random.default_rng(2).integers(0, N, n, dtype=np.int32)
    positions = np.random.default_rng(3).integers(0, POSITIONS, n, dtype=np.int32)
    out = np.zeros((n, WIDTH), np.float32)
    inside = out.reshape(-1)[-2 * n :].view(np.int32)
    inside[:n], inside[n:] = ids, positions
    with open_model(tmp_path / "m.gguf", "gpt2") as model:
        model.input_embeddings(inside[:n], inside[n:], out=out)
        np.testing.assert_array_equal(out, TABLE[ids] + POSITION[positions])


# ------------------------------------------------------------------------------ what else there is


def test_per_layer_vectors(tmp_path: Path) -> None:
    n_layers, width = 3, 16
    rows = rows_of_floats(N, n_layers * width, seed=5)
    tensors = {"per_layer_token_embd.weight": rows}
    path = tmp_path / "m.gguf"
    with open_model(path, "gemma3n", tensors=tensors, embedding_length_per_layer_input=width) as model:
        expected = rows.reshape(N, n_layers, width)[IDS] * np.float32(4)
        np.testing.assert_array_equal(model.per_layer_embeddings(IDS), expected)
        out = np.zeros(expected.shape, np.float16)
        assert model.per_layer_embeddings(IDS, out=out, dtype="float16") is out
        np.testing.assert_array_equal(out, expected.astype(np.float16))
        assert model.input_recipe.per_layer == PerLayer("per_layer_token_embd.weight", n_layers, width, 4.0)
        assert "which is not computed here" in str(model.input_recipe)
        with pytest.raises(IndexError, match="id 20 at position 0"):
            model.per_layer_embeddings([20])
    with open_model(path, "gemma3n", tensors=tensors, embedding_length_per_layer_input=7) as model:
        assert "is 7, which does not divide the 48 columns" in str(model.input_recipe)
    with (
        open_model(path, "gemma4", tensors={}) as model,
        pytest.raises(pyembed.RecipeError, match="has no table of vectors for each layer"),
    ):
        model.per_layer_embeddings([1])


def test_streams(tmp_path: Path) -> None:
    with open_model(tmp_path / "m.gguf", "deepseek4", hyper_connection__count=4) as model:
        assert model.input_recipe.n_streams == 4
        assert "copied into 4 residual streams" in str(model.input_recipe)
        np.testing.assert_array_equal(model.input_embeddings(IDS), TABLE[IDS])


def test_hashed_rows_are_said_to_stay_out(tmp_path: Path) -> None:
    tensors = {"per_layer_token_embd.weight": rows_of_floats(N, 8)}
    with open_model(tmp_path / "m.gguf", "qwen4exp", tensors=tensors, hyper_connection__count=2) as model:
        assert "by hashes of several ids: not computed here" in str(model.input_recipe)


def test_a_file_without_a_table(tmp_path: Path) -> None:
    write_model(tmp_path / "m.gguf", architecture="llama")
    with pyembed.load_model(tmp_path / "m.gguf", vocab_only=True, validate="off") as model:
        assert "neither token_embd.weight nor an embedding_length" in str(model.input_recipe)
    write_model(tmp_path / "n.gguf", architecture="gemma", add=lambda writer: writer.add_embedding_length(16))
    with pyembed.load_model(tmp_path / "n.gguf", vocab_only=True, validate="off") as model:
        assert model.input_recipe.words == "multiply by 4 (sqrt(n_embd))"
        with pytest.raises(KeyError, match=r"token_embd\.weight"):
            model.input_embeddings([1])
