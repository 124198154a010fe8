"""Texts cut by small vocabularies, ids turned back, and vocabularies that no tokenizer can be made of."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any

import gguf
import numpy as np
import pytest

import pyembed
from pyembed.tokens.cutting import cutter
from tests.helpers.llama_vocabularies import BPE_TOKENS
from tests.helpers.model_files import write_model

tokenizers = pytest.importorskip("tokenizers")

MERGES = ["a b", "b c"]
SPM = [
    "<unk>",
    "<s>",
    "</s>",
    *(f"<0x{byte:02X}>" for byte in range(256)),
    "\u2581",
    "a",
    "b",
    "\u2581a",
    "ab",
]
SPM_TYPES = [2, 3, 3, *[6] * 256, 1, 1, 1, 1, 1]
SPM_SCORES = [0.0, 0.0, 0.0, *[0.0] * 256, -4.0, -5.0, -6.0, -1.0, -2.0]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "\u2581king", "s", "\u2581the", "\u2581,"]
UNIGRAM = ["<s>", "<pad>", "</s>", "<unk>", "\u2581", "a", "b", "\u2581ab", "<", "s", ">"]
UNIGRAM_SCORES = [0.0, 0.0, 0.0, 0.0, -2.0, -3.0, -3.0, -4.0, -3.0, -3.0, -3.0]

Make = Callable[..., pyembed.Model]


@pytest.fixture
def opened(tmp_path: Path) -> Any:
    models = []

    def made(model: str, tokens: list[Any], **options: Any) -> pyembed.Model:
        keys: dict[str, Any] = options.pop("keys", {})
        merges = options.pop("merges", None)

        def add(writer: gguf.GGUFWriter) -> None:
            if merges is not None:
                writer.add_token_merges(merges)
            for key, value in keys.items():
                kind = writer.add_bool if isinstance(value, bool) else writer.add_uint32
                if isinstance(value, bytes):
                    writer.add_array(f"tokenizer.ggml.{key}", value)
                else:
                    kind(f"tokenizer.ggml.{key}", value)

        path = write_model(tmp_path / f"{len(models)}.gguf", model=model, tokens=tokens, add=add, **options)
        models.append(pyembed.load_model(path, vocab_only=True, validate="off"))
        return models[-1]

    yield made
    for model in models:
        model.close()


def bytes_model(opened: Make, **options: Any) -> pyembed.Model:
    settings = {"pre": "gpt-2", "merges": MERGES, "types": [*[1] * 258, 3, 3, 3, 1], **options}
    return opened("gpt2", settings.pop("tokens", BPE_TOKENS), **settings)


def scored_model(opened: Make, **options: Any) -> pyembed.Model:
    return opened("llama", SPM, **{"scores": SPM_SCORES, "types": SPM_TYPES, **options})


def words_model(opened: Make, **options: Any) -> pyembed.Model:
    roles = {"unknown_token_id": 1, "bos_token_id": 2, "seperator_token_id": 3}
    types = options.pop("types", [3, 3, 3, 3, 1, 1, 1, 1])
    return opened("bert", WORDS, types=types, keys={**roles, **options.pop("keys", {})}, **options)


def unigram_model(opened: Make, **keys: Any) -> pyembed.Model:
    roles = {"bos_token_id": 0, "eos_token_id": 2, "unknown_token_id": 3}
    types = [3, 3, 3, 2, *[1] * 7]
    return opened("t5", UNIGRAM, scores=UNIGRAM_SCORES, types=types, keys={**roles, **keys})


def texts_of(model: pyembed.Model, text: str, **options: Any) -> list[str]:
    return [model.vocabulary[int(i)].text for i in model.tokenize(text, **options)]


# ----------------------------------------------------------------------------------------- families


def test_bytes_and_merges(opened: Make) -> None:
    model = bytes_model(opened)
    assert texts_of(model, "abc ab\u00e9") == ["ab", "c", "\u0120", "ab", "\u00c3", "\u00a9"]
    assert texts_of(model, "</s>") == ["<", "/", "s", ">"]
    assert texts_of(model, "a</s>", parse_special=True) == ["a", "</s>"]


def test_scores_say_what_is_merged_first(opened: Make) -> None:
    model = scored_model(opened)
    # "\u2581a" has the better score than "ab".
    assert texts_of(model, "ab") == ["\u2581a", "b"]
    assert texts_of(model, "bab") == ["\u2581", "b", "ab"]
    assert texts_of(model, "\u00e9", add_special=True) == ["<s>", "\u2581", "<0xC3>", "<0xA9>"]
    assert texts_of(scored_model(opened, keys={"add_space_prefix": False}), "ab") == ["ab"]


def test_word_pieces(opened: Make) -> None:
    model = words_model(opened)
    assert texts_of(model, "The Kings, xyz") == ["\u2581the", "\u2581king", "s", "\u2581,", "[UNK]"]
    assert texts_of(model, "", add_special=True) == ["[CLS]", "[SEP]"]
    cased = words_model(opened, keys={"normalizer.lowercase": False})
    assert texts_of(cased, "the The") == ["\u2581the", "[UNK]"]


def test_unigram_has_no_control_tokens_in_texts(opened: Make) -> None:
    model = unigram_model(opened, remove_extra_whitespaces=True)
    assert texts_of(model, "  ab  ab ") == ["\u2581ab", "\u2581ab"]
    assert texts_of(model, "a<s>", add_special=True) == ["\u2581", "a", "<", "s", ">", "</s>"]
    assert texts_of(model, "a<s>", parse_special=True) == ["\u2581", "a", "<s>"]
    kept = unigram_model(opened, add_space_prefix=True)
    assert texts_of(kept, "a  a") == ["\u2581", "a", "\u2581", "\u2581", "a"]


def test_user_defined_tokens_are_always_found(opened: Make) -> None:
    model = bytes_model(opened, tokens=[*BPE_TOKENS[:-1], "<tool>"], types=[*[1] * 258, 3, 3, 3, 4])
    assert texts_of(model, "a<tool>b") == ["a", "<tool>", "b"]


def test_llama_cpp_knows_some_tokens_by_their_texts(opened: Make) -> None:
    # Typed as text, and as user-defined: control tokens all the same.
    for kind in (1, 4):
        model = bytes_model(
            opened, tokens=[*BPE_TOKENS[:-1], "<|im_end|>"], types=[*[1] * 258, 3, 3, 3, kind]
        )
        assert len(model.tokenize("<|im_end|>")) == 10
        assert texts_of(model, "<|im_end|>", parse_special=True) == ["<|im_end|>"]


def test_the_first_of_repeated_merges_counts(opened: Make) -> None:
    model = bytes_model(opened, merges=["a b", "b c", "a b"])
    assert texts_of(model, "abc") == ["ab", "c"]


def test_empty_tokens_and_nul(opened: Make) -> None:
    model = bytes_model(opened, tokens=["", *BPE_TOKENS[1:-1], "zq\0x"])
    assert texts_of(model, "ab") == ["ab"]
    assert len(json.loads(model.tokenizer_json())["model"]["vocab"]) == len(BPE_TOKENS)


# ------------------------------------------------------------------------------------ what comes out


def test_several_texts(opened: Make) -> None:
    model = bytes_model(opened)
    found = model.tokenize(iter(["ab", "", "abc"]))
    assert found.ids.dtype == np.int32
    assert found.offsets.dtype == np.int64
    assert found.offsets.tolist() == [0, 1, 1, 3]
    for text, first, end in zip(["ab", "", "abc"], found.offsets, found.offsets[1:], strict=False):
        assert found.ids[first:end].tolist() == model.tokenize(text).tolist()
    nothing = model.tokenize([])
    assert (nothing.ids.size, nothing.offsets.tolist()) == (0, [0])


def test_more_texts_than_one_batch(opened: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model = bytes_model(opened)
    texts = ["ab" * (1 + k % 7) for k in range(50)]
    expected = model.tokenize(texts)
    monkeypatch.setattr(cutter, "_BATCH_TEXTS", 3)
    monkeypatch.setattr(cutter, "_BATCH_CHARACTERS", 17)
    actual = model.tokenize(texts)
    np.testing.assert_array_equal(actual.ids, expected.ids)
    np.testing.assert_array_equal(actual.offsets, expected.offsets)


def _one_by_one(texts: Iterable[Any]) -> list[list[str]]:
    """Return the batches of texts that are checked one by one."""
    found: list[list[str]] = [[]]
    size = 0
    for index, text in enumerate(texts):
        size += len(cutter.checked_text(text, index))
        found[-1].append(text)
        if size >= 40 or len(found[-1]) >= 96:
            found.append([])
            size = 0
    return found if found[-1] else found[:-1]


def _outcome(call: Callable[[Any], Iterable[list[str]]], texts: Any) -> Any:
    try:
        return list(call(texts))
    except (TypeError, ValueError) as error:
        return type(error), str(error)


def test_texts_are_refused_together_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutter, "_BATCH_TEXTS", 96)
    monkeypatch.setattr(cutter, "_BATCH_CHARACTERS", 40)
    monkeypatch.setattr(cutter, "MAX_CHARACTERS", 70)
    monkeypatch.setattr(cutter, "_CHECKED_TEXTS", 8)
    random = Random(5)
    bad = ["a\udc80", "\ud800", "x" * 71, None, b"ab", 3, ["a"], ("a",), np.str_("n"), float("nan")]
    # Halves of a pair in two texts are two lone surrogates, though joined they would be none.
    good = ["", "", "a", "\u00e9", "\U0001f600", "word " * 5, "y" * 70]
    for _ in range(2000):
        texts: list[Any] = random.choices(good, k=random.randrange(30))
        for _ in range(random.randrange(3) if texts else 0):
            texts[random.randrange(len(texts))] = random.choice(bad)
        expected = _outcome(_one_by_one, texts)
        given: Any
        for given in (texts, tuple(texts), iter(texts)):
            found = _outcome(cutter.batches, given)
            if isinstance(expected, list):  # batches may end a few short texts later
                assert [text for batch in found for text in batch] == texts
                assert all(sum(map(len, batch[:-1])) < 80 for batch in found)
            else:
                assert found == expected


def test_long_texts_do_not_share_a_batch() -> None:
    """Each character of a batch takes a few hundred bytes while it is cut."""
    long = "a" * (1 << 20)
    for texts in ([long] * 65, (*["b"] * 70, *[long] * 3, "c")):
        found = list(cutter.batches(texts))
        assert [text for batch in found for text in batch] == list(texts)
        assert max(sum(map(len, batch)) for batch in found) <= len(long) + 70
    # Nor do short ones with something long before each.
    assert list(cutter.batches(["a", "b", "c"], 1 << 20)) == [["a"], ["b"], ["c"]]
    assert list(cutter.batches(["a", "b", "c"], 1 << 19)) == [["a", "b"], ["c"]]


def test_pieces_have_places(opened: Make) -> None:
    text = "ab\U0001f600 ab"
    pieces = bytes_model(opened).vocabulary.pieces(text)
    assert [(piece.text, piece.start, piece.end) for piece in pieces] == [
        ("ab", 0, 2),
        ("\u00f0", 2, 3),
        ("\u0141", 2, 3),
        ("\u013a", 2, 3),
        ("\u0122", 2, 3),
        ("\u0120", 3, 4),
        ("ab", 4, 6),
    ]
    marked = scored_model(opened).vocabulary.pieces("a b", add_special=True)
    assert [(piece.text, text[piece.start : piece.end] != "") for piece in marked][:2] == [
        ("<s>", False),
        ("\u2581a", True),
    ]


def test_detokenize(opened: Make) -> None:
    model = bytes_model(opened)
    for text in ("abc ab", "\u00e9\U0001f600", " a  b\n", ""):
        assert model.detokenize(model.tokenize(text)) == text
    assert model.detokenize([BPE_TOKENS.index("\u00c3")]) == "\ufffd"
    end = BPE_TOKENS.index("</s>")
    assert model.detokenize([end, 256]) == "ab"
    assert model.detokenize([end, 256], special=True) == "</s>ab"
    scored = scored_model(opened)
    assert scored.detokenize(scored.tokenize("a b\u00e9", add_special=True)) == "a b\u00e9"
    words = words_model(opened)
    assert words.detokenize(words.tokenize("the kings")) == "the kings"
    for wrong in ([0, 262], [-1], 2**40):
        with pytest.raises(IndexError, match="is not a token: the vocabulary has 262"):
            model.detokenize(wrong)
    with pytest.raises(TypeError):
        model.detokenize([0.5])


def test_the_tokenizer_is_the_callers_own(opened: Make) -> None:
    model = bytes_model(opened)
    mine = model.tokenizer()
    mine.enable_truncation(1)
    assert len(mine.encode("abab").ids) == 1
    assert len(model.tokenizer().encode("abab").ids) == len(model.tokenize("abab")) == 2
    loaded = tokenizers.Tokenizer.from_str(model.tokenizer_json())
    assert loaded.encode("abc\u00e9").ids == model.tokenize("abc\u00e9").tolist()


def test_published_patterns(opened: Make) -> None:
    model = bytes_model(opened, pre="llama-bpe")
    ours, published = (
        json.loads(model.tokenizer_json(published_patterns=flag))["pre_tokenizer"] for flag in (False, True)
    )
    assert "(?i:'s" in json.dumps(published)
    assert "(?i:'s" not in json.dumps(ours)
    # The long s is an s to the published pattern only.
    own = model.tokenizer().pre_tokenizer.pre_tokenize_str("x'\u017fx")
    assert len(own) == 2
    theirs = tokenizers.Tokenizer.from_str(model.tokenizer_json(published_patterns=True))
    assert len(theirs.pre_tokenizer.pre_tokenize_str("x'\u017fx")) == 3


# ------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize("text", [b"ab", 3, None, ["a", b"b"], [1]])
def test_texts_of_another_type(text: Any, opened: Make) -> None:
    with pytest.raises(TypeError, match="str"):
        bytes_model(opened).tokenize(text)


def test_surrogates_are_no_text(opened: Make) -> None:
    model = bytes_model(opened)
    with pytest.raises(ValueError, match=r"text 1 has the lone surrogate U\+D800 at character 2"):
        model.tokenize(["a", "ab\ud800"])
    with pytest.raises(ValueError, match="lone surrogate"):
        model.vocabulary.pieces("\udcff")


def test_nul_is_text(opened: Make) -> None:
    assert texts_of(bytes_model(opened), "a\0b") == ["a", "\u0100", "b"]


def test_texts_beyond_the_bound(opened: Make) -> None:
    model = bytes_model(opened)
    for call in (model.tokenize, model.vocabulary.pieces):
        with pytest.raises(ValueError, match="16777217 characters; at most 16777216"):
            call("a" * (cutter.MAX_CHARACTERS + 1))


def refusal(model: pyembed.Model) -> str:
    """Return why there is no tokenizer, which all ways to ask for one say."""
    with pytest.raises(pyembed.VocabularyError) as caught:
        model.tokenizer_json()
    for call in (lambda: model.tokenize("a"), model.tokenizer, lambda: model.vocabulary.pieces("a")):
        with pytest.raises(pyembed.VocabularyError) as other:
            call()
        assert str(other.value) == str(caught.value)
    assert model.path in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("pre", ["mmbert", "k2-horizon", "nope", "QWEN2"])
def test_pre_tokenizers_that_are_not_known(pre: str, opened: Make) -> None:
    assert repr(pre) in refusal(bytes_model(opened, pre=pre)) or f"{pre}" in refusal(
        bytes_model(opened, pre=pre)
    )


@pytest.mark.parametrize("family", ["rwkv", "plamo2", "hybriddna", "none", "test", "nonsense"])
def test_families_that_cannot_be_expressed(family: str, opened: Make) -> None:
    assert family in refusal(opened(family, SPM, scores=SPM_SCORES, types=SPM_TYPES))


def test_merges_that_are_missing_or_name_no_token(opened: Make) -> None:
    assert "no merges" in refusal(bytes_model(opened, merges=None))
    assert "merge 1, 'a c'" in refusal(bytes_model(opened, merges=["a b", "a c"]))
    assert "name what is not a token" in refusal(bytes_model(opened, merges=["ab"]))


def test_tokens_that_no_json_can_hold(opened: Make) -> None:
    assert "token 3" in refusal(bytes_model(opened, tokens=[*BPE_TOKENS[:3], b"\xff\xfe", *BPE_TOKENS[4:]]))
    surrogate = "\ud800".encode("utf-8", "surrogatepass")
    assert "not UTF-8" in refusal(bytes_model(opened, tokens=[*BPE_TOKENS[:3], surrogate, *BPE_TOKENS[4:]]))
    assert "tokens 0 and 3" in refusal(bytes_model(opened, tokens=[*BPE_TOKENS[:3], "!", *BPE_TOKENS[4:]]))


def test_roles_that_are_missing(opened: Make) -> None:
    assert "unknown" in refusal(words_model(opened, keys={"unknown_token_id": 99}))
    assert "role sep" in refusal(words_model(opened, keys={"seperator_token_id": 99}))


def charsmap(units: list[int], replacements: bytes) -> bytes:
    return struct.pack(f"<I{len(units)}I", 4 * len(units), *units) + replacements


#: "a" leads to unit 97, where a text ends: its value, in unit 97 ^ 1, is the replacement's place.
LEADING = {97: 97 | 1 << 8 | 1 << 10}
VALUE = 97 ^ 1


def mapped(value: int = 0, replacements: bytes = b"b\0", **units: int) -> bytes:
    known = {**LEADING, VALUE: value, **{int(name[1:]): unit for name, unit in units.items()}}
    return charsmap([known.get(place, 0) for place in range(256)], replacements)


def test_a_map_of_characters(opened: Make) -> None:
    model = unigram_model(opened, precompiled_charsmap=mapped(), remove_extra_whitespaces=True)
    assert texts_of(model, "aab") == texts_of(model, "bbb") == ["\u2581", "b", "b", "b"]


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"abc", "says that"),
        (struct.pack("<I", 0), "says that"),
        (struct.pack("<I", 2**32 - 1) + bytes(64), "says that"),
        (struct.pack("<I", 5) + bytes(64), "says that"),
        (mapped(2), "leads to byte 2 of 2"),
        (mapped(2**31 - 1), "leads to byte"),
        (mapped(0, b"bbb"), "leads to byte 0 of 3"),
        (mapped(1, "\u00e9\0".encode()), "middle of a character"),
        (mapped(0, b"\xff\0"), "not UTF-8"),
        (mapped(u0=1 << 20), "leads outside itself"),
        (mapped(u97=97 | 1 << 8 | 1 << 9 | 5 << 10), "leads outside itself"),
        (charsmap([0], b"b\0"), "leads outside itself"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} bytes",
)
def test_absurd_maps_of_characters(raw: bytes, why: str, opened: Make) -> None:
    assert why in refusal(unigram_model(opened, precompiled_charsmap=raw))


def test_a_model_without_vocabulary(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf")
    with pyembed.load_model(path, validate="off") as model:
        for call in (
            model.tokenizer_json,
            model.tokenizer,
            lambda: model.tokenize("a"),
            lambda: model.detokenize([0]),
        ):
            with pytest.raises(pyembed.VocabularyError):
                call()


def test_a_closed_model(opened: Make) -> None:
    model = bytes_model(opened)
    vocabulary = model.vocabulary
    model.tokenize("a")
    model.close()
    for call in (lambda: model.tokenize("a"), lambda: vocabulary.pieces("a"), lambda: model.detokenize([0])):
        with pytest.raises(pyembed.ClosedError):
            call()


def test_without_the_package(opened: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model = bytes_model(opened)
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(ImportError, match=r"pyembed-gguf\[text\]"):
        model.tokenize("a")
    with pytest.raises(ImportError, match=r"pyembed-gguf\[text\]"):
        model.tokenizer()
    assert json.loads(model.tokenizer_json())["version"] == "1.0"
    assert model.detokenize([256]) == "ab"
