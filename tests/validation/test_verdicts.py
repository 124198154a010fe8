"""Verified, unverified or wrong: what pins ids, what contradicts a list, and what is let through."""

from __future__ import annotations

import json
import pickle
import random
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import pyembed
from pyembed.cli import main
from pyembed.validation import Pinned
from tests.helpers.vocabulary_files import CONTROL, Parts, read_parts
from tests.helpers.vocabulary_variants import (
    behind_specials,
    extended,
    legitimate,
    new_texts,
    padded,
    shuffled,
    trimmed,
    with_rows,
)


@lru_cache(maxsize=3)
def whole(path: Path) -> Parts:
    return read_parts(path)


@pytest.fixture
def vocabulary(request: pytest.FixtureRequest, data_dir: Path) -> Parts:
    return whole(data_dir / f"vocab/ggml-vocab-{request.param}.gguf").copy()


def write(path: Path, parts: Parts) -> Path:
    path.write_bytes(parts.to_bytes())
    return path


def report(tmp_path: Path, parts: Parts) -> pyembed.Report:
    return pyembed.validate(write(tmp_path / "changed.gguf", parts), level="order")


def found(known: pyembed.Report) -> dict[str, str]:
    """Return the severities of the findings about the vocabulary, by rule."""
    mine = [finding for finding in known.findings if finding.rule.startswith("vocabulary/")]
    return {finding.rule.removeprefix("vocabulary/"): finding.severity.value for finding in mine}


# ------------------------------------------------------------------------------------------ what is pinned


@pytest.mark.parametrize(
    ("name", "verdict", "least", "most"),
    [
        ("gpt-2", "verified", 50_256, 50_256),
        ("qwen2", "verified", 151_643, 151_933),
        ("llama-bpe", "verified", 128_000, 128_000),
        ("gemma-4", "unverified", 235_000, 243_000),
        ("llama-spm", "unverified", 0, 0),
        ("phi-3", "unverified", 0, 60),
        ("bert-bge", "unverified", 0, 1000),
        ("nomic-bert-moe", "unverified", 0, 0),
    ],
)
def test_what_the_default_load_pins(name: str, verdict: str, least: int, most: int, data_dir: Path) -> None:
    path = data_dir / f"vocab/ggml-vocab-{name}.gguf"
    known = pyembed.validate(path, level="order")
    assert known.verdict == verdict
    assert least <= known.pinned.n_ids <= most
    assert known.pinned.by_evidence.get("vocabulary", 0) == known.pinned.n_ids
    special = [int(i) for i in np.flatnonzero(~known.pinned.ids)]
    with pyembed.load_model(path) as model:
        assert set(model.vocabulary.special.values()) <= set(special)
        assert known.pinned.kinds["special"] == sum(
            token.type in (2, CONTROL) and "reserved" not in token.text and "[PAD3" not in token.text
            for token in (model.vocabulary[i] for i in special)
        )


def test_runs_of_what_is_not_pinned() -> None:
    pinned = Pinned(10)
    assert not pinned.suffice
    pinned.add("a", np.array([1, 1, 0, 0, 1, 1, 1, 1, 1, 0], np.bool_))
    pinned.add("b", np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 0], np.bool_))
    assert (pinned.n_ids, pinned.by_evidence, pinned.unpinned) == (8, {"a": 7, "b": 3}, [(3, 3), (9, 9)])
    pinned.add("b", np.ones(10, np.bool_))
    assert (pinned.suffice, pinned.unpinned, pinned.by_evidence["b"]) == (True, [], 10)
    for wrong in (np.ones(9, np.bool_), np.ones(10, np.int64), np.ones((10, 1), np.bool_)):
        with pytest.raises(ValueError, match="a bool mask of 10 ids"):
            pinned.add("c", wrong)
    assert not Pinned(0).suffice


@pytest.mark.parametrize("vocabulary", ["gpt-2"], indirect=True)
def test_one_in_a_hundred_may_be_unpinned(vocabulary: Parts, tmp_path: Path) -> None:
    n = len(vocabulary.tokens)
    for n_added, verdict in ((n // 100 - 2, "verified"), (n // 99 + 2, "unverified")):
        parts = vocabulary.copy()
        for i in range(n_added):
            parts.insert(len(parts.tokens), b"<|added %d|>" % i)
        known = report(tmp_path, with_rows(parts))
        assert (known.verdict, known.pinned.n_ids) == (verdict, n - 1)
        assert known.pinned.unpinned == [(n - 1, n - 1 + n_added)]
        assert f"({n_added + 1} special)" in known.summary
    assert "what would pin them: a reference, or level full" in known.summary


def test_a_header_pins_nothing(data_dir: Path) -> None:
    known = pyembed.validate(data_dir / "vocab/ggml-vocab-gpt-2.gguf", level="header")
    assert (known.verdict, known.pinned.n_ids, known.pinned.n_tokens) == ("unverified", 0, 50_257)
    assert "level order looks at the vocabulary" in known.summary


def test_rows_pin_windows(data_dir: Path) -> None:
    known = pyembed.validate(data_dir / "models/minilm-f16.gguf")
    assert known.verdict == "unverified"  # rows at one point say nothing
    assert 0.9 * 30_522 < known.pinned.by_evidence["geometry"] < 0.99 * 30_522
    assert not known.pinned._by_evidence["geometry"][1:99].any()


def test_reports_carry_the_verdict(data_dir: Path) -> None:
    known = pickle.loads(pickle.dumps(pyembed.validate(data_dir / "vocab/ggml-vocab-llama-bpe.gguf")))
    plain = json.loads(known.to_json())
    assert (plain["ok"], plain["verdict"], plain["summary"]) == (True, "verified", known.summary)
    assert plain["pinned"]["n_ids"] == 128_000
    assert plain["pinned"]["by_evidence"] == {"vocabulary": 128_000}
    assert plain["pinned"]["unpinned"] == [[128_000, 128_255]]
    assert plain["pinned"]["unpinned_kinds"] == {"reserved": 251, "special": 5}
    assert [known["evidence"] for known in plain["verdicts"]][:3] == ["container", "tensor", "vocabulary"]
    (run,) = json.loads(known.to_sarif())["runs"]
    (said,) = [
        note["properties"]
        for note in run["invocations"][0]["toolExecutionNotifications"]
        if "properties" in note
    ]
    assert said == {
        "verdict": "verified",
        "pinned": 128_000,
        "tokens": 128_256,
        "pinnedBy": {"vocabulary": 128_000},
    }


# ------------------------------------------------------------------------------- evidence can be asked for


def test_evidence_can_be_required_of_a_load(data_dir: Path) -> None:
    pyembed.load_model(data_dir / "vocab/ggml-vocab-gpt-2.gguf", require_evidence=True).close()
    path = data_dir / "vocab/ggml-vocab-llama-spm.gguf"
    pyembed.load_model(path).close()
    with pytest.raises(pyembed.VocabularyError, match="unverified: 0 of 32000 ids are pinned") as caught:
        pyembed.load_model(path, require_evidence=True)
    assert caught.value.report.verdict == "unverified"
    with pytest.raises(pyembed.VocabularyError, match="level order looks"):
        pyembed.load_model(data_dir / "vocab/ggml-vocab-gpt-2.gguf", validate="header", require_evidence=True)
    with pytest.raises(ValueError, match="require_evidence=True needs"):
        pyembed.load_model(path, validate="off", require_evidence=True)


@pytest.mark.parametrize(("name", "code"), [("gpt-2", 0), ("llama-spm", 1)])
def test_evidence_can_be_required_of_the_command(
    name: str, code: int, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(data_dir / f"vocab/ggml-vocab-{name}.gguf")
    assert main(["validate", "--level", "order", path]) == 0
    capsys.readouterr()
    assert main(["validate", "--level", "order", "--require-evidence", path]) == code
    verdict = "unverified" if code else "verified"
    text = capsys.readouterr().out
    assert f"{path}: {verdict}" in text
    assert f"\n  {verdict}: " in text
    assert "ok" not in text.split("\n")[0]


# ---------------------------------------------------------------------------------------- what is shuffled


@pytest.mark.parametrize("n", [2, 10, 100, 1000, 25_000, 29_000, 49_000])
@pytest.mark.parametrize("vocabulary", ["gpt-2"], indirect=True)
def test_shuffled_products_of_merges_are_wrong(vocabulary: Parts, n: int, tmp_path: Path) -> None:
    known = report(tmp_path, shuffled(vocabulary, n))
    assert known.verdict == "wrong"
    (finding,) = [finding for finding in known.findings if finding.rule == "vocabulary/order"]
    assert 0.9 * n < finding.n_ids <= n
    assert 1000 <= finding.first_id <= finding.last_id < 1000 + n
    assert not known.pinned.ids[finding.first_id]


@pytest.mark.parametrize("name", ["llama-bpe", "qwen2", "gemma-4"])
def test_an_exchange_and_a_full_shuffle_of_large_lists(name: str, data_dir: Path, tmp_path: Path) -> None:
    parts = read_parts(data_dir / f"vocab/ggml-vocab-{name}.gguf")
    for n in (2, len(parts.tokens) - 2000):
        assert report(tmp_path, shuffled(parts, n)).verdict == "wrong"


@pytest.mark.parametrize("n", [2, 100, 1000, 5000, 20_000, 29_000, 30_500])
@pytest.mark.parametrize("vocabulary", ["llama-spm", "phi-3"], indirect=True)
def test_shuffled_pieces_are_never_verified(vocabulary: Parts, n: int, tmp_path: Path) -> None:
    known = report(tmp_path, shuffled(vocabulary, n))
    if n < 1000:
        assert known.verdict == "unverified"
    else:
        assert (known.verdict, found(known)["piece-order"]) == ("wrong", "error")


@pytest.mark.parametrize("n", [2, 100, 1000, 5000, 29_000])
@pytest.mark.parametrize("vocabulary", ["bert-bge"], indirect=True)
def test_characters_of_the_uncased_list(vocabulary: Parts, n: int, tmp_path: Path) -> None:
    assert report(tmp_path, shuffled(vocabulary, n)).verdict == "wrong"
    words = report(tmp_path, shuffled(vocabulary, min(n, 20_000), first=2500))
    assert (words.verdict, found(words)) == ("unverified", {})
    parts = vocabulary.copy()
    for token_id in (101, 102):  # another list: where its characters stand, nobody knows
        parts.tokens[token_id] = b"[other%d]" % token_id
    assert report(tmp_path, shuffled(parts, 29_000)).verdict == "unverified"


@pytest.mark.parametrize("vocabulary", ["nomic-bert-moe"], indirect=True)
def test_shuffled_unigram_pieces_are_unverified(vocabulary: Parts, tmp_path: Path) -> None:
    for n in (2, 200_000):
        assert report(tmp_path, shuffled(vocabulary, n)).verdict == "unverified"
    order = random.Random(3).sample(range(200_000), 200_000)
    moved = vocabulary.move(1000, 200_999, order)  # with their scores
    assert report(tmp_path, moved).verdict == "wrong"


@pytest.mark.parametrize("vocabulary", ["llama-spm"], indirect=True)
def test_pieces_moved_with_their_scores_are_wrong(vocabulary: Parts, tmp_path: Path) -> None:
    for n in (2, 300, 20_000, 31_000):
        order = random.Random(n).sample(range(n), n) if n > 2 else [1, 0]
        assert report(tmp_path, with_rows(vocabulary.copy().move(400, 399 + n, order))).verdict == "wrong"


# ------------------------------------------------------------------------------------------ what is let be


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("vocabulary", ["gpt-2", "llama-spm", "phi-3", "bert-bge"], indirect=True)
def test_sound_variants_are_not_wrong(vocabulary: Parts, seed: int, tmp_path: Path) -> None:
    for name, parts in legitimate(vocabulary, seed):
        known = report(tmp_path, parts)
        assert known.ok, (name, [finding.message for finding in known.findings])
        table_rows = parts.n_rows
        assert table_rows is not None
        for finding in known.findings:
            assert finding.shift is None, (name, finding.message)  # no row is named that does not exist
            assert finding.last_id is None or finding.last_id < table_rows


@pytest.mark.parametrize("n_special", [0, 1, 3])
@pytest.mark.parametrize("vocabulary", ["gpt-2"], indirect=True)
def test_a_list_extended_behind_special_tokens(vocabulary: Parts, n_special: int, tmp_path: Path) -> None:
    """Such a tail is named; if it is in another order than its merges, it is wrong."""
    n = len(vocabulary.tokens) + n_special
    parts = behind_specials(vocabulary, 400, n_special)
    known = report(tmp_path, parts)
    (finding,) = [finding for finding in known.findings if finding.rule == "vocabulary/extended"]
    assert (finding.severity, finding.first_id, finding.last_id) == ("warning", n, n + 399)
    others = "1 other token stands" if n_special == 0 else f"{n_special + 1} other tokens stand"
    assert f"{others} before {n} " in finding.message
    assert known.pinned.unpinned == [(50_256, n + 399)]
    parts.tokens[n + 7], parts.tokens[n + 300] = parts.tokens[n + 300], parts.tokens[n + 7]
    assert found(report(tmp_path, parts))["order"] == "error"
    tail = parts.tokens[n:]
    random.Random(0).shuffle(tail)
    parts.tokens[n:] = tail
    assert found(report(tmp_path, parts))["order"] == "error"


@pytest.mark.parametrize("vocabulary", ["gpt-2"], indirect=True)
def test_without_rows_a_role_shows_where_the_list_ended(vocabulary: Parts, tmp_path: Path) -> None:
    """Nothing but the token of a role tells an extension from a token that was put in."""
    parts = extended(vocabulary, 400)
    parts.n_rows = None
    assert report(tmp_path, parts).ok
    del parts.others["tokenizer.ggml.eos_token_id"], parts.others["tokenizer.ggml.bos_token_id"]
    assert found(report(tmp_path, parts))["shift"] == "error"


@pytest.mark.parametrize(("n_rows", "verdict"), [(-3, "unverified"), (0, "wrong"), (None, "wrong")])
@pytest.mark.parametrize("vocabulary", ["gpt-2", "llama-spm"], indirect=True)
def test_tokens_taken_out(vocabulary: Parts, n_rows: int | None, verdict: str, tmp_path: Path) -> None:
    """With their rows nothing is wrong; if rows stayed, or there are none to count, tokens are shifted."""
    parts = trimmed(vocabulary, 3, seed=1)
    parts.n_rows = None if n_rows is None else len(vocabulary.tokens) + n_rows
    known = report(tmp_path, parts)
    assert known.verdict == verdict
    assert ("trimmed" if verdict == "unverified" else "shift") in found(known)


@pytest.mark.parametrize("vocabulary", ["gpt-2"], indirect=True)
def test_padding_in_place_of_missing_tokens_is_wrong(vocabulary: Parts, tmp_path: Path) -> None:
    """The number of rows is right again, and every row behind the missing token is another's."""
    assert found(report(tmp_path, padded(trimmed(vocabulary, 2), 2)))["shift"] == "error"
    assert report(tmp_path, padded(trimmed(vocabulary, 2), 3)).ok


@pytest.mark.parametrize("vocabulary", ["llama-spm"], indirect=True)
def test_pieces_moved_to_the_end_are_no_extension(vocabulary: Parts, tmp_path: Path) -> None:
    order = [*range(3, 20_000), 0, 1, 2]
    assert found(report(tmp_path, with_rows(vocabulary.move(12_000, 31_999, order)))).get("shift") == "error"


@pytest.mark.parametrize("vocabulary", ["llama-spm"], indirect=True)
def test_a_tail_of_pieces_out_of_its_own_order_is_wrong(vocabulary: Parts, tmp_path: Path) -> None:
    parts = extended(vocabulary, 300)
    assert found(report(tmp_path, parts)) == {"extended": "note"}
    parts.swap(32_010, 32_200)
    assert report(tmp_path, parts).verdict == "wrong"


@pytest.mark.parametrize("vocabulary", ["llama-spm"], indirect=True)
def test_a_list_of_pieces_may_be_extended_twice(vocabulary: Parts, tmp_path: Path) -> None:
    parts = extended(extended(vocabulary, 50, 1), 70, 2)
    assert found(report(tmp_path, parts)) == {"extended": "note"}
    gap = extended(with_rows(vocabulary.copy().drop(300)), 64)  # one has the rank of the missing piece
    assert report(tmp_path, gap).ok
    random.Random(0).shuffle(tail := list(range(120)))
    assert report(tmp_path, parts.move(32_000, 32_119, tail)).verdict == "wrong"


@pytest.mark.parametrize("vocabulary", ["gpt-2"], indirect=True)
def test_an_alphabet_in_the_order_of_bytes(vocabulary: Parts, tmp_path: Path) -> None:
    """Lists that were made of ranks of bytes, such as Mistral's tekken, begin like that."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    bytes_of = [*printable, *(byte for byte in range(256) if byte not in printable)]
    parts = with_rows(vocabulary.move(0, 255, [bytes_of.index(byte) for byte in range(256)]))
    assert report(tmp_path, parts).verdict == "verified"
    for a, b in ((3, 200), (3, 9000)):
        assert report(tmp_path, parts.copy().swap(a, b)).verdict == "wrong"


@pytest.mark.parametrize("vocabulary", ["gpt-2"], indirect=True)
def test_merges_do_not_say_where_the_list_begins(vocabulary: Parts, tmp_path: Path) -> None:
    """Tokens that are all displaced alike keep their order: the alphabet's end, or a role, gives it away."""
    rotated = vocabulary.copy()
    rotated.tokens[:] = [*rotated.tokens[1:], rotated.tokens[0]]
    assert report(tmp_path, with_rows(rotated)).verdict == "wrong"
    behind = vocabulary.copy().insert(0)  # and the file's roles are of ids one lower
    known = report(tmp_path, with_rows(behind))
    assert (known.verdict, known.pinned.n_ids) == ("unverified", 0)
    for role in ("eos", "bos"):
        behind.others[f"tokenizer.ggml.{role}_token_id"] = 0
    assert report(tmp_path, behind).verdict == "verified"


@pytest.mark.parametrize("vocabulary", ["gpt-2"], indirect=True)
def test_too_many_missing_tokens_to_look_up_pin_nothing(vocabulary: Parts, tmp_path: Path) -> None:
    known = report(tmp_path, trimmed(vocabulary, 25_000))
    assert (known.verdict, known.pinned.n_ids) == ("unverified", 0)


@pytest.mark.parametrize("vocabulary", ["llama-spm"], indirect=True)
def test_scores_that_are_not_numbers(vocabulary: Parts, tmp_path: Path) -> None:
    for score in (float("nan"), float("-inf")):
        parts = vocabulary.copy()
        parts.scores = [score] * len(parts.tokens)
        assert found(report(tmp_path, parts)) == {"no-law": "warning"}


@pytest.mark.parametrize("vocabulary", ["llama-spm"], indirect=True)
def test_pieces_without_their_parts(vocabulary: Parts, tmp_path: Path) -> None:
    """Runs of spaces may have taken the place of pieces that others are made of: a few, and no others."""
    parts = vocabulary.copy()
    for token_id in (270, 300, 411):
        parts.tokens[token_id] = "\u2581".encode() * (20 + token_id)
        parts.scores[token_id] = -1e9  # type: ignore[index]
    assert found(report(tmp_path, parts)) == {"trimmed": "note"}
    assert report(tmp_path, shuffled(parts, 5000)).verdict == "wrong"
    foreign = vocabulary.copy()
    foreign.tokens[9000] = b"qzxjvqkx"  # with a rank of its own
    assert found(report(tmp_path, foreign))["piece-order"] == "error"


@pytest.mark.parametrize("vocabulary", ["llama-spm"], indirect=True)
def test_pieces_that_are_not_made_of_each_other_have_no_law(vocabulary: Parts, tmp_path: Path) -> None:
    tokens = [b"%d%s" % (i, bytes(random.Random(i).choices(b"abcdefgh", k=6))) for i in range(2000)]
    parts = Parts("llama", tokens, [1] * 2000, [-float(i) for i in range(2000)])
    known = report(tmp_path, parts)
    assert (known.verdict, found(known)["no-law"]) == ("unverified", "warning")
    some = vocabulary.copy()
    some.scores = [-1000.0] * len(some.tokens)  # what converters write where there are none
    assert found(report(tmp_path, some)) == {}


@pytest.mark.parametrize("vocabulary", ["nomic-bert-moe"], indirect=True)
def test_unigram_pieces_behind_the_end(vocabulary: Parts, tmp_path: Path) -> None:
    parts = vocabulary.copy()
    end = next(i for i, text in enumerate(parts.tokens) if text.startswith(b"[PAD"))
    texts = [text for text, _, _ in islice(new_texts(parts, 5, random.Random(1)), 5)]
    for i, text in enumerate(texts):
        parts.insert(end + i, text, 1)
        parts.scores[end + i] = -5.0 - i  # type: ignore[index]
    known = report(tmp_path, with_rows(parts))
    assert (known.ok, found(known)["extended"]) == (True, "note")
    swapped = parts.copy().swap(end + 1, end + 3)
    assert report(tmp_path, swapped).verdict == "wrong"
    for seed in (1, 2):
        parts = extended(parts, 40, seed)
    assert report(tmp_path, parts).ok


@pytest.mark.parametrize("vocabulary", ["nomic-bert-moe"], indirect=True)
def test_unigram_pieces_among_special_tokens(vocabulary: Parts, tmp_path: Path) -> None:
    """Runs of spaces, to which whoever trained a list gave scores of their own."""
    parts = vocabulary.copy()
    for i, text in enumerate(["<head>", "\u2581" * 4, "\u2581" * 3, "<|next|>"]):
        parts.insert(i, text.encode(), 3 if "<" in text else 1)
        parts.scores[i] = -4.3 * text.count("\u2581")  # type: ignore[index]
    assert report(tmp_path, with_rows(parts)).ok
    parts.scores[5000] = -1.0  # type: ignore[index]
    assert found(report(tmp_path, with_rows(parts)))["order"] == "error"
