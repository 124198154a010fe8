"""What is said of the tokenizer as a whole: family, pre-tokenizer, and what llama.cpp asks of either."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from ..spelling import TokenType
from .facts import Facts
from .report import Findings, shown
from .rules import Outcome, Rule, Severity
from .subject import Subject

PRE_MISSING = Rule(
    "vocabulary/pre-missing",
    Severity.WARNING,
    "The file does not name its pre-tokenizer",
    "llama.cpp takes a default, which cuts many texts into other tokens than the model was trained on.",
    "The file was made by an old converter.",
    "Convert the model again, or set tokenizer.ggml.pre.",
)
PRE_UNKNOWN = Rule(
    "vocabulary/pre-unknown",
    Severity.WARNING,
    "The pre-tokenizer has a name that llama.cpp does not know",
    "llama.cpp refuses the model. It tells capitals from small letters in these names.",
    "The name was made up or misspelt, or is newer than the llama.cpp of llama-cpp-python 0.3.36.",
    "Set tokenizer.ggml.pre to the name of the pre-tokenizer that the model was trained with.",
    Outcome.REFUSE,
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
    "The map of characters contradicts its own length, or leads outside itself",
    "llama.cpp refuses the model.",
    "tokenizer.ggml.precompiled_charsmap was cut short or damaged.",
    "Convert the model again.",
    Outcome.REFUSE,
)
RULES = (PRE_MISSING, PRE_UNKNOWN, MODEL_UNKNOWN, PHI3, CHARSMAP)

#: Families that llama.cpp knows.
MODELS = frozenset(
    {
        *("llama", "gpt2", "hybriddna", "whitespace", "gemma4", "bert"),
        *("t5", "rwkv", "plamo2", "test", "none", "no_vocab"),
    }
)
#: Families whose pre-tokenizer is looked up by its name; gemma4 has one of its own whatever the file says.
_WITH_PRE = frozenset({"gpt2", "whitespace", "hybriddna"})
_PRE_NAMES = """
a.x-4.0 afmoe bailingmoe bailingmoe2 bloom chameleon chatglm-bpe codeshell cohere2moe command-r dbrx
deepseek-coder deepseek-llm deepseek-r1-qwen deepseek-v3 default exaone exaone-moe exaone4 f2llmv2 falcon
falcon-h1 falcon3 gemma4 gigachat glm4 glm5 gpt-2 gpt-4o gpt3-finnish granite-docling
granite-embed-multi-311m granite-embed-multi-97m grok-2 hunyuan hunyuan-dense hy_v4 jais jais-2 jina-de
jina-es jina-v1-en jina-v2-code jina-v2-de jina-v2-es jina-v5-nano joyai-llm kanana2 kimi-k2 kormo laguna
lfm2 llada-moe llama-bpe llama-v3 llama3 llama4 megrez mellum mellum2 midm-2.0 minerva-7b minicpm5
minimax-m2 modern-bert mpt olmo phi-2 pixtral poro-chat qwen2 qwen35 refact roberta-bpe sarvam-moe
seed-coder smaug-bpe smollm solar-open spark2_5 stablelm2 starcoder superbpe talkie tekken tiny_aya
trillion ufakzeka viking whitespace youtu
"""
#: Pre-tokenizers that llama.cpp knows; it takes an empty name as it takes none.
PRE_TOKENIZERS = frozenset(_PRE_NAMES.split())
_PHI3_TEXTS = ("</s>", "<unk>", "<s>", "<|endoftext|>")


def judge(subject: Subject, facts: Facts, findings: Findings) -> None:
    """Look at what the metadata say of the tokenizer as a whole."""
    if facts.model not in MODELS:
        findings.add(
            MODEL_UNKNOWN, f"tokenizer.ggml.model is {facts.model!r}, on which llama.cpp refuses the model"
        )
    if facts.model in _WITH_PRE:
        _judge_pre(facts, findings)
    name = subject.metadata.get("general.name")
    if facts.model in {"llama", "gpt2"} and isinstance(name, str) and re.search("phi-?3", name, re.I):
        missing = [text for text in _PHI3_TEXTS if text not in facts.vocabulary.tokens]
        if missing:
            findings.add(
                PHI3, f"general.name is {name!r} and there is no token {missing[0]!r}: llama.cpp refuses it"
            )
    charsmap = subject.metadata.get("tokenizer.ggml.precompiled_charsmap")
    if facts.model == "t5" and isinstance(charsmap, np.ndarray):
        _judge_charsmap(charsmap.astype(np.uint8).tobytes(), facts, findings)


def _judge_pre(facts: Facts, findings: Findings) -> None:
    if facts.pre is None:
        findings.add(PRE_MISSING, "tokenizer.ggml.pre is missing: texts are cut by a default")
    elif facts.pre and facts.pre not in PRE_TOKENIZERS:
        meant = facts.pre.lower()
        hint = f"; it knows {meant!r}" if meant in PRE_TOKENIZERS else ""
        findings.add(
            PRE_UNKNOWN, f"tokenizer.ggml.pre is {shown(facts.pre)}, which llama.cpp does not know{hint}"
        )


def _judge_charsmap(raw: bytes, facts: Facts, findings: Findings) -> None:
    """Look at a map of characters: the bytes of a double array of u32, how many, then what texts become."""
    key = "tokenizer.ggml.precompiled_charsmap"
    n_bytes = int.from_bytes(raw[:4], "little")
    if len(raw) < 4 or n_bytes + 4 >= len(raw):
        findings.add(CHARSMAP, f"{key} is shorter than it says itself")
        return
    newline = facts.vocabulary.id("\n") if "\n" in facts.vocabulary.tokens else None
    if newline is not None and facts.types[newline] == TokenType.USER_DEFINED:
        return  # then it is never mapped
    units = np.frombuffer(raw, "<u4", n_bytes // 4, 4)
    if _leads_outside(units, len(raw) - 4 - n_bytes, b"\n"):
        findings.add(
            CHARSMAP,
            f"{key} leads outside itself at a newline, which llama.cpp looks up when it loads a model",
        )


def _leads_outside(units: npt.NDArray[np.uint32], n_replacements: int, text: bytes) -> bool:
    """Walk a double array by the bytes of a text, and return whether that leaves it.

    A unit holds the byte that leads to it (bits 0 to 7, and bit 31 clear), whether texts end here (bit 8),
    and where its children are: an offset (bits 10 to 31), times 256 where bit 9 is set, that is combined with
    the unit's own place, and a child's byte with it, by exclusive or. Where texts end, byte 0 leads to a
    value: the place of the replacement.
    """
    if not units.size:
        return True
    place, replacement = _children(int(units[0])), -1
    for byte in text:
        place ^= byte
        if place >= units.size:
            return True
        unit = int(units[place])
        if unit & 0x800000FF != byte:
            break
        place ^= _children(unit)
        if unit & 0x100:
            if place >= units.size:
                return True
            replacement = int(units[place]) & 0x7FFFFFFF
    return replacement >= n_replacements


def _children(unit: int) -> int:
    return (unit >> 10) << ((unit & 0x200) >> 6)
