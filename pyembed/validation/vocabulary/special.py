"""Tokens with a role: their ids, their types, and texts that are meant to be control tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from ...core.constants import TextFlag, ValueType
from ...llama_cpp.special_tokens import END_TEXTS, ID_KEYS, TURN_TEXTS
from ...tokens.token_text import TokenType
from ..facts import PLACEHOLDER, Facts
from ..report import Findings
from ..subject import Subject
from .rules import CONTROL_NORMAL, END_OF_TURN, SPECIAL_KEY, SPECIAL_RANGE, SPECIAL_TYPE

_ENDING = {"bos_token_id", "eos_token_id", "eot_token_id", "eom_token_id"}
_PIPED = re.compile(r"<\|[^|<>]+\|>")
_MAX_READ = 4000
_MAX_BOS = 8


def bracketed(facts: Facts) -> dict[int, str]:
    """Return texts in brackets by id, without known placeholders and bytes: the first few thousand."""
    known = facts.has(PLACEHOLDER | TextFlag.BYTE)
    ids = np.flatnonzero(facts.has(TextFlag.BRACKETED) & ~known)[:_MAX_READ]
    return {token_id: facts.vocabulary.tokens[token_id] for token_id in ids.tolist()}


def judge(subject: Subject, facts: Facts, texts: Mapping[int, str], findings: Findings) -> None:
    """Look at all that is said of tokens with a role, and at texts in brackets."""
    _judge_keys(subject, facts, findings)
    _judge_texts(facts, texts, findings)


def _judge_keys(subject: Subject, facts: Facts, findings: Findings) -> None:
    for name in ID_KEYS:
        key = f"tokenizer.ggml.{name}"
        stored = subject.source.metadata_value(key)
        if stored is not None and stored.type != ValueType.U32:
            findings.add(SPECIAL_KEY, f"{key} is not stored as u32, so that llama.cpp refuses the model")
        value = subject.metadata.integer(key)
        if value is None:
            continue
        if not 0 <= value < facts.n:
            findings.add(SPECIAL_RANGE, f"{key} is {value}, and the vocabulary has {facts.n} tokens")
        elif facts.typed and name in _ENDING:
            _judge_type(facts, findings, key, value)


def _judge_type(facts: Facts, findings: Findings, key: str, token_id: int) -> None:
    kind = int(facts.types[token_id])
    if kind in (TokenType.CONTROL, TokenType.USER_DEFINED, TokenType.UNKNOWN):
        if not facts.tokens["flags"][token_id] & PLACEHOLDER:
            return
        name = "a placeholder"
    else:
        name = f"of type {TokenType(kind).name}" if kind in list(TokenType) else f"of type {kind}"
    findings.add(
        SPECIAL_TYPE,
        f"{key} is {facts.quote(token_id)}, which is {name}",
        first_id=token_id,
        last_id=token_id,
        n_ids=1,
    )


def _judge_texts(facts: Facts, texts: Mapping[int, str], findings: Findings) -> None:
    """Find texts of control tokens by their look."""
    # Of gemma4 llama.cpp takes </s> for the tag of HTML that it is there.
    ends = [
        token_id
        for token_id, text in texts.items()
        if text in END_TEXTS and not (facts.model == "gemma4" and text == "</s>")
    ]
    if len(ends) > 1:
        findings.add(
            END_OF_TURN,
            f"a turn may end at {facts.quote_some(ends, 8)}",
            first_id=ends[0],
            last_id=ends[-1],
            n_ids=len(ends),
        )
    if facts.typed:
        suspects = [
            token_id
            for token_id, text in texts.items()
            if facts.normal[token_id] and _is_control(text, token_id)
        ]
        are_merged = np.isin(np.array(suspects, np.int64), facts.products)
        for token_id, is_merged in zip(suspects, are_merged.tolist(), strict=True):
            if not is_merged:
                findings.add(
                    CONTROL_NORMAL,
                    f"token {facts.quote(token_id)} is typed as ordinary text",
                    first_id=token_id,
                    last_id=token_id,
                    n_ids=1,
                )


def _is_control(text: str, token_id: int) -> bool:
    """Return whether a text can only be that of a control token."""
    if text in ("<s>", "</s>"):
        return token_id <= _MAX_BOS  # further on these are tags of HTML
    return text in END_TEXTS or text in TURN_TEXTS or _PIPED.fullmatch(text) is not None
