"""Real vocabularies taken apart, changed, and written again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyembed
from tests.helpers.gguf_bytes import ARRAY, BOOL, F32, I32, STRING, U32, Array, GGUFBytes

CONTROL, USER_DEFINED, UNUSED, BYTE = 3, 4, 5, 6


@dataclass
class Parts:
    """A vocabulary as lists; what is a list of the file's own is None where the file has none."""

    model: str
    tokens: list[bytes]
    types: list[int] | None = None
    scores: list[float] | None = None
    merges: list[bytes] | None = None
    others: dict[str, Any] = field(default_factory=dict)
    n_rows: int | None = None

    def copy(self) -> Parts:
        """Return a copy whose lists can be changed."""
        lists = [None if part is None else list(part) for part in (self.types, self.scores, self.merges)]
        return Parts(self.model, list(self.tokens), *lists, dict(self.others), self.n_rows)  # type: ignore[arg-type]

    def columns(self) -> list[list[Any]]:
        """Return the lists that have an entry for each token."""
        return [column for column in (self.tokens, self.types, self.scores) if column is not None]

    def swap(self, a: int, b: int) -> Parts:
        """Let two tokens change places."""
        for column in self.columns():
            column[a], column[b] = column[b], column[a]
        return self

    def move(self, first: int, last: int, order: Sequence[int]) -> Parts:
        """Let tokens `first` to `last` stand in another order, given as positions among them."""
        for column in self.columns():
            column[first : last + 1] = [column[first + i] for i in order]
        return self

    def drop(self, token_id: int) -> Parts:
        """Delete a token."""
        for column in self.columns():
            del column[token_id]
        return self

    def insert(self, token_id: int, text: bytes = b"<|inserted|>", kind: int = CONTROL) -> Parts:
        """Insert a token before another."""
        for column, value in zip((self.tokens, self.types, self.scores), (text, kind, 0.0), strict=True):
            if column is not None:
                column.insert(token_id, value)  # type: ignore[arg-type]
        return self

    def to_bytes(self, **options: Any) -> bytes:
        """Return the file."""
        file = GGUFBytes(**options).add("general.architecture", STRING, "llama")
        file.add("tokenizer.ggml.model", STRING, self.model)
        file.add("tokenizer.ggml.tokens", ARRAY, Array(STRING, self.tokens))
        for name, kind, values in (
            ("token_type", I32, self.types),
            ("scores", F32, self.scores),
            ("merges", STRING, self.merges),
        ):
            if values is not None:
                file.add(f"tokenizer.ggml.{name}", ARRAY, Array(kind, values))
        for key, value in self.others.items():
            kind = {bool: BOOL, int: U32, str: STRING}[type(value)]
            file.add(key, kind, value)
        if self.n_rows is not None:
            file.tensor("token_embd.weight", (self.n_rows, 4), 0, bytes(16 * self.n_rows))
        return bytes(file)


def read_parts(path: Path) -> Parts:
    """Take the vocabulary of a file apart."""
    with pyembed.load_model(path, validate="off") as model:
        metadata = model.metadata
        known = {key.removeprefix("tokenizer.ggml."): metadata[key] for key in metadata}
        lists: dict[str, Any] = {
            name: [text.encode("utf-8", "surrogateescape") for text in known[name]] if name in known else None
            for name in ("tokens", "merges")
        }
        for name in ("token_type", "scores"):
            lists[name] = known[name].tolist() if name in known else None
        others = {
            f"tokenizer.ggml.{name}": value
            for name, value in known.items()
            if f"tokenizer.ggml.{name}" in metadata and name != "model" and isinstance(value, str | int)
        }
        return Parts(
            known["model"], lists["tokens"], lists["token_type"], lists["scores"], lists["merges"], others
        )


@dataclass(frozen=True)
class Corruption:
    """One way to damage a vocabulary, and the finding that it must lead to."""

    name: str
    vocabulary: str
    change: Callable[[Parts], Parts]
    rule: str
    first_id: int | None = None
    last_id: int | None = None
    n_ids: int | None = None
    shift: int | None = None


def _set(attribute: str, token_id: int, value: Any) -> Callable[[Parts], Parts]:
    def change(parts: Parts) -> Parts:
        getattr(parts, attribute)[token_id] = value
        return parts

    return change


def _other(key: str, value: Any) -> Callable[[Parts], Parts]:
    def change(parts: Parts) -> Parts:
        parts.others[f"tokenizer.ggml.{key}"] = value
        return parts

    return change


def _without(attribute: str) -> Callable[[Parts], Parts]:
    def change(parts: Parts) -> Parts:
        setattr(parts, attribute, None)
        return parts

    return change


def _texts_only(a: int, b: int) -> Callable[[Parts], Parts]:
    def change(parts: Parts) -> Parts:
        parts.tokens[a], parts.tokens[b] = parts.tokens[b], parts.tokens[a]
        return parts

    return change


def _rotate(first: int, last: int, by: int) -> Callable[[Parts], Parts]:
    n = last - first + 1
    return lambda parts: parts.move(first, last, [(i + by) % n for i in range(n)])


def _swap(a: int, b: int) -> Callable[[Parts], Parts]:
    return lambda parts: parts.swap(a, b)


_LEARNED = {
    "gpt-2": (256, 50255),
    "qwen2": (256, 151642),
    "llama-bpe": (256, 127999),
    "llama-spm": (259, 31999),
    "phi-3": (259, 31999),
}
_ORDER, _SHIFT = "vocabulary/order", "vocabulary/shift"


def corruptions() -> list[Corruption]:
    """Return what is tried on real vocabularies."""
    made: list[Corruption] = []
    for name, (low, high) in _LEARNED.items():
        # Of SentencePiece's scores 16 runs of spaces are left out, so that counts differ by those.
        n = 1 if name in ("gpt-2", "qwen2", "llama-bpe") else None
        a, b, x = low + 345, high - 2777, low + 9000
        made += [
            Corruption("swap two learned tokens", name, _swap(a, b), _ORDER, a, b, 2),
            Corruption("swap neighbours", name, _swap(a, a + 1), _ORDER, a, a + 1, 2),
            Corruption(
                "drop a token",
                name,
                lambda p, x=x: p.drop(x),
                _SHIFT,
                x,
                None if n is None else high - 1,
                None if n is None else high - x,
                1,
            ),
            Corruption(
                "insert a token",
                name,
                lambda p, x=x: p.insert(x),
                _SHIFT,
                x + 1,
                None if n is None else high + 1,
                None if n is None else high - x + 1,
                -1,
            ),
            Corruption("shift the tail by 3", name, _rotate(x, high, 3), _SHIFT, x, None, None, 3 * -1 * -1),
            Corruption(
                "permute a window",
                name,
                lambda p, x=x: p.move(x, x + 63, [(17 * i + 5) % 64 for i in range(64)]),
                _ORDER,
            ),
        ]
    for name in ("llama-spm", "phi-3"):
        made += [
            Corruption("swap texts, scores stay", name, _texts_only(400, 20000), "vocabulary/piece-order"),
            Corruption(
                "swap a piece and a character", name, _texts_only(29000, 31000), "vocabulary/piece-order"
            ),
            Corruption("swap byte tokens", name, _swap(10, 200), _ORDER, 10, 200, 2),
            Corruption(
                "reverse byte tokens",
                name,
                lambda p: p.move(3, 258, range(255, -1, -1)),
                "vocabulary/byte-token-order",
                3,
                258,
                256,
            ),
            Corruption(
                "retype a byte token", name, _set("types", 100, 1), "vocabulary/byte-token-type", 100, 100, 1
            ),
            Corruption("drop a byte token", name, lambda p: p.drop(100), "vocabulary/byte-token-missing"),
        ]
    for name in ("gpt-2", "qwen2", "llama-bpe"):
        made += [
            Corruption("swap alphabet symbols", name, _swap(40, 200), _ORDER, 40, 200, 2),
            Corruption("swap a symbol and a token", name, _swap(40, 9000), _ORDER, 40, 9000, 2),
            Corruption("drop an alphabet symbol", name, lambda p: p.drop(64), _SHIFT, 64, None, None, 1),
            Corruption("insert into the alphabet", name, lambda p: p.insert(64), _SHIFT, 65, None, None, -1),
            Corruption("no merges", name, _without("merges"), "vocabulary/merges-missing"),
            Corruption(
                "half of the merges",
                name,
                _half_of_merges,
                "vocabulary/merges-missing",
            ),
        ]
    made += [
        Corruption("swap learned tokens", "gemma-4", _swap(700, 200_000), _ORDER, 700, 200_000, 2),
        Corruption(
            "drop a token", "gemma-4", lambda p: p.drop(100_000), _SHIFT, 100_000, 236_741, 136_742, 1
        ),
        Corruption("swap runs of newlines", "gemma-4", _swap(110, 120), _ORDER, 110, 120, 2),
        Corruption("drop a run of spaces", "gemma-4", lambda p: p.drop(150), _SHIFT, 150, 166, 17, 1),
        Corruption(
            "reverse byte tokens",
            "gemma-4",
            lambda p: p.move(238, 493, range(255, -1, -1)),
            "vocabulary/byte-token-order",
            238,
            493,
            256,
        ),
        Corruption(
            "retype a control token",
            "gemma-4",
            _set("types", 106, 1),
            "vocabulary/control-token-as-text",
            106,
            106,
            1,
        ),
        Corruption("swap single characters", "bert-bge", _swap(1100, 1700), _ORDER, 1100, 1700, 2),
        Corruption(
            "swap continuing characters", "bert-bge", _swap(29_700, 30_400), _ORDER, 29_700, 30_400, 2
        ),
        Corruption(
            "a byte token",
            "bert-bge",
            _set("types", 2000, BYTE),
            "vocabulary/byte-token-in-wordpiece",
            2000,
            2000,
            1,
        ),
        Corruption("swap pieces", "nomic-bert-moe", _swap(1000, 200_000), _ORDER, 1000, 200_000, 2),
        Corruption(
            "insert into the padding",
            "nomic-bert-moe",
            lambda p: p.insert(250_020),
            "vocabulary/padding-order",
            250_002,
            250_048,
            46,
        ),
        Corruption(
            "retype a control token",
            "phi-3",
            _set("types", 32_007, 1),
            "vocabulary/control-token-as-text",
            32_007,
            32_007,
            1,
        ),
        Corruption(
            "retype a control token",
            "gpt-2",
            _set("types", 50_256, 1),
            "vocabulary/control-token-as-text",
            50_256,
            50_256,
            1,
        ),
    ]
    made += [Corruption(*case) for case in _placeholders()]
    for name in ("gpt-2", "llama-spm", "bert-bge"):
        made += [
            Corruption(
                "duplicate",
                name,
                _set("tokens", 7000, b"<s>" if name == "llama-spm" else b"!"),
                "vocabulary/duplicate-token",
            )
            if name != "bert-bge"
            else Corruption(
                "duplicate",
                name,
                lambda p: _set("tokens", 7000, p.tokens[5000])(p),
                "vocabulary/duplicate-token",
                5000,
                7000,
                2,
            ),
            Corruption("empty", name, _set("tokens", 7000, b""), "vocabulary/empty-token", 7000, 7000, 1),
            Corruption("NUL", name, _set("tokens", 7000, b"a\0b"), "vocabulary/nul-in-token", 7000, 7000, 1),
            Corruption(
                "invalid UTF-8",
                name,
                _set("tokens", 7000, b"\xc3("),
                "vocabulary/invalid-utf8",
                7000,
                7000,
                1,
            ),
            Corruption("type 9", name, _set("types", 7000, 9), "vocabulary/token-type", 7000, 7000, 1),
            Corruption(
                "eos out of range", name, _other("eos_token_id", 10**6), "vocabulary/special-id-range"
            ),
            Corruption(
                "eos is a word",
                name,
                _other("eos_token_id", 5000),
                "vocabulary/special-token-type",
                5000,
                5000,
                1,
            ),
            Corruption("one row too few", name, _rows(-1), "vocabulary/row-count"),
            Corruption("rows without tokens", name, _rows(64), "vocabulary/row-count"),
            Corruption("short list of types", name, _short_types, "vocabulary/unusable"),
        ]
    return made


def _placeholders() -> Iterator[tuple[Any, ...]]:
    """Yield corruptions of numbered placeholders."""
    rule = "vocabulary/placeholder-order"
    # An id of a run, the last of all, and how many follow.
    for name, x, last, behind in (
        ("gemma-4", 257_000, 262_143, 5138),
        ("llama-bpe", 128_100, 128_255, 155),
        ("bert-bge", 300, 998, 698),
    ):
        yield "drop a placeholder", name, lambda p, x=x: p.drop(x), rule, x, last - 1, behind, 1
        yield (
            *("put a word among placeholders", name, lambda p, x=x: p.insert(x, b"inserted", 1)),
            *(rule, x + 1, last + 1, behind + 1, -1),
        )
        if name == "gemma-4":
            continue  # it is large, and of the rest smaller ones tell as much
        yield "swap placeholders", name, _swap(x, x + 100), rule, x, x + 100, 2
        yield "swap neighbouring placeholders", name, _swap(x, x + 1), rule
        yield "move a placeholder", name, _rotate(x, x + 50, 1), rule, x + 50, x + 50, 1, -50
        yield "move a placeholder: the others", name, _rotate(x, x + 50, 1), rule, x, x + 49, 50, 1
        yield (
            *("permute placeholders", name),
            lambda p, x=x: p.move(x, x + 20, [(8 * i + 5) % 21 for i in range(21)]),
            rule,
        )


def _half_of_merges(parts: Parts) -> Parts:
    assert parts.merges is not None
    del parts.merges[len(parts.merges) // 2 :]
    return parts


def _rows(more: int) -> Callable[[Parts], Parts]:
    def change(parts: Parts) -> Parts:
        parts.n_rows = len(parts.tokens) + more
        return parts

    return change


def _short_types(parts: Parts) -> Parts:
    assert parts.types is not None
    parts.types.pop()
    return parts
