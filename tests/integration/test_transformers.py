"""Models of transformers are given rows as ``inputs_embeds``, and compute the same logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from pyembed.llama_cpp.architectures import TRANSFORMERS
from tests.helpers.model_files import TOKEN_TABLE, write_model

torch = pytest.importorskip("torch", reason="torch is not installed: make test-integrations installs it")
transformers = pytest.importorskip(
    "transformers", reason="transformers is not installed: make test-integrations installs it"
)
pytestmark = pytest.mark.integration

WIDTH, N_VOCAB = 64, 300
IDS = [[5, 9, 290, 3, 3], [7, 0, 299, 1, 2]]
_SIZES = {
    "vocab_size": N_VOCAB,
    "hidden_size": WIDTH,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 32,
}
_DECODER = {**_SIZES, "num_key_value_heads": 2, "head_dim": 16, "pad_token_id": 0}


def _config(architecture: str) -> Any:
    """Return the configuration of a tiny model."""
    if architecture == "gpt2":
        return transformers.GPT2Config(
            vocab_size=N_VOCAB, n_embd=WIDTH, n_layer=2, n_head=4, n_positions=32, n_inner=96
        )
    if architecture == "granite":
        return transformers.GraniteConfig(**_DECODER, embedding_multiplier=12.7)
    if architecture == "bert":
        return transformers.BertConfig(**_SIZES)
    if architecture == "bloom":
        return transformers.BloomConfig(vocab_size=N_VOCAB, hidden_size=WIDTH, n_layer=2, n_head=4)
    names = {"llama": "Llama", "gemma3": "Gemma3Text", "qwen2": "Qwen2", "qwen3": "Qwen3", "phi3": "Phi3"}
    return getattr(transformers, f"{names[architecture]}Config")(**_DECODER)


def _tiny(architecture: str) -> Any:
    """Return a randomly initialised model."""
    torch.manual_seed(7)
    kind = transformers.AutoModelForMaskedLM if architecture == "bert" else transformers.AutoModelForCausalLM
    model = kind.from_config(_config(architecture), attn_implementation="eager").eval()
    with torch.no_grad():
        model.get_input_embeddings().weight.normal_(0, 0.5)
    return model


def _opened(path: Path, architecture: str, tiny: Any) -> pyembed.Model:
    """Write the token table of a model of transformers, with what else its recipe needs."""
    table = tiny.get_input_embeddings().weight.detach().numpy()
    tensors = {TOKEN_TABLE: table}
    state = {name: value.numpy() for name, value in tiny.state_dict().items()}
    if architecture == "gpt2":
        tensors["position_embd.weight"] = state["transformer.wpe.weight"]
    if architecture == "bert":
        start = "bert.embeddings."
        tensors |= {
            "position_embd.weight": state[f"{start}position_embeddings.weight"],
            "token_types.weight": state[f"{start}token_type_embeddings.weight"],
            "token_embd_norm.weight": state[f"{start}LayerNorm.weight"],
            "token_embd_norm.bias": state[f"{start}LayerNorm.bias"],
        }
    if architecture == "bloom":
        for part in ("weight", "bias"):
            tensors[f"token_embd_norm.{part}"] = state[f"transformer.word_embeddings_layernorm.{part}"]

    def add(writer: Any) -> None:
        if architecture == "granite":
            writer.add_embedding_scale(tiny.config.embedding_multiplier)
        if architecture == "bert":
            writer.add_layer_norm_eps(tiny.config.layer_norm_eps)
        if architecture == "bloom":
            writer.add_layer_norm_eps(tiny.config.layer_norm_epsilon)

    return pyembed.load_model(
        write_model(path, architecture=architecture, tensors=tensors, add=add), validate="off"
    )


@pytest.mark.parametrize("architecture", TRANSFORMERS)
def test_inputs_embeds(architecture: str, tmp_path: Path) -> None:
    tiny = _tiny(architecture)
    with _opened(tmp_path / "m.gguf", architecture, tiny) as model, torch.no_grad():
        expected = tiny(input_ids=torch.tensor(IDS)).logits
        rows = model.embeddings_for("transformers", IDS)
        actual = tiny(inputs_embeds=torch.from_numpy(rows)).logits
        assert torch.equal(actual, expected)
        assert expected.std() > 1e-3
        other = model.embed(IDS) if TRANSFORMERS[architecture] == "input" else model.input_embeddings(IDS)
        if model.input_recipe.steps:
            assert not torch.allclose(tiny(inputs_embeds=torch.from_numpy(other)).logits, expected)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_the_module_takes_the_place_of_the_models_own(architecture: str, tmp_path: Path) -> None:
    from pyembed.integrations.torch import Embedding

    tiny = _tiny(architecture)
    with _opened(tmp_path / "m.gguf", architecture, tiny) as model, torch.no_grad():
        ids = torch.tensor(IDS)
        expected = tiny(input_ids=ids).logits
        tiny.set_input_embeddings(Embedding(model.table))
        assert torch.equal(tiny(input_ids=ids).logits, expected)
        generated = tiny.generate(ids[:1], max_new_tokens=4, do_sample=False, pad_token_id=0)
        assert generated.shape == (1, 9)


def test_the_whole_embedding_of_bert(tmp_path: Path) -> None:
    tiny = _tiny("bert")
    types = torch.tensor([[0, 0, 1, 1, 1], [0, 1, 0, 1, 0]])
    positions = torch.tensor([[0, 1, 2, 3, 4], [8, 3, 31, 0, 1]])
    with _opened(tmp_path / "m.gguf", "bert", tiny) as model, torch.no_grad():
        expected = tiny.bert.embeddings(torch.tensor(IDS), token_type_ids=types, position_ids=positions)
        actual = model.input_embeddings(IDS, positions, types)
        np.testing.assert_allclose(actual, expected.numpy(), rtol=2e-6, atol=2e-6)


def test_an_architecture_that_was_not_seen(tmp_path: Path) -> None:
    path = write_model(
        tmp_path / "m.gguf", architecture="gemma2", tensors={TOKEN_TABLE: np.zeros((3, 8), "f4")}
    )
    with (
        pyembed.load_model(path, validate="off") as model,
        pytest.raises(pyembed.RecipeError, match=r"of gemma2 is not known, or differs .*; known: bert, "),
    ):
        model.embeddings_for("transformers", [1])
