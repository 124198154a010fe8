"""llama.cpp itself, through the C interface that llama-cpp-python wraps."""

from __future__ import annotations

import ctypes
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pytest

pytest.importorskip(
    "llama_cpp", reason="llama-cpp-python is not installed; make test-integrations compiles it"
)
import llama_cpp.llama_cpp as api

_BASE_LIBRARY = next((Path(api.__file__).parent / "lib").glob("*ggml-base.*"))
#: What the engine calls the input of its first layer, the last in a graph first.
_INPUTS = ("embd_norm", "inp_norm", "inp_norm-0", "inpL", "inp_scaled", "embd")


_said: list[bytes] = []


@api.llama_log_callback
def _hear(level: int, text: bytes, data: Any) -> None:
    _said.append(text)


class Engine:
    """A model in llama.cpp, which is run on one batch at a time."""

    def __init__(self, path: Path, *, n_context: int = 64) -> None:
        _said.clear()
        api.llama_log_set(_hear, ctypes.c_void_p())
        api.llama_backend_init()
        options = api.llama_model_default_params()
        options.n_gpu_layers = 0
        self._model = api.llama_model_load_from_file(str(path).encode(), options)
        said = b"".join(_said).decode("utf-8", "replace")
        if not self._model and "unknown model architecture" in said:
            pytest.skip("this version of llama.cpp does not know the architecture")
        assert self._model, f"llama.cpp does not load {path}: {said[-600:]}"
        self.n_vocab = api.llama_vocab_n_tokens(api.llama_model_get_vocab(self._model))
        self.n_input = api.llama_model_n_embd_inp(self._model)
        kind = api.llama_model_rope_type(self._model)
        self.sections = kind in (
            api.LLAMA_ROPE_TYPE_MROPE,
            api.LLAMA_ROPE_TYPE_IMROPE,
        )
        self._n_context = n_context
        self.seen: dict[str, np.ndarray] = {}
        self._base = ctypes.CDLL(str(_BASE_LIBRARY))
        self._base.ggml_get_name.restype = ctypes.c_char_p
        self._base.ggml_get_name.argtypes = [ctypes.c_void_p]
        self._base.ggml_nbytes.restype = ctypes.c_size_t
        self._base.ggml_nbytes.argtypes = [ctypes.c_void_p]
        self._base.ggml_backend_tensor_get.restype = None
        self._base.ggml_backend_tensor_get.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_size_t] * 2
        self._callback = api.ggml_backend_sched_eval_callback(self._look)

    def _look(self, tensor: int, ask: bool, data: Any) -> bool:
        name = self._base.ggml_get_name(tensor).decode()
        if ask:
            return name in _INPUTS
        values = np.empty(self._base.ggml_nbytes(tensor) // 4, np.float32)
        self._base.ggml_backend_tensor_get(tensor, values.ctypes.data, 0, values.nbytes)
        self.seen[name] = values
        return True

    def run(
        self, *, ids: np.ndarray | None = None, rows: np.ndarray | None = None, encode: bool = False
    ) -> np.ndarray:
        """Run a batch of ids or of vectors in a fresh context, for the logits or embeddings of all."""
        self.seen.clear()
        options = api.llama_context_default_params()
        options.n_ctx = options.n_batch = options.n_ubatch = self._n_context
        options.n_threads = options.n_threads_batch = 1
        options.embeddings, options.pooling_type = encode, 0
        options.cb_eval = self._callback
        context = api.llama_init_from_model(self._model, options)
        assert context
        given = ids if rows is None else rows
        assert given is not None
        n = len(given)
        batch = api.llama_batch_init(n, 0 if rows is None else rows.shape[1], 1)
        # An address: what ctypes returns for the field itself would change with the field.
        positions = ctypes.cast(batch.pos, ctypes.c_void_p).value
        if self.sections and rows is not None:
            # Positions in time, height and width, and one more; of text the first three are alike.
            wide = np.concatenate([np.tile(np.arange(n, dtype=np.int32), 3), np.zeros(n, np.int32)])
            batch.pos = wide.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        try:
            batch.n_tokens = n
            for position in range(n):
                if ids is not None:
                    batch.token[position] = int(ids[position])
                batch.pos[position] = position
                batch.n_seq_id[position] = 1
                batch.seq_id[position][0] = 0
                batch.logits[position] = 1
            if rows is not None:
                rows = np.ascontiguousarray(rows, np.float32)
                ctypes.memmove(batch.embd, rows.ctypes.data, rows.nbytes)
            status = (api.llama_encode if encode else api.llama_decode)(context, batch)
            assert status == 0
            get = api.llama_get_embeddings if encode else api.llama_get_logits
            width = api.llama_model_n_embd(self._model) if encode else self.n_vocab
            return np.ctypeslib.as_array(get(context), (n, width)).copy()
        finally:
            batch.pos = ctypes.cast(positions, ctypes.POINTER(ctypes.c_int32))
            api.llama_batch_free(batch)
            api.llama_free(context)

    def first_layer(self, n: int, width: int) -> np.ndarray:
        """Return what the first layer was given in the last run for its `n` positions."""
        values = next(self.seen[name] for name in _INPUTS if name in self.seen)
        # Where the input holds further vectors, the tensor is a view of the first columns.
        distance = width if len(values) == n * width else self.n_input
        assert len(values) == (n - 1) * distance + width
        return np.stack([values[row * distance : row * distance + width] for row in range(n)])

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        api.llama_model_free(self._model)
