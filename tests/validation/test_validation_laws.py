"""Laws of order in real vocabularies: kept by all of them, and each seen where it is broken."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

import pyembed
from pyembed._native import ffi, lib
from pyembed.validation.vocabulary.order import find_order, out_of_order
from tests.helpers.vocabulary_files import Corruption, Parts, corruptions, read_parts

# What is true of the shipped files, beyond their order: rules of notes and warnings.
KNOWN = {
    "bert-bge": set(),
    "gemma-4": {"end-of-turn"},
    "gpt-2": set(),
    "llama-bpe": {"end-of-turn"},
    "llama-spm": set(),
    "nomic-bert-moe": {"padding"},
    "phi-3": {"padding", "end-of-turn"},
    "qwen2": {"padding", "end-of-turn"},
}


@lru_cache(maxsize=2)
def parts_of(path: Path) -> Parts:
    return read_parts(path)


def report(tmp_path: Path, parts: Parts, level: str = "order", **options: object) -> pyembed.Report:
    path = tmp_path / "changed.gguf"
    path.write_bytes(parts.to_bytes(**options))
    return pyembed.validate(path, level=level)


@pytest.mark.parametrize("name", KNOWN)
def test_real_vocabularies_keep_the_laws(name: str, data_dir: Path) -> None:
    found = pyembed.validate(data_dir / f"vocab/ggml-vocab-{name}.gguf", level="order")
    assert found.ok
    mine = [finding for finding in found.findings if finding.rule.startswith("vocabulary/")]
    assert {finding.rule.removeprefix("vocabulary/") for finding in mine} == KNOWN[name]
    assert {finding.severity.value for finding in mine} <= {"note"}
    assert next(verdict for verdict in found.verdicts if verdict.evidence == "vocabulary").has_evidence


def test_models_keep_the_laws(data_dir: Path) -> None:
    for path in (data_dir / "models/minilm-f16.gguf", pyembed.demo_model()):
        found = pyembed.validate(path, level="order")
        assert [f.rule for f in found.findings if f.rule.startswith("vocabulary/")] == []


@pytest.mark.parametrize(
    "case", sorted(corruptions(), key=lambda case: case.vocabulary), ids=lambda c: f"{c.vocabulary}: {c.name}"
)
def test_corruptions_are_seen(case: Corruption, data_dir: Path, tmp_path: Path) -> None:
    whole = parts_of(data_dir / f"vocab/ggml-vocab-{case.vocabulary}.gguf")
    found = report(tmp_path, case.change(whole.copy()))
    matching = [finding for finding in found.findings if finding.rule == case.rule]
    assert matching, [finding.message for finding in found.findings]
    known = {field: getattr(case, field) for field in ("first_id", "last_id", "n_ids", "shift")}
    wanted = {field: value for field, value in known.items() if value is not None}
    assert any(
        all(getattr(finding, field) == value for field, value in wanted.items()) for finding in matching
    ), matching
    if case.rule in ("vocabulary/order", "vocabulary/shift"):
        assert not found.ok


def test_all_cuts_have_their_merges_at_full(data_dir: Path, tmp_path: Path) -> None:
    parts = parts_of(data_dir / "vocab/ggml-vocab-llama-bpe.gguf").copy()
    assert parts.merges is not None
    del parts.merges[100_001]
    found = report(tmp_path, parts, "full")
    (finding,) = [f for f in found.findings if f.rule == "vocabulary/merges-incomplete"]
    assert finding.message.startswith("1 merges are missing, of 1 tokens")


@pytest.mark.parametrize(("version", "big_endian"), [(1, False), (2, False), (3, True)])
def test_versions_and_byte_orders(version: int, big_endian: bool, data_dir: Path, tmp_path: Path) -> None:
    parts = parts_of(data_dir / "vocab/ggml-vocab-llama-spm.gguf").copy()
    options = {"version": version, "big_endian": big_endian}
    assert report(tmp_path, parts, **options).ok
    (finding,) = [
        f for f in report(tmp_path, parts.swap(300, 9000), **options).findings if f.severity == "error"
    ]
    assert (finding.rule, finding.first_id, finding.last_id, finding.n_ids) == (
        "vocabulary/order",
        300,
        9000,
        2,
    )


# --------------------------------------------------------------------------------- what must be let through


def toy(n: int = 6, **more: object) -> Parts:
    return Parts("gpt2", [f"t{i}".encode() for i in range(n)], **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "model", ["gpt2", "llama", "bert", "t5", "gemma4", "rwkv", "plamo2", "plamo3", "other", "none"]
)
@pytest.mark.parametrize("n", [0, 1, 6, 3000])
def test_made_up_vocabularies_pass(model: str, n: int, tmp_path: Path) -> None:
    letters = random.Random(n)
    tokens = list(
        dict.fromkeys(bytes(letters.choices(b"abcdefgh", k=letters.randint(1, 9))) for _ in range(n))
    )
    for parts in (
        Parts(model, tokens, merges=[]),
        Parts(model, tokens, [1] * len(tokens), [0.0] * len(tokens)),
        Parts(model, tokens, [1] * len(tokens), [-float(i) for i in range(len(tokens))]),
        Parts(model, tokens, [1] * len(tokens), merges=[b"a b", b"b c", b"nothing", b" ", b""] * 20),
    ):
        assert report(tmp_path, parts).ok


@pytest.mark.parametrize("name", ["gpt-2", "llama-spm", "llama-bpe", "bert-bge"])
def test_extended_and_shortened_vocabularies_pass(name: str, data_dir: Path, tmp_path: Path) -> None:
    whole = parts_of(data_dir / f"vocab/ggml-vocab-{name}.gguf")
    n = len(whole.tokens)
    for kind in (1, 3, 4):
        extended = whole.copy()
        for i in range(100):
            extended.insert(n + i, f"<extra {i}>".encode(), kind)
        assert report(tmp_path, extended).ok
    untyped = whole.copy()
    untyped.types = untyped.scores = None
    assert report(tmp_path, untyped).ok
    reserved = whole.copy()
    for i in range(100):
        reserved.insert(n + i, b"[PAD%d]" % (n + i), 5)
    assert report(tmp_path, reserved).ok


@pytest.mark.parametrize("name", ["<extra_id_{}>", "<|reserved_special_token_{}|>", "[unused{}]", "<unk{}>"])
@pytest.mark.parametrize("descending", [False, True])
def test_numbered_placeholders(name: str, descending: bool, tmp_path: Path) -> None:
    """T5 counts down. Other special tokens may stand between; a name that is none says nothing."""
    numbers = range(99, -1, -1) if descending else range(100)
    texts = [name.format(i).encode() for i in numbers]
    tokens = [b"a", b"b", *texts[:40], b"<|im_end|>", b"<|end|>", *texts[40:], b"[PAD0]"]
    parts = Parts("llama", tokens, [1, 1, *[3] * 103])

    def found(parts: Parts) -> list[pyembed.Finding]:
        return [f for f in report(tmp_path, parts).findings if f.rule == "vocabulary/placeholder-order"]

    assert found(parts) == []
    known = name != "<unk{}>"
    assert [(f.first_id, f.last_id, f.shift) for f in found(parts.copy().swap(10, 60))] == [
        (10, 60, None)
    ] * known
    assert [(f.first_id, f.last_id, f.shift) for f in found(parts.copy().drop(30))] == [(30, 102, 1)] * known
    # Not all that has a number counts: every fifth, one of many names, too few.
    fifths = [name.format(5 * i).encode() for i in range(40)]
    assert found(Parts("llama", fifths)) == []
    assert found(Parts("llama", [*texts[:5], *texts[10:15]])) == []
    shuffled = random.Random(1).sample(texts, 100)
    assert found(Parts("llama", shuffled)) == []
    repeated = parts.copy()
    repeated.tokens[20] = repeated.tokens[19]
    assert len(found(repeated)) == 0
    # Each stands for a piece that was taken out of a list: between them are the pieces that stayed.
    gaps = [text for k, one in enumerate(texts) for text in (one, *[b"%d.%d" % (k, i) for i in range(k % 4)])]
    kinds = [1] * len(gaps)
    assert found(Parts("llama", gaps, kinds)) == []
    a, b = gaps.index(texts[20]), gaps.index(texts[70])
    assert [(f.first_id, f.last_id) for f in found(Parts("llama", gaps, kinds).swap(a, b))] == [
        (a, b)
    ] * known


@pytest.mark.parametrize("fairseq", ["by its first tokens", "by its pre-tokenizer", None])
def test_only_fairseq_numbers_by_frequency(fairseq: str | None, data_dir: Path, tmp_path: Path) -> None:
    parts = parts_of(data_dir / "vocab/ggml-vocab-gpt-2.gguf").copy()
    order = list(range(50_256))
    random.Random(0).shuffle(order)
    parts.move(0, 50_255, order)
    if fairseq == "by its first tokens":
        for token_id, text in enumerate((b"<s>", b"<pad>", b"</s>", b"<unk>")):
            parts.insert(token_id, text)
    elif fairseq:
        parts.others["tokenizer.ggml.pre"] = "roberta-bpe"
    found = report(tmp_path, parts)
    assert found.verdict == ("unverified" if fairseq else "wrong")
    conclusion = next(known for known in found.verdicts if known.evidence == "vocabulary")
    assert (conclusion.has_evidence, "no law of order" in conclusion.text) == (not fairseq, bool(fairseq))


@pytest.mark.parametrize("model", ["llama", "gpt2"])
def test_long_tokens_cost_linear_time(model: str, tmp_path: Path) -> None:
    """Each cut of 8 MiB hashed from its beginning would be 32 TiB: an hour, where a second is enough."""
    long = b"b" * (8 << 20)
    tokens = [b"a" * i for i in range(1, 600)] + [long, long + b"a"]
    types, scores = [1] * len(tokens), [-float(i) for i in range(len(tokens))]
    merges = [cut for i in range(1, 599) for cut in (b"a " + b"a" * i, b"a" * i + b" a")] + [long + b" a"]
    parts = Parts(model, tokens, types, scores, merges=merges if model == "gpt2" else None)
    path = tmp_path / "long.gguf"
    path.write_bytes(parts.to_bytes())
    code = "import sys, pyembed; print(pyembed.validate(sys.argv[1]).to_json())"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    (verdict,) = [known for known in json.loads(done.stdout)["verdicts"] if known["evidence"] == "vocabulary"]
    assert verdict["has_evidence"], verdict


# ------------------------------------------------------------------------------------------------- pieces


def test_texts_are_described(tmp_path: Path) -> None:
    tokens = [
        b"",
        b"a\0",
        b"\xff",
        b"<0x0a>",
        b"[PAD7]",
        b"<unused12>",
        "\u2581x".encode(),
        b"aaa",
        b"[PAD7]",
    ]
    path = tmp_path / "m.gguf"
    path.write_bytes(Parts("llama", tokens).to_bytes())
    with pyembed.load_model(path, validate="off") as model:
        facts, splits, products, *_ = model.vocabulary.examine(splits=True)
    assert [int(flags) & 15 for flags in facts["flags"]] == [1, 2, 4, 8, 0, 0, 0, 0, 0]
    assert facts["number"].tolist() == [0, 0, 0, 10, 7, 12, 0, 0, 7]
    assert facts["first_id"].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 4]
    assert facts["n_code_points"].tolist() == [0, 2, 1, 6, 6, 10, 2, 3, 6]
    assert (products.size, splits["n"].tolist()) == (0, [0, 0, 0xFFFFFFFF, 0, 0, 0, 0, 0, 0])


def test_merges_and_cuts_in_ids(tmp_path: Path) -> None:
    tokens = [b"a", b"b", b"ab", b"aba", b" c", b" ca", b"cc", b"c"]
    path = tmp_path / "m.gguf"
    merges = [b"a b", b"ab a", b"a ba", b" c a", b"ab", b"", b"x y", b"c c"]
    path.write_bytes(Parts("gpt2", tokens, merges=merges).to_bytes())
    with pyembed.load_model(path, validate="off") as model:
        _, splits, products, flags, first = model.vocabulary.examine(splits=True)
    assert first.tolist() == [0, 1, 3, 7]
    none = 0xFFFFFFFF
    assert products.tolist() == [2, 3, 3, 5, none, none, none, 6]
    assert flags.tolist() == [0, 0, lib.PYE_MERGE_RIGHT_UNKNOWN, 0, 7, 7, 7, lib.PYE_MERGE_LATE]
    assert splits.tolist() == [(0, 0), (0, 0), (1, 1), (1, 1), (0, 0), (1, 1), (1, 1), (0, 0)]


def test_facts_of_merges_are_asked_for_together(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(Parts("gpt2", [b"a", b"b", b"ab"], merges=[b"a b"]).to_bytes())
    products, error = ffi.new("uint32_t[]", 2), ffi.new("pye_error *")
    facts = ffi.new("pye_vocabulary_facts *", {"struct_bytes": ffi.sizeof("pye_vocabulary_facts")})
    facts.products, facts.n_merges = products, 1
    with pyembed.load_model(path, validate="off") as model:
        handle = model.vocabulary._handle()
        assert lib.pye_vocabulary_examine(handle, facts, error) == lib.PYE_ERROR_ARGUMENT
        assert b"given together" in ffi.string(error.message)
        flags, first, n_first = ffi.new("uint8_t[]", 2), ffi.new("uint32_t[]", 2), ffi.new("uint64_t *")
        facts.merge_flags, facts.first_merges, facts.n_first_merges, facts.n_merges = flags, first, n_first, 2
        assert lib.pye_vocabulary_examine(handle, facts, error) == lib.PYE_ERROR_ARGUMENT
        assert b"not an array of 2 strings" in ffi.string(error.message)
        facts.n_merges = 1
        assert lib.pye_vocabulary_examine(handle, facts, error) == lib.PYE_OK
    assert (list(products), list(flags), first[0], n_first[0]) == ([2, 0], [0, 0], 0, 1)


def orders(ids: Sequence[int]) -> tuple[list[tuple[int, int, int]], list[int]]:
    found = find_order(np.array(ids, np.int64), np.arange(len(ids)))
    assert found is not None
    return found.blocks, found.odd.tolist()


def test_orders() -> None:
    whole = list(range(100))
    assert orders(whole) == ([], [])
    swapped = [*whole[:10], 60, *whole[11:60], 10, *whole[61:]]
    assert orders(swapped) == ([], [10, 60])
    assert orders([*whole[:40], *(i + 1 for i in whole[40:])]) == ([(1, 40, 99)], [])
    assert orders([1, 0, *whole[2:]]) == ([], [0, 1])
    assert orders([*whole[:98], 99, 98]) == ([], [98, 99])
    shuffled = random.Random(1).sample(whole, 100)
    assert find_order(np.array(shuffled), np.arange(100)) is None


def test_descents() -> None:
    assert np.flatnonzero(out_of_order(np.array([1, 2, 9, 4, 5, 6, 3, 10]))).tolist() == [2, 6]
    assert np.flatnonzero(out_of_order(np.array([1, 3, 2, 4]))).tolist() == [1, 2]
    assert not out_of_order(np.array([1, 1, 2, 2])).any()
