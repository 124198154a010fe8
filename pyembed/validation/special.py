"""Tokens with a role: their ids, their types, and texts that are meant to be control tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from .._native import lib
from ..spelling import TokenType
from .facts import PLACEHOLDER, Facts
from .report import Findings
from .rules import Outcome, Rule, Severity
from .subject import Subject

SPECIAL_RANGE = Rule(
    "vocabulary/special-id-range",
    Severity.WARNING,
    "The id of a token with a role is no token",
    "llama.cpp keeps the default of the family instead, which is another token or none.",
    "The id belongs to another vocabulary, or tokens were removed.",
    "Set the key to the id of the right token.",
)
SPECIAL_KEY = Rule(
    "vocabulary/special-id-type",
    Severity.WARNING,
    "The id of a token with a role is stored as another type than u32",
    "llama.cpp refuses the model.",
    "A writer that stores ids as signed numbers, perhaps -1 for none.",
    "Store the key as u32, or leave it out.",
    Outcome.REFUSE,
)
SPECIAL_TYPE = Rule(
    "vocabulary/special-token-type",
    Severity.WARNING,
    "A token with a role is an ordinary, an unused or a byte token",
    "Generation may never end, or end at an ordinary word; control tokens in a prompt are taken for text.",
    "The id belongs to another model's vocabulary, or the token lost its type.",
    "Compare id and type with the original tokenizer's.",
)
CONTROL_NORMAL = Rule(
    "vocabulary/control-token-as-text",
    Severity.WARNING,
    "A token whose text marks a turn or an end is typed as ordinary text",
    "The tokenizer cuts its text into pieces, so that the model never sees the token that it was trained on.",
    "The converter lost the list of special tokens.",
    "Convert again, or set the type of the token to CONTROL.",
)
END_OF_TURN = Rule(
    "vocabulary/end-of-turn",
    Severity.NOTE,
    "Several tokens may end a turn",
    "llama.cpp stops at each of them; other software at those that the file names.",
    "Families have an end of text and an end of turn.",
    "Nothing, if eos and eot are set as the model was trained.",
)
RULES = (SPECIAL_RANGE, SPECIAL_KEY, SPECIAL_TYPE, CONTROL_NORMAL, END_OF_TURN)

_KEYS = (
    *("bos", "eos", "eot", "eom", "unknown", "seperator", "padding", "mask"),
    *("fim_pre", "fim_suf", "fim_mid", "fim_pad", "fim_rep", "fim_sep", "prefix", "suffix", "middle"),
)
_ENDING = {"bos", "eos", "eot", "eom"}
_END_TEXTS = (
    *("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<turn|>", "<|endoftext|>", "<|eom_id|>"),
    *("</s>", "<eos>", "<EOT>", "<|end_of_text|>", "<|END_OF_TURN_TOKEN|>", "[EOS]"),
)
_TURN_TEXTS = (
    *("<start_of_turn>", "<|turn>", "<|im_start|>", "<|start_header_id|>", "<|end_header_id|>"),
    *("<|begin_of_text|>", "<bos>", "<s>", "[CLS]", "[SEP]", "[MASK]", "[INST]", "[/INST]"),
    *("<|user|>", "<|assistant|>", "<|system|>", "<|START_OF_TURN_TOKEN|>"),
)
_PIPED = re.compile(r"<\|[^|<>]+\|>")
_MAX_READ = 4000
_MAX_BOS = 8


def bracketed(facts: Facts) -> dict[int, str]:
    """Return texts in brackets by id, without known placeholders and bytes: the first few thousand."""
    known = facts.has(PLACEHOLDER | lib.PYE_TEXT_BYTE)
    ids = np.flatnonzero(facts.has(lib.PYE_TEXT_BRACKETED) & ~known)[:_MAX_READ]
    return {token_id: facts.vocabulary.tokens[token_id] for token_id in ids.tolist()}


def judge(subject: Subject, facts: Facts, texts: Mapping[int, str], findings: Findings) -> None:
    """Look at all that is said of tokens with a role, and at texts in brackets."""
    _judge_keys(subject, facts, findings)
    _judge_texts(facts, texts, findings)


def _judge_keys(subject: Subject, facts: Facts, findings: Findings) -> None:
    for role in _KEYS:
        key = f"tokenizer.ggml.{role}_token_id"
        value = subject.metadata.get(key)
        if value is None:
            continue
        stored = subject.source.metadata_value(key)
        if stored is not None and stored.type != lib.PYE_VALUE_U32:
            findings.add(SPECIAL_KEY, f"{key} is not stored as u32, so that llama.cpp refuses the model")
        if not isinstance(value, int) or isinstance(value, bool):
            continue
        if not 0 <= value < facts.n:
            findings.add(SPECIAL_RANGE, f"{key} is {value}, and the vocabulary has {facts.n} tokens")
        elif facts.typed and role in _ENDING:
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
        if text in _END_TEXTS and not (facts.model == "gemma4" and text == "</s>")
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
        for token_id, text in texts.items():
            suspect = facts.normal[token_id] and _is_control(text, token_id)
            if suspect and not np.any(facts.products == token_id):
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
    return text in _END_TEXTS or text in _TURN_TEXTS or _PIPED.fullmatch(text) is not None
