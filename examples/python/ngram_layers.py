"""Conditional memory in a model's loop: rows are asked for once tokens are known, and used in their layers.

``python ngram_layers.py model.gguf [another.gguf ...]`` plays the loop of an engine over the tables of hashed
rows of some models: a prompt in chunks, then tokens with drafts, the last draft being rejected. What stands
for the model's arithmetic is a sum; every row is compared with that of one pass over the stream.
"""

from __future__ import annotations

import sys

import numpy as np
import torch

import pyembed
from pyembed.integrations.torch import NgramEmbedding

N_LAYERS = 16
CHUNK = 64
DRAFTS = 3


class Sequence:
    """One sequence in front of the tables of one model."""

    def __init__(self, ngram: pyembed.Ngram) -> None:
        self.layers = {layer: NgramEmbedding(ngram, layer) for layer in ngram.layers}
        self.history = ngram.history()
        self.state = torch.zeros(1)

    def forward(self, ids: np.ndarray) -> dict[int, torch.Tensor]:
        """Run all layers over some tokens and return the rows that each layer was given."""
        for embedding in self.layers.values():
            embedding.prefetch(ids, self.history)  # the disk is at work from here on
        rows = {}
        for layer in range(N_LAYERS):
            self.state = torch.sin(self.state + layer)  # what a layer computes
            if layer in self.layers:
                rows[layer] = self.layers[layer](ids, self.history)  # waits for what is not there yet
                self.state = self.state + rows[layer].float().sum()
        return rows

    def accept(self, ids: np.ndarray) -> None:
        """Note tokens that belong to the sequence from now on."""
        self.history.advance(ids)


def serve(ngram: pyembed.Ngram, stream: np.ndarray) -> int:
    """Feed a stream to a sequence as an engine does; return how many rows were compared."""
    sequence, whole = Sequence(ngram), {layer: ngram.embed(stream, layer=layer) for layer in ngram.layers}
    prompt, at, n_rows = len(stream) // 2, 0, 0
    while at < len(stream):
        is_prompt = at < prompt
        n = min(CHUNK, prompt - at) if is_prompt else min(DRAFTS, len(stream) - at)
        tokens = stream[at : at + n]
        given = sequence.forward(tokens)
        for layer, rows in given.items():
            expected = torch.from_numpy(whole[layer][at : at + n].reshape(n, -1)).bfloat16()
            assert torch.equal(rows, expected), f"rows of layer {layer} from token {at} on"
            n_rows += n * ngram.columns
        sequence.accept(tokens)
        rejected = 1 if not is_prompt and n > 1 else 0
        if rejected:
            sequence.history.rewind(rejected)  # the last draft was not what the model wanted: it comes again
        at += n - rejected
    return n_rows


def main(paths: list[str]) -> None:
    """Serve a random stream from each model."""
    for path in paths:
        with pyembed.load_model(path, validate="off") as model:
            ngram = model.ngram
            if ngram is None:
                raise SystemExit(f"{path}: no tables of hashed rows")
            stream = np.random.default_rng(1).integers(0, ngram.n_vocab, 300)
            layers = " and ".join(map(str, ngram.layers))
            print(f"{ngram.scheme} in layer {layers}: {serve(ngram, stream)} rows, all as in one pass")


if __name__ == "__main__":
    main(sys.argv[1:])
