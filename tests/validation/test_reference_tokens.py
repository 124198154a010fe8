"""Token lists of models against tokenizer files, written here by independent code, clean and mutated."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import gguf
import pytest

import pyembed
from pyembed.validation import Finding, Report, kinds
from pyembed.validation.reference import open_reference
from tests.helpers.model_files import write_model

FAMILIES = [
    *("gpt-2", "qwen2", "llama-spm", "phi-3", "bert-bge", "nomic-bert-moe"),
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("llama-bpe", "gemma-4")),
]


@pytest.fixture(autouse=True)
def reference_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out other kinds of evidence, which take longer and have tests of their own."""
    alone = [kind for kind in kinds.KINDS if kind.module.EVIDENCE.name == "reference"]
    monkeypatch.setattr(kinds, "KINDS", tuple(alone))


def vocabulary_path(data_dir: Path, name: str) -> Path:
    return data_dir / "vocab" / f"ggml-vocab-{name}.gguf"


def validate(path: Path, reference: object) -> Report:
    with pyembed.load_model(path, validate="off") as model:
        return model.validate("order", reference)


def of_reference(report: Report) -> list[Finding]:
    return [finding for finding in report.findings if finding.rule.startswith("reference/")]


def facts(report: Report) -> list[tuple[object, ...]]:
    return [
        (f.rule.split("/")[1], f.severity.value, f.first_id, f.last_id, f.shift) for f in of_reference(report)
    ]


def verdict(report: Report) -> str:
    return next(v.text for v in report.verdicts if v.evidence == "reference")


def tokenizer_json(model: pyembed.Model) -> dict[str, object]:
    """Return what Hugging Face would store for a model's vocabulary, padding left out."""
    vocabulary = model.vocabulary
    tokens = [t for t in vocabulary if not t.text.startswith("[PAD") or vocabulary.model == "bert"]
    added = [
        {"id": t.id, "content": t.text, "special": t.type == pyembed.TokenType.CONTROL}
        for t in tokens
        if t.type in (pyembed.TokenType.CONTROL, pyembed.TokenType.USER_DEFINED)
    ]
    merges = model.metadata.get("tokenizer.ggml.merges")
    if vocabulary.model == "t5":
        vocab: object = [[t.text, t.score] for t in tokens]
        return {"model": {"type": "Unigram", "vocab": vocab}, "added_tokens": added}
    if vocabulary.model == "bert":

        def unmarked(t: pyembed.Token) -> str:
            if t.type == pyembed.TokenType.CONTROL or (t.text[0] == "[" and t.text[-1] == "]"):
                return t.text
            return t.text[1:] if t.text[0] == "\u2581" else f"##{t.text}"

        vocab = {unmarked(t): t.id for t in tokens}
        return {"model": {"type": "WordPiece", "vocab": vocab}, "added_tokens": added}
    skipped = {entry["id"] for entry in added}
    vocab = {t.text: t.id for t in tokens if t.id not in skipped}
    content = {
        "model": {"type": "BPE", "vocab": vocab, "merges": list(merges or [])},
        "added_tokens": added,
    }
    if vocabulary.model == "gpt2":
        content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}]}
    return content


def write_json(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content), "utf-8")
    return path


@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_agrees_with_its_tokenizer_json(data_dir: Path, tmp_path: Path, name: str) -> None:
    path = vocabulary_path(data_dir, name)
    with pyembed.load_model(path, validate="off") as model:
        reference = write_json(tmp_path / "tokenizer.json", tokenizer_json(model))
    report = validate(path, reference)
    assert [f for f in of_reference(report) if f.severity != "note"] == []
    found = {f.rule for f in of_reference(report)}
    assert found <= {"reference/extra-token"}
    assert "tokens" in verdict(report)


@pytest.mark.parametrize("name", ["gpt-2", "llama-spm", "bert-bge"])
def test_each_mutation_of_a_tokenizer_json_is_named(data_dir: Path, tmp_path: Path, name: str) -> None:
    path = vocabulary_path(data_dir, name)
    with pyembed.load_model(path, validate="off") as model:
        content = tokenizer_json(model)
        n = len(model.vocabulary)
    added = content["added_tokens"]
    clean = dict(content["model"]["vocab"])  # type: ignore[index]
    texts = list(clean)
    folder = tmp_path

    def against(vocab: dict[str, int], specials: object = added) -> Report:
        content["model"]["vocab"] = vocab  # type: ignore[index]
        content["added_tokens"] = specials
        return validate(path, write_json(folder / "tokenizer.json", content))

    a, b = texts[7000], texts[9000]
    i, j = clean[a], clean[b]
    swapped = against({**clean, a: j, b: i})
    assert facts(swapped) == [("permuted", "error", i, j, j - i)]
    assert not swapped.ok

    dropped = {t: (k if k < i else k - 1) for t, k in clean.items() if k != i}
    moved_specials = [{**entry, "id": entry["id"] - (entry["id"] > i)} for entry in added]  # type: ignore[attr-defined]
    assert ("shifted", "error", i + 1, n - 1, -1) in facts(against(dropped, moved_specials))

    inserted = {t: (k if k < i else k + 1) for t, k in clean.items()}
    inserted["a token of no model"] = i
    moved_specials = [{**entry, "id": entry["id"] + (entry["id"] >= i)} for entry in added]  # type: ignore[attr-defined]
    found = facts(against(inserted, moved_specials))
    assert ("shifted", "error", i, n - 1, 1) in found
    assert ("missing-token", "warning", i, i, None) in found

    renamed = {("zzqzz" if k == i else t): k for t, k in clean.items()}
    assert facts(against(renamed)) == [("replaced-token", "error", i, i, None)]

    shuffled = dict(zip(texts, [clean[t] for t in sorted(texts)], strict=True))
    assert not against(shuffled).ok

    extended = {**clean, "zzqz another": n, "zzqz more": n + 1}
    report = against(extended)
    assert facts(report) == [("missing-token", "warning", n, n + 1, None)]
    assert report.ok


def test_bert_agrees_with_its_vocab_txt(data_dir: Path, tmp_path: Path) -> None:
    path = vocabulary_path(data_dir, "bert-bge")
    with pyembed.load_model(path, validate="off") as model:
        lines = list(tokenizer_json(model)["model"]["vocab"])  # type: ignore[index]
    (tmp_path / "words").write_text("\n".join(lines) + "\n", "utf-8")
    report = validate(path, tmp_path / "words")
    assert facts(report) == []
    assert verdict(report) == "all 30522 tokens are those of the vocab.txt"
    del lines[1500]
    (tmp_path / "words").write_bytes("\r\n".join(lines).encode())
    assert ("shifted", "error", 1501, 30521, -1) in facts(validate(path, tmp_path / "words"))


def test_gpt_2_agrees_with_vocab_json_and_merges(data_dir: Path, tmp_path: Path) -> None:
    path = vocabulary_path(data_dir, "gpt-2")
    with pyembed.load_model(path, validate="off") as model:
        vocab = {t.text: t.id for t in model.vocabulary}
        merges = list(model.metadata["tokenizer.ggml.merges"])
    write_json(tmp_path / "vocab.json", vocab)
    (tmp_path / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", "utf-8")
    assert facts(validate(path, tmp_path / "vocab.json")) == []
    assert facts(validate(path, tmp_path)) == []
    merges[10], merges[20] = merges[20], merges[10]
    (tmp_path / "merges.txt").write_text("\n".join(merges), "utf-8")
    found = of_reference(validate(path, tmp_path))
    assert [(f.rule, f.severity) for f in found] == [("reference/merges", "warning")]
    assert "merge 10 is" in found[0].message


def test_llama_agrees_with_tiktoken_ranks(data_dir: Path, tmp_path: Path) -> None:
    path = vocabulary_path(data_dir, "llama-bpe")
    with pyembed.load_model(path, validate="off") as model:
        pieces = [t.bytes for t in model.vocabulary[:128000]]
    lines = [base64.b64encode(piece) + b" %d" % rank for rank, piece in enumerate(pieces)]
    (tmp_path / "x.tiktoken").write_bytes(b"\n".join(lines) + b"\n")
    report = validate(path, tmp_path / "x.tiktoken")
    assert facts(report) == [("extra-token", "note", 128000, 128255, None)]
    lines[5000] = b"!" + lines[5000]
    (tmp_path / "x.tiktoken").write_bytes(b"\n".join(lines))
    with pytest.raises(pyembed.FormatError, match=r"x\.tiktoken: line 5001 \(at byte \d+\)"):
        validate(path, tmp_path / "x.tiktoken")


def test_a_sentencepiece_model_agrees_with_its_conversion(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    text = tmp_path / "text.txt"
    text.write_text("\n".join(f"the king of {n} towns was a kind man" for n in range(200)), "utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(text),
        model_prefix=str(tmp_path / "sp"),
        vocab_size=300,
        model_type="bpe",
        byte_fallback=True,
        minloglevel=2,
    )
    model = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "sp.model"))
    n = model.get_piece_size()
    tokens = [model.id_to_piece(i) for i in range(n)]
    types = [
        3 if model.is_control(i) else 2 if model.is_unknown(i) else 6 if model.is_byte(i) else 1
        for i in range(n)
    ]
    scores = [model.get_score(i) for i in range(n)]
    path = write_model(tmp_path / "m.gguf", model="llama", tokens=tokens, types=types, scores=scores)
    assert facts(validate(path, tmp_path / "sp.model")) == []
    tokens[270], tokens[280] = tokens[280], tokens[270]
    path = write_model(tmp_path / "m.gguf", model="llama", tokens=tokens, types=types, scores=scores)
    assert ("permuted", "error", 270, 280, 10) in facts(validate(path, tmp_path / "sp.model"))


def test_the_order_of_fairseq_is_known(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    text = tmp_path / "text.txt"
    text.write_text("\n".join(f"the king of {n} towns was a kind man" for n in range(200)), "utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(tmp_path / "sp"), vocab_size=46, minloglevel=2
    )
    model = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "sp.model"))
    pieces = range(3, model.get_piece_size())
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *map(model.id_to_piece, pieces), "<mask>"]
    n = len(tokens)
    types = [3, 3, 3, 2, *[1] * len(pieces), 3]
    scores = [0.0] * 4 + [model.get_score(i) for i in pieces] + [0.0]

    def found(tokens: list[str], **others: int) -> list[tuple[object, ...]]:
        roles = {"bos_token_id": 0, "eos_token_id": 2, "unknown_token_id": 3, **others}

        def add(writer: gguf.GGUFWriter) -> None:
            for name, token_id in roles.items():
                writer.add_uint32(f"tokenizer.ggml.{name}", token_id)

        path = write_model(
            tmp_path / "m.gguf", model="t5", tokens=tokens, types=types, scores=scores, add=add
        )
        return facts(validate(path, tmp_path / "sp.model"))

    known = [("fairseq-order", "note", None, None, None), ("extra-token", "note", 1, n - 1, None)]
    assert found(tokens) == known
    assert ("special-id", "warning", 1, 1, None) in found(tokens, eos_token_id=1)
    swapped = [*tokens[:10], tokens[20], *tokens[11:20], tokens[10], *tokens[21:]]
    assert ("permuted", "error", 10, 20, 10) in found(swapped)
    late = [*tokens[:30], "zzzz", *tokens[30:-1]]
    assert ("shifted", "error", 31, n - 1, -1) in found(late)
    # Without the four of fairseq a shift is one.
    assert ("shifted", "error", 4, n - 2, -1) in found(["<unk>", "<s>", "</s>", "x", *tokens[4:]])


@pytest.mark.parametrize("kind", ["BPE", "WordPiece", "Unigram"])
def test_files_of_the_tokenizers_library_are_read(tmp_path: Path, kind: str) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    from tokenizers import models, pre_tokenizers, trainers

    words = [f"the king of {n} towns was a kind man" for n in range(200)]
    special = ["[UNK]", "<s>", "</s>"]
    if kind == "BPE":
        tokenizer = tokenizers.Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
        trainer: object = trainers.BpeTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    elif kind == "WordPiece":
        tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        trainer = trainers.WordPieceTrainer(vocab_size=100, special_tokens=special, show_progress=False)
    else:
        tokenizer = tokenizers.Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=60, special_tokens=special, unk_token="[UNK]", show_progress=False
        )
    tokenizer.train_from_iterator(words, trainer)
    tokenizer.add_tokens(["added token"])
    tokenizer.save(str(tmp_path / "any-name"))
    reference = open_reference(tmp_path / "any-name")
    assert reference.file.tokens is not None
    assert list(reference.file.tokens.ids) == list(range(tokenizer.get_vocab_size()))
    assert list(reference.file.tokens.texts) == [tokenizer.id_to_token(i) for i in reference.file.tokens.ids]
    assert reference.file.family == {"BPE": "gpt2", "WordPiece": "bert", "Unigram": "t5"}[kind]


def test_digests(data_dir: Path) -> None:
    path = vocabulary_path(data_dir, "gpt-2")
    with pyembed.load_model(path, validate="off") as model:
        digest = model.vocabulary.digest
    assert facts(validate(path, digest)) == []
    wrong = digest[:-1] + ("0" if digest[-1] != "0" else "1")
    assert [fact[:2] for fact in facts(validate(path, wrong))] == [("digest", "error")]
    with pytest.raises(ValueError, match="is not a digest"):
        validate(path, "sha256:12")


def test_another_family_is_unrelated(data_dir: Path) -> None:
    report = validate(vocabulary_path(data_dir, "gpt-2"), vocabulary_path(data_dir, "bert-bge"))
    assert [fact[:2] for fact in facts(report)] == [("unrelated", "error")]
    assert "families gpt2 and bert" in of_reference(report)[0].message


def test_special_tokens_typed_or_named_otherwise(tmp_path: Path) -> None:
    texts = ["<unk>", "<s>", "</s>", "a", "b", "<turn>"]
    types = [2, 3, 3, 1, 1, 3]
    a = write_model(tmp_path / "a.gguf", model="llama", tokens=texts, types=types)
    wrong = [2, 3, 3, 1, 1, 1]
    b = write_model(
        tmp_path / "b.gguf",
        model="llama",
        tokens=texts,
        types=wrong,
        add=lambda writer: writer.add_eos_token_id(5),
    )
    assert facts(validate(b, a)) == [
        ("special-id", "warning", 5, 5, None),
        ("token-type", "warning", 5, 5, None),
    ]
    c = write_model(tmp_path / "c.gguf", model="llama", tokens=[*texts[:5], "[PAD5]"], types=types)
    assert facts(validate(c, a)) == [("replaced-token", "error", 5, 5, None)]


BAD = [
    ("{", "not JSON"),
    ("[" * 100000, "not a kind|nested"),
    ('{"model": ' + '{"vocab": ' * 50000, "nested too deeply|not JSON"),
    ('{"model": {"type": "Odd", "vocab": {}}}', "model of type 'Odd'"),
    ('{"model": {"type": "BPE", "vocab": {"a": -1}}}', "the id of 'a' is -1, outside"),
    ('{"model": {"type": "BPE", "vocab": {"a": 2147483648}}}', "the id of 'a' is 2147483648, outside"),
    ('{"model": {"type": "BPE", "vocab": {"a": 1, "b": 1}}}', "'a' and 'b' both have id 1"),
    ('{"model": {"type": "BPE", "vocab": {"a": 1, "a": 2}}}', "'a' stands twice"),
    ('{"model": {"type": "BPE", "vocab": {"a": true}}}', "must be an integer"),
    ('{"model": {"type": "BPE", "vocab": {"a": 1.5}}}', "must be an integer"),
    ('{"model": {"type": "BPE", "vocab": [1]}}', "model.vocab must be an object, not a list"),
    ('{"model": {"type": "Unigram", "vocab": [1]}}', r"model.vocab\[0\] must be a pair"),
    ('{"model": {"type": "BPE", "vocab": {}, "merges": [1]}}', r"model.merges\[0\]"),
    (
        '{"model": {"vocab": {}, "merges": []}, "added_tokens": [{}]}',
        r"added_tokens\[0\] must be an object with content",
    ),
    ('{"version": "1.0"}', "not a kind of reference that is known"),
    ("\nbinary\x00\x01", "SentencePiece"),
    ("just words", "not a kind of reference"),
    ("", "not a kind of reference"),
]


@pytest.mark.parametrize(("content", "message"), BAD, ids=range(len(BAD)))
def test_bad_references_say_which_file_and_what(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "reference"
    path.write_text(content, "utf-8")
    with pytest.raises(pyembed.FormatError, match=message) as caught:
        open_reference(path)
    assert str(path) in str(caught.value)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(b"[UNK]\nabc\xff\n")
    with pytest.raises(pyembed.FormatError, match=r"not UTF-8 \(at byte 9\)"):
        open_reference(path)
    with pytest.raises(FileNotFoundError):
        open_reference(tmp_path / "absent")
    with pytest.raises(pyembed.FormatError, match="the directory holds no tokenizer"):
        open_reference(tmp_path / "..")
    with pytest.raises(TypeError, match="reference is of type int"):
        open_reference(5)


def test_ids_far_apart_take_no_memory(tmp_path: Path) -> None:
    path = write_json(
        tmp_path / "x", {"model": {"type": "BPE", "vocab": {"a": 0, "b": 2**31 - 1}, "merges": []}}
    )
    reference = open_reference(path)
    assert reference.file.tokens is not None
    assert list(reference.file.tokens.ids) == [0, 2**31 - 1]
    model = write_model(tmp_path / "m.gguf", model="gpt2", tokens=["a", "b"])
    assert facts(validate(model, path)) == [("permuted", "error", 1, 1, 2**31 - 2)]
