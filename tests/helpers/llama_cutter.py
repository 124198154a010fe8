"""llama.cpp's tokenizer, in a process of its own: a vocabulary that it aborts on ends that process alone.

Run as a program it reads requests from stdin, one JSON object a line, and answers each with a line.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

_MOST_SAID = 16 << 10
MISSING = "llama-cpp-python is not installed; make test-integrations compiles it"


def is_installed() -> bool:
    return find_spec("llama_cpp") is not None


class LlamaCutter:
    """A vocabulary in llama.cpp.

    Parameters
    ----------
    path : Path
        A GGUF file; only its vocabulary is loaded.
    pre : str, optional
        A pre-tokenizer to use in place of the file's.
    """

    def __init__(self, path: Path | str, pre: str | None = None) -> None:
        command = [sys.executable, __file__, str(path), *([] if pre is None else [pre])]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.n_tokens = self._answer()["n_tokens"]

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            _, said = self._process.communicate()
            raise RuntimeError(f"llama.cpp ended: {said[-600:]}")
        return json.loads(line)

    def _send(self, **request: Any) -> None:
        assert self._process.stdin is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)

    def ask(self, **request: Any) -> Any:
        self._send(**request)
        return self._answer()

    def cutting(
        self, texts: Sequence[str], *, add_special: bool = False, parse_special: bool = False
    ) -> Callable[[], list[list[int]]]:
        """Begin to cut texts, and return what waits for the ids of each: one request at a time."""
        self._send(texts=list(texts), add_special=add_special, parse_special=parse_special)
        return self._answer

    def cut(
        self, texts: Sequence[str], *, add_special: bool = False, parse_special: bool = False
    ) -> list[list[int]]:
        """Return the ids of each text."""
        return self.cutting(texts, add_special=add_special, parse_special=parse_special)()

    def join(self, ids: Sequence[int], *, special: bool) -> bytes:
        """Return the bytes of some tokens, with control tokens where `special` says so."""
        return bytes.fromhex(self.ask(ids=[int(i) for i in ids], special=special))

    def __enter__(self) -> LlamaCutter:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()


# ------------------------------------------------------------------------------------------ the child


def _load(api: Any, path: str, pre: str | None) -> Any:
    options = api.llama_model_default_params()
    options.vocab_only = True
    if pre is not None:
        overrides = (api.llama_model_kv_override * 2)()  # the second one, empty, ends the list
        overrides[0].tag = 3  # a string
        overrides[0].key = b"tokenizer.ggml.pre"
        overrides[0].value.val_str = pre.encode()
        options.kv_overrides = overrides
    return api.llama_model_load_from_file(path.encode(), options)


def _cut(api: Any, vocabulary: Any, text: str, add_special: bool, parse_special: bool) -> list[int]:
    data = text.encode("utf-8")
    room = len(data) + 8
    ids = (ctypes.c_int32 * room)()
    n = api.llama_tokenize(vocabulary, data, len(data), ids, room, add_special, parse_special)
    if n < 0:
        ids = (ctypes.c_int32 * -n)()
        n = api.llama_tokenize(vocabulary, data, len(data), ids, -n, add_special, parse_special)
    return ids[:n]


def _join(api: Any, vocabulary: Any, ids: list[int], special: bool) -> str:
    """Return the bytes of tokens as hexadecimal digits, one behind the other."""
    out = ctypes.create_string_buffer(4096)
    found = b""
    for token_id in ids:
        n = api.llama_token_to_piece(vocabulary, token_id, out, len(out), 0, special)
        assert n >= 0
        found += out.raw[:n]
    return found.hex()


def main(path: str, pre: str | None = None) -> None:
    """Load a vocabulary, say how many tokens it has, and answer requests until stdin ends."""
    import llama_cpp.llama_cpp as api

    said = 0

    @api.llama_log_callback  # type: ignore[untyped-decorator]
    def hear(level: int, text: bytes, data: Any) -> None:
        nonlocal said
        if said < _MOST_SAID:  # nobody reads it before the end, and a full pipe would block
            said += sys.stderr.write(text.decode("utf-8", "replace"))

    api.llama_log_set(hear, ctypes.c_void_p())
    api.llama_backend_init()
    model = _load(api, path, pre)
    if not model:
        sys.exit(1)
    vocabulary = api.llama_model_get_vocab(model)
    print(json.dumps({"n_tokens": api.llama_vocab_n_tokens(vocabulary)}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "ids" in request:
            print(json.dumps(_join(api, vocabulary, request["ids"], request["special"])), flush=True)
        else:
            flags = (request["add_special"], request["parse_special"])
            found = [_cut(api, vocabulary, text, *flags) for text in request["texts"]]
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
