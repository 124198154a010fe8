"""Tokenizers as folders hold them: added tokens, roles by name, and the kinds of files that say it all."""

from __future__ import annotations

import base64
from pathlib import Path

import gguf
import pytest

import pyembed
from pyembed.validation.reference import open_reference
from tests.helpers.model_files import write_model
from tests.helpers.tokenizer_files import (
    field,
    sentencepiece_model,
    spm_pieces,
    tekken,
    varint,
    write_json,
)

PIECES = spm_pieces()
N = len(PIECES)
TEXTS = [text for text, _, _ in PIECES]
SCORES = [score for _, score, _ in PIECES]
TYPES = [kind for _, _, kind in PIECES]
ADDED = ["<|im_end|>", "<|im_start|>"]


def write_spm(path: Path, added: list[str] = ADDED, *, eos: int = N, **options: object) -> Path:
    parts = {
        "tokens": [*TEXTS, *added],
        "scores": SCORES + [-1000.0] * len(added),
        "types": TYPES + [3] * len(added),
        **options,
    }
    return write_model(path, model="llama", add=lambda writer: writer.add_eos_token_id(eos), **parts)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "hf"
    path.mkdir()
    (path / "tokenizer.model").write_bytes(sentencepiece_model(PIECES))
    return path


def found(model: Path, reference: object) -> list[tuple[object, ...]]:
    return [
        (f.rule.split("/")[1], f.severity.value, f.first_id, f.last_id)
        for f in pyembed.compare(model, reference).findings
        if f.rule.startswith("reference/")  # test_text.py has those of how texts are cut
    ]  # type: ignore[arg-type]


# -------------------------------------------------------------------------------- added tokens


def test_added_tokens_beside_a_sentencepiece_model_count(tmp_path: Path, folder: Path) -> None:
    ids = {text: N + k for k, text in enumerate(ADDED)}
    good, swapped = write_spm(tmp_path / "a.gguf"), write_spm(tmp_path / "b.gguf", ADDED[::-1])
    assert ("extra-token", "note", N, N + 1) in found(good, folder)
    # Special tokens of the model are repeated in some folders, and keep their types.
    write_json(folder / "added_tokens.json", {**ids, "</s>": 2, "<s>": 1, "<unk>": 0})
    write_json(folder / "tokenizer_config.json", {"eos_token": "<|im_end|>"})
    assert found(good, folder) == []
    assert found(swapped, folder) == [("permuted", "error", N, N + 1)]
    (folder / "added_tokens.json").unlink()
    decoder = {str(k): {"content": text, "special": True} for text, k in ids.items()}
    write_json(
        folder / "tokenizer_config.json",
        {"eos_token": {"content": "<|im_end|>"}, "added_tokens_decoder": decoder},
    )
    assert found(good, folder) == []
    assert found(good, folder / "tokenizer.model") == []
    assert found(swapped, folder) == [("permuted", "error", N, N + 1)]
    assert found(write_spm(tmp_path / "c.gguf", eos=2), folder) == [("special-id", "warning", 2, 2)]


def test_roles_without_a_token_of_that_text_are_unknown(tmp_path: Path, folder: Path) -> None:
    write_json(folder / "tokenizer_config.json", {"eos_token": "<|gone|>"})
    assert "eos" not in open_reference(folder).file.special
    write_json(folder / "tokenizer_config.json", {"eos_token": None})
    assert open_reference(folder).file.special["eos"] == 2


def test_an_added_token_takes_the_place_of_a_piece(tmp_path: Path, folder: Path) -> None:
    write_json(folder / "added_tokens.json", {"<|tool|>": 300})
    assert ("replaced-token", "error", 300, 300) in found(write_spm(tmp_path / "a.gguf"), folder)
    renamed = [*TEXTS[:300], "<|tool|>", *TEXTS[301:], *ADDED]
    kinds = [*TYPES[:300], 3, *TYPES[301:], 3, 3]
    model = write_spm(tmp_path / "b.gguf", tokens=renamed, types=kinds)
    assert {rule for rule, *_ in found(model, folder)} == {"extra-token", "special-id"}


def test_added_tokens_beside_ranks_count(tmp_path: Path) -> None:
    folder = tmp_path / "hf"
    folder.mkdir()
    lines = [base64.b64encode(bytes([byte])) + b" %d" % byte for byte in range(256)]
    (folder / "tiktoken.model").write_bytes(b"\n".join(lines))
    decoder = {str(256 + k): {"content": text, "special": True} for k, text in enumerate(ADDED)}
    write_json(folder / "tokenizer_config.json", {"added_tokens_decoder": decoder})
    good = write_bpe(tmp_path / "a.gguf", [bytes([byte]) for byte in range(256)], ADDED, first=False)
    swapped = write_bpe(tmp_path / "b.gguf", [bytes([byte]) for byte in range(256)], ADDED[::-1], first=False)
    assert found(good, folder) == []
    assert found(swapped, folder) == [("permuted", "error", 256, 257)]


def test_a_tokenizer_json_keeps_its_own_tokens(tmp_path: Path) -> None:
    content = {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}, "added_tokens": []}
    path = write_json(tmp_path / "tokenizer.json", content)
    write_json(tmp_path / "added_tokens.json", {"b": 0, "<x>": 1, "<y>": 2})
    tokens = open_reference(path).file.tokens
    assert tokens is not None
    assert list(tokens.texts) == ["a", "b", "<y>"]


# -------------------------------------------------------------------------------- kinds of files

NAMES = ["spiece.model", "sentencepiece.bpe.model", "spm.model", "tokenizer.model.v3"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_sentencepiece_models(tmp_path: Path, folder: Path, name: str) -> None:
    (folder / "tokenizer.model").rename(folder / name)
    model = write_spm(tmp_path / "a.gguf", [], eos=2)
    assert found(model, folder) == []
    text = [*TEXTS[:300], TEXTS[301], TEXTS[300], *TEXTS[302:]]
    score = [*SCORES[:300], SCORES[301], SCORES[300], *SCORES[302:]]
    swapped = write_spm(tmp_path / "b.gguf", [], eos=2, tokens=text, scores=score)
    assert found(swapped, folder) == [("permuted", "error", 300, 301)]


def test_the_highest_version_of_a_tokenizer_counts(folder: Path) -> None:
    (folder / "tokenizer.model").rename(folder / "tokenizer.model.v3")
    (folder / "tokenizer.model.v11").write_bytes(sentencepiece_model([*PIECES, ("zz", -900.0, 1)]))
    assert open_reference(folder).file.path.endswith("v11")


def write_bpe(path: Path, tokens: list[bytes], special: list[str], *, first: bool = True) -> Path:
    """Write a byte-level BPE model, its special tokens before the others or behind them."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    symbol = {byte: chr(byte) for byte in printable} | {byte: chr(256 + k) for k, byte in enumerate(others)}
    texts = ["".join(symbol[byte] for byte in token) for token in tokens]
    kinds, added = [1] * len(texts), [3] * len(special)

    def add(writer: gguf.GGUFWriter) -> None:
        writer.add_token_merges(["a b"])
        if first:
            writer.add_bos_token_id(1)
            writer.add_eos_token_id(2)

    return write_model(
        path,
        model="gpt2",
        tokens=[*special, *texts] if first else [*texts, *special],
        types=[*added, *kinds] if first else [*kinds, *added],
        add=add,
    )


def test_tekken(tmp_path: Path) -> None:
    tokens = [*(bytes([byte]) for byte in range(256)), b"ab", b"\xe4\xbd", b"never used"]
    special = ["<unk>", "<s>", "</s>", "[INST]"]
    path = write_json(tmp_path / "tekken.json", tekken(tokens, special, n_special=6, n_all=6 + 258))
    listed = [*special, "<SPECIAL_4>", "<SPECIAL_5>"]
    good = write_bpe(tmp_path / "a.gguf", tokens[:258], listed)
    assert found(good, path) == []
    assert found(good, tmp_path) == []
    swapped = write_bpe(tmp_path / "b.gguf", tokens[:258], [*listed[:3], "<SPECIAL_4>", "[INST]", listed[5]])
    assert found(swapped, path) == [("permuted", "error", 3, 4)]
    shorter = write_bpe(tmp_path / "c.gguf", [*tokens[:256], tokens[257]], listed)
    assert found(shorter, path) == [("permuted", "error", 262, 262), ("missing-token", "warning", 262, 262)]


def test_tekken_without_a_list_of_special_tokens(tmp_path: Path) -> None:
    path = write_json(tmp_path / "tekken.json", tekken([b"a", b"b"], None, n_special=22))
    file = open_reference(path).file
    assert file.tokens is not None
    assert list(file.tokens.texts[:4]) == ["<unk>", "<s>", "</s>", "[INST]"]
    assert list(file.tokens.texts[19:]) == ["[TOOL_CONTENT]", "<SPECIAL_20>", "<SPECIAL_21>", "a", "b"]
    assert file.special == {"bos": 1, "eos": 2, "unk": 0, "pad": 11}


def test_sentencepiece_models_are_read_as_sentencepiece_reads_them(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    text = tmp_path / "text.txt"
    text.write_text("\n".join(f"the king of {n} towns was a kind man" for n in range(200)), "utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(text),
        model_prefix=str(tmp_path / "sp"),
        vocab_size=330,
        byte_fallback=True,
        pad_id=3,
        bos_piece="[B]",
        user_defined_symbols=["<think>", "[tool]"],
        control_symbols=["<turn>"],
        hard_vocab_limit=False,
        minloglevel=2,
    )
    model = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "sp.model"))
    file = open_reference(tmp_path / "sp.model").file
    assert file.tokens is not None
    ids = range(model.get_piece_size())
    assert list(file.tokens.texts) == [model.id_to_piece(i) for i in ids]
    assert list(file.tokens.scores or []) == [model.get_score(i) for i in ids]
    kinds = [
        3 if model.is_control(i) else 2 if model.is_unknown(i) else 6 if model.is_byte(i) else 1 for i in ids
    ]
    user_defined = [file.tokens.texts.index("<think>"), file.tokens.texts.index("[tool]")]
    assert list(file.tokens.types) == [4 if i in user_defined else kind for i, kind in enumerate(kinds)]
    roles = {"bos": model.bos_id(), "eos": model.eos_id(), "unk": model.unk_id(), "pad": model.pad_id()}
    assert file.special == roles


def test_fairseq_with_added_tokens(tmp_path: Path) -> None:
    folder = tmp_path / "hf"
    folder.mkdir()
    pieces = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3), *PIECES[259:]]
    (folder / "sentencepiece.bpe.model").write_bytes(sentencepiece_model(pieces))
    n = len(pieces) + 1
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *TEXTS[259:], "<mask>"]
    kinds, scores = [3, 3, 3, 2, *TYPES[259:], 3], [0.0] * 4 + SCORES[259:] + [0.0]
    model = write_model(tmp_path / "a.gguf", model="t5", tokens=tokens, types=kinds, scores=scores)
    decoder = {str(k): {"content": tokens[k], "special": True} for k in [0, 1, 2, 3, n]}
    write_json(folder / "added_tokens.json", {"<mask>": n})
    assert {rule for rule, *_ in found(model, folder)} == {"fairseq-order", "extra-token", "special-id"}
    write_json(folder / "tokenizer_config.json", {"added_tokens_decoder": decoder})
    assert {rule for rule, *_ in found(model, folder)} == {"special-id"}
    swapped = [*tokens[:40], tokens[41], tokens[40], *tokens[42:]]
    wrong = write_model(tmp_path / "b.gguf", model="t5", tokens=swapped, types=kinds, scores=scores)
    assert ("permuted", "error", 40, 41) in found(wrong, folder)


# -------------------------------------------------------------------------------- types, scores and merges


def test_user_defined_tokens_typed_as_text(tmp_path: Path) -> None:
    added = [("<|end|>", True), ("<think>", False), ("</think>", False)]
    vocab = {chr(97 + k): k for k in range(26)}
    content = {
        "added_tokens": [{"id": 26 + k, "content": text, "special": s} for k, (text, s) in enumerate(added)],
        "pre_tokenizer": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    }
    path = write_json(tmp_path / "tokenizer.json", content)

    def write(*kinds: int) -> Path:
        texts = [*vocab, *(text for text, _ in added)]
        return write_model(tmp_path / "a.gguf", model="gpt2", tokens=texts, types=[1] * 26 + list(kinds))

    assert found(write(3, 4, 4), path) == []
    assert found(write(3, 3, 4), path) == []  # converters decide by the text, too
    assert found(write(3, 1, 1), path) == [("token-type", "warning", 27, 28)]
    assert found(write(1, 4, 4), path) == [("token-type", "warning", 26, 26)]


def test_types_of_models_differ_either_way(tmp_path: Path) -> None:
    a = write_spm(tmp_path / "a.gguf")
    kinds = [*TYPES, 3, 3]
    kinds[300] = 3
    b = write_spm(tmp_path / "b.gguf", types=kinds)
    assert found(a, b) == found(b, a) == [("token-type", "warning", 300, 300)]
    kinds[300], kinds[N] = 1, 4
    c = write_spm(tmp_path / "c.gguf", types=kinds)
    assert found(a, c) == found(c, a) == [("token-type", "note", N, N)]


def test_a_pair_of_scores_is_seen(tmp_path: Path, folder: Path) -> None:
    scores = [*SCORES, -1000.0, -1000.0]
    scores[300], scores[310] = scores[310], scores[300]
    model, clean = write_spm(tmp_path / "a.gguf", scores=scores), write_spm(tmp_path / "b.gguf")
    assert found(model, clean) == [("scores", "warning", 300, 310)]
    assert ("scores", "warning", 300, 310) in found(model, folder)
    scores[300] -= 7.0  # a converter's own, as it may be
    assert found(write_spm(tmp_path / "c.gguf", scores=scores), clean) == [("scores", "note", 300, 310)]


def test_a_model_without_scores_is_not_one_with_them(tmp_path: Path) -> None:
    """A short list obeys no law that would show it."""
    kept = [*range(3), *range(259, 279)]

    def write(name: str, scores: list[float] | None) -> Path:
        parts = {"tokens": [TEXTS[i] for i in kept], "types": [TYPES[i] for i in kept]}
        return write_model(tmp_path / name, model="llama", scores=scores, **parts)  # type: ignore[arg-type]

    right = write("right.gguf", [SCORES[i] for i in kept])
    without, same = write("without.gguf", None), write("same.gguf", [-1000.0] * len(kept))
    report = pyembed.validate(without, reference=right)
    assert not report.ok
    assert [f.message for f in report.findings if f.rule == "reference/scores"] == [
        "the model has no scores, the reference those of 20 of its tokens"
    ]
    assert found(without, same) == []
    pyembed.repair(without, right).apply(tmp_path / "out.gguf")
    with pyembed.load_model(tmp_path / "out.gguf") as model, pyembed.load_model(right) as wanted:
        assert list(model.vocabulary.scores) == list(wanted.vocabulary.scores)


def test_scores_of_a_unigram_tokenizer_json(tmp_path: Path) -> None:
    pieces = [["<unk>", 0], *([text, score] for text, score, kind in PIECES if kind == 1)]
    path = write_json(
        tmp_path / "tokenizer.json", {"model": {"type": "Unigram", "unk_id": 0, "vocab": pieces}}
    )
    texts, scores = [str(text) for text, _ in pieces], [float(score) for _, score in pieces]
    kinds = [2] + [1] * (len(texts) - 1)
    good = write_model(tmp_path / "a.gguf", model="t5", tokens=texts, scores=scores, types=kinds)
    assert found(good, path) == []
    wrong = write_model(
        tmp_path / "b.gguf", model="t5", tokens=texts, scores=[0.0, *scores[:0:-1]], types=kinds
    )
    assert [rule for rule, *_ in found(wrong, path)] == ["scores"]


def test_merges_that_only_one_model_has(tmp_path: Path) -> None:
    def write(name: str, *merges: str) -> Path:
        def add(writer: gguf.GGUFWriter) -> None:
            if merges:
                writer.add_token_merges(list(merges))

        return write_model(tmp_path / name, model="gpt2", tokens=["a", "b", "ab"], types=[1] * 3, add=add)

    a, b = write("a.gguf", "a b"), write("b.gguf")
    assert found(a, b) == [("merges", "warning", None, None)]
    assert found(b, a) == [("merges", "error", None, None)]


def test_a_trainer_names_the_pieces_with_a_role(tmp_path: Path) -> None:
    pieces = [("<unk>", 0.0, 2), ("<bos>", 0.0, 3), ("<eos>", 0.0, 3), ("a", -1.0, 1), ("<pad>", -2.0, 1)]
    trainer = field(46, b"<bos>") + field(47, b"<eos>") + varint(41 << 3) + varint(-1)
    path = tmp_path / "m.model"
    path.write_bytes(sentencepiece_model(pieces, trainer))
    assert open_reference(path).file.special == {"unk": 0, "bos": 1, "eos": 2}


# -------------------------------------------------------------------------------- what is pinned


def test_a_reference_pins_the_ids_that_agree(tmp_path: Path, folder: Path) -> None:
    write_json(folder / "added_tokens.json", {text: N + k for k, text in enumerate(ADDED)})

    def pinned(model: Path) -> list[int]:
        report = pyembed.validate(model, level="order", reference=folder)
        if "reference" not in report.pinned.by_evidence:
            return []
        return [i for first, last in report.pinned.unpinned for i in range(first, last + 1)]

    assert pinned(write_spm(tmp_path / "a.gguf")) == []
    assert pinned(write_spm(tmp_path / "b.gguf", ADDED[::-1])) == [N, N + 1]
    report = pyembed.validate(write_spm(tmp_path / "c.gguf"), level="order", reference=folder)
    assert report.pinned.by_evidence["reference"] == N + 2
    digest = pyembed.load_model(tmp_path / "c.gguf", validate="off").vocabulary.digest
    report = pyembed.validate(tmp_path / "c.gguf", level="order", reference=digest)
    assert report.pinned.by_evidence["reference"] == N + 2
