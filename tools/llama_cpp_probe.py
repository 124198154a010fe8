"""What a built library of llama.cpp knows: names found among its strings, each tried on a small file.

A string does not say what it is for, so that each one is tried: as an architecture, as a tokenizer model, as
a pre-tokenizer. Whatever the library does not call unknown is known. The linker stores a text that ends
another text only as that end, so the ends of texts are tried too.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.helpers.gguf_bytes import (
    ARRAY,
    BOOL,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    STRING,
    U8,
    U16,
    U32,
    U64,
    Array,
    GGUFBytes,
)
from tests.helpers.llama_models import N_EMBD, TOKENS, Tensor, model, tensors
from tests.helpers.llama_vocabularies import BPE, UNIGRAM, Change, bpe, key

CHILD = Path(__file__).with_name("llama_cpp_child.py")
_TEXT = re.compile(rb"[\x20-\x7e]{2,200}(?=\x00)")
_NAME_AT_END = re.compile(r"[a-z0-9._-]+\Z")
_KEY = re.compile(r"(?:%s|general|split|tokenizer)\.[a-z][a-z0-9_.]*[a-z0-9]")
_MOST = 40
_VALUE_TYPES = {
    **{"u8": U8, "i8": I8, "u16": U16, "i16": I16, "u32": U32, "i32": I32, "u64": U64, "i64": I64},
    **{"f32": F32, "f64": F64, "bool": BOOL, "string": STRING},
}
_NO_SUCH_TYPE = 100_000


class ProbeError(RuntimeError):
    """The library cannot be asked; the message says why."""


def texts_of(library: bytes) -> set[str]:
    """Return the texts between NULs in the bytes of a library."""
    return {match.group().decode("ascii") for match in _TEXT.finditer(library)}


def names_among(texts: Iterable[str]) -> set[str]:
    """Return all that may be a name: texts, and ends of texts, of small letters, digits and ``.-_``."""
    names = set()
    for text in texts:
        end = _NAME_AT_END.search(text)
        if end is not None:
            word = end.group()[-_MOST:]
            names |= {word[i:] for i in range(len(word) - 1) if word[i].isalnum()}
    return names


def keys_among(texts: Iterable[str]) -> set[str]:
    """Return metadata keys, ``%s`` for the architecture."""
    return {text for text in texts if _KEY.fullmatch(text)}


class Probe:
    """A library in a child process, which is started anew whenever a file kills it.

    Parameters
    ----------
    library : Path
        ``libllama.so``, or what it is called elsewhere; the libraries that it needs lie beside it.

    Raises
    ------
    ProbeError
        If it cannot be loaded.
    """

    def __init__(self, library: Path) -> None:
        self._path = library
        self._scratch = tempfile.TemporaryDirectory(prefix="pyembed-compare-")
        self._file = Path(self._scratch.name) / "asked.gguf"
        self._errors = Path(self._scratch.name) / "errors.txt"
        self._child: subprocess.Popen[str] | None = None
        self.versions: dict[str, str] = {}
        self._start()

    def _start(self) -> None:
        environment = {**os.environ, "GGML_NO_BACKTRACE": "1"}
        with self._errors.open("wb") as errors:
            self._child = subprocess.Popen(
                [sys.executable, str(CHILD), str(self._path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
            )
        first = self._answer()
        if first is None:
            said = self._errors.read_text("utf-8", "replace").strip().splitlines() or ["it said nothing"]
            raise ProbeError(f"{self._path} cannot be asked: {said[-1]}")
        self.versions = first["versions"]

    def _answer(self) -> dict[str, Any] | None:
        """Return the next answer, None if the child is gone."""
        assert self._child is not None
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self._stop()
        return None

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                assert pipe is not None
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _ask(self, request: str) -> dict[str, Any] | None:
        if self._child is None:
            self._start()
        assert self._child is not None
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(request + "\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            self._stop()
            return None
        return self._answer()

    def said_of(self, file: GGUFBytes) -> str:
        """Have the library load a file; return all that it said, "" if that killed it."""
        self._file.write_bytes(bytes(file))
        answer = self._ask(f"load {self._file}")
        return "" if answer is None else str(answer["said"])

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()
        self._scratch.cleanup()

    # ------------------------------------------------------------------------------------------ names

    def _known(self, names: Iterable[str], file: Any, unknown: str) -> set[str]:
        """Return the names that the library does not call unknown, as it must a made-up one."""
        if unknown not in self.said_of(file("no-such-name")):
            raise ProbeError(f"the library does not say {unknown!r} of a name that is made up")
        return {name for name in names if unknown not in self.said_of(file(name))}

    def architectures(self, names: Iterable[str]) -> set[str]:
        """Return the names that are architectures of models."""

        def file(name: str) -> GGUFBytes:
            return GGUFBytes().add("general.architecture", STRING, name)

        known = self._known(names, file, "unknown model architecture")
        return {name for name in known if "CLIP cannot be used as main model" not in self.said_of(file(name))}

    def tokenizer_models(self, names: Iterable[str]) -> set[str]:
        """Return the names that are tokenizer models."""
        return self._known(names, lambda name: _vocabulary(key("model", STRING, name)), "unknown tokenizer")

    def pre_tokenizers(self, names: Iterable[str]) -> set[str]:
        """Return the names that are pre-tokenizers."""
        return self._known(
            names, lambda name: _vocabulary(bpe(key("pre", STRING, name))), "unknown pre-tokenizer type"
        )

    # ------------------------------------------------------------------------------------------ types

    def value_types(self, keys: Iterable[str]) -> dict[str, set[str]]:
        """Return the types as which keys of a model of the llama architecture are read.

        A key is stored as every type, and as an array of every type. A type is refused if an error names the
        key and speaks of its type. Keys that are not read of any type are left out.
        """
        read = {}
        for name in keys:
            kinds = {kind for kind, file in _stored_as_all(name) if not self._refuses_type(file, name)}
            if len(kinds) < 2 * len(_VALUE_TYPES):
                read[name] = kinds
        return read

    def _refuses_type(self, file: GGUFBytes, name: str) -> bool:
        errors = [line for line in self.said_of(file).splitlines() if "error loading" in line]
        return any(_is_about_type(line, name) for line in errors)

    def tensor_types(self) -> dict[int, tuple[str, int, int]]:
        """Return name, weights a block and bytes a block of the tensor types in use, by id."""
        said = self.said_of(model(tensor=[Tensor("x", (N_EMBD,), _NO_SUCH_TYPE)]))
        found = re.search(r"should be in \[0, (\d+)\)", said)
        if found is None:
            raise ProbeError("the library does not say how many tensor types there are")
        answer = self._ask(f"types {found[1]}")
        if answer is None:
            raise ProbeError("the library stopped when it was asked for tensor types")
        return {i: (name, n, size) for i, (name, n, size) in enumerate(answer["types"]) if n and size}


def _vocabulary(change: Change) -> GGUFBytes:
    return model(change=change, without=[*tensors()])


def _is_about_type(line: str, name: str) -> bool:
    """Return whether an error says that a key has the wrong type, rather than the wrong value or length."""
    for text in (name, name.rpartition(".")[2]):
        if text in line:
            rest = line.replace(text, "")
            return "type" in rest or re.search(r"is not an? .*array|find tokenizer", rest) is not None
    return False


def _stored_as_all(name: str) -> Iterator[tuple[str, GGUFBytes]]:
    """Yield small models in which a key is stored as each type."""
    base: Change = BPE if name.endswith(".merges") else UNIGRAM if name.endswith("charsmap") else {}
    n = len(TOKENS) if name.startswith("tokenizer.") else 1
    for kind, number in _VALUE_TYPES.items():
        value: Any = "x" if number == STRING else 1
        yield kind, _vocabulary({**base, name: (number, value)})
        yield f"{kind}[]", _vocabulary({**base, name: (ARRAY, Array(number, [value] * n))})
