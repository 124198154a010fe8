"""Vocabularies that llama.cpp loads, refuses or aborts on, each in a model that is sound otherwise."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from tests.helpers.gguf_bytes import ARRAY, F32, I8, I32, STRING, U8, U32, U64, Array, GGUFBytes
from tests.helpers.llama_models import TOKEN_TYPES, TOKENS, Case, model, tensors, tokens

Change = Mapping[str, tuple[int, Any] | None]

N = len(TOKENS)


def key(name: str, kind: int, value: Any) -> Change:
    return {f"tokenizer.ggml.{name}": (kind, value)}


def listed(name: str, kind: int, values: Any) -> Change:
    return key(name, ARRAY, Array(kind, list(values)))


def types(**replaced: int) -> Change:
    """Return the types with some replaced: ``t5=9``."""
    kinds = list(TOKEN_TYPES)
    for name, kind in replaced.items():
        kinds[int(name[1:])] = kind
    return listed("token_type", I32, kinds)


def without(*ids: int) -> Change:
    """Return a vocabulary of as many tokens in which words stand in for some."""
    kept = [i for i in range(N) if i not in ids]
    texts = [*(TOKENS[i] for i in kept), *(f"z{i}" for i in range(len(ids)))]
    return {
        **listed("tokens", STRING, texts),
        **listed("token_type", I32, [*(TOKEN_TYPES[i] for i in kept), *[1] * len(ids)]),
    }


# ------------------------------------------------------------------------------------ other families


_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]


def _alphabet() -> list[str]:
    return [chr(point) for point in [*_PRINTABLE, *range(0x100, 0x100 + 256 - len(_PRINTABLE))]]


_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]
_SPELLED = dict(zip([*_PRINTABLE, *_OTHERS], _alphabet(), strict=True))


def byte_spelling(token: bytes) -> str:
    """Return the stored text of a token of a vocabulary of bytes."""
    return "".join(_SPELLED[byte] for byte in token)


BPE_TOKENS = [*_alphabet(), "ab", "bc", "<s>", "</s>", "<pad>", "x1"]
BPE: Change = {
    **key("model", STRING, "gpt2"),
    **key("pre", STRING, "gpt-2"),
    **listed("tokens", STRING, BPE_TOKENS),
    **listed("token_type", I32, [*[1] * 258, 3, 3, 3, 1]),
    **listed("merges", STRING, ["a b", "b c"]),
    **key("bos_token_id", U32, 258),
    **key("eos_token_id", U32, 259),
    "tokenizer.ggml.scores": None,
}
WORDPIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"\u2581w{i}" for i in range(N - 5))]
WORDPIECE: Change = {
    **key("model", STRING, "bert"),
    **listed("tokens", STRING, WORDPIECES),
    **listed("token_type", I32, [*[3] * 5, *[1] * (N - 5)]),
    "tokenizer.ggml.pre": None,
    "tokenizer.ggml.scores": None,
}
UNIGRAM_TOKENS = ["<s>", "<pad>", "</s>", "<unk>", *(f"\u2581w{i}" for i in range(N - 4))]
UNIGRAM: Change = {
    **key("model", STRING, "t5"),
    **listed("tokens", STRING, UNIGRAM_TOKENS),
    **listed("scores", F32, [*[0.0] * 4, *(-1.0 - i for i in range(N - 4))]),
    **listed("token_type", I32, [3, 3, 3, 2, *[1] * (N - 4)]),
    **key("unknown_token_id", U32, 3),
}


def bpe(*changes: Change) -> Change:
    return {name: value for change in (BPE, *changes) for name, value in change.items()}


def wordpiece(*changes: Change) -> Change:
    return {name: value for change in (WORDPIECE, *changes) for name, value in change.items()}


def charsmap(raw: bytes, kind: int = U8) -> Change:
    """Return a unigram vocabulary with a map of characters."""
    return {**UNIGRAM, **listed("precompiled_charsmap", kind, raw)}


def double_array(replacements: bytes, **units: int) -> bytes:
    """Return a map of 256 units that are 0 but for some: ``u10=5``."""
    values = [units.get(f"u{i}", 0) for i in range(256)]
    return struct.pack("<I256I", 4 * len(values), *values) + replacements


#: The unit that "\n" leads to, where a text ends: its value is in unit 10 ^ 64.
NEWLINE = {"u10": 10 | 1 << 8 | 64 << 10}
VALUE = f"u{10 ^ 64}"

LOAD, REFUSE, ABORT = "load", "refuse", "abort"

#: By name: what is changed in a model of the llama architecture, the outcome, and the rule that says so.
_TABLE: dict[str, tuple[Change, str, str | None]] = {
    # -- texts
    "a duplicate": (tokens(t260="a"), ABORT, "duplicate-token"),
    "a duplicate up to a NUL": (tokens(t260="a\0x"), ABORT, "duplicate-token"),
    "a NUL": (tokens(t260="q\0x"), LOAD, "nul-in-token"),
    "a NUL alone": (tokens(t260="\0"), LOAD, "nul-in-token"),
    "two that begin with a NUL": (tokens(t260="\0a", t261="\0b"), LOAD, "nul-in-token"),
    "two empty ones": (tokens(t260="", t261=""), LOAD, "empty-token"),
    "an empty one, and one of its name": (tokens(t260="", t261="[EMPTY_260]"), ABORT, "duplicate-token"),
    "a NUL alone, and one of its name": (tokens(t260="\0", t259="[EMPTY_260]"), ABORT, "duplicate-token"),
    "an empty one, and one of another's name": (tokens(t260="", t261="[EMPTY_261]"), LOAD, "empty-token"),
    # -- byte tokens
    "BYTE of one character": (tokens(t10="\n"), REFUSE, "byte-token-type"),
    "BYTE of three characters": (tokens(t10="xyz"), LOAD, "byte-token-type"),
    "BYTE that is no number": (tokens(t10="<0xZZ>"), LOAD, "byte-token-type"),
    "a byte token missing": (without(100), LOAD, "byte-token-missing"),
    "the byte token of a newline missing": (without(13), LOAD, "byte-token-missing"),
    "plamo2, a byte token missing": (
        {**key("model", STRING, "plamo2"), **without(100)},
        REFUSE,
        "byte-token-missing",
    ),
    "plamo3, a byte token missing": (
        {**key("model", STRING, "plamo3"), **without(100)},
        REFUSE,
        "byte-token-missing",
    ),
    "no byte tokens": (without(*range(3, 259)), LOAD, None),
    # -- lists
    "types too few": (listed("token_type", I32, TOKEN_TYPES[:-1]), REFUSE, "unusable"),
    "types too many": (listed("token_type", I32, [*TOKEN_TYPES, 1]), LOAD, "extra-entries"),
    "no types": ({"tokenizer.ggml.token_type": None}, LOAD, None),
    "types as f32": (listed("token_type", F32, [1.0] * N), REFUSE, "unusable"),
    "type 9": (types(t260=9), LOAD, "token-type"),
    "scores one too few": (listed("scores", F32, [0.0] * (N - 1)), REFUSE, "unusable"),
    "scores too many": (listed("scores", F32, [0.0] * (N + 1)), LOAD, "extra-entries"),
    "no scores": ({"tokenizer.ggml.scores": None}, LOAD, None),
    "scores as i32": (listed("scores", I32, [0] * N), LOAD, None),
    "tokens that are a string": (key("tokens", STRING, "x"), REFUSE, "unusable"),
    "tokens that are numbers": (listed("tokens", U32, [1] * N), REFUSE, "unusable"),
    # -- names and ids
    "an unknown pre-tokenizer of SPM": (key("pre", STRING, "nope"), LOAD, None),
    "no_vocab": (
        {**key("model", STRING, "no_vocab"), "llama.vocab_size": (U32, N)},
        LOAD,
        None,
    ),
    "none, and vocab_size missing": (key("model", STRING, "none"), REFUSE, "row-count"),
    "none, and another vocab_size": (
        {**key("model", STRING, "none"), "llama.vocab_size": (U32, N + 1)},
        REFUSE,
        "row-count",
    ),
    "bos out of range": (key("bos_token_id", U32, 9999), LOAD, "special-id-range"),
    "bos as u64": (key("bos_token_id", U64, 1), REFUSE, "special-id-type"),
    "bos of -1": (key("bos_token_id", I32, -1), REFUSE, "special-id-type"),
    "eot as i32": (key("eot_token_id", I32, 1), REFUSE, "special-id-type"),
    "phi-3 with its tokens": (
        {"general.name": (STRING, "Phi-3-mini"), **tokens(t261="<|endoftext|>")},
        LOAD,
        None,
    ),
    # -- byte-level BPE
    "BPE": (BPE, LOAD, None),
    "BPE, phi-3 without its tokens": (bpe({"general.name": (STRING, "phi-3")}), REFUSE, "phi3-tokens"),
    "BPE, no merges": (bpe({"tokenizer.ggml.merges": None}), REFUSE, "merges-missing"),
    "BPE, merges that are numbers": (bpe(listed("merges", U32, [1])), REFUSE, "merges-missing"),
    "BPE, an empty list of merges": (bpe(listed("merges", STRING, [])), LOAD, None),
    "BPE, a merge without a space": (
        bpe(listed("merges", STRING, ["ab", "b c"])),
        LOAD,
        "merge-of-unknown-token",
    ),
    "BPE, an empty merge": (bpe(listed("merges", STRING, ["", "b c"])), LOAD, "merge-of-unknown-token"),
    "BPE, an unknown pre-tokenizer": (bpe(key("pre", STRING, "nope")), REFUSE, "pre-unknown"),
    "BPE, a pre-tokenizer in capitals": (bpe(key("pre", STRING, "GPT-2")), REFUSE, "pre-unknown"),
    "BPE, an empty pre-tokenizer": (bpe(key("pre", STRING, "")), LOAD, None),
    "BPE, no pre-tokenizer": (bpe({"tokenizer.ggml.pre": None}), LOAD, "pre-missing"),
    "BPE, a duplicate": (
        bpe(listed("tokens", STRING, [*BPE_TOKENS[:-1], "ab"])),
        ABORT,
        "duplicate-token",
    ),
    "BPE, a short BYTE": (
        bpe(listed("token_type", I32, [*[1] * 256, 6, 1, 3, 3, 3, 1])),
        REFUSE,
        "byte-token-type",
    ),
    "BPE, a BYTE": (
        bpe(
            listed("tokens", STRING, [*BPE_TOKENS[:-1], "<0x41>"]),
            listed("token_type", I32, [*[1] * 258, 3, 3, 3, 6]),
        ),
        LOAD,
        None,
    ),
    "kimi-k2, no merges": (
        bpe(key("pre", STRING, "kimi-k2"), {"tokenizer.ggml.merges": None}),
        LOAD,
        None,
    ),
    "gemma4, an unknown pre-tokenizer": (
        bpe(key("model", STRING, "gemma4"), key("pre", STRING, "nope")),
        LOAD,
        None,
    ),
    "whitespace, an unknown pre-tokenizer": (
        bpe(key("model", STRING, "whitespace"), key("pre", STRING, "nope")),
        REFUSE,
        "pre-unknown",
    ),
    # -- WordPiece
    "WordPiece": (WORDPIECE, LOAD, None),
    "WordPiece, a BYTE": (
        wordpiece(listed("token_type", I32, [*[3] * 5, 6, *[1] * (N - 6)])),
        ABORT,
        "byte-token-in-wordpiece",
    ),
    "WordPiece, a BYTE <0x41>": (
        wordpiece(
            listed("tokens", STRING, [*WORDPIECES[:-1], "<0x41>"]),
            listed("token_type", I32, [*[3] * 5, *[1] * (N - 6), 6]),
        ),
        ABORT,
        "byte-token-in-wordpiece",
    ),
    "WordPiece, no [UNK]": (
        wordpiece(listed("tokens", STRING, ["[PAD]", "unk", *WORDPIECES[2:]])),
        LOAD,
        None,
    ),
    "WordPiece, an unknown pre-tokenizer": (wordpiece(key("pre", STRING, "nope")), LOAD, None),
    # -- unigram
    "unigram": (UNIGRAM, LOAD, None),
    "unigram, a BYTE": (
        {**UNIGRAM, **listed("token_type", I32, [3, 3, 3, 2, *[1] * (N - 5), 6])},
        LOAD,
        None,
    ),
    "unigram, no id of the unknown token": (
        {name: value for name, value in UNIGRAM.items() if not name.endswith("unknown_token_id")},
        LOAD,
        None,
    ),
    "a charsmap": (charsmap(double_array(b"a\0")), LOAD, None),
    "a charsmap as i8": (charsmap(double_array(b"a\0"), I8), LOAD, None),
    "a charsmap that maps a newline": (charsmap(double_array(b"a\0", **NEWLINE)), LOAD, None),
    "a charsmap of a newline outside the texts": (
        charsmap(double_array(b"a\0", **NEWLINE, **{VALUE: 2})),
        REFUSE,
        "charsmap",
    ),
    "a charsmap of a newline outside the units": (
        charsmap(double_array(b"a\0", u10=10 | 1 << 8 | 300 << 10)),
        REFUSE,
        "charsmap",
    ),
    "a charsmap of a far newline": (
        charsmap(double_array(b"a\0", u10=10 | 1 << 8 | 1 << 9 | 1 << 10)),
        REFUSE,
        "charsmap",
    ),
    "a charsmap that begins outside": (charsmap(double_array(b"a\0", u0=1 << 20)), REFUSE, "charsmap"),
    "a charsmap that a newline token spares": (
        {
            **charsmap(struct.pack("<I", 4) + bytes(4) + b"a\0"),
            **listed("tokens", STRING, [*UNIGRAM_TOKENS[:-1], "\n"]),
            **listed("token_type", I32, [3, 3, 3, 2, *[1] * (N - 5), 4]),
        },
        LOAD,
        None,
    ),
    **{
        f"a charsmap {what}": (charsmap(raw), REFUSE, "charsmap")
        for what, raw in {
            "of no bytes": b"",
            "of 3 bytes": b"abc",
            "of 4 bytes": struct.pack("<I", 0),
            "that is cut short": struct.pack("<I", 400) + bytes(8),
            "without texts": struct.pack("<I", 4) + bytes(4),
            "of 5 bytes": struct.pack("<I", 5) + bytes(8),
            "of one unit": struct.pack("<I", 4) + bytes(4) + b"a\0",
            "of one unit, and no end of its texts": struct.pack("<I", 4) + bytes(4) + b"abc",
        }.items()
    },
    "a charsmap as u32": (
        {**UNIGRAM, **listed("precompiled_charsmap", U32, [1])},
        REFUSE,
        "charsmap",
    ),
}

_NO_TOKENS: Change = {
    **listed("tokens", STRING, []),
    **listed("scores", F32, []),
    **listed("token_type", I32, []),
}


def _case(change: Change, outcome: str, rule: str | None, without: tuple[str, ...] = ()) -> Case:
    name = None if rule is None else f"vocabulary/{rule}"
    return Case(lambda: model(change=change, without=without), outcome, name)


def _not_utf8() -> bytes:
    return bytes(model(change=tokens(t260="QQ"))).replace(b"QQ", b"\xff\xfe", 1)


def pre_tokenizer(name: str) -> GGUFBytes:
    """Return a vocabulary alone with a pre-tokenizer."""
    return model(change=bpe(key("pre", STRING, name)), without=[*tensors()])


CASES: dict[str, Case] = {
    **{f"vocabulary: {name}": _case(*row) for name, row in _TABLE.items()},
    "vocabulary: not UTF-8": Case(_not_utf8, LOAD, "vocabulary/invalid-utf8"),
    "vocabulary alone": _case({}, LOAD, None, (*tensors(),)),
    "vocabulary alone, no tokens": _case(_NO_TOKENS, LOAD, None, (*tensors(),)),
    "vocabulary alone, a duplicate": _case(tokens(t260="a"), ABORT, "duplicate-token", (*tensors(),)),
    "no tokens for a table": _case(_NO_TOKENS, REFUSE, "row-count"),
}
