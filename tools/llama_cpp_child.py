"""Asks a library of llama.cpp, in a process of its own: ``python llama_cpp_child.py LIBRARY``.

It is a program of its own because such libraries abort on some files, and two of them cannot share a
process. Each line of its input is a request: ``load PATH`` of a GGUF file, or ``types N``. Each line of its
output is an answer in JSON: what the library said and whether it loaded the file, or its first N tensor
types as [name, weights a block, bytes a block]. The first answer, to no request, is its version.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any

_LOG = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


class _Parameters(ctypes.Structure):
    """Parameters of any version: the defaults, passed on as they come in a structure that holds them all."""

    _fields_ = [("bytes", ctypes.c_uint8 * 1024)]


class Library:
    """A libllama: the few functions that all versions have, without any of its structures."""

    def __init__(self, path: Path) -> None:
        self._said: list[str] = []
        self._library = ctypes.CDLL(str(path))
        self._log = _LOG(self._hear)
        self._library.llama_log_set(self._log, None)
        load_all = getattr(self._library, "ggml_backend_load_all_from_path", None)
        if load_all is not None:
            load_all(os.fsencode(path.parent))  # where the back ends are libraries of their own
        self._library.llama_backend_init()
        self._library.llama_model_default_params.restype = _Parameters
        self._load = self._library.llama_model_load_from_file
        self._load.restype, self._load.argtypes = ctypes.c_void_p, [ctypes.c_char_p, _Parameters]
        self._library.llama_model_free.argtypes = [ctypes.c_void_p]

    def _hear(self, level: int, text: bytes | None, data: Any) -> None:
        self._said.append((text or b"").decode("utf-8", "replace"))

    def versions(self) -> dict[str, str]:
        """Return what the library says of its version, where it says anything."""
        names = {"llama.cpp": "llama_version", "ggml": "ggml_version", "commit": "ggml_commit"}
        said = {}
        for what, name in names.items():
            function = getattr(self._library, name, None)
            if function is not None:
                function.restype = ctypes.c_char_p
                said[what] = function().decode("utf-8", "replace")
        return said

    def load(self, path: str) -> dict[str, Any]:
        """Load a model and let go of it."""
        self._said.clear()
        model = self._load(os.fsencode(path), self._library.llama_model_default_params())
        if model:
            self._library.llama_model_free(model)
        return {"loaded": bool(model), "said": "".join(self._said)}

    def types(self, n: int) -> list[tuple[str, int, int]]:
        """Return name, weights a block and bytes a block of the first tensor types; there must be as many."""
        name = self._of_a_type("ggml_type_name", ctypes.c_char_p)
        weights = self._of_a_type("ggml_blck_size", ctypes.c_int64)
        size = self._of_a_type("ggml_type_size", ctypes.c_size_t)
        return [((name(i) or b"").decode("utf-8", "replace"), weights(i), size(i)) for i in range(n)]

    def _of_a_type(self, name: str, result: Any) -> Any:
        function = getattr(self._library, name)
        function.restype, function.argtypes = result, [ctypes.c_int]
        return function


def main(path: str) -> None:
    """Answer until there are no more requests."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is not an answer
    library = Library(Path(path).resolve())
    print(json.dumps({"versions": library.versions()}), file=answers, flush=True)
    for line in sys.stdin:
        verb, _, rest = line.rstrip("\n").partition(" ")
        answer = {"types": library.types(int(rest))} if verb == "types" else library.load(rest)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
