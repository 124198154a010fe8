"""Models of one small layer that llama.cpp really loads, whole or with one thing wrong."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.helpers.gguf_bytes import ARRAY, BOOL, F32, F64, I32, I64, STRING, U8, U32, U64, Array, GGUFBytes

N_EMBD, N_FF = 64, 64
TOKENS = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "a", "b", "c"]
TOKEN_TYPES = [2, 3, 3, *[6] * 256, 1, 1, 1]
SHAPE = (len(TOKENS), N_EMBD)
MATRICES = {
    "attn_norm": (N_EMBD,),
    "attn_q": (N_EMBD, N_EMBD),
    "attn_k": (N_EMBD, N_EMBD),
    "attn_v": (N_EMBD, N_EMBD),
    "attn_output": (N_EMBD, N_EMBD),
    "ffn_norm": (N_EMBD,),
    "ffn_gate": (N_FF, N_EMBD),
    "ffn_up": (N_FF, N_EMBD),
    "ffn_down": (N_EMBD, N_FF),
}
F32_TYPE = 0


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) / 10).astype("<f4")


def metadata(architecture: str = "llama") -> dict[str, tuple[int, Any]]:
    """Return the least that a model of one layer needs, as (value type, value)."""
    return {
        "general.architecture": (STRING, architecture),
        f"{architecture}.context_length": (U32, 32),
        f"{architecture}.embedding_length": (U32, N_EMBD),
        f"{architecture}.block_count": (U32, 1),
        f"{architecture}.feed_forward_length": (U32, N_FF),
        f"{architecture}.attention.head_count": (U32, 2),
        f"{architecture}.attention.layer_norm_rms_epsilon": (F32, 1e-5),
        f"{architecture}.rope.dimension_count": (U32, N_EMBD // 2),
        "tokenizer.ggml.model": (STRING, "llama"),
        "tokenizer.ggml.pre": (STRING, "default"),
        "tokenizer.ggml.tokens": (ARRAY, Array(STRING, TOKENS)),
        "tokenizer.ggml.scores": (ARRAY, Array(F32, [0.0] * len(TOKENS))),
        "tokenizer.ggml.token_type": (ARRAY, Array(I32, TOKEN_TYPES)),
    }


@dataclass
class Tensor:
    """A tensor of a model: by default of F32, with some weights."""

    name: str
    shape: Sequence[int]
    type: int = F32_TYPE
    data: bytes | None = None

    def bytes(self, byte_order: str) -> bytes:
        if self.data is not None:
            return self.data
        return weights(*self.shape, seed=len(self.name)).astype(byte_order + "f4").tobytes()


def tensors() -> dict[str, Tensor]:
    """Return the tensors of a model of the llama architecture with tied embeddings."""
    shapes = {"token_embd": SHAPE, "output_norm": (N_EMBD,)}
    shapes.update({f"blk.0.{name}": shape for name, shape in MATRICES.items()})
    return {f"{name}.weight": Tensor(f"{name}.weight", shape) for name, shape in shapes.items()}


def model(
    *,
    architecture: str = "llama",
    change: Mapping[str, tuple[int, Any] | None] | None = None,
    tensor: Iterable[Tensor] = (),
    without: Iterable[str] = (),
    **layout: Any,
) -> GGUFBytes:
    """Return a model.

    `change` replaces, adds or (None) drops metadata, `tensor` replaces or adds tensors and `without` drops
    some; `layout` goes to `GGUFBytes`.
    """
    builder = GGUFBytes(**layout)
    entries: dict[str, tuple[int, Any] | None] = {**metadata(architecture), **(change or {})}
    for key, entry in entries.items():
        if entry is not None:
            builder.add(key, *entry)
    stored = tensors()
    stored.update({one.name: one for one in tensor})
    for name, one in stored.items():
        if name not in set(without):
            builder.tensor(name, one.shape, one.type, one.bytes(">" if builder.big_endian else "<"))
    return builder


# ----------------------------------------------------------------------------------- one thing wrong


def table(kind: int = F32_TYPE, shape: Sequence[int] = SHAPE, data: bytes | None = None) -> Tensor:
    return Tensor("token_embd.weight", shape, kind, data)


def typed(kind: int, block_weights: int, block_bytes: int) -> Tensor:
    """Return a token table of zeros of another type."""
    return table(kind, SHAPE, bytes(SHAPE[0] * SHAPE[1] // block_weights * block_bytes))


def offset(builder: GGUFBytes, which: int) -> int:
    """Return where a tensor's data begin, relative to the data of all."""
    found: int = struct.unpack("<Q", builder.infos[which][-8:])[0]
    return found


def moved(change: Callable[[GGUFBytes], None]) -> GGUFBytes:
    builder = model()
    change(builder)
    return builder


def put(builder: GGUFBytes, which: int, where: int) -> None:
    """Say that a tensor lies somewhere else."""
    builder.infos[which] = builder.infos[which][:-8] + struct.pack("<Q", where)


def gap(n_bytes: int) -> Callable[[GGUFBytes], None]:
    def change(builder: GGUFBytes) -> None:
        where = offset(builder, -1)
        put(builder, -1, where + n_bytes)
        builder.data[where:where] = bytes(n_bytes)

    return change


def swap_infos(builder: GGUFBytes) -> None:
    builder.infos[-1], builder.infos[-2] = builder.infos[-2], builder.infos[-1]


def overlap(builder: GGUFBytes) -> None:
    put(builder, -1, offset(builder, -2) + 32)


def with_nan() -> Tensor:
    rows = weights(*SHAPE)
    rows[5, 3] = np.nan
    return table(data=rows.tobytes())


def tokens(*, n: int | None = None, **replaced: str) -> dict[str, tuple[int, Any]]:
    """Return a vocabulary with some tokens replaced (``t5="x"``), or only the first `n`."""
    texts = list(TOKENS)
    for name, text in replaced.items():
        texts[int(name[1:])] = text
    return {"tokenizer.ggml.tokens": (ARRAY, Array(STRING, texts[:n]))}


@dataclass
class Case:
    """A file, what llama.cpp makes of it, and the rule that says so; None where nothing is to be found.

    `check_tensors` asks llama.cpp to look at the bytes of tensors too.
    """

    build: Callable[[], GGUFBytes | bytes]
    outcome: str
    rule: str | None
    facts: Mapping[str, Any] = field(default_factory=dict)


def _typed_key(key: str, kind: int, value: Any) -> Case:
    return Case(lambda: model(change={key: (kind, value)}), "refuse", "container/value-type")


def _aligned(alignment: int, n_pad: int = 0, tensor: Iterable[Tensor] = ()) -> GGUFBytes:
    padding = (STRING, "x" * n_pad)
    change = {"general.alignment": (U32, alignment), "general.description": padding}
    return model(alignment=alignment, change=change, tensor=tensor)


CASES: dict[str, Case] = {
    "a good model": Case(model, "load", None),
    "untied": Case(lambda: model(tensor=[Tensor("output.weight", SHAPE)]), "load", None),
    "version 2": Case(lambda: model(version=2), "load", None),
    "F16 table": Case(lambda: model(tensor=[typed(1, 1, 2)]), "load", "tensor/zero-rows"),
    "Q8_0 table": Case(lambda: model(tensor=[typed(8, 32, 34)]), "load", "tensor/quantisation-version"),
    "BF16 table": Case(lambda: model(tensor=[typed(30, 1, 2)]), "load", "tensor/zero-rows"),
    "three dimensions": Case(lambda: model(tensor=[table(shape=(1, *SHAPE))]), "load", None),
    "trailing bytes": Case(lambda: bytes(model()) + b"x" * 9, "load", "container/trailing-bytes"),
    "a long key": Case(lambda: model(change={"k" * 70_000: (U32, 1)}), "load", "container/key"),
    "a key that is not ASCII": Case(lambda: model(change={"clé": (U32, 1)}), "load", "container/key"),
    "a truth value of 2": Case(
        lambda: model(change={"tokenizer.ggml.add_bos_token": (BOOL, 2)}), "load", "container/bool"
    ),
    "alignment 64": Case(lambda: _aligned(64), "load", None),
    "NaN": Case(
        lambda: model(tensor=[with_nan()]), "load", "tensor/not-finite", {"first_id": 5, "last_id": 5}
    ),
    "head_count_kv for each layer": Case(
        lambda: model(change={"llama.attention.head_count_kv": (ARRAY, Array(I32, [2]))}), "load", None
    ),
    "vocab_size that contradicts": Case(lambda: model(change={"llama.vocab_size": (U32, 5)}), "load", None),
    # -- refused: the container
    "version 1": Case(lambda: model(version=1), "refuse", "container/version"),
    "big-endian": Case(lambda: model(big_endian=True), "refuse", "container/byte-order"),
    "cut short": Case(lambda: bytes(model())[:-1], "refuse", "container/damaged"),
    "cut in the header": Case(lambda: bytes(model())[:5000], "refuse", "container/damaged"),
    "no GGUF file": Case(lambda: b"\x93NUMPY" + bytes(100), "refuse", "container/damaged"),
    "an array of arrays": Case(
        lambda: model(change={"x.nested": (ARRAY, Array(ARRAY, [Array(U32, [1])]))}),
        "refuse",
        "container/nested-array",
    ),
    "a name of 64 bytes": Case(
        lambda: model(tensor=[Tensor("n" * 64, (4,))]), "refuse", "container/tensor-name"
    ),
    "alignment 24": Case(lambda: _aligned(24), "refuse", "container/alignment"),
    "a gap": Case(lambda: moved(gap(32)), "refuse", "container/gap"),
    "a misaligned tensor": Case(lambda: moved(gap(4)), "refuse", "container/misaligned-tensor"),
    "another order": Case(lambda: moved(swap_infos), "refuse", "container/tensor-order"),
    "an overlap": Case(lambda: moved(overlap), "refuse", "container/overlap"),
    "an empty tensor": Case(
        lambda: model(tensor=[Tensor("empty", (0, 4), data=b"")]), "refuse", "container/empty-tensor"
    ),
    "a withdrawn type": Case(lambda: model(tensor=[typed(4, 32, 18)]), "refuse", "container/tensor-type"),
    "a withdrawn type, 31": Case(
        lambda: model(tensor=[typed(31, 32, 18)]), "refuse", "container/tensor-type"
    ),
    "a type of the future": Case(
        lambda: model(tensor=[typed(99, 32, 18)]), "refuse", "container/tensor-type"
    ),
    "a type of a fork": Case(lambda: model(tensor=[typed(139, 32, 18)]), "refuse", "container/tensor-type"),
    "gemma-embedding2 without an output": Case(
        lambda: model(architecture="gemma-embedding2"), "refuse", "tensor/no-output"
    ),
    # -- refused: metadata
    "an unknown architecture": Case(lambda: model(architecture="nope"), "refuse", "container/architecture"),
    "no architecture": Case(
        lambda: model(change={"general.architecture": None}), "refuse", "container/missing-key"
    ),
    "no context length": Case(
        lambda: model(change={"llama.context_length": None}), "refuse", "container/missing-key"
    ),
    "no tokenizer model": Case(
        lambda: model(change={"tokenizer.ggml.model": None}), "refuse", "container/missing-key"
    ),
    "context_length as u64": _typed_key("llama.context_length", U64, 32),
    "vocab_size as u64": _typed_key("llama.vocab_size", U64, len(TOKENS)),
    "block_count as i32": _typed_key("llama.block_count", I32, 1),
    "freq_base as f64": _typed_key("llama.rope.freq_base", F64, 1e4),
    "head_count_kv as u64[]": _typed_key("llama.attention.head_count_kv", ARRAY, Array(U64, [2])),
    "general.name as u32": _typed_key("general.name", U32, 1),
    "file_type as u64": _typed_key("general.file_type", U64, 0),
    "bos as i32": _typed_key("tokenizer.ggml.bos_token_id", I32, 1),
    "add_bos_token as u8": _typed_key("tokenizer.ggml.add_bos_token", U8, 1),
    "token_type as u32[]": _typed_key("tokenizer.ggml.token_type", ARRAY, Array(U32, TOKEN_TYPES)),
    "scores as f64[]": _typed_key("tokenizer.ggml.scores", ARRAY, Array(F64, [0.0] * len(TOKENS))),
    "suppress_tokens as i64[]": _typed_key("tokenizer.ggml.suppress_tokens", ARRAY, Array(I64, [1])),
    "split.count as u32": _typed_key("split.count", U32, 1),
    # -- refused: tables
    "a row too many": Case(
        lambda: model(tensor=[table(shape=(SHAPE[0] + 1, N_EMBD))]),
        "refuse",
        "vocabulary/row-count",
        {"first_id": SHAPE[0], "last_id": SHAPE[0], "n_ids": 1, "severity": "warning"},
    ),
    "a row too few": Case(
        lambda: model(tensor=[table(shape=(SHAPE[0] - 2, N_EMBD))]),
        "refuse",
        "vocabulary/row-count",
        {"first_id": SHAPE[0] - 2, "last_id": SHAPE[0] - 1, "n_ids": 2, "severity": "error"},
    ),
    "rows too short": Case(
        lambda: model(tensor=[table(shape=(SHAPE[0], 32))]), "refuse", "tensor/table-shape"
    ),
    "rows in two parts": Case(
        lambda: model(tensor=[table(shape=(2, SHAPE[0] // 2, N_EMBD))]), "refuse", "tensor/table-shape"
    ),
    "no table": Case(lambda: model(without=["token_embd.weight"]), "refuse", "tensor/no-table"),
    "gemma with an output": Case(
        lambda: model(architecture="gemma", tensor=[Tensor("output.weight", SHAPE)]),
        "refuse",
        "tensor/unexpected-output",
    ),
    "olmo2 without an output": Case(lambda: model(architecture="olmo2"), "refuse", "tensor/no-output"),
    "no tokens": Case(
        lambda: model(change={"tokenizer.ggml.tokens": None}), "refuse", "container/missing-key"
    ),
    "scores that are too few": Case(
        lambda: model(change={"tokenizer.ggml.scores": (ARRAY, Array(F32, [0.0] * 9))}),
        "refuse",
        "vocabulary/unusable",
    ),
    "a tokenizer that is unknown": Case(
        lambda: model(change={"tokenizer.ggml.model": (STRING, "replit")}),
        "refuse",
        "vocabulary/model-unknown",
    ),
    "a short byte token": Case(lambda: model(change=tokens(t5="x")), "refuse", "vocabulary/byte-token-type"),
    "an empty byte token": Case(lambda: model(change=tokens(t5="")), "load", "vocabulary/empty-token"),
    **{
        f"{name} without its tokens": Case(
            lambda name=name: model(change={"general.name": (STRING, name)}),
            "refuse",
            "vocabulary/phi3-tokens",
        )
        for name in ("phi-3", "Phi-3-mini", "PHI3")
    },
    # -- more than one thing wrong: what llama.cpp meets first counts
    "a row too many, and misaligned data": Case(
        lambda: _aligned(8, 8, tensor=[table(shape=(SHAPE[0] + 1, N_EMBD))]),
        "refuse",
        "vocabulary/row-count",
    ),
    "a row too many of I8": Case(
        lambda: model(tensor=[table(24, (SHAPE[0] + 1, N_EMBD), bytes((SHAPE[0] + 1) * N_EMBD))]),
        "refuse",
        "tensor/table-type",
    ),
    "olmo2 without an output, of I8": Case(
        lambda: model(architecture="olmo2", tensor=[typed(24, 1, 1)]), "refuse", "tensor/no-output"
    ),
    "a duplicate token, and context_length as u64": Case(
        lambda: model(change={**tokens(t259="b"), "llama.context_length": (U64, 32)}),
        "refuse",
        "vocabulary/duplicate-token",
    ),
    "a duplicate token, and a row too many": Case(
        lambda: model(change=tokens(t259="b"), tensor=[table(shape=(SHAPE[0] + 1, N_EMBD))]),
        "abort",
        "vocabulary/duplicate-token",
    ),
    "an empty token": Case(lambda: model(change=tokens(t260="")), "load", "vocabulary/empty-token"),
    "tokens equal up to a NUL": Case(
        lambda: model(change=tokens(t259="a\0x", t260="a\0y")), "abort", "vocabulary/nul-in-token"
    ),
    # -- aborts
    **{
        f"alignment {alignment}, misaligned data": Case(
            lambda alignment=alignment, n_pad=n_pad: _aligned(alignment, n_pad),  # type: ignore[misc]
            "abort",
            "container/misaligned-data",
        )
        for alignment, n_pad in ((1, 1), (8, 0), (8, 8), (16, 16))
    },
    **{
        f"{name} table": Case(
            lambda kind=kind: model(tensor=[typed(*kind)]),  # type: ignore[misc]
            "abort",
            "tensor/table-type",
        )
        for name, kind in {
            "Q8_1": (9, 32, 36),
            "I8": (24, 1, 1),
            "I16": (25, 1, 2),
            "I32": (26, 1, 4),
            "I64": (27, 1, 8),
            "F64": (28, 1, 8),
        }.items()
    },
}
