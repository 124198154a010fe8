"""Take the token table out of a model of transformers: its rows come from the file, mapped.

A tiny model with random weights stands for a real one, so that nothing has to be downloaded.
"""

from __future__ import annotations

import tempfile

import torch
from transformers import LlamaConfig, LlamaForCausalLM

import pyembed
from pyembed.integrations.torch import Embedding

config = LlamaConfig(
    vocab_size=1000,
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=2,
    num_attention_heads=4,
    tie_word_embeddings=False,
)
network = LlamaForCausalLM(config).eval()
ids = torch.tensor([[1, 15, 900, 7], [3, 3, 500, 2]])

with tempfile.TemporaryDirectory() as folder, torch.no_grad():
    network.save_pretrained(folder)
    expected = network(input_ids=ids).logits

    with pyembed.open_table(folder, tensor="model.embed_tokens.weight") as table:
        rows = torch.from_numpy(table.gather(ids))
        print("inputs_embeds: equal logits:", torch.equal(network(inputs_embeds=rows).logits, expected))

        network.set_input_embeddings(Embedding(table))
        print("as a module:   equal logits:", torch.equal(network(input_ids=ids).logits, expected))
        print(network.get_input_embeddings())
