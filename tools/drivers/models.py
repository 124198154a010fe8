"""Small random models of every format, and the rows that are in them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pyembed.core.dtypes import TENSOR_TYPES
from tests.helpers.gguf_bytes import ARRAY, F32, I32, STRING, U16, U32, Array, GGUFBytes

#: What every typed error is: all that the package promises to raise.
TYPED = (ValueError, TypeError, LookupError, OSError, MemoryError)
#: Of these, what comes of a fault in the package itself.
FAULTS = (UnicodeError,)

_TYPES = ("F32", "F16", "BF16", "Q4_0", "Q8_0", "Q4_K", "Q6_K", "IQ4_NL")
_TEXTS: tuple[str | bytes, ...] = (
    "", " ", "\0", "a\0", "\n", "\t", "\x1b[31m", "▁the", "##ing", "<s>", "<0x0A>", "é", "汉", "👍", "\u202e",
    b"\xff", b"\xed\xa0\x80", "\\#1", "token", "a b", "[unused1]", "<|im_end|>", "{{x}}", "x" * 300,
)  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """A model on disk: how it is opened, its files, its rows where they are known exactly, its tokens."""

    path: Path
    files: tuple[Path, ...]
    format: str
    shape: tuple[int, int]
    rows: npt.NDArray[np.float32] | None
    n_tokens: int

    def contents(self) -> dict[Path, bytes]:
        """Return the bytes of all files."""
        return {file: file.read_bytes() for file in self.files}


def chance(rng: np.random.Generator, share: float) -> bool:
    """Return True in that share of cases."""
    return bool(rng.random() < share)


def pick(rng: np.random.Generator, values: Any) -> Any:
    """Return one of some values."""
    values = list(values)
    return values[int(rng.integers(len(values)))]


def sample(rng: np.random.Generator, folder: Path, formats: tuple[str, ...] = ()) -> Sample:
    """Write a random model into a folder."""
    format = pick(rng, formats or ("gguf", "gguf", "split", "safetensors", "index", "npy"))
    if format in ("gguf", "split"):
        return _gguf(rng, folder, split=format == "split")
    shape = (int(rng.integers(1, 60)), int(rng.integers(1, 70)))
    rows = rng.standard_normal(shape).astype("<f4")
    if format == "npy":
        np.save(folder / "m.npy", rows)
        return Sample(folder / "m.npy", (folder / "m.npy",), format, shape, rows, 0)
    inside = folder / "model"
    inside.mkdir()
    name = "a.safetensors" if format == "index" else "model.safetensors"
    tensor = "model.embed_tokens.weight"
    facts = {tensor: {"dtype": "F32", "shape": list(shape), "data_offsets": [0, rows.nbytes]}}
    header = json.dumps(facts).encode()
    (inside / name).write_bytes(len(header).to_bytes(8, "little") + header + rows.tobytes())
    files = [inside / name]
    if format == "index":
        files.append(inside / "model.safetensors.index.json")
        files[1].write_text(json.dumps({"weight_map": {tensor: name}}))
    path = inside if chance(rng, 0.5) else files[-1]
    return Sample(path, tuple(files), format, shape, rows, 0)


def _tokens(rng: np.random.Generator, n: int) -> list[str | bytes]:
    return [pick(rng, _TEXTS) if chance(rng, 0.4) else f"t{i}" for i in range(n)]


def _gguf(rng: np.random.Generator, folder: Path, *, split: bool) -> Sample:
    name = pick(rng, _TYPES)
    kind = next(kind for kind in TENSOR_TYPES.values() if kind.name == name)
    n_rows = int(rng.integers(1, 80))
    n_columns = (
        int(rng.integers(1, 4)) * kind.block_weights if kind.block_weights > 1 else int(rng.integers(1, 90))
    )
    n_bytes = kind.n_bytes(n_rows, n_columns)
    assert n_bytes is not None
    rows = None
    if kind.name == "F32":
        rows = rng.standard_normal((n_rows, n_columns)).astype("<f4")
        data = rows.tobytes()
    else:
        data = rng.integers(0, 120, n_bytes, np.uint8).tobytes()  # the highest bits clear: few are not finite
    n_tokens = n_rows if chance(rng, 0.7) else int(rng.integers(1, 90))
    first = GGUFBytes()
    first.add("general.architecture", STRING, pick(rng, ["llama", "qwen2", "bert", "odd"]))
    first.add("tokenizer.ggml.model", STRING, pick(rng, ["llama", "gpt2", "bert", "none"]))
    tokens = _tokens(rng, n_tokens)
    first.add("tokenizer.ggml.tokens", ARRAY, Array(STRING, tokens))
    if chance(rng, 0.5):
        first.add("tokenizer.ggml.scores", ARRAY, Array(F32, rng.standard_normal(n_tokens).tolist()))
    if chance(rng, 0.5):
        types = rng.integers(0, 8, n_tokens).tolist()
        first.add("tokenizer.ggml.token_type", ARRAY, Array(I32, types))
    if chance(rng, 0.3):
        merges = [f"{pick(rng, _TEXTS[15:18])!r} t{i}" for i in range(5)]
        first.add("tokenizer.ggml.merges", ARRAY, Array(STRING, merges))
    if chance(rng, 0.5):
        first.add("tokenizer.ggml.bos_token_id", U32, int(rng.integers(0, 2 * n_tokens)))
    if not split:
        first.tensor("token_embd.weight", (n_rows, n_columns), kind.id, data)
        path = folder / "m.gguf"
        path.write_bytes(bytes(first))
        return Sample(path, (path,), "gguf", (n_rows, n_columns), rows, n_tokens)
    paths = [folder / f"m-{number:05d}-of-00002.gguf" for number in (1, 2)]
    for number, (path, builder) in enumerate(zip(paths, (first, GGUFBytes()), strict=True)):
        builder.add("split.no", U16, number).add("split.count", U16, 2).add("split.tensors.count", I32, 2)
        if number == 0:
            builder.tensor("token_embd.weight", (n_rows, n_columns), kind.id, data)
        else:
            builder.tensor("output_norm.weight", (n_columns,), 0, bytes(4 * n_columns))
        path.write_bytes(bytes(builder))
    return Sample(paths[0], tuple(paths), "split", (n_rows, n_columns), rows, n_tokens)
