"""Decode a prompt in llama.cpp from vectors instead of ids.

``python llama_cpp_batch.py model.gguf 1 450 7484``: a model, and ids.

The logits are the same bits either way. Vectors of an image or a soft prompt would go in through
``embeddings_for(..., replace={position: vectors})``.
"""

from __future__ import annotations

import ctypes
import sys

import llama_cpp.llama_cpp as llama
import numpy as np

import pyembed


def decode(model: int, vocab_size: int, n: int, fill: object, width: int = 0) -> np.ndarray:
    """Run a batch that `fill` writes `n` ids into, or vectors `width` wide; return the last logits."""
    options = llama.llama_context_default_params()
    options.n_ctx = options.n_batch = options.n_ubatch = max(32, n)
    context = llama.llama_init_from_model(model, options)
    batch = llama.llama_batch_init(n, width, 1)
    batch.n_tokens = n
    for position in range(n):
        batch.pos[position] = position
        batch.n_seq_id[position] = 1
        batch.seq_id[position][0] = 0
        batch.logits[position] = position == n - 1
    fill(batch)
    if llama.llama_decode(context, batch) != 0:
        raise RuntimeError("llama.cpp could not decode the batch")
    logits = np.ctypeslib.as_array(llama.llama_get_logits_ith(context, -1), (vocab_size,)).copy()
    llama.llama_batch_free(batch)
    llama.llama_free(context)
    return logits


def main() -> int:
    """Compare the logits of ids with those of their vectors."""
    path, *words = sys.argv[1:]
    ids = np.array(words, np.int32)

    llama.llama_backend_init()
    engine = llama.llama_model_load_from_file(path.encode(), llama.llama_model_default_params())
    vocab_size = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(engine))
    with pyembed.load_model(path) as model:
        print(model.input_recipe)
        rows = model.embeddings_for("llama.cpp", ids)

    from_ids = decode(engine, vocab_size, len(ids), lambda batch: copy(batch.token, ids))
    from_rows = decode(engine, vocab_size, len(ids), lambda batch: copy(batch.embd, rows), rows.shape[1])
    llama.llama_model_free(engine)
    same = from_ids.tobytes() == from_rows.tobytes()
    print(f"next id {from_rows.argmax()}; logits {'equal' if same else 'DIFFERENT'} bit for bit")
    return 0 if same else 1


def copy(target: object, source: np.ndarray) -> None:
    """Copy an array into a batch."""
    ctypes.memmove(target, source.ctypes.data, source.nbytes)


if __name__ == "__main__":
    sys.exit(main())
