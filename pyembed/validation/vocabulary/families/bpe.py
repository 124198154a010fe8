"""Byte-pair encoding: tokens stand in the order in which merges first make them, behind the alphabet.

Two kinds of merge lists are known. A trained one has one merge a token: the product of merge k is token
base + k. One made from a list of ranks has a merge for every cut of a token into two tokens, grouped by
token. In both the products, as they first appear, have consecutive ids. In gemma4's list runs of spaces
have ids apart, in order of their lengths. Only lists that fairseq numbered, such as RoBERTa's, are in another
order: that of frequency.

Merges pin each token that they make: any other text at its id would have another merge, or none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....core.constants import NO_TOKEN, MergeFlag, TextFlag
from ....llama_cpp.pre_tokenizers import PRE_TOKENIZERS_WITHOUT_MERGES
from ....safe_text import quote
from ....tokens.token_text import TokenType
from ...facts import MAX_QUOTED, PLACEHOLDER, Facts, Ids, Mask
from ...report import Findings
from ...report_text import count
from ...rules import Outcome
from ..order import LONG_RUN, Order, find_order, report_order, scattered
from ..rules import (
    MERGE_ORDER,
    MERGE_UNKNOWN,
    MERGES_INCOMPLETE,
    MERGES_MISSING,
    NO_LAW,
    TOKEN_BETWEEN,
    UNREACHABLE,
)

MODELS = frozenset({"gpt2", "gemma4", "whitespace", "hybriddna"})
#: Fewer merges than this prove nothing.
MIN_MERGES = 16
#: From this many products on, a list that follows no law is in a wrong order; fewer may be made up.
_MIN_CERTAIN = 256
#: Families whose real lists all follow the law, except those that fairseq numbered.
_CERTAIN = frozenset({"gpt2", "gemma4"})
_FAIRSEQ_PRE = "roberta-bpe"
_FAIRSEQ_HEAD = ["<s>", "<pad>", "</s>", "<unk>"]
_MAX_READ = 20_000
_PART_UNKNOWN = int(MergeFlag.LEFT_UNKNOWN | MergeFlag.RIGHT_UNKNOWN)
_SPACES = [ord(space) for space in "\t\n \u2581"]


@dataclass
class _Products:
    """The tokens that merges make, by first appearance, and the ranks that this gives them."""

    ids: Ids
    ranks: Ids
    one_merge: bool


def judge(facts: Facts, findings: Findings, level: str) -> str | None:
    """Judge the order of a vocabulary with merges; return what it came to, None where nothing can be said."""
    if facts.merge_texts is None:
        if facts.pre not in PRE_TOKENIZERS_WITHOUT_MERGES:
            findings.add(
                MERGES_MISSING,
                "there is no list of merges (tokenizer.ggml.merges), so that llama.cpp refuses the model",
                llama_cpp=Outcome.REFUSE,
            )
        return None
    _report_unknown(facts, findings)
    unmade = facts.merges_with(MergeFlag.PRODUCT_UNKNOWN)
    if facts.products.size < MIN_MERGES or 2 * unmade.size > facts.products.size:
        return None
    spaces = _space_runs(facts) if facts.marked else None
    products = _products(facts, unmade, spaces)
    order = find_order(products.ids, products.ranks)
    if order is None and _is_by_frequency(facts):
        return None
    if order is None and (facts.model not in _CERTAIN or products.ids.size < _MIN_CERTAIN):
        findings.add(NO_LAW, f"{products.ids.size} products of merges stand in no order of their merges")
        return None
    if order is None:
        order = scattered(products.ids, products.ranks)
    law = "one merge a token" if products.one_merge else "merges for every cut of a token"
    whole = _with_alphabet(facts, products, order, findings) if not facts.marked else order
    report_order(whole, facts, findings, f"products of merges, {law}")
    pinned = whole.in_place(facts.n)
    if unmade.size > _MAX_READ or not _is_anchored(facts, whole):
        pinned[:] = False  # tokens may be missing whose places are not known, or all may be displaced
    if spaces is not None:
        pinned |= _judge_runs(facts, spaces, findings)
    findings.pins(pinned)
    if whole.kept and products.one_merge:
        _report_parts(facts, findings)
    if not products.one_merge and level == "full":
        _report_incomplete(facts, findings)
    _report_unreachable(facts, findings)
    return f"{whole.ids.size} learned tokens, {law}: {_summary(whole)}"


def _summary(order: Order) -> str:
    if order.kept:
        return "all in the order of the merges"
    return f"{order.odd.size} out of place, {count(len(order.blocks), 'run')} shifted"


def _is_anchored(facts: Facts, order: Order) -> bool:
    """Return whether anything says where the list begins: merges only say what stands behind what.

    It begins at id 0, or tokens with a role stand before it, at the ids that the file gives for them.
    """
    roles = [token_id for token_id in facts.special_ids if 0 <= token_id < facts.n]
    return order.base == 0 or not facts.typed or not facts.normal[roles].any()


def _is_by_frequency(facts: Facts) -> bool:
    """Return whether the list is one that fairseq numbered, by frequency."""
    return facts.pre == _FAIRSEQ_PRE or list(facts.vocabulary.tokens[:4]) == _FAIRSEQ_HEAD


def _report_unknown(facts: Facts, findings: Findings) -> None:
    """Report merges of texts that are not tokens."""
    texts = facts.merge_texts
    where = facts.merges_with(_PART_UNKNOWN | MergeFlag.PRODUCT_UNKNOWN)
    if texts is not None and where.size:
        some = ", ".join(quote(texts[int(k)], MAX_QUOTED) for k in where[:3])
        findings.add(
            MERGE_UNKNOWN,
            f"{where.size} of {len(texts)} merges have a part or a product that is not a token: {some}",
        )


def _products(facts: Facts, unmade: Ids, spaces: Mask | None) -> _Products:
    """Return the products of all merges but those that make no token, or one of these runs of spaces."""
    known = facts.first_merges
    product = facts.products[known]
    one_merge = known.size >= 0.98 * (facts.products.size - unmade.size)
    missing = _missing_products(facts, unmade)
    if spaces is not None:
        others = ~spaces[product]
        known, product = known[others], product[others]
    ranks = np.arange(known.size)
    if missing:  # a product that is not a token has its rank all the same
        ranks += np.searchsorted(np.sort(np.fromiter(missing.values(), np.int64, len(missing))), known)
    return _Products(product.astype(np.int64), ranks, one_merge)


def _space_runs(facts: Facts) -> Mask:
    """Return which tokens are runs of one kind of space: they have ids apart, and their merges come early."""
    runs = facts.has(TextFlag.REPEATED)
    some = np.flatnonzero(runs)
    runs[some] = np.isin(facts.tokens["code_point"][some], _SPACES)
    return runs


def _judge_runs(facts: Facts, spaces: Mask, findings: Findings) -> Mask:
    """Report runs of one kind of space that are not in order of length, and return which are pinned.

    One space alone is like any token.
    """
    pinned: Mask = np.zeros(facts.n, np.bool_)
    runs = np.flatnonzero(spaces & (facts.tokens["n_code_points"] > 1))
    runs = runs[~np.isin(runs, facts.repeats)]
    kinds = facts.tokens["code_point"][runs]
    for space in _SPACES:
        ids = runs[kinds == space]
        lengths = facts.tokens["n_code_points"][ids].astype(np.int64)
        by_length = np.argsort(lengths)
        if ids.size < LONG_RUN:
            continue
        ids, lengths = ids[by_length], lengths[by_length]
        order = find_order(ids, lengths) or scattered(ids, lengths)
        report_order(order, facts, findings, "runs of one kind of space, by length")
        pinned |= order.in_place(facts.n)
    return pinned


def _missing_products(facts: Facts, where: Ids) -> dict[str, int]:
    """Return the products that are not tokens, each with its first merge: the places of deleted tokens."""
    texts, found = facts.merge_texts, dict[str, int]()
    if texts is None or where.size > _MAX_READ:
        return found
    for merge in where:
        text = texts[int(merge)]
        space = text.find(" ", 1)
        if space > 0:
            found.setdefault(text[:space] + text[space + 1 :], int(merge))
    return found


def _with_alphabet(facts: Facts, products: _Products, order: Order, findings: Findings) -> Order:
    """Return the order of the alphabet, in order of code points, and the products behind it.

    An alphabet that is not in such an order, or stands elsewhere, is left out.
    """
    tokens = facts.tokens
    symbol = facts.has(TextFlag.ALPHABET) & (tokens["n_code_points"] == 1)
    # Characters may have been added again with a type of their own; a control token is none of these.
    symbol &= facts.normal | (facts.types == TokenType.CONTROL.value)
    if not facts.typed:
        symbol[max(0, order.base) :] = False
    symbol[products.ids] = False
    symbol[facts.repeats] = False
    ids = np.flatnonzero(symbol)
    points = tokens["code_point"][ids].astype(np.int64)
    expected = np.array(sorted({*points.tolist(), *_missing_symbols(facts)}), np.int64)
    in_bytes = _bytes_of(points)
    by_point = np.argsort(points, kind="stable")
    ranks = np.searchsorted(expected, points[by_point]).astype(np.int64)
    alphabet = find_order(ids[by_point], ranks)
    if alphabet is None or not alphabet.kept:
        # Lists made of ranks of bytes may have the alphabet in the order of these.
        by_byte = np.argsort(in_bytes, kind="stable")
        of_bytes = np.searchsorted(np.sort(_bytes_of(expected)), in_bytes[by_byte]).astype(np.int64)
        other = find_order(ids[by_byte], of_bytes)
        if other is not None and other.kept:
            alphabet, ranks = other, of_bytes
    if alphabet is None:
        return order
    ids = alphabet.ids
    gap = order.base - (alphabet.base + expected.size)
    between = np.arange(order.base - gap, order.base) if gap > 0 else np.empty(0, np.int64)
    if gap > 0 and not symbol[between].any():
        if not _may_stand_between(facts, between):
            findings.add(
                TOKEN_BETWEEN,
                f"{gap} tokens stand between the alphabet and the first product: {facts.quote_some(between)}",
                first_id=int(between[0]),
                last_id=int(between[-1]),
                n_ids=int(gap),
            )
    elif gap > 0 or alphabet.blocks:
        gap = 0  # the alphabet itself is longer than it should be: a token was inserted into it
    else:
        gap = min(gap, 0)
    first = expected.size + gap
    joined = find_order(np.concatenate([ids, products.ids]), np.concatenate([ranks, products.ranks + first]))
    return joined or order


def _bytes_of(points: Ids) -> Ids:
    """Return the bytes that characters of the alphabet spell: others than printable ones from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = np.array([byte for byte in range(256) if byte not in set(printable)], np.int64)
    return np.where(points < 256, points, others[np.clip(points - 256, 0, others.size - 1)])


def _missing_symbols(facts: Facts) -> set[int]:
    """Return code points of the alphabet that merges name and that are not tokens."""
    texts, where = facts.merge_texts, facts.merges_with(_PART_UNKNOWN)
    found: set[int] = set()
    if texts is not None and where.size <= _MAX_READ:
        for merge in where:
            text, flags = texts[int(merge)], facts.merge_flags[merge]
            space = text.find(" ", 1)
            if space > 0:
                parts = (
                    (text[:space], MergeFlag.LEFT_UNKNOWN),
                    (text[space + 1 :], MergeFlag.RIGHT_UNKNOWN),
                )
                found |= {ord(part) for part, flag in parts if len(part) == 1 and flags & flag}
    return found


def _may_stand_between(facts: Facts, ids: Ids) -> bool:
    """Return whether tokens between alphabet and products are more single characters, or no learned ones."""
    learned = ids[facts.normal[ids]]
    points = facts.tokens["code_point"][learned].astype(np.int64)
    single = bool(np.all(facts.tokens["n_code_points"][learned] == 1))
    return single and bool(np.all(np.diff(points) > 0))


def _report_parts(facts: Facts, findings: Findings) -> None:
    late = facts.merges_with(MergeFlag.LATE)
    if 0 < late.size <= 0.01 * facts.products.size:
        ids = np.unique(facts.products[late]).astype(np.int64)
        findings.add(
            MERGE_ORDER,
            f"{late.size} merges use a part that comes later than what they make: {facts.quote_some(ids)}",
            first_id=int(ids[0]),
            last_id=int(ids[-1]),
            n_ids=ids.size,
        )


def _report_incomplete(facts: Facts, findings: Findings) -> None:
    made = facts.products[facts.products != NO_TOKEN]
    n_merges = np.bincount(made, minlength=facts.n)
    n_cuts = facts.splits["n"].astype(np.int64)
    ids = np.flatnonzero((n_merges > 0) & (n_cuts < NO_TOKEN) & (n_merges < n_cuts))
    if 0 < ids.size <= 0.1 * np.count_nonzero(n_merges):
        lacking = int((n_cuts[ids] - n_merges[ids]).sum())
        findings.add(
            MERGES_INCOMPLETE,
            f"{lacking} merges are missing, of {ids.size} tokens: {facts.quote_some(ids)}",
            first_id=int(ids[0]),
            last_id=int(ids[-1]),
            n_ids=ids.size,
        )


def _report_unreachable(facts: Facts, findings: Findings) -> None:
    left = facts.normal.copy()
    left[facts.products[facts.first_merges]] = False
    ids = np.flatnonzero(left)
    single = facts.tokens["n_code_points"][ids] == 1
    if not facts.marked:
        single &= facts.have(ids, TextFlag.ALPHABET)
    ids = ids[~single & ~facts.have(ids, PLACEHOLDER | TextFlag.BYTE | TextFlag.BRACKETED)]
    if ids.size == 0:
        return
    rule = MERGES_MISSING if ids.size > 0.02 * facts.n else UNREACHABLE
    findings.add(
        rule,
        f"no merge makes {ids.size} normal tokens: {facts.quote_some(ids)}",
        first_id=int(ids[0]),
        last_id=int(ids[-1]),
        n_ids=ids.size,
    )
