"""A faster engine, never a wrong one: which package cuts the texts of an encoder."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from pyembed.encoders import choice, corpus, opening, verdicts
from pyembed.encoders.engines import Cuts, Gigatoken, Standard, Tokie, bare
from pyembed.encoders.spellings import Documents, documents_of_json, documents_of_model, vocabulary_of
from pyembed.encoders.tokenizer_facts import tokenizer_facts
from pyembed.tokens.cutting.engine import failure
from tests.helpers.encoders import TEXTS, save_model2vec, word_tokenizer
from tests.helpers.model_files import write_model

pytest.importorskip("tokenizers")

DOCUMENT = json.loads(word_tokenizer().to_str())
ROWS = np.random.default_rng(0).standard_normal((word_tokenizer().get_vocab_size(), 32)).astype(np.float32)


class Fake:
    """Cuts as `tokenizers` does, but for what a test spoils."""

    package = "fake"
    built: list[str] = []  # noqa: RUF012
    cut_texts: list[str] = []  # noqa: RUF012

    def __init__(self, document: str) -> None:
        self.built.append(document)
        self._right = Standard("", document)

    def cut(self, texts: Sequence[str], parallel: bool) -> Cuts:
        self.cut_texts.extend(texts)
        cuts = self._right.cut(texts, parallel)
        return self.spoil(texts, cuts, parallel)

    def spoil(self, texts: Sequence[str], cuts: Cuts, parallel: bool) -> Cuts:
        return cuts


class Wrong(Fake):
    """One id of one text is another."""

    def spoil(self, texts: Sequence[str], cuts: Cuts, parallel: bool) -> Cuts:
        ids = cuts.ids.copy()
        ids[:1] += 1
        return Cuts(ids, cuts.lengths)


class WrongAlone(Fake):
    """Right where threads share the work, wrong on one."""

    def spoil(self, texts: Sequence[str], cuts: Cuts, parallel: bool) -> Cuts:
        return cuts if parallel else Wrong.spoil(self, texts, cuts, parallel)  # type: ignore[arg-type]


class WrongBeyondAscii(Fake):
    """Texts with anything but plain characters lose a token."""

    def spoil(self, texts: Sequence[str], cuts: Cuts, parallel: bool) -> Cuts:
        ids = cuts.ids.copy()
        ends = np.cumsum(cuts.lengths)
        for text, end, n in zip(texts, ends, cuts.lengths, strict=True):
            if n and not choice.is_plain(text):
                ids[end - 1] += 1
        return Cuts(ids, cuts.lengths)


class Panics(Fake):
    """Fails as Rust does."""

    def cut(self, texts: Sequence[str], parallel: bool) -> Cuts:
        raise type("PanicException", (BaseException,), {})("index out of bounds\nbacktrace")


class Refuses(Fake):
    """Does not take the vocabulary."""

    def __init__(self, document: str) -> None:
        raise RuntimeError("unsupported model")


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYEMBED_CACHE", str(tmp_path / "cache"))
    Fake.built.clear()
    Fake.cut_texts.clear()


def use(monkeypatch: pytest.MonkeyPatch, *kinds: type[Fake]) -> None:
    monkeypatch.setattr(choice, "FAST", kinds)
    real = choice.version_of
    versions = {"fake": "1.0", "other": "2.0"}
    monkeypatch.setattr(choice, "version_of", lambda package: versions.get(package) or real(package))


def chosen(engine: Any = "auto", cache: bool = True) -> choice.Chosen:
    text = bare(DOCUMENT)
    facts = replace(tokenizer_facts("", DOCUMENT), sample=("the", "##able", "[PAD]", "[EXTRA]"))
    vocabulary = vocabulary_of("tokenizer.json", Documents(text, (text,), facts))
    return choice.Chosen(vocabulary, engine, cache)


def right() -> Cuts:
    return Standard("", bare(DOCUMENT)).cut(TEXTS, True)


def assert_cuts(found: Cuts) -> None:
    wanted = right()
    np.testing.assert_array_equal(found.ids, wanted.ids)
    np.testing.assert_array_equal(found.lengths, wanted.lengths)


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


# -------------------------------------------------------------------------------------- remembered


def test_verdicts_are_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for kind, name in ((Fake, "fake"), (WrongBeyondAscii, "fake"), (Wrong, "tokenizers")):
        use(monkeypatch, kind)
        monkeypatch.setenv("PYEMBED_CACHE", str(tmp_path / kind.__name__))
        first = chosen()
        Fake.cut_texts.clear()
        again = chosen()
        assert not Fake.cut_texts
        assert again.choice == first.choice
        assert again.choice.name == name
        assert_cuts(again.cut(TEXTS, True))


def test_what_was_learned_of_another_version_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Wrong)
    assert chosen().choice.name == "tokenizers"
    monkeypatch.setattr(choice, "FAST", (Fake,))
    assert chosen().choice.name == "tokenizers"  # the same name and version: not looked at again
    real = choice.version_of
    monkeypatch.setattr(choice, "version_of", lambda package: "1.1" if package == "fake" else real(package))
    assert chosen().choice.name == "fake"


@pytest.mark.parametrize("way", ["argument", "environment", "unwritable", "damaged"])
def test_without_a_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str) -> None:
    use(monkeypatch, Fake)
    folder = tmp_path / "cache" / "engines"
    if way == "environment":
        monkeypatch.setenv("PYEMBED_CACHE", "off")
    elif way == "unwritable":
        (tmp_path / "cache").write_text("a file")
    elif way == "damaged":
        chosen()
        for path in folder.iterdir():
            path.write_text('{"fake 1.0, x": ["all"]')
        Fake.cut_texts.clear()
    assert chosen(cache=way != "argument").choice.name == "fake"
    assert Fake.cut_texts  # it was compared
    if way in ("argument", "environment"):
        assert not folder.exists()


def kept(tmp_path: Path) -> tuple[Path, verdicts.Verdicts]:
    """Return the file of a verdict that was kept, and what is in it."""
    known = verdicts.Verdicts(1, {"fake 1.0": verdicts.Verdict("all", "it is right")})
    verdicts.write_verdicts("0", known)
    return tmp_path / "cache" / "engines" / "0.json", known


def test_verdicts_that_make_no_sense(tmp_path: Path) -> None:
    path, known = kept(tmp_path)
    assert verdicts.read_verdicts("0") == known
    for content in (
        *("[]", "{}", '{"a": 5}', '{"n_spellings": 1, "verdicts": {"a": ["perhaps", ""]}}', "[" * 30000),
        '{"n_spellings": 1000000000, "verdicts": {}}',
        '{"n_spellings": 1, "verdicts": {"a": 5}}',
    ):
        checksum = hashlib.sha256(content.encode()).hexdigest()
        path.write_text(f"{checksum}\n{content}")
        assert verdicts.read_verdicts("0") == (0, {})
    for content in ("", "\n", "\xff\n{}", "0" * 70000):
        path.write_text(content, "latin-1")
        assert verdicts.read_verdicts("0") == (0, {})


def test_a_verdict_with_one_other_byte_is_none(tmp_path: Path) -> None:
    path, _ = kept(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"all", b"abl"))
    assert verdicts.read_verdicts("0") == (0, {})


@pytest.mark.parametrize("way", ["others may write it", "a link", "a pipe", "a folder"])
def test_what_is_not_the_users_own_file_is_not_read(tmp_path: Path, way: str) -> None:
    path, known = kept(tmp_path)
    assert verdicts.read_verdicts("0") == known
    if way == "others may write it":
        path.chmod(0o666)
    else:
        path.rename(tmp_path / "elsewhere")
    if way == "a link":
        path.symlink_to(tmp_path / "elsewhere")
    elif way == "a pipe":
        os.mkfifo(path)
    elif way == "a folder":
        path.mkdir()
    assert verdicts.read_verdicts("0") == (0, {})


def test_the_cache_does_not_grow_for_ever(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(verdicts, "_MAX_FILES", 5)
    monkeypatch.setattr(verdicts, "_MAX_FOLDER_BYTES", 4000)
    folder = tmp_path / "cache" / "engines"
    for number in range(10):
        _, known = kept(tmp_path)
        verdicts.write_verdicts(f"{number}", known)
        os.utime(folder / f"{number}.json", (number, number))
    assert len(list(folder.iterdir())) <= 6
    digests = [verdicts.write_form(bytes([number]) * 1500) for number in range(4)]
    found = [verdicts.find_form(digest) is not None for digest in digests]
    assert sum(found) == 2
    assert found[-1]
    assert verdicts.write_form(b"") == ""


@pytest.mark.parametrize("kind", [Gigatoken, Tokie])
def test_an_engines_own_form_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: Any) -> None:
    pytest.importorskip(kind.package)
    wordllama = pytest.importorskip("wordllama")
    where = Path(wordllama.__file__).parent / "tokenizers" / "l2_supercat_tokenizer_config.json"
    documents = documents_of_json("x", json.loads(where.read_text("utf-8")))
    monkeypatch.setattr(choice, "_WORTH_A_FORM", 0)
    monkeypatch.setattr(choice, "FAST", (kind,))
    texts = corpus.fixed_texts()[:200]

    def ids(documents: Documents) -> list[int]:
        engine = choice.Chosen(vocabulary_of("x", documents), "auto", True)
        assert engine.choice.name == kind.package
        return engine.cut(texts, False).ids.tolist()

    wanted = ids(documents)
    (form,) = (tmp_path / "cache" / "engines").glob("*.form")
    made: list[str] = []
    build = kind.__init__
    monkeypatch.setattr(kind, "__init__", lambda self, text: (made.append(text), build(self, text))[1])
    assert ids(documents) == wanted
    assert len(made) == (kind is Gigatoken)  # whose form is a document
    form.write_bytes(form.read_bytes()[:-1] + b"?")
    made.clear()
    assert ids(documents) == wanted  # it was not used
    assert len(made) == 1


@pytest.mark.parametrize("way", ["it panics", "it is wrong", "nothing can be written"])
def test_forms_that_are_not_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str) -> None:
    def form(self: Fake, document: str) -> bytes:
        if way == "it panics":
            raise type("PanicException", (BaseException,), {})("no room")
        return document.encode()

    if way == "nothing can be written":
        (tmp_path / "cache").write_text("a file")
    kind = Wrong if way == "it is wrong" else Fake
    monkeypatch.setattr(Fake, "form", form, raising=False)
    monkeypatch.setattr(
        Fake, "from_form", classmethod(lambda cls, path: cls(Path(path).read_text())), raising=False
    )
    monkeypatch.setattr(choice, "_WORTH_A_FORM", 0)
    use(monkeypatch, kind)
    for _ in range(2):
        assert chosen().choice.name == ("tokenizers" if kind is Wrong else "fake")
    assert not list(tmp_path.glob("cache/engines/*.form"))


def test_a_model_that_is_known_is_opened_without_its_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Fake)
    with pyembed.load_encoder(pyembed.demo_model()) as encoder:
        assert encoder.engine.name == "fake"
        wanted = encoder.encode(["a file"])
    form = Fake.built[0]
    monkeypatch.setattr(opening, "documents_of_model", lambda source: pytest.fail("made"))
    monkeypatch.setattr(choice, "find_form", lambda digest: form)
    monkeypatch.setattr(Fake, "from_form", staticmethod(Fake), raising=False)
    with pyembed.load_encoder(pyembed.demo_model()) as encoder:
        np.testing.assert_array_equal(encoder.encode(["a file"]), wanted)


def test_the_cache_lies_where_users_keep_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYEMBED_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert verdicts.cache_folder() == "/caches/pyembed/engines"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert verdicts.cache_folder() == "/home/somebody/.cache/pyembed/engines"


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
