"""What is said of the tokenizer as a whole: family, pre-tokenizer, and what llama.cpp asks of either."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from ...llama_cpp.pre_tokenizers import PRE_TOKENIZERS, TOKENIZER_MODELS, WITH_PRE
from ...llama_cpp.special_tokens import PHI3_TEXTS
from ...safe_text import quote
from ...tokens.token_text import TokenType
from ..facts import Facts
from ..report import Findings
from ..subject import Subject
from .rules import CHARSMAP, MODEL_UNKNOWN, PHI3, PRE_MISSING, PRE_UNKNOWN


def judge(subject: Subject, facts: Facts, findings: Findings) -> None:
    """Look at what the metadata say of the tokenizer as a whole."""
    if facts.model not in TOKENIZER_MODELS:
        what = "names no tokenizer" if facts.model is None else f"is {quote(facts.model)}"
        findings.add(MODEL_UNKNOWN, f"tokenizer.ggml.model {what}, on which llama.cpp refuses the model")
    if facts.model in WITH_PRE:
        _judge_pre(facts, findings)
    name = subject.metadata.text("general.name")
    if facts.model in {"llama", "gpt2"} and name is not None and re.search("phi-?3", name, re.I):
        missing = [text for text in PHI3_TEXTS if text not in facts.vocabulary.tokens]
        if missing:
            findings.add(
                PHI3,
                f"general.name is {quote(name)} and there is no token {missing[0]!r}: llama.cpp refuses it",
            )
    charsmap = subject.metadata.numbers("tokenizer.ggml.precompiled_charsmap")
    if facts.model == "t5" and charsmap is not None:
        if charsmap.dtype.itemsize == 1:
            _judge_charsmap(charsmap.view(np.uint8).tobytes(), facts, findings)
        else:
            findings.add(CHARSMAP, "tokenizer.ggml.precompiled_charsmap is not an array of bytes")


def _judge_pre(facts: Facts, findings: Findings) -> None:
    if facts.pre is None:
        findings.add(PRE_MISSING, "tokenizer.ggml.pre is missing: texts are cut by a default")
    elif facts.pre and facts.pre not in PRE_TOKENIZERS:
        meant = facts.pre.lower()
        hint = f"; it knows {meant!r}" if meant in PRE_TOKENIZERS else ""
        findings.add(
            PRE_UNKNOWN, f"tokenizer.ggml.pre is {quote(facts.pre)}, which llama.cpp does not know{hint}"
        )


def _judge_charsmap(raw: bytes, facts: Facts, findings: Findings) -> None:
    """Look at a map of characters: the bytes of a double array of u32, how many, then what texts become."""
    key = "tokenizer.ggml.precompiled_charsmap"
    n_bytes = int.from_bytes(raw[:4], "little")
    if len(raw) < 4 or n_bytes + 4 >= len(raw):
        findings.add(CHARSMAP, f"{key} is shorter than it says itself")
        return
    newline = facts.vocabulary.id("\n") if "\n" in facts.vocabulary.tokens else None
    if newline is not None and facts.types[newline] == TokenType.USER_DEFINED.value:
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
