"""Vocabularies: real ones against gguf-py, made ones for the families that no real file here covers."""

from __future__ import annotations

import dataclasses
import hashlib
import struct
import weakref
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import numpy as np
import pytest

import pyembed
from pyembed import TokenType
from tests.helpers.model_files import MakeVocabulary

# What llama.cpp resolves for bos, eos, sep, pad and mask; None where it has none.
SPECIAL = {
    "bert-bge": (101, None, 102, 0, 103),
    "gemma-4": (2, 1, None, 0, 4),
    "gpt-2": (50256, 50256, None, None, None),
    "llama-bpe": (128000, 128001, None, None, None),
    "llama-spm": (1, 2, None, None, None),
    "nomic-bert-moe": (0, 2, 2, 1, 250001),
    "phi-3": (1, 32000, None, 32000, None),
    "qwen2": (151643, 151643, None, 151643, None),
}


class Expected(NamedTuple):
    texts: list[bytes]
    scores: np.ndarray
    types: np.ndarray


def read_with_gguf_py(path: Path) -> Expected:
    fields = gguf.GGUFReader(path).fields
    tokens = fields["tokenizer.ggml.tokens"]
    texts = [bytes(tokens.parts[index]) for index in tokens.data]
    columns = []
    for key, default in (("scores", 0), ("token_type", 1)):
        field = fields.get(f"tokenizer.ggml.{key}")
        values = [default] * len(texts) if field is None else [field.parts[i][0] for i in field.data]
        columns.append(np.array(values, np.float32))
    return Expected(texts, *columns)


NUMBERS = ["u1", "i1", "<u2", "<i2", "<u4", "<i4", "<f4", "u1", None, None, "<u8", "<i8", "<f8"]
STRING, ARRAY = 8, 9


def read_plainly(path: Path) -> Expected:
    """Read a version 3 file with struct, since gguf-py takes half a minute for the largest."""
    data, at = path.read_bytes(), 24
    arrays: dict[bytes, Any] = {}

    def string() -> bytes:
        nonlocal at
        (n,) = struct.unpack_from("<Q", data, at)
        at += 8 + n
        return data[at - n : at]

    def value(kind: int, n: int) -> Any:
        nonlocal at
        if kind == STRING:
            return [string() for _ in range(n)]
        numbers = np.frombuffer(data, NUMBERS[kind], n, at)
        at += numbers.nbytes
        return numbers

    for _ in range(struct.unpack_from("<Q", data, 16)[0]):
        key = string()
        (kind,) = struct.unpack_from("<i", data, at)
        at += 4
        if kind == ARRAY:
            element, n = struct.unpack_from("<iQ", data, at)
            at += 12
            arrays[key] = value(element, n)
        else:
            value(kind, 1)
    texts = arrays[b"tokenizer.ggml.tokens"]
    scores = arrays.get(b"tokenizer.ggml.scores", np.zeros(len(texts), np.float32))
    return Expected(texts, scores, arrays.get(b"tokenizer.ggml.token_type", np.ones(len(texts))))


@pytest.fixture(scope="module", params=sorted(SPECIAL))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def real_path(name: str, data_dir: Path) -> Path:
    return data_dir / "vocab" / f"ggml-vocab-{name}.gguf"


@pytest.fixture(scope="module")
def vocabulary(real_path: Path):
    with pyembed.load_model(real_path) as model:
        yield model.vocabulary


@pytest.fixture(scope="module")
def expected(real_path: Path) -> Expected:
    plain = read_plainly(real_path)
    if real_path.stat().st_size < 2**20:  # gguf-py, where it does not take long, vouches for the reader above
        oracle = read_with_gguf_py(real_path)
        assert plain.texts == oracle.texts
        np.testing.assert_array_equal(plain.scores, oracle.scores)
        np.testing.assert_array_equal(plain.types, oracle.types)
    return plain


@pytest.fixture(scope="module")
def tokens(vocabulary: pyembed.Vocabulary) -> list[pyembed.Token]:
    return list(vocabulary)


def test_contents(
    vocabulary: pyembed.Vocabulary, expected: Expected, tokens: list[pyembed.Token], real_path: Path
) -> None:
    texts = [text.decode("utf-8", "surrogateescape") for text in expected.texts]
    assert len(vocabulary) == len(texts) == len(tokens)
    assert vocabulary.tokens == texts
    assert [token.text for token in tokens] == texts
    assert [token.id for token in tokens] == list(range(len(texts)))
    np.testing.assert_array_equal(vocabulary.scores, expected.scores)
    np.testing.assert_array_equal(vocabulary.types, expected.types)
    assert [token.type for token in tokens] == expected.types.tolist()
    assert {type(token.type) for token in tokens} == {TokenType}
    np.testing.assert_array_equal(np.array([token.score for token in tokens], np.float32), expected.scores)
    assert vocabulary[-1] == vocabulary[len(texts) - 1] == tokens[-1]
    assert vocabulary[4090:4100] == tokens[4090:4100]
    assert vocabulary[::-5000] == tokens[::-5000]


def test_digest(vocabulary: pyembed.Vocabulary, expected: Expected) -> None:
    sha = hashlib.sha256()
    for text in expected.texts:
        sha.update(len(text).to_bytes(8, "little") + text)
    assert vocabulary.digest == "sha256:" + sha.hexdigest()


def test_ids_of_stored_texts(vocabulary: pyembed.Vocabulary, expected: Expected) -> None:
    first: dict[bytes, int] = {}
    for token_id, text in enumerate(expected.texts):
        first.setdefault(text, token_id)
    for text in expected.texts[::97]:
        assert vocabulary.id(text.decode("utf-8", "surrogateescape")) == first[text]


def test_special_ids(name: str, vocabulary: pyembed.Vocabulary) -> None:
    found = tuple(vocabulary.special.get(role) for role in ("bos", "eos", "sep", "pad", "mask"))
    assert found == SPECIAL[name]
    assert all(0 <= token_id < len(vocabulary) for token_id in vocabulary.special.values())


def test_find_leads_back_to_what_a_token_stands_for(
    vocabulary: pyembed.Vocabulary, tokens: list[pyembed.Token]
) -> None:
    """Several tokens may stand for the same bytes; one of them is found."""
    for token in tokens[::61]:
        written = vocabulary._spelling.written(token.text, token.type)
        found = tokens[vocabulary.find(written)]
        assert found.bytes == token.bytes, token
        if vocabulary.model != "bert":
            assert tokens[vocabulary.find(token.bytes)].bytes == token.bytes


@pytest.mark.parametrize("name", ["gpt-2", "qwen2", "llama-bpe", "gemma-4"], indirect=False)
def test_bytes_join_to_the_text(name: str, data_dir: Path) -> None:
    """The ids that llama.cpp gives for its test texts spell those texts."""
    path = data_dir / "vocab" / f"ggml-vocab-{name}.gguf"
    texts = path.with_name(path.name + ".inp").read_text("utf-8").split("\n__ggml_vocab_test__\n")
    lines = path.with_name(path.name + ".out").read_text("utf-8").split("\n")
    with pyembed.load_model(path) as model:
        for text, line in zip(texts, lines, strict=False):
            joined = b"".join(model.vocabulary[int(token_id)].bytes for token_id in line.split())
            assert joined == text.encode()


FOUND = [
    ("gpt-2", " king", "Ġking"),
    ("gpt-2", "\n", "Ċ"),
    ("gpt-2", "<|endoftext|>", "<|endoftext|>"),
    ("gpt-2", b"\xc3", "Ã"),
    ("llama-bpe", "<|begin_of_text|>", "<|begin_of_text|>"),
    ("llama-spm", " king", "▁king"),
    ("llama-spm", "\n", "<0x0A>"),
    ("llama-spm", b"\xff", "<0xFF>"),
    ("llama-spm", "<s>", "<s>"),
    ("phi-3", "<|end|>", "<|end|>"),
    ("gemma-4", "\n", "\n"),
    ("gemma-4", " king", "▁king"),
    ("gemma-4", b"\x00", "<0x00>"),
    ("nomic-bert-moe", " king", "▁king"),
    ("bert-bge", "king", "▁king"),
    ("bert-bge", " king", "▁king"),
    ("bert-bge", "King", "▁king"),
    ("bert-bge", "Café", "▁cafe"),
    ("bert-bge", "##ing", "ing"),
    ("bert-bge", "##ING", "ing"),
    ("bert-bge", "[CLS]", "[CLS]"),
    ("bert-bge", "[unused7]", "[unused7]"),
    ("bert-bge", "#", "▁#"),
]


@pytest.mark.parametrize(("file", "written", "stored"), FOUND)
def test_find_as_a_person_writes(file: str, written: str | bytes, stored: str, data_dir: Path) -> None:
    with pyembed.load_model(data_dir / "vocab" / f"ggml-vocab-{file}.gguf") as model:
        assert model.vocabulary[model.vocabulary.find(written)].text == stored


@pytest.mark.parametrize(
    ("file", "written"),
    [
        ("gpt-2", "Ġking"),
        ("gpt-2", "no such token at all"),
        ("llama-spm", "\ud800"),
        ("llama-spm", ""),
        ("bert-bge", "##"),
        ("bert-bge", "##[CLS]"),
        ("bert-bge", "xyzzyx"),
        ("bert-bge", b"\xff"),
    ],
)
def test_what_no_token_stands_for(file: str, written: str | bytes, data_dir: Path) -> None:
    with pyembed.load_model(data_dir / "vocab" / f"ggml-vocab-{file}.gguf") as model, pytest.raises(KeyError):
        model.vocabulary.find(written)


def test_near_spellings(data_dir: Path) -> None:
    with pyembed.load_model(data_dir / "vocab/ggml-vocab-bert-bge.gguf") as model:
        with pytest.raises(KeyError, match=r"^no token stands for 'kinggs'; near it: .*'kings'"):
            model.vocabulary.find("kinggs")
        with pytest.raises(KeyError, match=r"no token is stored as 'kinggs'; near it: .*'▁kings'"):
            model.vocabulary.id("kinggs")
        with pytest.raises(KeyError, match="no token is stored as 5"):
            model.vocabulary.id(5)  # type: ignore[arg-type]


def test_near_spellings_outlive_a_with_block(data_dir: Path) -> None:
    with (
        pytest.raises(KeyError, match=r"near it: .*'kings'"),
        pyembed.load_model(data_dir / "vocab/ggml-vocab-bert-bge.gguf") as model,
    ):
        model.vocabulary.find("kinggs")


# ------------------------------------------------------------------------------------- made by hand


def test_a_sequence_of_tokens(make: MakeVocabulary) -> None:
    vocabulary = make("gpt2", ["a", "b", "Ġa"], scores=[0.5, -1.0, 2.0], types=[1, 3, 99])
    token = vocabulary[0]
    assert (token.id, token.text, token.bytes, token.score, token.type) == (
        0,
        "a",
        b"a",
        0.5,
        TokenType.NORMAL,
    )
    assert vocabulary[-1].bytes == b" a"
    assert (vocabulary[2].type, type(vocabulary[2].type)) == (99, int)
    assert vocabulary[1].type is TokenType.CONTROL
    assert "Ġa" in vocabulary
    assert " a" not in vocabulary
    assert 0 not in vocabulary
    assert [token.text for token in vocabulary[1:]] == ["b", "Ġa"]
    assert vocabulary[3:] == []
    for index in (3, -4, 10**30):
        with pytest.raises(IndexError, match=f"id {index} is not a token: the vocabulary has 3"):
            vocabulary[index]
    with pytest.raises(TypeError):
        vocabulary["a"]  # type: ignore[call-overload]
    with pytest.raises(AttributeError):
        token.text = "x"  # type: ignore[misc]
    with pytest.raises(TypeError, match="expected str or bytes"):
        vocabulary.find(5)  # type: ignore[arg-type]
    assert "3 tokens" in repr(vocabulary)
    assert not vocabulary.types.flags.writeable


def test_without_scores_and_types(make: MakeVocabulary) -> None:
    vocabulary = make("gpt2", ["a", "b"])
    assert vocabulary[1].type is TokenType.NORMAL
    assert vocabulary.scores.tolist() == [0.0, 0.0]
    assert vocabulary.scores.dtype == np.float32
    assert vocabulary.types.tolist() == [1, 1]


def test_duplicates_and_odd_bytes(make: MakeVocabulary) -> None:
    vocabulary = make("none", ["a", "a", "", b"\xff\xfe", b"x\0y"])
    assert vocabulary.id("a") == 0
    assert vocabulary.id("") == vocabulary.find("") == 2
    assert vocabulary.find(b"\xff\xfe") == vocabulary.id("\udcff\udcfe") == 3
    assert vocabulary[4].text == "x\0y"
    assert vocabulary.find("x\0y") == 4
    assert [token.bytes for token in vocabulary] == [b"a", b"a", b"", b"\xff\xfe", b"x\0y"]


def test_every_byte_of_the_byte_alphabet(make: MakeVocabulary) -> None:
    # Printable Latin-1 stands for itself, the rest follows in order from U+0100 on.
    own = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    rest = iter(range(0x100, 0x144))
    alphabet = [chr(byte) if byte in own else chr(next(rest)) for byte in range(256)]
    vocabulary = make("gpt2", alphabet)
    assert [token.bytes for token in vocabulary] == [bytes([byte]) for byte in range(256)]
    assert [vocabulary.find(bytes([byte])) for byte in range(256)] == list(range(256))


class Memory:
    """An array of C whose elements, as cffi's do, do not keep it."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __getitem__(self, index: int) -> Element:
        return Element(weakref.ref(self), self._array[index])


class Element(NamedTuple):
    memory: weakref.ref[Memory]
    token: Any

    @property
    def type(self) -> int:
        assert self.memory() is not None, "the memory was given back"
        return int(self.token.type)


def test_a_type_is_read_before_its_memory_is_given_back(
    make: MakeVocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    vocabulary = make("llama", ["<unk>", "<0x0A>"], types=[2, 6])
    raw = pyembed.Vocabulary._raw
    monkeypatch.setattr(pyembed.Vocabulary, "_raw", lambda *arguments: Memory(raw(*arguments)))
    assert vocabulary.find("\n") == 1


def test_byte_alphabet_and_special_tokens(make: MakeVocabulary) -> None:
    tokens = ["Ġx", "<¦a▁b¦>", "Ġuser", "▁日", "two words"]
    vocabulary = make("gpt2", tokens, types=[1, 3, 4, 1, 4])
    assert vocabulary[1].bytes == tokens[1].encode()
    assert vocabulary[2].bytes == "Ġuser".encode(), "user-defined tokens are stored plainly"
    assert vocabulary[3].bytes == "▁日".encode(), "a character outside the alphabet stands for itself"
    written = [" x", "<¦a▁b¦>", "Ġuser", "▁日", "two words"]
    assert [vocabulary.find(text) for text in written] == list(range(5))
    with pytest.raises(KeyError):
        vocabulary.find(" user")


@pytest.mark.parametrize(
    ("model", "pre"),
    [("llama", None), ("t5", None), ("gemma4", None), ("gpt2", "sarvam-moe"), ("gpt2", "mmbert")],
)
def test_marked_spaces(model: str, pre: str | None, make: MakeVocabulary) -> None:
    tokens = ["<unk>", "▁king", "king", "<0x0A>", "two words", "▁▁", "<0xZZ>", "<0x41>"]
    vocabulary = make(model, tokens, types=[2, 1, 1, 6, 4, 1, 6, 1], pre=pre)
    assert [token.bytes for token in vocabulary] == [
        b"<unk>", b" king", b"king", b"\n", b"two words", b"  ", b"<0xZZ>", b"<0x41>",
    ]  # fmt: skip
    for token_id, written in enumerate(
        ["<unk>", " king", "king", "\n", "two words", "  ", "<0xZZ>", "<0x41>"]
    ):
        assert vocabulary.find(written) == token_id
    with pytest.raises(KeyError):
        vocabulary.find("A")


@pytest.mark.parametrize("model", ["plamo2", "plamo3"])
def test_plamo(model: str, make: MakeVocabulary) -> None:
    vocabulary = make(model, ["a b", "▁", "<0x0A>"], types=[1, 1, 6])
    assert [token.bytes for token in vocabulary] == [b"a b", "▁".encode(), b"\n"]
    assert [vocabulary.find(text) for text in ("a b", "▁", "\n")] == [0, 1, 2]


def test_rwkv(make: MakeVocabulary) -> None:
    tokens = ["<s>", "\\x00", "\\n", "a\\tb", "\\\\", "it's", "\\xe7\\x8e\\x8b", "'\\\"", "plain é"]
    vocabulary = make("rwkv", tokens, types=[3] + [1] * 8)
    wanted = [b"<s>", b"\0", b"\n", b"a\tb", b"\\", b"it's", "王".encode(), b"'\"", "plain é".encode()]
    assert [token.bytes for token in vocabulary] == wanted
    found = [vocabulary.find(text) for text in [*wanted[:7], wanted[8]]]
    assert found == [0, 1, 2, 3, 4, 5, 6, 8]


def test_hybriddna(make: MakeVocabulary) -> None:
    vocabulary = make("hybriddna", ["ACGTAC\ue000", "Ġthe"])
    assert [token.bytes for token in vocabulary] == [b"ACGTAC", b" the"]
    assert [vocabulary.find("ACGTAC"), vocabulary.find(" the")] == [0, 1]


def test_wordpiece_of_old_converters(make: MakeVocabulary) -> None:
    vocabulary = make("bert", ["[PAD]", "[unused0]", "▁king", "s", "▁Ärger"], types=[3, 1, 1, 1, 1])
    assert vocabulary.find("[unused0]") == 1
    assert vocabulary[1].bytes == b"[unused0]"
    assert [token.bytes for token in vocabulary[2:]] == [b"king", b"s", "Ärger".encode()]
    assert vocabulary.find("##s") == 3
    assert vocabulary.find("Ärger") == 4, "the exact text comes first"
    with pytest.raises(KeyError):
        vocabulary.find("s")


def test_a_cased_wordpiece_vocabulary_is_not_folded(make: MakeVocabulary) -> None:
    vocabulary = make("bert", ["▁A", "▁a", "▁king"])
    assert [vocabulary.find("A"), vocabulary.find("a")] == [0, 1]
    with pytest.raises(KeyError):
        vocabulary.find("King")

    def lowercase(writer: gguf.GGUFWriter) -> None:
        writer.add_bool("tokenizer.ggml.normalizer.lowercase", True)
        writer.add_bool("tokenizer.ggml.normalizer.strip_accents", False)

    vocabulary = make("bert", ["▁A", "▁king", "▁cafe"], add=lowercase)
    assert vocabulary.find("King") == 1, "the file's own word counts"
    with pytest.raises(KeyError):
        vocabulary.find("Café")


def test_parts_that_contradict_each_other(make: MakeVocabulary) -> None:
    with pytest.raises(pyembed.VocabularyError):
        make("gpt2", ["a", "b", "c"], scores=[1.0, 2.0])
    with pytest.raises(pyembed.VocabularyError):
        make("gpt2", ["a", "b", "c"], types=[1])


def test_tokens_are_in_their_vocabulary() -> None:
    with pyembed.load_model(pyembed.demo_model()) as model:
        vocabulary = model.vocabulary
        assert vocabulary[94] in vocabulary
        assert "\u2581file" in vocabulary
        assert 94 not in vocabulary
        assert dataclasses.replace(vocabulary[94], id=95) not in vocabulary
        assert dataclasses.replace(vocabulary[94], id=len(vocabulary)) not in vocabulary
        assert vocabulary.index(vocabulary[94]) == 94


def test_a_continuation_is_not_the_word() -> None:
    with pyembed.load_model(pyembed.demo_model()) as model:
        vocabulary = model.vocabulary
        assert vocabulary.id("file") != vocabulary.find("file") == vocabulary.id("\u2581file")
        only = next(t.text for t in vocabulary if t.text.isalpha() and f"\u2581{t.text}" not in vocabulary)
        with pytest.raises(KeyError, match=rf"id {vocabulary.id(only)} is stored so, and continues a word"):
            vocabulary.find(only)
        word = next(
            token.text[1:]
            for token in vocabulary
            if token.text[1:].isalpha() and token.text[1:] not in vocabulary
        )
        whole = vocabulary.id(f"\u2581{word}")
        with pytest.raises(
            KeyError, match=rf"no token is stored as '{word}', but find\(\) takes it for id {whole}"
        ):
            vocabulary.id(word)
        with pytest.raises(KeyError, match="no token is stored as 'fiel'; near it"):
            vocabulary.id("fiel")
