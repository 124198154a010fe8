"""Tokens with a role: their ids, their types, and texts that are meant to be control tokens."""

from __future__ import annotations

import re

import numpy as np

from .._native import lib
from ..spelling import TokenType
from .facts import Facts
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
PRE_MISSING = Rule(
    "vocabulary/pre-missing",
    Severity.WARNING,
    "The file does not name its pre-tokenizer",
    "llama.cpp takes a default, which cuts many texts into other tokens than the model was trained on.",
    "The file was made by an old converter.",
    "Convert the model again, or set tokenizer.ggml.pre.",
)
MODEL_UNKNOWN = Rule(
    "vocabulary/model-unknown",
    Severity.WARNING,
    "The family of the tokenizer is unknown",
    "llama.cpp refuses the model.",
    "tokenizer.ggml.model names a family that it does not know, or is missing.",
    "Set tokenizer.ggml.model to the name of the family.",
    Outcome.REFUSE,
)
PHI3 = Rule(
    "vocabulary/phi3-tokens",
    Severity.WARNING,
    "The model's name says phi-3, and a token that llama.cpp demands of these is missing",
    "llama.cpp refuses the model.",
    "Another model carries the name, or the tokens were replaced.",
    "Change general.name, or restore the tokens.",
    Outcome.REFUSE,
)
CHARSMAP = Rule(
    "vocabulary/charsmap",
    Severity.WARNING,
    "The map of characters contradicts its own length",
    "llama.cpp refuses the model.",
    "tokenizer.ggml.precompiled_charsmap was cut short or damaged.",
    "Convert the model again.",
    Outcome.REFUSE,
)
RULES = (
    SPECIAL_RANGE,
    SPECIAL_KEY,
    SPECIAL_TYPE,
    CONTROL_NORMAL,
    END_OF_TURN,
    PRE_MISSING,
    MODEL_UNKNOWN,
    PHI3,
    CHARSMAP,
)

#: Families that llama.cpp knows.
MODELS = frozenset(
    {
        *("llama", "gpt2", "hybriddna", "whitespace", "gemma4", "bert"),
        *("t5", "rwkv", "plamo2", "test", "none", "no_vocab"),
    }
)
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
_PHI3_TEXTS = ("</s>", "<unk>", "<s>", "<|endoftext|>")


def judge(subject: Subject, facts: Facts, findings: Findings) -> None:
    """Look at all that is said of tokens with a role."""
    _judge_keys(subject, facts, findings)
    _judge_texts(facts, findings)
    _judge_family(subject, facts, findings)


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
    placeholder = lib.PYE_TEXT_PAD | lib.PYE_TEXT_UNUSED | lib.PYE_TEXT_RESERVED
    if kind in (TokenType.CONTROL, TokenType.USER_DEFINED, TokenType.UNKNOWN):
        if not facts.tokens["flags"][token_id] & placeholder:
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


def _judge_texts(facts: Facts, findings: Findings) -> None:
    """Find texts of control tokens by their look."""
    placeholders = lib.PYE_TEXT_PAD | lib.PYE_TEXT_UNUSED | lib.PYE_TEXT_RESERVED | lib.PYE_TEXT_BYTE
    bracketed = np.flatnonzero(facts.has(lib.PYE_TEXT_BRACKETED) & ~facts.has(placeholders))[:_MAX_READ]
    texts = {int(token_id): facts.vocabulary.tokens[int(token_id)] for token_id in bracketed}
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


def _judge_family(subject: Subject, facts: Facts, findings: Findings) -> None:
    metadata = subject.metadata
    if facts.model not in MODELS:
        findings.add(
            MODEL_UNKNOWN, f"tokenizer.ggml.model is {facts.model!r}, on which llama.cpp refuses the model"
        )
    if facts.model in {"gpt2", "whitespace", "hybriddna"} and facts.pre is None:
        findings.add(PRE_MISSING, "tokenizer.ggml.pre is missing: texts are cut by a default")
    name = metadata.get("general.name")
    if facts.model in {"llama", "gpt2"} and isinstance(name, str) and re.search("phi-?3", name, re.I):
        missing = [text for text in _PHI3_TEXTS if text not in facts.vocabulary.tokens]
        if missing:
            findings.add(
                PHI3, f"general.name is {name!r} and there is no token {missing[0]!r}: llama.cpp refuses it"
            )
    charsmap = metadata.get("tokenizer.ggml.precompiled_charsmap")
    if facts.model == "t5" and isinstance(charsmap, np.ndarray):
        raw = charsmap.astype(np.uint8).tobytes()
        if len(raw) < 4 or int.from_bytes(raw[:4], "little") + 4 >= len(raw):
            findings.add(CHARSMAP, "tokenizer.ggml.precompiled_charsmap is shorter than it says itself")
