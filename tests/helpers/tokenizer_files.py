"""Writes tokenizer files and weights as Hugging Face and Mistral lay them out, with code of its own."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4f5d" * 16 + b"\nsize 438000173\n"

LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
#: Tokens of a WordPiece vocabulary as Hugging Face stores them; the first five are special.
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"word{n}" for n in range(169))]


def write_json(path: Path, content: object) -> Path:
    """Write a JSON file and return its path."""
    path.write_text(json.dumps(content), "utf-8")
    return path


def word_piece(words: Sequence[str] = WORDS) -> dict[str, object]:
    """Return the content of a ``tokenizer.json`` of `WORDS`."""
    added = [{"id": n, "content": text, "special": True} for n, text in enumerate(words[:5])]
    vocab = {text: n for n, text in enumerate(words)}
    model = {"type": "WordPiece", "unk_token": "[UNK]", "max_input_chars_per_word": 100, "vocab": vocab}
    return {"added_tokens": added, "model": model}


def write_safetensors(path: Path, tensors: Mapping[str, tuple[str, np.ndarray]]) -> Path:
    """Write tensors with the names of their types as given, whatever their bytes are."""
    header, data = {}, b""
    for name, (kind, array) in tensors.items():
        raw = np.ascontiguousarray(array).tobytes()
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": offsets}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def varint(value: int) -> bytes:
    """Return a number as protobuf stores it."""
    out = b""
    value %= 1 << 64
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number: int, data: bytes) -> bytes:
    """Return a field of bytes as protobuf stores it."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def sentencepiece_model(pieces: Sequence[tuple[str, float, int]], trainer: bytes = b"") -> bytes:
    """Return a SentencePiece model of pieces with scores and types (1 normal, 2 unknown, 3 control, ...)."""
    out = b""
    for text, score, kind in pieces:
        piece = field(1, text.encode()) + b"\x15" + struct.pack("<f", score)
        out += field(1, piece + (b"" if kind == 1 else b"\x18" + varint(kind)))
    return out + field(2, trainer) + field(3, field(1, b"identity"))


def spm_pieces() -> list[tuple[str, float, int]]:
    """Return pieces of a SentencePiece vocabulary with byte tokens, best scores first."""
    special = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]
    pieces = special + [(f"<0x{byte:02X}>", 0.0, 6) for byte in range(256)]
    pairs = [a + b for a in LETTERS[:10] for b in LETTERS[:10]]
    return pieces + [(text, -float(n), 1) for n, text in enumerate([*pairs, "\u2581", *LETTERS])]


def tekken(
    tokens: Sequence[bytes], special: Sequence[str] | None, *, n_special: int, n_all: int | None = None
) -> dict[str, object]:
    """Return the content of a ``tekken.json``."""
    vocab = [
        {"rank": n, "token_bytes": base64.b64encode(token).decode(), "token_str": None}
        for n, token in enumerate(tokens)
    ]
    n_all = n_special + len(tokens) if n_all is None else n_all
    config = {
        "pattern": ".",
        "default_vocab_size": n_all,
        "default_num_special_tokens": n_special,
        "version": "v7",
    }
    content: dict[str, object] = {"config": config, "vocab": vocab}
    if special is not None:
        listed = [{"rank": n, "token_str": text, "is_control": True} for n, text in enumerate(special)]
        content["special_tokens"] = listed
    return content
