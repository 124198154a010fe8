"""Engines that cut as `tokenizers` does, but for what each of them spoils."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pyembed.encoders import choice
from pyembed.encoders.engines import Cuts, Standard, bare
from pyembed.encoders.spellings import Documents, vocabulary_of
from pyembed.encoders.tokenizer_facts import tokenizer_facts
from tests.helpers.encoders import TEXTS, word_tokenizer

pytest.importorskip("tokenizers")

DOCUMENT = json.loads(word_tokenizer().to_str())


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


def use(monkeypatch: pytest.MonkeyPatch, *kinds: type[Fake]) -> None:
    monkeypatch.setattr(choice, "FAST", kinds)
    real = choice.version_of
    versions = {"fake": "1.0", "other": "2.0"}
    monkeypatch.setattr(choice, "version_of", lambda package: versions.get(package) or real(package))


def chosen(engine: Any = "auto", cache: bool = True) -> choice.Chosen:
    text = bare(DOCUMENT)
    facts = replace(tokenizer_facts("", DOCUMENT), sample=("the", "##able", "[PAD]", "[EXTRA]"))
    vocabulary = vocabulary_of("tokenizer.json", Documents(text, (text,), None, facts))
    return choice.Chosen(vocabulary, engine, cache)


def right() -> Cuts:
    return Standard("", bare(DOCUMENT)).cut(TEXTS, True)


def assert_cuts(found: Cuts) -> None:
    wanted = right()
    np.testing.assert_array_equal(found.ids, wanted.ids)
    np.testing.assert_array_equal(found.lengths, wanted.lengths)
