"""New tokens by name, with rows of the pieces of these; and models trimmed to what a text file needs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import pyembed
from pyembed.cli import main
from pyembed.editing import corpus
from pyembed.editing.derivations import by_merges, by_scores, formed_by
from tests.editing.test_surgery import MERGES, TOKENS, TYPES, Content, build
from tests.helpers.gguf_bytes import ARRAY, F32, I32, STRING, U32, Array, GGUFBytes
from tests.helpers.random_texts import random_texts
from tests.helpers.vocabulary_files import read_parts

pytest.importorskip("tokenizers", reason="tokenizers is not installed")


# --------------------------------------------------------------------------------------- new tokens


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("kind", ["F32", "F16"])
def test_rows_from_pieces(tmp_path: Path, kind: str, big_endian: bool) -> None:
    path = build(tmp_path / "m.gguf", kind, big_endian=big_endian)
    before = Content(path)
    with pyembed.edit(path) as edit:
        edit.resize(17, "pieces", ["abcdab", "hh"])
        edit.write(tmp_path / "out.gguf")
    after = Content(tmp_path / "out.gguf")
    assert after.tokens == [*TOKENS, "abcdab", "hh", "[PAD16]"]
    assert after.types == [*TYPES, 4, 4, 5]
    assert after.scores[14:] == [-1000.0, -1000.0, -10000.0]
    assert (after.n, after.merges, after.special, after.norm) == (17, MERGES, before.special, before.norm)
    tolerance = 2e-3 if kind == "F16" else 1e-6
    for old, new in ((before.rows, after.rows), (before.output, after.output)):
        np.testing.assert_array_equal(new[:14], old)
        wanted = [old[[10, 8]].mean(axis=0), old[7], old.mean(axis=0)]  # abcd + ab, h + h
        np.testing.assert_allclose(new[14:], wanted, atol=tolerance)
    assert after.bias == [*range(14), 9.0, 7.0, 6.5]


@pytest.mark.parametrize("fill", ["mean", "zeros"])
def test_names_with_other_rows(tmp_path: Path, fill: str) -> None:
    path = build(tmp_path / "m.gguf")
    with pyembed.edit(path) as edit:
        edit.resize(16, fill, ["<|im_start|>"])
        edit.write(tmp_path / "out.gguf")
    after = Content(tmp_path / "out.gguf")
    assert after.tokens[14:] == ["<|im_start|>", "[PAD15]"]
    assert after.types[14:] == [3, 5]
    wanted = after.rows[:14].mean(axis=0) if fill == "mean" else np.zeros(after.rows.shape[1])
    np.testing.assert_allclose(after.rows[14:], [wanted, wanted], atol=1e-6)


def test_rows_that_no_token_had_are_those_of_names(tmp_path: Path) -> None:
    path = build(tmp_path / "m.gguf", n_rows=17)
    with pyembed.edit(path) as edit:
        edit.resize(18, "pieces", ["hh"])
        edit.write(tmp_path / "out.gguf")
    before, after = Content(path), Content(tmp_path / "out.gguf")
    np.testing.assert_array_equal(after.rows[:14], before.rows[:14])
    np.testing.assert_allclose(after.rows[14], before.rows[7], atol=1e-6)
    np.testing.assert_array_equal(after.rows[15:17], before.rows[15:17])
    assert after.tokens[14:] == ["hh", "[PAD15]", "[PAD16]", "[PAD17]"]


@pytest.mark.parametrize(
    ("n", "fill", "names", "message"),
    [
        (16, "pieces", [], "rows from pieces need the names"),
        (15, "mean", ["x", "y"], "2 names for 1 new tokens"),
        (12, "mean", ["x"], "1 names for 0 new tokens"),
        (15, "mean", ["abcd"], "'abcd' is a token already"),
        (16, "mean", ["xx", "xx"], "'xx' is named twice"),
        (16, "mean", [""], "the name of a token is empty"),
        (16, "mean", "xx", "are a list of texts"),
        (16, "mean", [7], "are a list of texts"),
        (16, "pieces", ["\u4e2d"], "is cut into no token that has a row of its own"),
        (16, "pieces", ["\ud800"], "lone surrogate"),
        (16, "ones", [], "new rows are mean, zeros or pieces"),
    ],
)
def test_names_that_cannot_be(tmp_path: Path, n: int, fill: str, names: list[str], message: str) -> None:
    path = build(tmp_path / "m.gguf")
    with pyembed.edit(path) as edit, pytest.raises(ValueError, match=message):
        edit.resize(n, fill, names)


def test_the_command_reads_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = build(tmp_path / "m.gguf"), tmp_path / "out.gguf"
    (tmp_path / "names.txt").write_bytes(b"abc\r\nhh\n")
    (tmp_path / "names.json").write_text(json.dumps(["abc", "hh"]))
    for name in ("names.txt", "names.json"):
        words = ["edit", str(path), "--out", str(out), "resize", f"16=pieces@{tmp_path / name}"]
        assert main(words) == 0
        assert Content(out).tokens[14:] == ["abc", "hh"]
    (tmp_path / "wrong.json").write_text("{}")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "latin.txt").write_bytes(b"\xe4")
    capsys.readouterr()
    for name in ("wrong.json", "deep.json", "latin.txt"):
        assert main(["edit", str(path), "--out", "x", "resize", f"16=pieces@{tmp_path / name}"]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    for argument in ("16=ones", "16=pieces@", "x", "16="):
        assert main(["edit", str(path), "--out", "x", "resize", argument]) == 2
        assert "is not ROWS, ROWS=FILL or ROWS=FILL@FILE" in capsys.readouterr().err


# ---------------------------------------------------------------------------------- trimmed to a text


def test_what_a_text_is_joined_by_way_of() -> None:
    merges = ["b c", "a b", "a bc", "ab c"]
    assert formed_by("abc", by_merges(merges)) == [*"abc", "bc", "abc"]
    assert formed_by("abab", by_merges(merges)) == [*"abab", "ab", "ab"]
    assert formed_by("", by_merges(merges)) == []
    scores = by_scores(["a", "b", "c", "ab", "bc", "abc"], [0, 0, 0, -2.0, -3.0, -1.0])
    assert formed_by("abc", scores) == [*"abc", "ab", "abc"]
    assert formed_by("aaaa", by_merges(["a a", "aa aa"])) == [*"aaaa", "aa", "aa", "aaaa"]


def piecewise(path: Path) -> Path:
    """Write a model of the llama family, whose pieces are joined by way of others."""
    pieces = ["\u2581", "a", "b", "c", "ab", "bc", "abc", "\u2581a", "\u2581ab", "\u2581abc", "cab"]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), *pieces]
    builder = GGUFBytes().add("general.architecture", STRING, "llama")
    builder.add("tokenizer.ggml.model", STRING, "llama")
    builder.add("tokenizer.ggml.tokens", ARRAY, Array(STRING, tokens))
    builder.add("tokenizer.ggml.token_type", ARRAY, Array(I32, [2, 3, 3, *[6] * 256, *[1] * len(pieces)]))
    scores = [0.0] * 259 + [-10.0 - k if len(t) == 1 else -float(k) for k, t in enumerate(pieces)]
    builder.add("tokenizer.ggml.scores", ARRAY, Array(F32, scores))
    for role, token_id in (("bos", 1), ("eos", 2), ("unknown", 0)):
        builder.add(f"tokenizer.ggml.{role}_token_id", U32, token_id)
    rows = np.arange(len(tokens) * 4, dtype="<f4")
    path.write_bytes(bytes(builder.tensor("token_embd.weight", (len(tokens), 4), 0, rows.tobytes())))
    return path


def require_same_cut(path: Path, text: Path, out: Path) -> tuple[int, int]:
    """Trim a model to a text; its tokens are the same as before. Return how many there were and are."""
    with pyembed.edit(path) as edit:
        new_ids = edit.trim_to_text(text)
        edit.write(out)
    content = text.read_bytes().decode()
    with (
        pyembed.load_model(path, validate="off") as old,
        pyembed.load_model(out, validate="off") as new,
    ):
        ids = old.tokenize(content)
        np.testing.assert_array_equal(new.tokenize(content), new_ids[ids])
        assert (new_ids[ids] >= 0).all()
        left = np.flatnonzero(new_ids >= 0)
        assert list(new.vocabulary.tokens) == [old.vocabulary.tokens[i] for i in left]
        if "token_embd.weight" in old.tensors:
            np.testing.assert_array_equal(new.table[:], old.table[left])
        return len(new_ids), len(left)


def test_a_model_trimmed_to_a_text_cuts_it_as_before(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("abcab abcd abcabc\n\tab")
    assert require_same_cut(build(tmp_path / "m.gguf"), text, tmp_path / "out.gguf") == (14, 13)
    n, left = require_same_cut(piecewise(tmp_path / "p.gguf"), text, tmp_path / "out.gguf")
    assert left < n
    text.write_text("The file \u00e4\u00f6\u00fc 123\n" * 3, "utf-8")
    n, left = require_same_cut(Path(pyembed.demo_model()), text, tmp_path / "out.gguf")
    assert left < n / 10


def test_pieces_by_way_of_which_others_are_joined_stay(tmp_path: Path) -> None:
    """Without "ab" nothing would be joined to "abc"; nothing is joined by way of "bc" or "cab"."""
    path, text = piecewise(tmp_path / "p.gguf"), tmp_path / "text.txt"
    text.write_text("abc")
    with pyembed.load_model(path, validate="off") as model, pyembed.edit(path) as edit:
        new_ids = edit.trim_to_text(text)
        left = [text for text, new in zip(model.vocabulary.tokens, new_ids, strict=True) if new >= 0]
    assert left[259:] == ["\u2581", "a", "b", "c", "ab", "abc", "\u2581abc"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt-2", "llama-spm", "phi-3", "llama-bpe", "bert-bge", "qwen2", "gemma-4"])
def test_real_vocabularies_trimmed_to_texts(name: str, data_dir: Path, tmp_path: Path) -> None:
    parts = read_parts(data_dir / f"vocab/ggml-vocab-{name}.gguf")
    parts.n_rows = len(parts.tokens)
    path, text = tmp_path / "m.gguf", tmp_path / "text.txt"
    path.write_bytes(parts.to_bytes())
    text.write_text("".join(random_texts(300, 1)), "utf-8", newline="")
    n, left = require_same_cut(path, text, tmp_path / "out.gguf")
    assert left < n / 2


@pytest.mark.parametrize("block", [16, 61, 256])
def test_seams_of_blocks_lose_no_token(tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "_BLOCK", block)
    text = tmp_path / "text.txt"
    text.write_text("".join(random_texts(20, 3)), "utf-8", newline="")
    require_same_cut(Path(pyembed.demo_model()), text, tmp_path / "out.gguf")


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = tmp_path / "text.txt"
    for block in (4, 1 << 20):
        monkeypatch.setattr(corpus, "_BLOCK", block)
        for data, place in ((b"abc\xc3\xa4\xffx", 5), (b"abcde\xe4\xb8", 5), (b"\x80", 0)):
            text.write_bytes(data)
            with (
                pyembed.edit(pyembed.demo_model()) as edit,
                pytest.raises(ValueError, match=rf"text\.txt: not UTF-8 at byte {place}$"),
            ):
                edit.trim_to_text(text)
    text.write_bytes(b"")
    with pyembed.edit(pyembed.demo_model()) as edit:
        assert (edit.trim_to_text(text) >= 0).sum() < 200
