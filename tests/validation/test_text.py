"""How a file cuts texts, beside its reference and by itself."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest

import pyembed
from pyembed.tokens.cutting.corpus import corpus
from pyembed.validation.report import Report
from tests.helpers.llama_vocabularies import BPE_TOKENS
from tests.helpers.model_files import write_model

pytest.importorskip("tokenizers")

LETTERS = "abcdefghij"


def of_text(report: Report) -> list[tuple[str, str]]:
    return [
        (f.rule.removeprefix("text/"), f.severity.value)
        for f in report.findings
        if f.rule.startswith("text/")
    ]


def said(report: Report) -> str:
    return next(conclusion.text for conclusion in report.verdicts if conclusion.evidence == "text")


def message(report: Report, rule: str) -> str:
    return next(f.message for f in report.findings if f.rule == f"text/{rule}")


def words() -> tuple[list[str], list[str]]:
    """Return tokens and merges of a vocabulary of bytes with pairs of letters, digits and signs."""
    pairs = [a + b for a in LETTERS for b in LETTERS]
    pairs += [f"\u0120{a}" for a in LETTERS] + [f"{a}{b}" for a in "0123456789" for b in "0123456789"]
    pairs += ["'d", "'t", "..", "\u010a\u010a", "\u0120'", "?!", "\u0120."]
    tokens = [*BPE_TOKENS[:256], *pairs, "<s>", "</s>", "<start_of_turn>"]
    return tokens, [f"{pair[0]} {pair[1]}" for pair in pairs]


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Return what writes a file of that vocabulary, with some of it changed."""
    count = iter(range(100))

    def write(*, pre: str = "gpt-2", drop: int = 0, last: int = 3, **flags: bool) -> Path:
        tokens, merges = words()
        types = [*[1] * (len(tokens) - 3), 3, 3, last]

        def add(writer: gguf.GGUFWriter) -> None:
            writer.add_token_merges(merges[drop:])
            writer.add_bos_token_id(len(tokens) - 3)
            writer.add_eos_token_id(len(tokens) - 2)
            for name, value in flags.items():
                writer.add_bool(f"tokenizer.ggml.{name}", value)

        path = tmp_path / f"{next(count)}.gguf"
        return write_model(path, model="gpt2", pre=pre, tokens=tokens, types=types, add=add)

    return write


@pytest.fixture
def reference(written: Callable[..., Path], tmp_path: Path) -> Path:
    with pyembed.load_model(written(), validate="off") as model:
        text = model.tokenizer_json(published_patterns=True)
    path = tmp_path / "tokenizer.json"
    path.write_text(text, "utf-8")
    return path


def validate(path: Path, reference: Path | None = None, level: Any = "order") -> Report:
    return pyembed.validate(path, level=level, reference=reference)


def test_the_corpus_is_what_it_should_be() -> None:
    texts = corpus()
    assert len(texts) > 2000
    assert len(set(texts)) == len(texts)
    assert "".join(texts).encode("utf-8")
    # Letters of most scripts, marks, digits, signs, white space and emoji are in it.
    assert len({ord(sign) >> 7 for text in texts for sign in text}) > 150


def test_the_same_tokenizer_has_no_finding(written: Callable[..., Path], reference: Path) -> None:
    for path in (reference, reference.parent, written()):
        report = validate(written(), path)
        assert of_text(report) == []
        assert "are cut into the ids of the reference" in said(report)


def test_another_spelling_of_the_pattern_is_no_finding(written: Callable[..., Path], tmp_path: Path) -> None:
    with pyembed.load_model(written(pre="llama-bpe"), validate="off") as model:
        (tmp_path / "tokenizer.json").write_text(model.tokenizer_json(), "utf-8")  # as llama.cpp spells it
    assert of_text(validate(written(pre="llama-bpe"), tmp_path / "tokenizer.json")) == []


def test_a_wrong_pre_tokenizer(written: Callable[..., Path], reference: Path) -> None:
    report = validate(written(pre="qwen2"), reference)
    assert of_text(report) == [("pre-tokenizer", "error")]
    told = message(report, "pre-tokenizer")
    assert "by 'qwen2' than by the reference, 0 by" in told
    assert "gpt-2" in told
    assert "is [" in told
    assert "by the reference [" in told


def test_dropped_merges(written: Callable[..., Path], reference: Path) -> None:
    report = validate(written(drop=60), reference)
    assert of_text(report) == [("merges", "error")]
    assert "without 60 of the reference's" in message(report, "merges")


def test_a_token_typed_as_text(written: Callable[..., Path], reference: Path) -> None:
    report = validate(written(last=1), reference)
    assert of_text(report) == [("token-typed-as-text", "error")]
    assert "<start_of_turn>" in message(report, "token-typed-as-text")
    finding = next(f for f in report.findings if f.rule == "text/token-typed-as-text")
    assert finding.first_id == finding.last_id == len(words()[0]) - 1
    assert of_text(validate(written(last=4), reference)) == []


def test_text_typed_as_a_token(written: Callable[..., Path], reference: Path) -> None:
    content = json.loads(reference.read_text("utf-8"))
    content["added_tokens"] = [t for t in content["added_tokens"] if t["content"] != "<start_of_turn>"]
    reference.write_text(json.dumps(content), "utf-8")
    assert of_text(validate(written(), reference)) == [("text-typed-as-token", "warning")]
    # llama.cpp takes </s> for a control token whatever the file says, so that this is nothing of the file's.
    content["added_tokens"] = [t for t in content["added_tokens"] if t["content"] != "</s>"]
    reference.write_text(json.dumps(content), "utf-8")
    assert of_text(validate(written(), reference)) == [("text-typed-as-token", "warning")]


def test_a_normalizer_that_was_left_out(written: Callable[..., Path], reference: Path) -> None:
    content = json.loads(reference.read_text("utf-8"))
    content["normalizer"] = {"type": "Lowercase"}
    reference.write_text(json.dumps(content), "utf-8")
    report = validate(written(), reference)
    assert of_text(report) == [("normalizer", "error")]


def test_diff_shows_it(written: Callable[..., Path], reference: Path) -> None:
    same = pyembed.compare(written(), reference)
    assert same.same
    other = pyembed.compare(written(pre="qwen2"), reference)
    assert not other.same
    assert "text/pre-tokenizer" in {finding.rule for finding in other.findings}
    assert json.loads(other.to_json())["findings"]


def test_alone(written: Callable[..., Path]) -> None:
    report = validate(written(), level="full")
    assert of_text(report) == []
    assert "become these tokens again" in said(report)
    # Digits one by one: the pairs of digits cannot have been learned so.
    report = validate(written(pre="qwen2"), level="full")
    assert of_text(report) == [("unlikely-pre-tokenizer", "warning")]
    report = validate(written(drop=60), level="full")
    assert of_text(report) == [("unreachable-token", "warning")]


@pytest.mark.parametrize("prefix", [None, False, True])
def test_pieces_of_a_unigram_list_with_and_without_a_space_before(
    prefix: bool | None, tmp_path: Path
) -> None:
    """Each piece scores better than its letters."""
    pieces = ["<unk>", *LETTERS, "\u2581", *(f"{a}{b}" for a in LETTERS for b in LETTERS)]
    pieces += [f"\u2581{a}{b}" for a in LETTERS for b in LETTERS]

    def add(writer: gguf.GGUFWriter) -> None:
        writer.add_token_scores([0.0, *[-5.0] * 11, *[-7.0] * 100, *[-8.0] * 100])
        writer.add_unk_token_id(0)
        if prefix is not None:
            writer.add_add_space_prefix(prefix)

    types = [2, *[1] * (len(pieces) - 1)]
    path = write_model(tmp_path / "m.gguf", model="t5", pre="default", tokens=pieces, types=types, add=add)
    report = validate(path, level="full")
    assert of_text(report) == []
    looked_at = 100 if prefix else len(pieces) - 1
    assert f"{looked_at} of {looked_at} texts of tokens become these tokens again" in said(report)


def test_tokens_that_are_too_long_are_left_out(tmp_path: Path) -> None:
    """Merging a token of 8 MiB would take seconds."""
    tokens = [*BPE_TOKENS[:256], "aa", "a" * 4096, "a" * 4097]

    def add(writer: gguf.GGUFWriter) -> None:
        writer.add_token_merges(["a a"])

    types = [1] * len(tokens)
    path = write_model(tmp_path / "m.gguf", model="gpt2", pre="gpt-2", tokens=tokens, types=types, add=add)
    assert "1 of more than 4096 characters were not looked at" in said(validate(path, level="full"))


def test_it_is_not_looked_at_where_nobody_asked(written: Callable[..., Path]) -> None:
    report = validate(written(), level="order")
    assert "text" not in {conclusion.evidence for conclusion in report.verdicts}


@pytest.mark.parametrize(
    "content",
    [
        {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}},
        {
            "model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]},
            "pre_tokenizer": {"type": "ByteLevel"},
        },
        {
            "model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a a"]},
            "pre_tokenizer": {"type": "None such"},
        },
    ],
    ids=["tokens alone", "a merge of nothing", "an unknown step"],
)
def test_references_that_cannot_be_cut_by(content: Any, written: Callable[..., Path], tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content), "utf-8")
    report = validate(written(), path)
    assert of_text(report) == []
    assert "no text was cut" in said(report)


def test_a_hostile_map_of_characters_is_never_walked(written: Callable[..., Path], tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    step = {"type": "Precompiled", "precompiled_charsmap": "BAAAAP////9iAA=="}
    normalizer = {"type": "Sequence", "normalizers": [step]}
    model = {"type": "BPE", "vocab": {"a": 0, "aa": 1}, "merges": ["a a"]}
    path.write_text(json.dumps({"model": model, "normalizer": normalizer}), "utf-8")
    report = validate(written(), path)
    assert "map of characters leads outside itself" in said(report)


def test_without_the_package(
    written: Callable[..., Path], reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    for report in (validate(written(), reference), validate(written(), level="full")):
        assert "not installed" in said(report)
        assert not next(c for c in report.verdicts if c.evidence == "text").has_evidence
    assert pyembed.compare(written(), reference).same


@pytest.mark.parametrize("family", ["rwkv", "none"])
def test_families_without_a_tokenizer(family: str, tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf", model=family, tokens=["a", "b"])
    assert of_text(pyembed.validate(path)) == []


@pytest.mark.parametrize(
    "name",
    [
        *("bert-bge", "gpt-2", "llama-spm"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("gemma-4", "llama-bpe", "nomic-bert-moe", "phi-3", "qwen2")
        ),
    ],
)
def test_real_vocabularies_are_sound(name: str, data_dir: Path, tmp_path: Path) -> None:
    path = data_dir / "vocab" / f"ggml-vocab-{name}.gguf"
    with pyembed.load_model(path, vocab_only=True, validate="off") as model:
        (tmp_path / "tokenizer.json").write_text(model.tokenizer_json(published_patterns=True), "utf-8")
        assert of_text(model.validate("full")) == []
        assert of_text(model.validate("order", tmp_path / "tokenizer.json")) == []
