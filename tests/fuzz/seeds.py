"""Writes what fuzzing starts from: for each target well-formed inputs of every kind, and a dictionary of its words.

Usage: ``python tests/fuzz/seeds.py FOLDER``; writes ``FOLDER/<target>/*`` and ``FOLDER/<target>.dict``.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.helpers.gguf_bytes import (
    ARRAY,
    BOOL,
    F32,
    F64,
    I32,
    NUMBER_CODES,
    STRING,
    U16,
    U32,
    Array,
    GGUFBytes,
)
from tests.helpers.zip_bytes import Entry, zip_bytes

# id: (weights, bytes) of a block; csrc/base/types.def has the names.
BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
    23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18), 42: (64, 18),
}  # fmt: skip

WORDS = {
    "gguf": [
        b"GGUF", b"general.alignment", b"general.architecture", b"tokenizer.ggml.tokens",
        b"tokenizer.ggml.scores", b"tokenizer.ggml.token_type", b"split.no", b"split.count",
        b"split.tensors.count", b"token_embd.weight", *(struct.pack("<I", n) for n in range(13)),
        struct.pack("<Q", 2**63), struct.pack("<Q", 2**64 - 1), struct.pack("<Q", 2**60),
        struct.pack("<Q", 0x7FFFFFFFFFFFFFC0), struct.pack("<I", 2**31), struct.pack("<I", 13),
        b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"m.gguf", struct.pack("<I", 2**32 - 1),
    ],
    "safetensors": [
        b"__metadata__", b'"dtype":', b'"shape":', b'"data_offsets":', b"[0,16]", b"\\u00e9", b"\\ud83d\\ude00",
        b"18446744073709551615", b"18446744073709551616", b"9223372036854775807", b"[[[[[[[[", b'{"":{"":{"":',
        b"null", b"true", b"false", b"-0.0e+1", *(f'"{t}"'.encode() for t in ("F64", "F32", "F16", "BF16", "I8", "F4", "U8")),
    ],
    "npy": [
        b"\x93NUMPY\x01\x00", b"'descr': ", b"'fortran_order': ", b"'shape': ", b"True", b"False", b"(2, 2)", b"(4,)",
        b"'<f4'", b"'>f8'", b"'|i1'", b"'<M8[ns]'", b"'<U2'", b"18446744073709551615", b"2L", b"[('a', '<f4')]",
    ],
}  # fmt: skip
WORDS["layouts"] = WORDS["safetensors"] + [
    *(f".{end}".encode() for end in ("weight", "weight_scale", "scales", "biases", "weight_scale_2", "scale", "zero")),
    b"shard_", b"shards.", b"F8_E4M3", b"F8_E5M2", b"F8_E8M0", b"U32", b'"quantization":', b'"bits":', b'"group_size":',
    b'"mode":', b"mxfp4", b"nvfp4", b"embeddings", b"mapping", b"weights",
]  # fmt: skip
WORDS["laws"] = [
    b"<0x0A>", b"<0xf", b"[PAD", b"<pad", b"<unused", b"[unused", b"<|reserved_special_token_", b"<reserved_", b"<|unused_",
    b"|>", b"\xe2\x96\x81", b"\xc4\xa0", b"\xc2\xad", b"\xed\xa0\x80", b"\xf4\x8f\xbf\xbf", b"\xf4\x90\x80\x80",
    b"\xc0\x80", b"\x02\x00\x01", b"\x02\x01\x02", b"\x00", b" ", b"  ",
]  # fmt: skip
WORDS["scan"] = [
    *(np.array(x, "<f4").tobytes() for x in (np.nan, np.inf, -0.0, 1e-45, 3.4e38)),
    *(np.array(x, "<f2").tobytes() for x in (np.nan, np.inf, 6e-8, 65504)),
]
WORDS["split"] = WORDS["gguf"] + WORDS["safetensors"] + [b"weight_map", b"a.safetensors", b"b.safetensors"]


def gguf_seeds() -> Iterator[bytes]:
    rng = np.random.default_rng(0)
    for version in (1, 2, 3):
        for big_endian in (False, True):
            file = GGUFBytes(version, big_endian).add("general.architecture", STRING, "llama")
            for kind in NUMBER_CODES:
                file.add(f"n{kind}", kind, 1).add(f"a{kind}", ARRAY, Array(kind, [1, 0]))
            nested = Array(
                ARRAY, [Array(I32, [1]), Array(STRING, ["a", ""]), Array(ARRAY, [Array(BOOL, [1])])]
            )
            yield bytes(file.add("nested", ARRAY, nested).add("f", F64, 0.5))
    for kind, (weights, n_bytes) in BLOCKS.items():
        yield bytes(GGUFBytes().tensor("token_embd.weight", (2, weights), kind, rng.bytes(2 * n_bytes)))
    tokens = ["", "a", "b", "a", "<0x00>", "▁the", *(f"t{i}" for i in range(20))]
    vocabulary = GGUFBytes().add("tokenizer.ggml.model", STRING, "llama")
    vocabulary.add("tokenizer.ggml.tokens", ARRAY, Array(STRING, tokens))
    vocabulary.add("tokenizer.ggml.scores", ARRAY, Array(F32, [0.0] * len(tokens)))
    vocabulary.add("tokenizer.ggml.token_type", ARRAY, Array(I32, [1] * len(tokens)))
    yield bytes(vocabulary)
    aligned = GGUFBytes(alignment=8).add("general.alignment", U32, 8)
    yield bytes(
        aligned.tensor("a", (3,), 24, b"abc").tensor("b", (2, 3), 1, bytes(12)).tensor("c", (), 0, bytes(4))
    )
    yield from archives(bytes(vocabulary))
    yield bytes(
        GGUFBytes()
        .tensor("odd", (3, 32), 99, bytes(7))
        .tensor("empty", (0, 32), 2)
        .tensor("", (1, 1, 1, 4), 0, bytes(16))
    )


def archives(model: bytes) -> Iterator[bytes]:
    """Yield zip archives that hold a model as it is, as a llamafile does, and some that are refused."""
    stored, readme = Entry(b"m.gguf", model), Entry(b"r.txt", b"text", method=8)
    yield zip_bytes([stored])
    yield zip_bytes([readme, stored], prefix=b"MZqFpD='\n", counts_prefix=True)
    yield zip_bytes([stored, readme], prefix=b"#!/bin/sh\n", comment=b"PK\5\6")
    yield zip_bytes([Entry(b"m.gguf", model, large=True)], large=True)
    yield zip_bytes([Entry(b"m.gguf", model, method=8), stored])


def safetensors_headers() -> Iterator[bytes]:
    entry = {"dtype": "F32", "shape": [2, 8], "data_offsets": [0, 64]}
    half = [{"dtype": "F16", "shape": [4, 4], "data_offsets": [i, i + 32]} for i in (0, 32)]
    yield json.dumps({"w": entry}).encode()
    yield json.dumps({"__metadata__": {"format": "pt"}, "a": half[0], "b\n\u00e9": half[1]}).encode()
    yield json.dumps({"w": {**entry, "dtype": "F4", "shape": [2, 2, 2, 2, 8]}}).encode() + b"   "
    yield json.dumps(
        {"w": {**entry, "dtype": "NEW"}, "z": {**half[0], "shape": [0, 9], "data_offsets": [0, 0]}}
    ).encode()


def layout_seeds() -> Iterator[bytes]:
    """Yield headers of tables of several tensors over 512 bytes, and the config.json of some."""

    def header(*tensors: tuple[str, str, list[int], int]) -> bytes:
        entries, at = {}, 0
        for name, dtype, shape, n_bytes in (*tensors, ("rest", "U8", [], 0)):
            end = 512 if name == "rest" else at + n_bytes
            shape = [end - at] if name == "rest" else shape
            entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, end]}
            at = end
        return json.dumps(entries).encode()

    for dtype, scale, size in (
        ("F8_E4M3", "F32", 4),
        ("F8_E5M2", "BF16", 2),
        ("I8", "F16", 2),
        ("I8", "F64", 8),
    ):
        yield header(("e.weight", dtype, [3, 33], 99), ("e.weight_scale", scale, [3, 1], 3 * size))
        yield header(("e.weight", dtype, [3, 33], 99), ("e.scale", scale, [], size))
        yield header(("e.weight", dtype, [3, 32], 96), ("e.weight_scale_inv", scale, [3, 2], 6 * size))
    yield header(("e.weight", "F8_E4M3", [3, 64], 192), ("e.scale", "F8_E8M0", [3, 2], 6))
    yield header(("e.weight", "U8", [3, 64], 192), ("e.scale", "U8", [3, 2], 6))
    yield header(("e.weight", "F8_E4M3", [3, 7], 21))
    for factor in ("weight_scale_2", "weight_global_scale"):
        parts = ("e.weight_scale", "F8_E4M3", [3, 2], 6), (f"e.{factor}", "F32", [1], 4)
        yield header(("e.weight_packed", "U8", [3, 16], 48), *parts)
        yield header(("e.weight", "F4", [3, 32], 48), *parts)
    yield header(("e.weight", "F4", [3, 64], 96), ("e.weight_scale", "F8_E8M0", [3, 2], 6))
    for words, groups in ((8, 2), (6, 2), (20, 5)):
        parts = ("e.scales", "F16", [2, groups], 4 * groups), ("e.biases", "F16", [2, groups], 4 * groups)
        mlx = header(("e.weight", "U32", [2, words], 8 * words), *parts)
        yield mlx
        for settings in (
            {"bits": 4, "group_size": 32},
            {"bits": 3, "group_size": 32, "mode": "affine", "e": True},
        ):
            yield mlx + b"\0" + json.dumps({"a": [1], "quantization": {**settings, "e": settings}}).encode()
    for words, groups in ((4, 1), (8, 1), (4, 2)):
        yield header(("e.weight", "U32", [2, words], 8 * words), ("e.scales", "U8", [2, groups], 2 * groups))
    for spelling in ("shard_{}", "shards.{}"):
        shards = [(f"e.{spelling}.weight".format(i), "F8_E4M3", [3 - i, 16], 16 * (3 - i)) for i in range(2)]
        yield header(*shards, ("e.weight_scale", "F32", [1], 4))
        scales = [(f"e.{spelling}.weight_scale".format(i), "F32", [3 - i, 1], 4 * (3 - i)) for i in range(2)]
        yield header(*shards, *scales)
    table, mapping = ("embeddings", "F16", [4, 3], 24), ("mapping", "U8", [9], 9)
    yield header(table, mapping, ("weights", "F32", [9], 36))
    yield header(table, ("weights", "F64", [4], 32))


def npy_headers() -> Iterator[bytes]:
    for descr in ("<f4", ">f2", "|i1", "<i8", "<M8[ns]", "<V2", "<U2"):
        for shape in ("(2, 2)", "(4,)", "()", "(1, 2, 1, 1, 2)", "(2L, 2L)"):
            yield f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()


def split_seeds() -> Iterator[bytes]:
    def pack(kind: int, parts: list[bytes]) -> bytes:
        return bytes([kind]) + b"".join(struct.pack("<H", len(part)) + part for part in parts)

    for n in (2, 3):
        parts = []
        for i in range(n):
            shard = GGUFBytes().add("split.no", U16, i).add("split.count", U16, n)
            shard.add("split.tensors.count", I32, n).add("general.name", STRING, "m")
            parts.append(bytes(shard.tensor(f"t{i}", (2, 2), 0, bytes(16))))
        yield pack(0, parts)
    shards = []
    for name in "xy":
        header = json.dumps({name: {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}).encode()
        shards.append(struct.pack("<Q", len(header)) + header + bytes(16))
    names = {"x": "a.safetensors", "y": "b.safetensors"}
    yield pack(1, [json.dumps({"metadata": {"total_size": 32}, "weight_map": names}).encode(), *shards])


def law_seeds() -> Iterator[bytes]:
    texts = (
        "a b ab c abc a \u00e9 \u00e9\u00e9 \u00ad \u00ae \u2581a \u2581 aaaa \U0001f600 <0x0A> [PAD12] <pad>"
    )
    texts += " <unused3> \u2581<unused3> <|reserved_special_token_7|>"
    tokens = [text.encode() for text in texts.split(" ")]
    tokens += [b"", b"\0", b"\xc3", b"a\xff\0", b"\xed\xa0\x80", b"bb bb"]
    merges = [b"a b", b"ab c", b"a bc", b"\0\1", b"\2\3", b"x", b"  ", b" a", b"a ", b"bb bb bb"]
    strings = b"".join(bytes([len(text)]) + text for text in tokens + merges)
    for choices in (0, 1, 2, 6, 8, 16, 32, 64, 96, 128):
        yield bytes([choices, len(tokens)]) + strings


def scan_seeds() -> Iterator[bytes]:
    rng = np.random.default_rng(2)
    for i in range(len(BLOCKS)):
        floats = rng.normal(size=90).astype("<f4").tobytes()
        # type, flags, width, rows, queries, step, ids, excluded, k, refusals
        yield bytes([i, i % 8, 2 + 7 * i, 11 + i, 1 + i % 5, i, 100 + i, i % 3, 5 * i, i]) + floats
    yield bytes([0, 6, 170, 5, 1, 1, 255, 2, 0, 0]) + floats
    yield bytes([0, 4, 0, 149, 3, 1, 0, 0, 0, 0]) + bytes(8)
    yield bytes([1, 0, 1, 9, 5, 1, 140, 3, 40, 0]) + np.array([1, np.inf, np.nan, -0.0] * 4, "<f2").tobytes()
    exponent = list(BLOCKS).index(39)
    for most in (252, 253, 254, 255):  # of MXFP4, next to what is infinite
        yield bytes([exponent, 0, 1, 3, 0, 1, 0, 0, 0, 0]) + bytes([most]) + bytes([0x77] * 16)


def scaled_seeds() -> Iterator[bytes]:
    rng = np.random.default_rng(3)
    for i in range(120):
        # code, type, bits, scales, biases, group, factor's kind, shift, width, factor
        choices = [i % 5, i // 5, i, i // 7, i // 11, i // 3, i // 13, i % 16]
        width = int(rng.integers(1, 1200))
        yield bytes(choices) + struct.pack("<Hf", width, rng.normal()) + rng.bytes(2 * width)


def ngram_seeds() -> Iterator[bytes]:
    rng = np.random.default_rng(3)
    for scheme, choices in ((0, 2), (1, 6), (2, 0), (0, 3), (1, 7), (0, 26), (1, 30)):
        for size, heads, layers in ((2, 1, 1), (3, 2, 2), (4, 2, 1), (8, 3, 1)):
            # scheme, n-grams, heads, layers, tokens, mapped ids, stand-in, choices, asked for, sequences
            head = bytes([scheme, size, heads, layers, 0, 12, 9, 2, choices, 5, 3])
            n_columns, n_multipliers = layers * (size - 1) * heads, layers * size
            moduli = b"".join(bytes([int(n), 0]) for n in rng.integers(0, 11, n_columns))  # each, and a gap
            token_map = bytes(rng.choice([*range(9), 255], 12).tolist())
            rest = bytes(rng.integers(0, 12, 90).tolist())
            yield head + moduli + bytes(rng.integers(0, 255, n_multipliers).tolist()) + token_map + rest


def all_seeds() -> dict[str, list[bytes]]:
    rng = np.random.default_rng(1)
    data = bytes(64)
    tokens = [b"", b"a", b"ab", b"ab", "▁the".encode(), bytes(range(200))]
    return {
        "gguf": list(gguf_seeds()),
        "safetensors": [
            *safetensors_headers(),
            *(struct.pack("<Q", len(h)) + h + data for h in safetensors_headers()),
        ],
        "layouts": list(layout_seeds()),
        "npy": [
            *npy_headers(),
            *(b"\x93NUMPY\2\0" + struct.pack("<I", len(h)) + h + data for h in npy_headers()),
        ],
        "split": list(split_seeds()),
        "vocabulary": [b"".join(bytes([len(t)]) + t for t in tokens[:n]) for n in range(1, len(tokens) + 1)],
        "laws": list(law_seeds()),
        "scan": list(scan_seeds()),
        "scaled": list(scaled_seeds()),
        "ngram": list(ngram_seeds()),
        "decode": [bytes([i]) + rng.bytes(2 * n_bytes) for i, (_, n_bytes) in enumerate(BLOCKS.values())],
    }


def write_seeds(folder: Path) -> None:
    for target, seeds in all_seeds().items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for i, seed in enumerate(seeds):
            (folder / target / f"seed-{i:03d}").write_bytes(seed)
    for target, words in WORDS.items():
        lines = ["".join(f"\\x{byte:02x}" for byte in word) for word in words]
        (folder / f"{target}.dict").write_text("".join(f'"{line}"\n' for line in lines))


if __name__ == "__main__":
    write_seeds(Path(sys.argv[1]))
