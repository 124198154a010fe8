"""Tables with other rows: what each row, token, merge and special id is afterwards."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

import pyembed
from pyembed.core.dtypes import tensor_type
from pyembed.editing.rows import encodable_types
from tests.helpers.edited_models import model
from tests.helpers.gguf_bytes import ARRAY, F32, I32, STRING, U32, Array, GGUFBytes
from tests.helpers.model_files import write_model
from tests.helpers.oracles.gguf_py import gguf_py_dequantize

WIDTH = 64
TENSOR_BYTES = {kind: tensor_type(kind).block_bytes for kind in encodable_types()}
LETTERS = list("abcdefgh")
TOKENS = [*LETTERS, "ab", "cd", "abcd", "ef", "<s>", "</s>"]
MERGES = ["a b", "c d", "ab cd", "e f"]
TYPES = [*[1] * 12, 3, 3]


def rows_of(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, WIDTH)).astype(np.float32)


def quantised(rows: np.ndarray, kind: str, *, big_endian: bool = False) -> bytes:
    if kind == "F32":
        return rows.astype(">f4" if big_endian else "<f4").tobytes()
    data = gguf.quants.quantize(rows, gguf.GGMLQuantizationType[kind])
    if big_endian:
        assert kind == "F16"
        return data.astype(">f2").tobytes()
    return data.tobytes()


def build(
    path: Path, kind: str = "F32", *, big_endian: bool = False, n_rows: int | None = None, **more: Any
) -> Path:
    """Write a model of the gpt2 family with a token table, an output table with a bias, and a norm."""
    n = len(TOKENS) if n_rows is None else n_rows
    builder = GGUFBytes(big_endian=big_endian).add("general.architecture", STRING, "llama")
    builder.add("llama.vocab_size", U32, n).add("tokenizer.ggml.model", STRING, "gpt2")
    builder.add("tokenizer.ggml.tokens", ARRAY, Array(STRING, TOKENS))
    builder.add("tokenizer.ggml.token_type", ARRAY, Array(I32, TYPES))
    builder.add("tokenizer.ggml.scores", ARRAY, Array(F32, [-float(i) for i in range(len(TOKENS))]))
    builder.add("tokenizer.ggml.merges", ARRAY, Array(STRING, MERGES))
    builder.add("tokenizer.ggml.bos_token_id", U32, 12).add("tokenizer.ggml.eos_token_id", U32, 13)
    builder.add("tokenizer.ggml.suppress_tokens", ARRAY, Array(I32, [3, 9]))
    for key, value in more.items():
        builder.add(key.replace("__", "."), STRING, value)
    number = gguf.GGMLQuantizationType[kind].value
    builder.tensor(
        "token_embd.weight", (n, WIDTH), number, quantised(rows_of(n), kind, big_endian=big_endian)
    )
    builder.tensor("blk.0.norm", (WIDTH,), 0, quantised(rows_of(1, 5), "F32", big_endian=big_endian))
    builder.tensor("output.weight", (n, WIDTH), number, quantised(rows_of(n, 1), kind, big_endian=big_endian))
    bias = np.arange(n, dtype=">f4" if big_endian else "<f4")
    builder.tensor("output.bias", (n,), 0, bias.tobytes())
    path.write_bytes(bytes(builder))
    return path


class Content:
    """Everything in a model that has to do with tokens, and the bytes of what has not."""

    def __init__(self, path: Path) -> None:
        with pyembed.load_model(path, validate="off") as model:
            metadata = model.metadata
            self.tokens = list(metadata["tokenizer.ggml.tokens"])
            self.types = metadata["tokenizer.ggml.token_type"].tolist()
            self.scores = metadata["tokenizer.ggml.scores"].tolist()
            self.merges = list(metadata["tokenizer.ggml.merges"])
            self.special = {role: self.tokens[i] for role, i in model.vocabulary.special.items()}
            self.suppressed = [self.tokens[i] for i in metadata["tokenizer.ggml.suppress_tokens"].tolist()]
            self.n = metadata["llama.vocab_size"]
            self.rows = model.table[:]
            self.output = model.output_table[:]
            self.type = model.table.type
            bias = model.tensors["output.bias"]
            raw = path.read_bytes()
            order = ">" if raw[4] == 0 else "<"
            self.bias = np.frombuffer(raw, f"{order}f4", bias.shape[0], bias.offset).tolist()
            norm = model.tensors["blk.0.norm"]
            assert norm.n_bytes is not None
            self.norm = raw[norm.offset : norm.offset + norm.n_bytes]
            # llama.cpp's rule: every tensor follows the one before it, padded.
            offset = 0
            start = min(info.offset for info in model.tensors.values())
            for info in model.tensors.values():
                assert info.n_bytes is not None
                assert info.offset - start == offset
                offset += info.n_bytes + -info.n_bytes % 32


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("kind", ["F32", "F16"])
def test_more_rows(tmp_path: Path, kind: str, big_endian: bool) -> None:
    path = build(tmp_path / "m.gguf", kind, big_endian=big_endian)
    before = Content(path)
    with pyembed.edit(path) as edit:
        edit.resize(20)
        edit.write(tmp_path / "out.gguf")
    after = Content(tmp_path / "out.gguf")
    assert after.tokens == [*TOKENS, *(f"[PAD{i}]" for i in range(14, 20))]
    assert after.types == [*TYPES, *[5] * 6]
    assert after.scores[:14] == before.scores
    assert after.scores[14:] == [-10000.0] * 6
    assert (after.n, after.merges, after.special, after.norm) == (20, MERGES, before.special, before.norm)
    for old, new in ((before.rows, after.rows), (before.output, after.output)):
        np.testing.assert_array_equal(new[:14], old)
        np.testing.assert_allclose(
            new[14:], np.tile(old.mean(axis=0), (6, 1)), atol=2e-3 if kind == "F16" else 1e-6
        )
    assert after.bias == [*range(14), *[6.5] * 6]


@pytest.mark.parametrize("kind", ["F32", "Q8_0", "Q4_0", "MXFP4", "Q5_1"])
def test_rows_of_zeros(tmp_path: Path, kind: str) -> None:
    path = build(tmp_path / "m.gguf", kind)
    with pyembed.edit(path) as edit:
        edit.resize(17, "zeros")
        edit.write(tmp_path / "out.gguf")
    after = Content(tmp_path / "out.gguf")
    np.testing.assert_array_equal(after.rows[:14], Content(path).rows)
    assert not after.rows[14:].any()
    assert after.bias[14:] == [0, 0, 0]


def test_means_leave_rows_out_that_say_nothing(tmp_path: Path) -> None:
    path = build(tmp_path / "m.gguf")
    data = bytearray(path.read_bytes())
    with pyembed.load_model(path, validate="off") as model:
        offset = model.tensors["token_embd.weight"].offset
    data[offset : offset + 4 * WIDTH] = bytes(4 * WIDTH)
    data[offset + 4 * WIDTH : offset + 4 * WIDTH + 4] = b"\0\0\xc0\x7f"  # NaN
    path.write_bytes(data)
    with pyembed.edit(path) as edit:
        edit.resize(15)
        edit.write(tmp_path / "out.gguf")
    np.testing.assert_allclose(
        Content(tmp_path / "out.gguf").rows[14], rows_of(14)[2:].mean(axis=0), atol=1e-6
    )


def test_fewer_rows(tmp_path: Path) -> None:
    path = build(tmp_path / "m.gguf")
    with (
        pyembed.edit(path) as edit,
        pytest.raises(ValueError, match=r"eos_token_id is 13, '</s>', .* be lost"),
    ):
        edit.resize(13)
    with pyembed.edit(path) as edit:
        for key in ("bos", "eos"):
            edit.set_typed(f"tokenizer.ggml.{key}_token_id", "u32", 0)
            edit.unset(f"tokenizer.ggml.{key}_token_id")
        edit.write(tmp_path / "plain.gguf")
    with pyembed.edit(tmp_path / "plain.gguf") as edit:
        edit.unset("tokenizer.ggml.suppress_tokens")
        edit.set_typed("tokenizer.ggml.suppress_tokens", "i32[]", [3])
        edit.write(tmp_path / "one.gguf")
    with pyembed.edit(tmp_path / "one.gguf") as edit:
        edit.resize(10)
        edit.write(tmp_path / "out.gguf")
    with pyembed.load_model(tmp_path / "out.gguf", validate="off") as model:
        assert list(model.metadata["tokenizer.ggml.tokens"]) == TOKENS[:10]
        assert list(model.metadata["tokenizer.ggml.merges"]) == ["a b", "c d"]
        np.testing.assert_array_equal(model.table[:], rows_of(14)[:10])


def test_a_table_with_rows_that_no_token_has(tmp_path: Path) -> None:
    path = build(tmp_path / "m.gguf", n_rows=16)
    with pyembed.edit(path) as edit:
        edit.resize(14)
        edit.write(tmp_path / "out.gguf")
    after = Content(tmp_path / "out.gguf")
    assert (len(after.rows), after.tokens, after.n) == (14, TOKENS, 14)


@pytest.mark.parametrize("big_endian", [False, True])
def test_another_order(tmp_path: Path, big_endian: bool) -> None:
    path = build(tmp_path / "m.gguf", "F16", big_endian=big_endian, n_rows=16)
    before = Content(path)
    order = np.random.default_rng(2).permutation(14)
    with pyembed.edit(path) as edit:
        for wrong in ([0, 1], [*order[:-1], 14], [*order[:-1], order[0]]):
            with pytest.raises(ValueError, match="an order of 14 tokens names each"):
                edit.reorder(wrong)
        edit.reorder(order)
        edit.write(tmp_path / "out.gguf")
    after = Content(tmp_path / "out.gguf")
    assert after.tokens == [TOKENS[i] for i in order]
    assert after.types == [TYPES[i] for i in order]
    assert after.scores == [-float(i) for i in order]
    assert after.special == before.special
    assert after.suppressed == before.suppressed
    assert after.merges == MERGES
    rows = [*order, 14, 15]
    np.testing.assert_array_equal(after.rows, before.rows[rows])
    np.testing.assert_array_equal(after.output, before.output[rows])
    assert after.bias == rows
    # Back again, to the order of the file that it came from: the same bytes.
    with pyembed.edit(tmp_path / "out.gguf") as edit:
        edit.reorder(path)
        edit.write(tmp_path / "back.gguf")
    assert (tmp_path / "back.gguf").read_bytes() == path.read_bytes()


def test_the_order_of_other_tokens_is_refused(tmp_path: Path) -> None:
    path, other = build(tmp_path / "m.gguf"), tmp_path / "vocab.txt"
    other.write_text("[UNK]\nab\ncd\n")
    with pyembed.edit(path) as edit, pytest.raises(ValueError, match=r"does not have the tokens of .*UNK"):
        edit.reorder(other)


def test_special_ids_that_llama_cpp_knows_by_itself_are_stated_when_they_move(tmp_path: Path) -> None:
    builder = (
        GGUFBytes().add("general.architecture", STRING, "llama").add("tokenizer.ggml.model", STRING, "llama")
    )
    builder.add("tokenizer.ggml.tokens", ARRAY, Array(STRING, ["<unk>", "<s>", "</s>", "x"]))
    builder.tensor("token_embd.weight", (4, 4), 0, bytes(64))
    path = tmp_path / "m.gguf"
    path.write_bytes(bytes(builder))
    with pyembed.edit(path) as edit:
        edit.reorder([3, 0, 2, 1])
        edit.write(tmp_path / "out.gguf")
    with pyembed.load_model(tmp_path / "out.gguf", validate="off") as model:
        special = {role: model.vocabulary[i].text for role, i in model.vocabulary.special.items()}
        assert special == {"bos": "<s>", "eos": "</s>", "unk": "<unk>"}


def test_trimmed_to_some_tokens_and_what_they_need(tmp_path: Path) -> None:
    path = build(tmp_path / "m.gguf", "Q8_0")
    before = Content(path)
    with pyembed.edit(path) as edit:
        with pytest.raises(ValueError, match="ids to keep go from 0 to 13"):
            edit.trim([14])
        new_ids = edit.trim([10])
        edit.write(tmp_path / "out.gguf")
    after = Content(tmp_path / "out.gguf")
    # Letters are the alphabet, "abcd" was asked for, "ab" and "cd" make it, the specials have roles.
    assert after.tokens == [*LETTERS, "ab", "cd", "abcd", "<s>", "</s>"]
    assert after.merges == ["a b", "c d", "ab cd"]
    kept = [*range(11), 12, 13]
    assert new_ids.tolist() == [*range(11), -1, 11, 12]
    np.testing.assert_array_equal(after.rows, before.rows[kept])
    np.testing.assert_array_equal(after.output, before.output[kept])
    assert after.bias == kept
    assert (after.special, after.suppressed, after.n) == (before.special, before.suppressed, 13)


def test_a_list_in_another_form_is_not_left_to_contradict(tmp_path: Path) -> None:
    path = build(tmp_path / "m.gguf", tokenizer__huggingface__json="{}")
    with pyembed.edit(path) as edit:
        for change in (lambda: edit.resize(20), lambda: edit.trim([1])):
            with pytest.raises(ValueError, match=r"tokenizer\.huggingface\.json repeats the list"):
                change()


@pytest.mark.parametrize("kind", encodable_types())
def test_another_type_equals_what_gguf_py_writes(tmp_path: Path, kind: str) -> None:
    rows = np.random.default_rng(8).standard_normal((30, 256)).astype(np.float32)
    builder = GGUFBytes().add("general.architecture", STRING, "llama")
    builder.tensor("token_embd.weight", (30, 256), 0, rows.tobytes()).tensor(
        "last", (3,), 0, bytes(range(12))
    )
    path = tmp_path / "m.gguf"
    path.write_bytes(bytes(builder))
    with pyembed.edit(path) as edit:
        edit.requantise("token", kind)
        edit.write(tmp_path / "out.gguf")
    with pyembed.load_model(tmp_path / "out.gguf", validate="off") as model:
        info = model.tensors["token_embd.weight"]
        assert info.type == kind
        data = (tmp_path / "out.gguf").read_bytes()
        wanted = gguf.quants.quantize(rows, gguf.GGMLQuantizationType[kind]).tobytes()
        assert data[info.offset : info.offset + len(wanted)] == wanted
        last = model.tensors["last"]
        assert data[last.offset : last.offset + 12] == bytes(range(12))
        expected = gguf_py_dequantize(kind, np.frombuffer(wanted, np.uint8).reshape(-1, TENSOR_BYTES[kind]))
        if expected is not None:
            np.testing.assert_array_equal(model.table[:], expected.reshape(30, 256))


@pytest.mark.parametrize("kind", encodable_types())
def test_another_type_of_the_other_byte_order_has_the_same_weights(tmp_path: Path, kind: str) -> None:
    rows = np.random.default_rng(8).standard_normal((5, 256)).astype(np.float32)
    tables = []
    for big_endian in (False, True):
        builder = GGUFBytes(big_endian=big_endian).add("general.architecture", STRING, "llama")
        builder.tensor(
            "token_embd.weight", (5, 256), 0, rows.astype(">f4" if big_endian else "<f4").tobytes()
        )
        path, out = tmp_path / f"m{big_endian}.gguf", tmp_path / f"out{big_endian}.gguf"
        path.write_bytes(bytes(builder))
        with pyembed.edit(path) as edit:
            edit.requantise("token_embd.weight", kind)
            edit.write(out)
        with pyembed.load_model(out, validate="off") as model:
            tables.append(model.table[:])
    np.testing.assert_array_equal(*tables)
    assert np.corrcoef(tables[0].ravel(), rows.ravel())[0, 1] > 0.7


def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    """A table of 64 MiB, put into another order and into another type."""
    n = 1 << 16
    builder = (
        GGUFBytes().add("general.architecture", STRING, "llama").add("tokenizer.ggml.model", STRING, "gpt2")
    )
    builder.add("tokenizer.ggml.tokens", ARRAY, Array(STRING, [f"t{i}" for i in range(n)]))
    builder.tensor("token_embd.weight", (n, 256), 0)
    path = tmp_path / "m.gguf"
    rows = np.random.default_rng(1).standard_normal((n, 256)).astype(np.float32)
    header = bytes(builder)
    path.write_bytes(header + rows.tobytes())
    order = np.random.default_rng(2).permutation(n)
    with pyembed.edit(path) as edit:
        edit.reorder(order)
        tracemalloc.start()
        edit.write(tmp_path / "a.gguf")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 24 << 20
    with pyembed.load_model(tmp_path / "a.gguf", validate="off") as model:
        np.testing.assert_array_equal(model.table[:], rows[order])
    with pyembed.edit(path) as edit:
        edit.requantise("token", "Q8_0")
        tracemalloc.start()
        edit.write(tmp_path / "b.gguf")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 48 << 20


def test_tables_of_several_parts_keep_their_type(tmp_path: Path) -> None:
    """Rows that hold their scales have more bytes than weights, and shards no common tensor."""
    rows = np.random.default_rng(0).integers(-100, 100, (6, 264)).astype(np.int8)
    shards = {f"x.shard_{i}.weight": np.ones((2, 32), np.float32) for i in range(2)}
    path = write_model(
        tmp_path / "m.gguf",
        tensors={"blk.1.engram_embd.weight": rows, **shards},
        add=lambda writer: writer.add_string("deepseek41.engram.encoding", "e4m3_e8m0_32_row264"),
    )
    with pyembed.edit(path) as edit:
        for name in ("blk.1.engram_embd.weight", "x"):
            with pytest.raises(ValueError, match="only tables of one tensor"):
                edit.requantise(name, "F16")


def test_a_model_is_not_trimmed_to_nothing(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(model())
    with pyembed.edit(path) as edit, pytest.raises(ValueError, match="no token would be left"):
        edit.trim([])
