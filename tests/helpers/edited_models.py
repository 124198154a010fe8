"""Small models that edits change, in one file and in a set."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.helpers.gguf_bytes import ARRAY, I32, STRING, U16, U32, Array, GGUFBytes

TOKENS = [f"token {i}" for i in range(200)]


def model(text: str = "name", number: int = 7, *, big_endian: bool = False) -> bytes:
    builder = GGUFBytes(big_endian=big_endian).add("general.architecture", STRING, "llama")
    builder.add("general.name", STRING, text).add("a.number", U32, number)
    builder.add("tokenizer.ggml.tokens", ARRAY, Array(STRING, TOKENS)).add("z.number", U32, number)
    return bytes(builder.tensor("token_embd.weight", (200, 4), 0, bytes(3200)))


def write_set(
    folder: Path, *, without: str | None = None, big_endian: bool = False, tokens: int = 0
) -> list[Path]:
    """Write a set of three files with a tensor each; later files have keys that look like others' texts."""
    paths = []
    for number in range(3):
        builder = GGUFBytes(big_endian=big_endian)
        if number == 0:
            builder.add("general.architecture", STRING, "llama").add("a.number", U32, 7)
            if tokens:
                names = Array(STRING, [f"t{i}" for i in range(tokens)])
                builder.add("tokenizer.ggml.tokens", ARRAY, names)
        builder.add("split.no", U16, number).add("split.count", U16, 3)
        if number:
            builder.add("a.text", STRING, "split.tensors.count").add("a.flag", U16, 1)
            builder.add("a.list", ARRAY, Array(STRING, ["split.tensors.count", ""]))
            builder.add("a.numbers", ARRAY, Array(I32, [1, 2, 3]))
            builder.add("a.lists", ARRAY, Array(ARRAY, [Array(I32, [1]), Array(STRING, ["x"])]))
        builder.add("split.tensors.count", I32, 3 if without is None else 2)
        rows = np.full((8, 4), number, ">f4" if big_endian else "<f4").tobytes()
        name = ["blk.0", "token_embd.weight", "output"][number]
        if name != without:
            builder.tensor(name, (8, 4), 0, rows)
        paths.append(folder / f"m-{number + 1:05d}-of-00003.gguf")
        paths[-1].write_bytes(bytes(builder))
    return paths
