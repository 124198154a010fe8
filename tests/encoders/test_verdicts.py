"""What is remembered of engines, in the user's cache folder: by digests, checked, within bounds."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from pyembed.encoders import choice, corpus, opening, verdicts
from pyembed.encoders.engines import Gigatoken, Tokie
from pyembed.encoders.spellings import Documents, documents_of_json, vocabulary_of
from tests.helpers.encoders import TEXTS
from tests.helpers.fake_engines import (
    Fake,
    Wrong,
    WrongBeyondAscii,
    assert_cuts,
    chosen,
    use,
)

pytest.importorskip("tokenizers")


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYEMBED_CACHE", str(tmp_path / "cache"))
    Fake.built.clear()
    Fake.cut_texts.clear()


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


@pytest.mark.parametrize(
    "way",
    [
        *(pytest.param(way, marks=pytest.mark.posix) for way in ("others may write it", "a link", "a pipe")),
        "a folder",
    ],
)
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


@pytest.mark.parametrize(
    ("variables", "base"),
    [
        ({"LOCALAPPDATA": r"D:\caches"}, r"D:\caches"),
        ({"LOCALAPPDATA": "", "USERPROFILE": r"C:\Users\somebody"}, r"C:\Users\somebody\AppData\Local"),
    ]
    if os.name == "nt"
    else [
        ({"XDG_CACHE_HOME": "/caches"}, "/caches"),
        ({"XDG_CACHE_HOME": "", "HOME": "/home/somebody"}, "/home/somebody/.cache"),
    ],
    ids=["named", "home"],
)
def test_the_cache_lies_where_users_keep_caches(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], base: str
) -> None:
    monkeypatch.delenv("PYEMBED_CACHE")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert verdicts.cache_folder() == os.path.join(base, "pyembed", "engines")
