"""Opens one vocabulary in a process of its own and prints what that took, as JSON.

Usage: ``python -m tools.bench.opened pyembed|gguf-py|llama.cpp PATH``.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .measure import Json


def memory() -> dict[str, int]:
    """Return the bytes of this process that are in memory: all, and those that belong to it alone."""
    try:
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
    except OSError:
        return {}
    fields = dict(line.split(":", 1) for line in lines)
    return {name: int(fields[name].split()[0]) << 10 for name in ("VmRSS", "RssAnon") if name in fields}


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a call returns, and the seconds it takes."""
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def open_pyembed(path: str) -> Json:
    """Open with this library, unchecked as others do, use the vocabulary, then open with the check."""
    import pyembed

    before = memory()
    model, seconds = timed(lambda: pyembed.load_model(path, validate="off"))
    after = memory()
    vocabulary, vocabulary_seconds = timed(lambda: model.vocabulary)
    ready = memory()
    n = len(vocabulary)
    rng = np.random.default_rng(5)
    texts = [vocabulary[int(i)].text for i in rng.integers(0, n, 2000)]
    touched = memory()
    _, first = timed(lambda: vocabulary.id(texts[0]))
    indexed = memory()
    _, later = timed(lambda: [vocabulary.id(text) for text in texts])
    _, digest = timed(lambda: vocabulary.digest)
    times = {"open": seconds, "vocabulary": vocabulary_seconds, "first id": first, "digest": digest}
    times["later id"] = later / len(texts)
    model.close()
    checked, times["checked"] = timed(lambda: pyembed.load_model(path))
    checked.close()
    steps: dict[str, Callable[[], Any]] = {
        "open again": lambda: pyembed.load_model(path, validate="off").close(),
        "checked again": lambda: pyembed.load_model(path).close(),
    }
    for step, again in steps.items():
        times[step] = statistics.median(timed(again)[1] for _ in range(15))
    return {
        "tokens": n,
        "seconds": times,
        "memory": grown(before, after),
        "with vocabulary": grown(before, ready),
        "index": grown(touched, indexed),
    }


def open_gguf_py(path: str) -> Json:
    """Open with gguf-py's reader."""
    gguf = importlib.import_module("gguf")
    before = memory()
    reader, seconds = timed(lambda: gguf.GGUFReader(path))
    after = memory()
    n = len(reader.fields["tokenizer.ggml.tokens"].data)
    return {"tokens": n, "seconds": {"open": seconds}, "memory": grown(before, after)}


def open_llama(path: str) -> Json:
    """Open with llama.cpp, the vocabulary only."""
    llama = importlib.import_module("llama_cpp")
    quiet = llama.llama_log_callback(lambda level, text, data: None)
    llama.llama_log_set(quiet, ctypes.c_void_p(0))
    llama.llama_backend_init()
    options = llama.llama_model_default_params()
    options.vocab_only = True
    before = memory()
    model, seconds = timed(lambda: llama.llama_model_load_from_file(path.encode(), options))
    after = memory()
    if not model:
        raise RuntimeError(f"llama.cpp does not open {path}")
    n = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
    llama.llama_model_free(model)
    return {"tokens": n, "seconds": {"open": seconds}, "memory": grown(before, after)}


def grown(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """Return by how much memory grew."""
    return {name: after[name] - before[name] for name in before}


OPENERS = {"pyembed": open_pyembed, "gguf-py": open_gguf_py, "llama.cpp": open_llama}

if __name__ == "__main__":
    gc.disable()
    print(json.dumps(OPENERS[sys.argv[1]](sys.argv[2])))
