"""The vocabulary against itself and the table: counts, texts, types, byte tokens, padding, and the order."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...core.constants import TextFlag
from ...llama_cpp.pre_tokenizers import WITH_ALL_BYTE_TOKENS, WITH_BYTE_TOKENS, WITHOUT_TOKENS
from ...safe_text import quote
from ...tokens.token_text import TokenType
from ..facts import PLACEHOLDER, Facts, Ids
from ..report import Findings
from ..rules import Outcome, Severity
from ..subject import Subject
from . import order, placeholders, special, tokenizer
from .families import bpe, spm, unigram, wordpiece
from .rules import (
    BYTE_MISSING,
    BYTE_ORDER,
    BYTE_TYPE,
    DUPLICATE,
    EMPTY,
    EXTRA_ENTRIES,
    NOT_UTF8,
    NUL,
    PADDING,
    PADDING_ORDER,
    ROW_COUNT,
    TOKEN_TYPE,
    UNUSABLE,
    VOCAB_SIZE,
)

FAMILIES = (bpe, spm, wordpiece, unigram)


_MAX_READ = 20_000
#: Fewer byte tokens do not make an alphabet.
MIN_BYTE_TOKENS = 128


def examine(subject: Subject, findings: Findings) -> None:
    """Look at the vocabulary and the number of rows."""
    facts = subject.facts
    _judge_rows(subject, facts, findings)
    if facts is None:
        _no_vocabulary(subject, findings)
        return
    if facts.model in WITHOUT_TOKENS:
        findings.no_evidence(f"the tokenizer is {quote(facts.model)}: its token list is read by nobody")
        return
    _judge_counts(subject, facts, findings)
    _judge_texts(facts, findings)
    _judge_types(facts, findings)
    _judge_bytes(facts, findings)
    _judge_padding(facts, findings)
    bracketed = special.bracketed(facts)
    special.judge(subject, facts, bracketed, findings)
    placeholders.judge(facts, bracketed, findings)
    tokenizer.judge(subject, facts, findings)
    laws = next((family for family in FAMILIES if facts.model in family.MODELS), None)
    verdict = None if laws is None else laws.judge(facts, findings, subject.level)
    if verdict is None:
        findings.no_evidence(
            f"{facts.n} tokens of the family {quote(facts.model)} follow no law of order that is known here"
        )
    else:
        findings.conclude(verdict)


def _no_vocabulary(subject: Subject, findings: Findings) -> None:
    if "tokenizer.ggml.tokens" in subject.metadata:
        error = subject.vocabulary_error
        message = str(error).removeprefix(f"{subject.source.path}: ")
        findings.add(UNUSABLE, message, offset=None if error is None else error.offset)
    findings.no_evidence("the file carries no vocabulary that can be used")


def _span(ids: Ids) -> dict[str, Any]:
    return {"first_id": int(ids[0]), "last_id": int(ids[-1]), "n_ids": int(ids.size)}


# ------------------------------------------------------------------------------------------ counts


def _judge_rows(subject: Subject, facts: Facts | None, findings: Findings) -> None:
    """Compare the rows of each table with the tokens."""
    n_tokens = _n_tokens(subject, facts)
    for name, info in subject.token_tables.items():
        n_rows = math.prod(info.shape[:-1])
        if n_tokens is None or n_rows == n_tokens or any(n != 1 for n in info.shape[:-2]):
            continue
        few, many = sorted((n_rows, n_tokens))
        findings.add(
            ROW_COUNT,
            f"{name} has {n_rows} rows for {n_tokens} tokens, so that llama.cpp refuses the model; "
            + _describe_extra(n_rows, n_tokens, facts),
            # Rows behind the last token move none.
            severity=Severity.ERROR if n_rows < n_tokens else Severity.WARNING,
            tensor=name,
            offset=info.offset,
            first_id=few,
            last_id=many - 1,
            n_ids=many - few,
        )


def _n_tokens(subject: Subject, facts: Facts | None) -> int | None:
    """Return how many tokens llama.cpp counts; None where nothing says it."""
    if subject.metadata.text("tokenizer.ggml.model") in WITHOUT_TOKENS:
        key = f"{subject.architecture}.vocab_size"
        return subject.metadata.count(key) if key in subject.metadata else 0
    return None if facts is None else facts.n


def _judge_counts(subject: Subject, facts: Facts, findings: Findings) -> None:
    key = f"{subject.architecture}.vocab_size"
    size = subject.metadata.integer(key)
    if size is not None and size != facts.n:
        findings.add(VOCAB_SIZE, f"{key} is {size}, and there are {facts.n} tokens")
    for part in ("scores", "token_type"):
        stored = subject.source.metadata_value(f"tokenizer.ggml.{part}")
        if stored is not None and stored.n_elements > facts.n:
            findings.add(
                EXTRA_ENTRIES,
                f"tokenizer.ggml.{part} has {stored.n_elements} entries for {facts.n} tokens",
            )


def _describe_extra(n_rows: int, n_tokens: int, facts: Facts | None) -> str:
    if n_rows > n_tokens:
        return f"rows from {n_tokens} on belong to no token"
    text = f"ids from {n_rows} on have no row"
    if facts is None or facts.n != n_tokens:
        return text
    n_padding = int(np.count_nonzero(facts.has(PLACEHOLDER)[n_rows:]))
    what = "all of them are padding" if n_padding == n_tokens - n_rows else f"{n_padding} of them are padding"
    return f"{text}; {what}"


# ------------------------------------------------------------------------------------------- texts


def _judge_texts(facts: Facts, findings: Findings) -> None:
    empty = facts.has(TextFlag.EMPTY)
    for token_id in facts.repeats[~empty[facts.repeats]]:
        first = int(facts.tokens["first_id"][token_id])
        findings.add(
            DUPLICATE,
            f"tokens {first} and {facts.quote(int(token_id))} have the same text, on which llama.cpp aborts",
            **_span(np.array([first, token_id])),
        )
    for rule, mask, what in (
        (EMPTY, empty, "have no text"),
        (NUL, facts.has(TextFlag.NUL), "hold a NUL byte"),
        (NOT_UTF8, facts.has(TextFlag.NOT_UTF8), "are not valid UTF-8"),
    ):
        ids = np.flatnonzero(mask)
        if ids.size:
            findings.add(rule, f"{ids.size} tokens {what}: {facts.quote_some(ids)}", **_span(ids))
    _judge_read_texts(facts, findings)


def _judge_read_texts(facts: Facts, findings: Findings) -> None:
    """Find tokens that are the same once llama.cpp has cut them at a NUL and given the empty ones names."""
    seen: dict[str, int] = {}
    changed = facts.has(TextFlag.NUL | TextFlag.EMPTY)
    for token_id in np.flatnonzero(changed)[:_MAX_READ].tolist():
        text = facts.vocabulary.tokens[token_id].split("\0")[0]
        how = "up to a NUL byte" if text else f"once it is called [EMPTY_{token_id}]"
        text = text or f"[EMPTY_{token_id}]"
        same = seen.setdefault(text, facts.vocabulary.id(text) if text in facts.vocabulary else token_id)
        if same != token_id:
            findings.add(
                DUPLICATE,
                f"tokens {same} and {facts.quote(token_id)} are the same {how}, on which llama.cpp aborts",
                **_span(np.array(sorted((same, token_id)))),
            )


def _judge_types(facts: Facts, findings: Findings) -> None:
    ids = np.flatnonzero((facts.types < 0) | (facts.types > int(max(TokenType))))
    if ids.size:
        findings.add(
            TOKEN_TYPE, f"{ids.size} tokens are of no known type: {facts.quote_some(ids)}", **_span(ids)
        )


# ------------------------------------------------------------------------------------- byte tokens


def _judge_bytes(facts: Facts, findings: Findings) -> None:
    """Judge the tokens <0xNN>: all there, in order, and of their type."""
    text = facts.has(TextFlag.BYTE)
    typed = facts.types == TokenType.BYTE.value
    short = np.flatnonzero(typed)
    length = facts.tokens["n_code_points"][short]
    short = short[(length > 0) & (length < 3)]  # llama.cpp gives an empty token a text
    if short.size and facts.model != "bert":
        findings.add(
            BYTE_TYPE,
            f"{short.size} tokens of type BYTE are shorter than three characters, on which llama.cpp refuses "
            f"the model: {facts.quote_some(short)}",
            llama_cpp=Outcome.REFUSE,
            **_span(short),
        )
    if facts.model not in WITH_BYTE_TOKENS or not text.any():
        return
    wrong = np.flatnonzero(text != typed)
    if facts.typed and wrong.size:
        findings.add(
            BYTE_TYPE,
            f"{wrong.size} tokens are of type BYTE or spelled <0xNN>, not both: {facts.quote_some(wrong)}",
            **_span(wrong),
        )
    text[facts.repeats] = False
    ids = np.flatnonzero(text)
    byte_of = facts.tokens["number"][ids].astype(np.int64)
    ids = ids[np.argsort(byte_of, kind="stable")]
    there = np.bincount(byte_of, minlength=256) > 0
    missing = np.flatnonzero(~there)
    if missing.size:
        refused = Outcome.REFUSE if facts.model in WITH_ALL_BYTE_TOKENS else Outcome.LOAD
        some = ", ".join(f"<0x{byte:02X}>" for byte in missing[:4])
        findings.add(BYTE_MISSING, f"{missing.size} byte tokens are missing: {some}", llama_cpp=refused)
    if ids.size >= MIN_BYTE_TOKENS:
        _judge_byte_order(facts, findings, ids, np.flatnonzero(there))


def _judge_byte_order(facts: Facts, findings: Findings, ids: Ids, byte_of: Ids) -> None:
    # A byte that is missing may have been left out at training, or deleted: its place does not count.
    ranks = byte_of if byte_of.size == 256 else np.arange(ids.size)
    found = order.find_order(ids, ranks)
    if found is not None:
        order.report_order(found, facts, findings, "byte tokens")
        return
    wrong = np.sort(ids)
    findings.add(
        BYTE_ORDER,
        f"the {ids.size} byte tokens between {wrong[0]} and {wrong[-1]} are not in the order of their bytes",
        **_span(wrong),
    )


# ------------------------------------------------------------------------------------------ padding


def _judge_padding(facts: Facts, findings: Findings) -> None:
    ids = np.flatnonzero(facts.has(TextFlag.PAD))
    if ids.size == 0:
        return
    numbers = facts.tokens["number"][ids].astype(np.int64)
    broken = (np.diff(ids) != 1) | (np.diff(numbers) != 1)
    if broken.any() or int(ids[-1]) != facts.n - 1:
        where = int(np.argmax(broken)) if broken.any() else ids.size - 1
        findings.add(
            PADDING_ORDER,
            f"{ids.size} padding tokens are not numbered in one run to the end of the list: see "
            f"{facts.quote_some(ids[where : where + 2])}",
            **_span(ids),
        )
        return
    by = int(numbers[0] - ids[0])
    named = "by their ids" if by == 0 else f"{abs(by)} {'above' if by > 0 else 'below'} their ids"
    findings.add(PADDING, f"the last {ids.size} tokens are padding, numbered {named}", **_span(ids))
    if by == 0:  # their texts name their ids
        pinned = np.zeros(facts.n, np.bool_)
        pinned[ids] = True
        findings.pins(pinned)
