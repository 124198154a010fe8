"""The packages that cut texts: `tokenizers`, and faster ones that may do the same."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ..core.processors import n_processors
from ..tokens.cutting.engine import load, refusals_named

#: How many threads the packages start, each once a process, when they cut a batch for the first time.
THREADS_VARIABLE = "RAYON_NUM_THREADS"
#: Fewer texts than that are not worth a thread of their own.
_TEXTS_A_THREAD = 256


class Cuts(NamedTuple):
    """The ids of some texts one after the other, and how many each text has."""

    ids: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]


class Engine(Protocol):
    """Cuts texts by one vocabulary, without special tokens around them and without a limit."""

    def cut(self, texts: Sequence[str], parallel: bool) -> Cuts:
        """Return the ids of some texts; `parallel`: on as many threads as it likes, else on this one."""


class FastEngine(Engine, Protocol):
    """A package that may cut as `tokenizers` does."""

    package: str

    def __init__(self, document: str) -> None: ...

    def form(self, document: str) -> bytes:
        """Return what `from_form` makes the same of, of an engine that was made of this document."""

    @classmethod
    def from_form(cls, path: str) -> FastEngine:
        """Return the engine whose form a file has."""


class Standard:
    """`tokenizers`, which says what is right.

    Attributes
    ----------
    tokenizer : tokenizers.Tokenizer
        Not to be changed: it cuts what others ask for meanwhile.
    """

    package = "tokenizers"

    def __init__(self, path: str, document: str) -> None:
        self._path = path
        self.tokenizer = load(path, document)

    def cut(self, texts: Sequence[str], parallel: bool) -> Cuts:
        """Return the ids of some texts.

        Raises
        ------
        VocabularyError
            If the vocabulary lacks what a text needs, such as an unknown token.
        """
        cut = self.tokenizer.encode_batch_fast
        with refusals_named(self._path, "cut by it"):
            if parallel or has_one_thread():
                return _joined([one.ids for one in cut(list(texts), add_special_tokens=False)])
            # A batch of one is cut by the thread that asks.
            return _joined([cut([text], add_special_tokens=False)[0].ids for text in texts])


def has_one_thread() -> bool:
    """Return whether batches are cut by one thread anyway: its packages were given no more."""
    return os.environ.get(THREADS_VARIABLE) == "1"


class Tokie:
    """`tokie`: WordPiece, BPE and Unigram."""

    package = "tokie"

    def __init__(self, document: str) -> None:
        package = importlib.import_module(self.package)
        with tempfile.TemporaryDirectory(prefix="pyembed-") as folder:
            path = os.path.join(folder, "tokenizer.json")
            with open(path, "w", encoding="utf-8", newline="\n") as file:
                file.write(document)
            self._tokenizer: Any = package.Tokenizer.from_json(path)

    def form(self, document: str) -> bytes:
        """Return the tokenizer as it lies in memory."""
        with tempfile.TemporaryDirectory(prefix="pyembed-") as folder:
            path = os.path.join(folder, "tokenizer.tkz")
            self._tokenizer.save(path)
            with open(path, "rb") as file:
                return file.read()

    @classmethod
    def from_form(cls, path: str) -> Tokie:
        """Return the engine whose form a file has."""
        engine = cls.__new__(cls)
        engine._tokenizer = importlib.import_module(cls.package).Tokenizer.from_file(path)
        return engine

    def cut(self, texts: Sequence[str], parallel: bool) -> Cuts:
        """Return the ids of some texts."""
        if not parallel and not has_one_thread():
            return _joined([self._tokenizer.encode(text, add_special_tokens=False).ids for text in texts])
        ids, lengths = self._tokenizer.encode_batch_flat(list(texts), add_special_tokens=False)
        return Cuts(ids.astype(np.int64), lengths.astype(np.int64))


class Gigatoken:
    """`gigatoken`: BPE alone."""

    package = "gigatoken"

    def __init__(self, document: str) -> None:
        package = importlib.import_module(self.package)
        self._tokenizer: Any = package.Tokenizer.from_json(document)

    def form(self, document: str) -> bytes:
        """Return the document, which takes as long to be made as to be read."""
        return document.encode("utf-8")

    @classmethod
    def from_form(cls, path: str) -> Gigatoken:
        """Return the engine whose form a file has."""
        with open(path, encoding="utf-8") as file:
            return cls(file.read())

    def cut(self, texts: Sequence[str], parallel: bool) -> Cuts:
        """Return the ids of some texts."""
        is_alone = not parallel or has_one_thread()
        n = 1 if is_alone else min(n_processors(), len(texts) // _TEXTS_A_THREAD)
        if n < 2:
            return self._cut_together(texts, parallel)
        # Its own threads gain little where texts are short; it works while other threads do.
        bounds = [len(texts) * k // n for k in range(n + 1)]
        with ThreadPoolExecutor(n, "pyembed-cutting") as pool:
            parts = pool.map(lambda k: self._cut_together(texts[bounds[k] : bounds[k + 1]], False), range(n))
            ids, lengths = zip(*parts, strict=True)
        return Cuts(np.concatenate(ids), np.concatenate(lengths))

    def _cut_together(self, texts: Sequence[str], parallel: bool) -> Cuts:
        layout = self._tokenizer.encode_batch(list(texts), parallel=parallel).layout
        bounds = np.asarray(layout.offsets.data).astype(np.int64)
        ids = np.asarray(layout.content.data)[bounds[0] : bounds[-1]]
        return Cuts(ids.astype(np.int64), np.diff(bounds))


#: In the order in which they are tried: the first is the fastest.
FAST: tuple[type[FastEngine], ...] = (Gigatoken, Tokie)


def _joined(lists: list[list[int]]) -> Cuts:
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    return Cuts(np.fromiter(chain.from_iterable(lists), np.int64, int(lengths.sum())), lengths)


def version_of(package: str) -> str | None:
    """Return the version of an installed package; None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def bare(document: dict[str, Any]) -> str:
    """Return the text of a ``tokenizer.json`` without what is done after the cut."""
    return json.dumps({**document, "truncation": None, "padding": None, "post_processor": None})
