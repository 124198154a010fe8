"""Asks llama.cpp what it makes of files, each in a process of its own: ``python llama_outcome.py FILE...``.

Prints one line of JSON a file: ``{"path", "outcome", "said"}``. A model is loaded with the defaults and two
tokens are decoded; a file without tensors is loaded as a vocabulary.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from typing import Any

LOADED, REFUSED = 0, 3


def attempt(api: Any, path: str, vocab_only: bool) -> int:
    api.llama_backend_init()
    parameters = api.llama_model_default_params()
    parameters.vocab_only = vocab_only
    model = api.llama_model_load_from_file(os.fsencode(path), parameters)
    if not model:
        return REFUSED
    if vocab_only:
        return LOADED
    options = api.llama_context_default_params()
    options.n_ctx, options.n_batch, options.n_threads, options.n_threads_batch = 32, 8, 1, 1
    context = api.llama_init_from_model(model, options)
    ids = (ctypes.c_int32 * 2)(1, 2)
    if not context or api.llama_decode(context, api.llama_batch_get_one(ids, 2)) != 0:
        return REFUSED
    return LOADED


def outcome(api: Any, path: str) -> tuple[str, str]:
    """Return what became of a child process that loads a file, and the end of what it printed."""
    with open(path, "rb") as file:
        head = file.read(16)
    vocab_only = head[:4] == b"GGUF" and head[8:16] == bytes(8)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        os._exit(attempt(api, path, vocab_only))
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode("utf-8", "replace")
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    name = {LOADED: "load", REFUSED: "refuse"}.get(code, "abort" if code < 0 else f"exit {code}")
    return name, said[-600:]


def main(paths: list[str]) -> None:
    import llama_cpp.llama_cpp as api

    for path in paths:
        name, said = outcome(api, path)
        print(json.dumps({"path": path, "outcome": name, "said": said}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
