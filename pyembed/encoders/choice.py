"""Which engine cuts the texts of an encoder: a fast one where it was seen to give the ids of `tokenizers`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import compress
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ..safe_text import quote
from ..tokens.cutting.engine import failure
from .corpus import fixed_texts, own_texts
from .engines import FAST, Cuts, Engine, FastEngine, Standard, version_of
from .spellings import Vocabulary
from .verdicts import Verdict, Verdicts, find_form, read_verdicts, remove_form, write_form, write_verdicts

#: Characters of a ``tokenizer.json`` from which on an engine's own form is worth its room on the disk.
_WORTH_A_FORM = 1 << 21
_PLAIN = bytes([9, 10, 13, *range(32, 127)])
#: Texts that are looked at together for characters that are not plain.
_LOOKED_AT = 64

EngineName: TypeAlias = Literal["auto", "tokenizers", "gigatoken", "tokie"]


class EngineChoice(NamedTuple):
    """What cuts the texts.

    Attributes
    ----------
    name, version : str
        The package.
    reason : str
        Why it and no other.
    """

    name: str
    version: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}: {self.reason}"


class Chosen:
    """The engine of an encoder; `tokenizers` in a process that was forked from the one that chose."""

    def __init__(self, vocabulary: Vocabulary, wanted: EngineName, use_cache: bool) -> None:
        self._vocabulary = vocabulary
        self._process = os.getpid()
        self._standard: Standard | None = None
        self._engine: Engine | None = None
        self._is_for_plain = False
        self._use_cache = use_cache
        self.choice = self._choose(wanted)

    def cut(self, texts: Sequence[str], parallel: bool) -> Cuts:
        """Return the ids of some texts."""
        if self._engine is None or os.getpid() != self._process:  # whose threads stayed in the parent
            return self.reference().cut(texts, parallel)
        if not self._is_for_plain:
            return self._engine.cut(texts, parallel)
        plain = plain_ones(texts)
        if plain.all():
            return self._engine.cut(texts, parallel)
        found = self.reference().cut(list(compress(texts, ~plain)), parallel)
        return merged(plain, self._engine.cut(list(compress(texts, plain)), parallel), found)

    @property
    def digest(self) -> str:
        """A digest of what says which ids are right, whichever engine finds them."""
        return f"sha256:{self._vocabulary.digest}"

    def reference(self) -> Standard:
        """Return what says which ids are right; built when it is first needed."""
        if self._standard is None:
            self._standard = Standard(self._vocabulary.path, self._vocabulary.documents.standard)
        return self._standard

    def _choose(self, wanted: EngineName) -> EngineChoice:
        standard = version_of(Standard.package) or ""
        if wanted == Standard.package:
            self.reference()
            return EngineChoice(wanted, standard, "asked for")
        known = read_verdicts(self._vocabulary.digest) if self._use_cache else Verdicts(0, {})
        n_spellings = known.n_spellings or len(self._vocabulary.documents.spellings)
        verdicts = dict(known.of)
        choice, against = self._best(wanted, standard, n_spellings, verdicts)
        if self._use_cache and verdicts != known.of:
            write_verdicts(self._vocabulary.digest, Verdicts(n_spellings, verdicts))
        if choice is not None:
            return choice
        self.reference()
        if wanted != "auto":
            raise ValueError(f"{self._vocabulary.path}: {wanted} cannot be used: {'; '.join(against)}")
        return EngineChoice(Standard.package, standard, "; ".join(against))

    def _best(
        self, wanted: EngineName, standard: str, n_spellings: int, verdicts: dict[str, Verdict]
    ) -> tuple[EngineChoice | None, list[str]]:
        """Keep the engine that may cut most; return it, and what speaks against others. Fill `verdicts`."""
        choice, against = None, []
        for kind in FAST:
            version = version_of(kind.package)
            if wanted not in ("auto", kind.package):
                continue
            if version is None:
                against.append(f"{kind.package} is not installed")
                continue
            for number in range(n_spellings):
                key = f"{kind.package} {version}, {Standard.package} {standard}, spelling {number}"
                verdict = verdicts.get(key)
                engine: Engine | str = ""
                if verdict is None:
                    engine, verdict = self._judged(kind, number, standard)
                    verdicts[key] = verdict
                elif verdict.texts == "all" or (verdict.texts == "plain" and not choice):
                    engine = self._built(kind, number, verdict.form)
                if isinstance(engine, str) or verdict.texts == "none":
                    against.append(f"{kind.package} {version} {verdict.reason or engine}")
                elif verdict.texts == "all":
                    self._engine, self._is_for_plain = engine, False
                    return EngineChoice(kind.package, version, verdict.reason), against
                elif choice is None:
                    self._engine, self._is_for_plain = engine, True
                    reason = (
                        f"for plain texts, on which it gave the ids of {Standard.package} {standard}, which "
                        f"cuts all others: it {verdict.reason}"
                    )
                    choice = EngineChoice(kind.package, version, reason)
        return choice, against

    def _built(self, kind: type[FastEngine], number: int, form: str = "") -> FastEngine | str:
        """Return an engine, from its own form where that is kept, or why there is none."""
        try:
            path = find_form(form)
            if path is not None:
                return kind.from_form(path)
        except BaseException as error:
            failure(error)  # it is made anew
        try:
            return kind(self._vocabulary.documents.spellings[number])
        except BaseException as error:
            return _refusal(error)

    def _judged(self, kind: type[FastEngine], number: int, standard: str) -> tuple[Engine | str, Verdict]:
        """Return an engine, and what comparing it showed; where its own form is kept, what that makes."""
        engine = self._built(kind, number)
        if isinstance(engine, str):
            return engine, Verdict("none", engine)
        engine, form = self._kept(kind, engine, self._vocabulary.documents.spellings[number])
        verdict = self._compare(engine, standard)
        if verdict.texts == "none":
            remove_form(form)
            return engine, verdict
        return engine, verdict._replace(form=form)

    def _kept(self, kind: type[FastEngine], engine: FastEngine, document: str) -> tuple[FastEngine, str]:
        """Keep the engine's own form if that is worth it; return what it makes, and its digest."""
        if self._use_cache and len(document) > _WORTH_A_FORM:
            try:
                form = write_form(engine.form(document))
                path = find_form(form)
                if path is not None:
                    return kind.from_form(path), form
            except BaseException as error:
                failure(error)  # it does without
        return engine, ""

    def _compare(self, engine: Engine, standard: str) -> Verdict:
        """Return which texts an engine cuts as `tokenizers` does."""
        texts = [*fixed_texts(), *own_texts(self._vocabulary.documents.facts.sample)]
        right = self.reference().cut(texts, parallel=True)
        differing: set[int] = set()
        for parallel in (True, False):
            try:
                differing.update(differing_texts(right, engine.cut(texts, parallel)).tolist())
            except BaseException as error:
                return Verdict("none", _refusal(error))
        if not differing:
            return Verdict("all", f"it gave the ids of {Standard.package} {standard} on {len(texts)} texts")
        beyond = not any(is_plain(texts[which]) for which in differing)
        first = texts[min(differing)]
        reason = f"cuts {len(differing)} of {len(texts)} texts differently, such as {quote(first[:60])}"
        return Verdict("plain" if beyond else "none", reason)


def is_plain(text: str) -> bool:
    """Return whether a text has nothing but printable ASCII, tabs and ends of lines."""
    return text.isascii() and not text.encode().translate(None, _PLAIN)


def plain_ones(texts: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Return which texts `is_plain` holds of; most do, so that many are looked at together."""
    plain = np.ones(len(texts), np.bool_)
    for first in range(0, len(texts), _LOOKED_AT):
        group = texts[first : first + _LOOKED_AT]
        if not is_plain("".join(group)):
            plain[first : first + len(group)] = [is_plain(text) for text in group]
    return plain


def _refusal(error: BaseException) -> str:
    return f"does not take it: {failure(error)}"


def differing_texts(right: Cuts, found: Cuts) -> npt.NDArray[np.intp]:
    """Return which texts are cut differently."""
    if found.lengths.shape != right.lengths.shape:
        return np.arange(right.lengths.size)
    same = right.lengths == found.lengths
    starts = [np.cumsum(cuts.lengths) - cuts.lengths for cuts in (right, found)]
    for which in np.flatnonzero(same):
        a, b = (
            cuts.ids[begin[which] : begin[which] + cuts.lengths[which]]
            for cuts, begin in zip((right, found), starts, strict=True)
        )
        same[which] = np.array_equal(a, b)
    return np.flatnonzero(~same)


def merged(is_first: npt.NDArray[np.bool_], first: Cuts, second: Cuts) -> Cuts:
    """Return the cuts of texts in their order: some are in `first`, the others in `second`."""
    lengths = np.empty(is_first.size, np.int64)
    lengths[is_first], lengths[~is_first] = first.lengths, second.lengths
    from_first = np.repeat(is_first, lengths)
    ids = np.empty(from_first.size, np.int64)
    ids[from_first], ids[~from_first] = first.ids, second.ids
    return Cuts(ids, lengths)
