"""Two tokenizers cut the same texts by the same engine; where they part, the step is named."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.progress import Report
from ...llama_cpp.pre_cuts import CUTS, CUTS_OF, PUBLISHED, Cut
from ...safe_text import quote
from ...tokens.cutting import engine
from ...tokens.cutting.corpus import corpus
from ...tokens.cutting.families.merging import byte_level_steps
from ..report import Findings
from .rules import FOUND, MODEL, NORMALIZER, PRE, TYPED, UNEXPLAINED
from .sides import Side, as_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_MOST_ADDED = 2000
_SHOWN_IDS, _SHOWN_TOKENS = 8, 4
#: Texts that are cut before it is looked whether a pre-tokenizer can still be the nearest.
_AT_ONCE = 128
_PLACEHOLDER = re.compile(r"[<\[].*(?:unused|reserved|extra|placeholder|dummy|pad).*[>\]]", re.IGNORECASE)
#: White space that engines treat differently in families that mark spaces.
_ODD_SPACES = re.compile(r"^\s|\s$|\s\s|[^\S ]")

Ids = list[int]


@dataclass
class Texts:
    """What both sides make of some texts.

    Attributes
    ----------
    texts : list of str
    ours, theirs : list of list of int
        Ids, each side's own.
    """

    texts: list[str]
    ours: list[Ids]
    theirs: list[Ids]

    def show(self, index: int) -> str:
        """Return for a message what a text becomes, from the first id on that differs."""
        ours, theirs = self.ours[index], self.theirs[index]
        pairs = enumerate(zip(ours, theirs, strict=False))
        first = next((k for k, (a, b) in pairs if a != b), min(len(ours), len(theirs)))
        shown = [_abridged(ids, first) for ids in (ours, theirs)]
        return f"{quote(self.texts[index], 60)} is {shown[0]}, by the reference {shown[1]}"


def _abridged(ids: Ids, first: int) -> str:
    before = "..., " if first else ""
    after = ", ..." if len(ids) > first + _SHOWN_IDS else ""
    return f"[{before}{', '.join(map(str, ids[first : first + _SHOWN_IDS]))}{after}]"


def compare_sides(ours: Side, theirs: Side, findings: Findings, report: Report) -> None:
    """Cut the corpus and the texts of added tokens by both sides; report where they part, and conclude.

    Raises
    ------
    VocabularyError
        If the package does not take the reference.
    """
    a = _built(ours)
    # Of one document a single tokenizer is enough: building it takes longer than all else.
    b = a if ours.document == theirs.document else _built(theirs)
    comparison = _Comparison(ours, theirs, a, b)
    report("texts", 0.0)
    n_texts, said = comparison.run(findings)
    report("texts", 1.0)
    findings.conclude(said or f"{n_texts} texts are cut into the ids of the reference")


def _built(side: Side) -> Tokenizer:
    assert side.document is not None
    return engine.load(side.path, as_text(side.document, side.path))


class _Comparison:
    """Both sides built, and the ids of one in those of the other."""

    def __init__(self, ours: Side, theirs: Side, a: Tokenizer, b: Tokenizer) -> None:
        self._ours, self._theirs, self._a, self._b = ours, theirs, a, b
        known = a.get_vocab(True)
        self._in_ours = {
            token_id: known.get(text, -1 - token_id) for text, token_id in b.get_vocab(True).items()
        }
        self._added = [_added_texts(side.document) for side in (ours, theirs)]
        self._marks = not _is_byte_level(ours.document)

    def run(self, findings: Findings) -> tuple[int, str]:
        """Report what differs; return how many texts were cut, and what there is to say beside findings."""
        names = self._names()
        texts = [*corpus(), *(f"a{name}" for name in names)]
        cut = self._cut(texts)
        differing = self._differing(cut)
        if not differing:
            return len(texts), ""
        tokens = self._judge_added(cut, len(texts) - len(names), findings)
        plain = [text for text in corpus() if not any(token in text for token in tokens)]
        reported = bool(tokens)
        other_pre = self._judge_steps(plain, findings)
        if not (other_pre and _whole_parts_differ(ours=self._ours.document, theirs=self._theirs.document)):
            reported |= self._judge_model(plain, findings)
        reported |= other_pre
        left = [k for k in differing if not (self._marks and _ODD_SPACES.search(texts[k]))]
        if not reported and left and not self._engines_differ:
            findings.add(
                UNEXPLAINED,
                f"{len(left)} of {len(texts)} texts get other ids: {cut.show(left[0])}",
                n_ids=None,
            )
        n = len(differing)
        return len(texts), f"{n} of {len(texts)} texts are not cut into the ids of the reference" + (
            "" if reported or left else ", all for white space that every file of the family treats so"
        )

    _engines_differ = False

    def _names(self) -> list[str]:
        """Return the texts that one side finds as tokens and the other has as tokens too."""
        ours, theirs = self._added
        known = (self._a.get_vocab(True), self._b.get_vocab(True))
        found = [text for text in theirs if text in known[0]] + [text for text in ours if text in known[1]]
        shown = [text for text in dict.fromkeys(found) if text.strip() and not _PLACEHOLDER.fullmatch(text)]
        return shown[:_MOST_ADDED]

    def _cut(self, texts: list[str]) -> Texts:
        return Texts(
            texts,
            engine.cut(self._ours.path, self._a, texts),
            engine.cut(self._theirs.path, self._b, texts),
        )

    def _differing(self, cut: Texts) -> list[int]:
        numbered = self._in_ours
        return [
            k
            for k, (ours, theirs) in enumerate(zip(cut.ours, cut.theirs, strict=True))
            if ours != [numbered.get(token_id, -1) for token_id in theirs]
        ]

    # ---------------------------------------------------------------------------------- added tokens

    def _judge_added(self, cut: Texts, first: int, findings: Findings) -> list[str]:
        """Report tokens that one side finds in texts and the other cuts; return their texts."""
        ours, theirs = self._added
        differing = [k for k in self._differing(cut) if k >= first]
        typed = [k for k in differing if (name := cut.texts[k][1:]) in theirs and name not in ours]
        found = [k for k in differing if (name := cut.texts[k][1:]) in ours and name not in theirs]
        found = [k for k in found if cut.texts[k][1:] not in self._ours.by_text]
        known = self._a.get_vocab(True)
        for rule, indices, what in (
            (TYPED, typed, "tokens of the reference are cut like other text"),
            (FOUND, found, "tokens are cut like other text by the reference"),
        ):
            if indices:
                ids = sorted(known[cut.texts[k][1:]] for k in indices)
                names = ", ".join(quote(cut.texts[k][1:], 40) for k in indices[:_SHOWN_TOKENS])
                findings.add(
                    rule,
                    f"{len(indices)} {what}: {names}; {cut.show(indices[0])}",
                    first_id=ids[0],
                    last_id=ids[-1],
                    n_ids=len(ids),
                )
        return [cut.texts[k][1:] for k in (*typed, *found)]

    # ---------------------------------------------------------- what is done before tokens are looked for

    def _judge_steps(self, texts: list[str], findings: Findings) -> bool:
        """Give the reference the file's steps one by one, and report those that change its ids."""
        b = self._b
        theirs = engine.cut(self._theirs.path, b, texts)
        before = b.normalizer, b.pre_tokenizer
        reported = False
        try:
            if self._marks:
                b.normalizer, b.pre_tokenizer = self._a.normalizer, self._a.pre_tokenizer
                changed = Texts(texts, engine.cut(self._theirs.path, b, texts), theirs)
                return self._report_normalizer(changed, findings)
            b.normalizer = self._a.normalizer
            changed = Texts(texts, engine.cut(self._theirs.path, b, texts), theirs)
            reported |= self._report_normalizer(changed, findings)
            b.normalizer = before[0]
            b.pre_tokenizer = self._a.pre_tokenizer
            changed = Texts(texts, engine.cut(self._theirs.path, b, texts), theirs)
            reported |= self._report_pre(changed, findings)
        finally:
            b.normalizer, b.pre_tokenizer = before
        return reported

    def _report_normalizer(self, changed: Texts, findings: Findings) -> bool:
        parted = [k for k, ids in enumerate(changed.ours) if ids != changed.theirs[k]]
        clear = [k for k in parted if not (self._marks and _ODD_SPACES.search(changed.texts[k]))]
        if clear:
            findings.add(
                NORMALIZER,
                f"{len(clear)} of {len(changed.texts)} texts are normalised otherwise: "
                + changed.show(clear[0]),
            )
        return bool(clear)

    def _report_pre(self, changed: Texts, findings: Findings) -> bool:
        """Report a pre-tokenizer that is not the reference's: another one that is known comes far nearer."""
        parted = [k for k, ids in enumerate(changed.ours) if ids != changed.theirs[k]]
        if not parted:
            return False
        best, fitting = self._nearest(changed, parted)
        if not fitting:  # another spelling of the file's own
            self._engines_differ = True
            return False
        findings.add(
            PRE,
            f"{len(parted)} of {len(changed.texts)} texts are cut otherwise by "
            f"{quote(self._ours.pre or 'default')} than by the reference, {best} by "
            f"{' or '.join(fitting[:_SHOWN_TOKENS])}: {changed.show(parted[0])}",
        )
        return True

    def _nearest(self, changed: Texts, parted: list[int]) -> tuple[int, list[str]]:
        """Return how many texts the nearest other pre-tokenizers cut otherwise, and the names of these.

        Only those count that cut at most a quarter as many otherwise as the file's own does.
        """
        own = CUTS_OF.get(self._ours.pre or "default")
        # A pre-tokenizer that is far off shows it first in the texts that the file's own gets wrong.
        apart = set(parted)
        order = [*parted, *(k for k in range(len(changed.texts)) if k not in apart)]
        best, fitting = len(parted) // 4, list[str]()
        for name in CUTS:
            if name == own:
                continue
            spellings = {CUTS[name], PUBLISHED.get(name, CUTS[name])}
            n = min(self._n_parted(cuts, changed, order, best) for cuts in spellings)
            if n < best:
                best, fitting = n, []
            if n == best:
                fitting.append(name)
        return best, fitting

    def _n_parted(self, cuts: tuple[Cut, ...], changed: Texts, order: list[int], most: int) -> int:
        """Return how many texts another pre-tokenizer cuts otherwise; more than `most` is enough."""
        self._b.pre_tokenizer = engine.pre_tokenizer(self._theirs.path, byte_level_steps(cuts))
        n = 0
        for first in range(0, len(order), _AT_ONCE):
            some = order[first : first + _AT_ONCE]
            ids = engine.cut(self._theirs.path, self._b, [changed.texts[k] for k in some])
            n += sum(a != changed.theirs[k] for a, k in zip(ids, some, strict=True))
            if n > most:
                break
        return n

    # ------------------------------------------------------------------------------ merges and scores

    def _judge_model(self, texts: list[str], findings: Findings) -> bool:
        """Give the file the reference's steps, and report what its merges or scores do otherwise."""
        a, b = self._a, self._b
        before = a.normalizer, a.pre_tokenizer
        try:
            a.normalizer, a.pre_tokenizer = b.normalizer, b.pre_tokenizer
            cut = self._cut(texts)
        finally:
            a.normalizer, a.pre_tokenizer = before
        parted = self._differing(cut)
        if parted:
            why = _merges_in_words(self._ours.document, self._theirs.document)
            findings.add(
                MODEL, f"{len(parted)} of {len(texts)} texts are merged otherwise{why}: {cut.show(parted[0])}"
            )
        return bool(parted)


def _added_texts(document: dict[str, Any] | None) -> set[str]:
    entries = (document or {}).get("added_tokens")
    return {
        entry["content"]
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict) and isinstance(entry.get("content"), str)
    }


def _is_byte_level(document: dict[str, Any] | None) -> bool:
    step = (document or {}).get("pre_tokenizer")
    steps = step.get("pretokenizers", [step]) if isinstance(step, dict) else []
    return any(
        isinstance(part, dict) and part.get("type") in ("ByteLevel", "BertPreTokenizer") for part in steps
    )


def _whole_parts_differ(ours: dict[str, Any] | None, theirs: dict[str, Any] | None) -> bool:
    """Return whether one side alone takes parts whole that are tokens: that goes with the pre-tokenizer."""
    flags = {bool((document or {}).get("model", {}).get("ignore_merges")) for document in (ours, theirs)}
    return len(flags) > 1


def _merges_in_words(ours: dict[str, Any] | None, theirs: dict[str, Any] | None) -> str:
    """Return how two lists of merges differ, for a message; "" where they do not or there are none."""
    lists = []
    for document in (ours, theirs):
        merges = (document or {}).get("model", {}).get("merges")
        if not isinstance(merges, list):
            return ""
        lists.append([merge if isinstance(merge, str) else " ".join(map(str, merge)) for merge in merges])
    known = set(lists[0])
    missing = [merge for merge in lists[1] if merge not in known]
    if missing:
        n = len(lists[1])
        return f", without {len(missing)} of the reference's {n} merges, such as {quote(missing[0], 40)}"
    if lists[0] != lists[1]:
        return ", with the same merges in another order"
    return (
        ", as parts that are tokens are taken whole by one side" if _whole_parts_differ(ours, theirs) else ""
    )
