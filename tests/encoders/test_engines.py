"""A faster engine, never a wrong one: which package cuts the texts of an encoder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from pyembed.encoders import choice, corpus
from pyembed.encoders.engines import Gigatoken, Standard, Tokie, bare
from pyembed.encoders.spellings import documents_of_model
from pyembed.tokens.cutting.engine import failure
from tests.helpers.encoders import TEXTS, save_model2vec, word_tokenizer
from tests.helpers.fake_engines import (
    Fake,
    Panics,
    Refuses,
    Wrong,
    WrongAlone,
    WrongBeyondAscii,
    assert_cuts,
    chosen,
    use,
)
from tests.helpers.model_files import write_model

pytest.importorskip("tokenizers")

ROWS = np.random.default_rng(0).standard_normal((word_tokenizer().get_vocab_size(), 32)).astype(np.float32)


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYEMBED_CACHE", str(tmp_path / "cache"))
    Fake.built.clear()
    Fake.cut_texts.clear()


def test_a_fast_engine_that_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Fake)
    engine = chosen()
    assert engine.choice.name == "fake"
    assert engine.choice.version == "1.0"
    assert len(Fake.cut_texts) > 2 * 4000  # once on many threads, once on one
    Fake.cut_texts.clear()
    assert_cuts(engine.cut(TEXTS, True))
    assert Fake.cut_texts == TEXTS


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Wrong, "fake 1.0 cuts 1 of"),
        (WrongAlone, "fake 1.0 cuts 1 of"),
        (Panics, "fake 1.0 does not take it: index out of bounds"),
        (Refuses, "fake 1.0 does not take it: unsupported model"),
    ],
)
def test_a_fast_engine_that_is_not(monkeypatch: pytest.MonkeyPatch, kind: type[Fake], reason: str) -> None:
    use(monkeypatch, kind)
    engine = chosen()
    assert engine.choice.name == "tokenizers"
    assert reason in engine.choice.reason
    assert "backtrace" not in engine.choice.reason
    Fake.cut_texts.clear()
    assert_cuts(engine.cut(TEXTS, False))
    assert not Fake.cut_texts
    with pytest.raises(ValueError, match="fake cannot be used"):
        chosen("fake")


def test_an_engine_for_plain_texts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, WrongBeyondAscii)
    engine = chosen()
    assert engine.choice.name == "fake"
    assert "for plain texts" in engine.choice.reason
    Fake.cut_texts.clear()
    assert_cuts(engine.cut(TEXTS, True))
    assert Fake.cut_texts == [text for text in TEXTS if choice.is_plain(text)]
    Fake.cut_texts.clear()
    others = [text for text in TEXTS if not choice.is_plain(text)]
    assert engine.cut(others, True).lengths.size == len(others)
    assert not Fake.cut_texts


def test_an_engine_for_all_texts_comes_before_one_for_plain_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    other = type("Other", (Fake,), {"package": "other"})
    use(monkeypatch, WrongBeyondAscii, other)
    assert chosen().choice.name == "other"
    use(monkeypatch, other, WrongBeyondAscii)
    assert chosen().choice.name == "other"


@pytest.mark.parametrize("text", ["", "plain text\twith\r\nends", "~ !"])
def test_plain_texts(text: str) -> None:
    assert choice.is_plain(text)


@pytest.mark.parametrize("text", ["é", "a\x00", "\x0b", "\x7f", "日本", "\x1b[0m"])
def test_texts_that_are_not_plain(text: str) -> None:
    assert not choice.is_plain(text)


def test_what_is_a_failure_and_what_is_not() -> None:
    panic = type("PanicException", (BaseException,), {})
    assert failure(panic("index out of bounds\nbacktrace")) == "index out of bounds"
    assert len(failure(ValueError("x" * 1000))) == 200
    for error in (KeyboardInterrupt(), SystemExit(), MemoryError()):
        with pytest.raises(type(error)):
            failure(error)


@pytest.mark.parametrize("mixed", [False, True], ids=["newlines apart", "a token with both"])
def test_cuts_at_newlines_are_left_out_where_they_change_nothing(tmp_path: Path, mixed: bool) -> None:
    tokens = ["a", "b", "\n", "\u2581", "ab", "\n\n", *(["a\n"] if mixed else [])]
    merges = ["a b", "\n \n", *(["a \n"] if mixed else [])]
    path = write_model(
        tmp_path / "m.gguf",
        model="gemma4",
        tokens=tokens,
        types=[1] * len(tokens),
        add=lambda writer: writer.add_token_merges(merges),
    )
    with pyembed.load_model(path, validate="off") as model:
        documents = documents_of_model(model.vocabulary.cutter.source())
    cut = [
        Standard("", text).cut(["ab\n\nab a\n\n\nb", "\na\n"], False).ids.tolist()
        for text in documents.spellings
    ]
    assert len(cut) == (1 if mixed else 2)
    assert cut[0] == cut[-1]


# ----------------------------------------------------------------------------------------- corpus


def test_the_corpus_is_the_same_everywhere() -> None:
    """A change of it makes all verdicts new: that is what the digest is for."""
    texts = corpus.fixed_texts()
    assert len(texts) > 4000
    assert len(set(texts)) > 4000
    assert corpus.corpus_digest() == "ed9f6cca6f494e59"
    scripts = {
        chr(0x5D0),
        chr(0x3B1),
        chr(0x430),
        chr(0x627),
        chr(0x915),
        chr(0xE01),
        chr(0x8001),
        chr(0xAC00),
    }
    assert scripts <= set("".join(texts))
    assert sum(map(choice.is_plain, texts)) > 800


def test_a_vocabularys_own_tokens_are_in_its_texts() -> None:
    texts = corpus.own_texts(["the", "##able", "\u2581und", "\u0120or", "[EXTRA]"])
    joined = "\n".join(texts)
    assert "theable und or" in joined
    assert "[EXTRA]" in joined


# ---------------------------------------------------------------------------------- real packages


@pytest.mark.parametrize("kind", [Gigatoken, Tokie])
def test_real_engines_cut_as_they_claim(kind: Any) -> None:
    package = pytest.importorskip(kind.package)
    wordllama = pytest.importorskip("wordllama")
    folder = Path(wordllama.__file__).parent / "tokenizers"
    text = bare(json.loads((folder / "l2_supercat_tokenizer_config.json").read_text("utf-8")))
    assert package is not None
    standard, engine = Standard("", text), kind(text)
    texts = [*corpus.fixed_texts()[:300], "", *TEXTS]
    wanted = standard.cut(texts, True)
    for parallel in (True, False):
        assert choice.differing_texts(wanted, engine.cut(texts, parallel)).size == 0
        assert engine.cut([], parallel).lengths.size == 0


def test_encoders_say_which_engine_they_use(tmp_path: Path) -> None:
    save_model2vec(tmp_path, ROWS, word_tokenizer(), {})
    with pyembed.load_encoder(tmp_path, engine="tokenizers") as encoder:
        assert encoder.engine.name == "tokenizers"
        assert encoder.engine.reason == "asked for"
        wanted = encoder.encode(TEXTS)
    with pyembed.load_encoder(tmp_path) as encoder:
        assert encoder.engine.name in ("tokenizers", "gigatoken", "tokie")
        assert encoder.engine.reason
        np.testing.assert_array_equal(encoder.encode(TEXTS), wanted)
        np.testing.assert_array_equal(encoder.encode(TEXTS, threads=1), wanted)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_an_encoder_works_in_the_child_of_a_fork(tmp_path: Path) -> None:
    save_model2vec(tmp_path, ROWS, word_tokenizer(), {})
    program = (
        "import os, sys, warnings, numpy, pyembed\n"
        "warnings.simplefilter('ignore')\n"
        "os.environ['TOKENIZERS_PARALLELISM'] = 'false'\n"
        "from tests.helpers.encoders import TEXTS\n"
        "encoder = pyembed.load_encoder(sys.argv[1])\n"
        "wanted = encoder.encode(TEXTS)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if numpy.array_equal(encoder.encode(TEXTS), wanted) else 3)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=root,
        timeout=120,
        check=False,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()
