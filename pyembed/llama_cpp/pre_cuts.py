"""How vocabularies of bytes cut a text before they merge, by their ``tokenizer.ggml.pre``.

A cut is a regular expression in Oniguruma's syntax. The cuts of a family are made one after another, each in
the parts that those before it left. `CUTS` do what llama.cpp does. Where the tokenizers that models were
trained with have another spelling, which differs in rare texts, it is in `PUBLISHED`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Cut(NamedTuple):
    """One step: what it matches becomes a part of its own.

    Attributes
    ----------
    pattern : str
    joins : bool
        Whether a match stays with what stands before it, so that it is cut off only from what follows.
    """

    pattern: str
    joins: bool = False


def _cuts(*patterns: str) -> tuple[Cut, ...]:
    return tuple(map(Cut, patterns))


# ------------------------------------------------------------------------------------- building blocks

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"

_CONTRACTION = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#: As it is published: this takes U+017F, the long s, for an s.
_CONTRACTION_PUBLISHED = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_OTHERS = r" ?[^\s\p{L}\p{N}]+"
_FIRST = r"[^\r\n\p{L}\p{N}]?"
_ASCII_MARKS = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"""
_IDEOGRAPHS_AND_KANA = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
#: llama.cpp takes all non-ASCII white space for a vertical tab before it matches classes of characters.
_NO_SPACE = r"&&\S"


def _words(numbers: str, *, letters: str = r"\p{L}+", others: str = _OTHERS + r"[\r\n]*") -> str:
    """Return the pattern that llama 3 has and many vary."""
    return f"{_CONTRACTION}|{_FIRST}{letters}|{numbers}|{others}|{_SPACES}"


def _cased(upper: str, lower: str, end: str, numbers: str) -> str:
    """Return the pattern of GPT-4o and its like, which cut words at capitals."""
    words = f"{_FIRST}{upper}*{lower}+{end}|{_FIRST}{upper}+{lower}*{end}"
    return rf"{words}|{numbers}|{_OTHERS}[\r\n/]*|{_SPACES}"


def _marked_words(letters: str, others: str) -> str:
    """Return the last pattern of DeepSeek 3 and its like."""
    return rf"{_ASCII_MARKS}[A-Za-z]+|[^\r\n\p{{L}}\p{{P}}\p{{S}}]?{letters}|{others}|\s+(?!\S)|\s+"


_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_NOT_LOWER, _NOT_UPPER = r"[\p{L}&&[^a-z]]", r"[\p{L}&&[^A-Z]]"
_LETTER = r"[\p{L}\p{M}]"  # classes by case mean any letter to llama.cpp

#: Digits in threes from the right, in time proportional to their number: first what follows a run of them is
#: cut off, then all threes but a first group that stays with what stands before it.
_THREES_FROM_THE_RIGHT = (
    Cut(r"\p{N}+", joins=True),
    Cut(r"(?<=\p{N})(?:\p{N}{3})+(?!\p{N})"),
    Cut(r"\G\p{N}{3}"),
)

_LETTERS_OF_DEEPSEEK = (
    "\xb5\xc0-\xd6\xd8-\xf6\xf8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376"
    "\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481"
    "\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf"
    "\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d"
    "\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4"
    "\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107"
    "\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f"
    "\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d"
    "\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17"
    "\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb"
    "\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943"
)
_IDEOGRAPHS_OF_DEEPSEEK = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff" + _NO_SPACE + "]+"
_HANGUL_AND_MARKS_OF_YOUTU = (
    "[\uac00-\ud7a3\u3131-\u318e]+|[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c\u3001-\u303f"
    "\ufe30-\ufe4f]+|[\u3105-\u312f]+|" + _IDEOGRAPHS_AND_KANA
)
_SCRIPTS_OF_AFMOE = (
    "[\u4e00-\u9fff\u3400-\u4dbf\u8c48-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf\u0e40-\u0e7f"
    "\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\uac00-\ud7af\u1100-\u11ff]+"
)
_NOT_BLOOM = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"
_DEEPSEEK3 = _marked_words(_LETTER + "+", r" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+")
_WORDS_TO_3 = _words(r"\p{N}{1,3}")
_WORDS_TO_1 = _words(r"\p{N}")

# ------------------------------------------------------------------------------------------ the families

#: What llama.cpp does, by the first ``pre`` of those that do the same.
CUTS: Mapping[str, tuple[Cut, ...]] = {
    "default": _cuts(r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"),
    "gpt-2": _cuts(GPT2),
    "llama-bpe": _cuts(_WORDS_TO_3),
    "qwen2": _cuts(_WORDS_TO_1),
    "qwen35": _cuts(_words(r"\p{N}", letters=_LETTER + "+", others=r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*")),
    "starcoder": _cuts(r"\p{N}", GPT2),
    "falcon": _cuts(r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"),
    "minicpm5": _cuts(r"\p{N}{1,3}", _words(r"\p{N}+")),
    "jais-2": _cuts(
        _WORDS_TO_3.removesuffix(r"|\s+(?!\S)|\s+")
        + "".join(rf"|\s{{{n}}}(?!\S)" for n in (512, 256, 128, 64, 32, 16, 8, 4))
        + r"|\s{1,2}(?!\S)|\s{1}"
    ),
    "deepseek-llm": _cuts(
        r"[\r\n]",
        rf"\s?[A-Za-z{_LETTERS_OF_DEEPSEEK}]+",
        rf"\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002{_NO_SPACE}]+",
        r"\s+$",
        _IDEOGRAPHS_OF_DEEPSEEK,
        r"\p{N}+",
    ),
    "deepseek-coder": _cuts(r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _IDEOGRAPHS_OF_DEEPSEEK, r"\p{N}"),
    "deepseek-v3": _cuts(r"\p{N}{1,3}", _IDEOGRAPHS_AND_KANA, _DEEPSEEK3),
    "spark2_5": _cuts(
        r"\p{N}{1,3}",
        _IDEOGRAPHS_AND_KANA,
        _marked_words(_LETTER + "+", r" ?[\p{P}\p{S}]+|[\r\n]"),
        r"\p{N}",
    ),
    "afmoe": (*_THREES_FROM_THE_RIGHT, *_cuts(_SCRIPTS_OF_AFMOE, _DEEPSEEK3)),
    "youtu": _cuts(_HANGUL_AND_MARKS_OF_YOUTU, _cased(_LETTER, _LETTER, f"{_CONTRACTION}?", r"\p{N}")),
    "tiny_aya": (
        *_THREES_FROM_THE_RIGHT,
        *_cuts(_cased(_LETTER, _LETTER, f"{_CONTRACTION}?", r"\p{N}{1,3}")),
    ),
    "gpt-4o": _cuts(_cased(_NOT_LOWER, _NOT_UPPER, f"{_CONTRACTION}?", r"\p{N}{1,3}")),
    "granite-embed-multi-97m": _cuts(
        _cased(r"[\p{L}\p{M}&&[^a-z]]", r"[\p{L}\p{M}&&[^A-Z]]", f"{_CONTRACTION}?", r"\p{N}{1,3}")
    ),
    "tekken": _cuts(_cased(_NOT_LOWER, _NOT_UPPER, "", r"\p{N}")),
    "kimi-k2": _cuts(
        rf"\p{{Han}}+|{_FIRST}[\p{{L}}&&[^\p{{Han}}]]+{_CONTRACTION}?|\p{{N}}{{1,3}}|{_OTHERS}[\r\n]*|{_SPACES}"
    ),
    "bloom": _cuts(_NOT_BLOOM),
    "viking": _cuts(_NOT_BLOOM, r"\p{N}"),
    "chameleon": _cuts(
        "<sentinel:[0-9]+>",
        "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
        r"([\t\n]|    |  )",
        r"\p{N}",
        r"[\p{P}!-/:-@\[-`{-~]",
        GPT2,
    ),
    "superbpe": _cuts(r"\p{N}+", "(?:[0-9]{3})+(?![0-9])", r"\G[0-9]{3}"),
    "bailingmoe": _cuts(
        rf"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|{_FIRST}\p{{L}}+|\p{{N}}|{_OTHERS}[\r\n]*"
        r"|\s*[\r\n]|\s+(?!\S)|\s+"
    ),
    "seed-coder": _cuts(_words(r"\p{N}{1}", others=r" ?[^\s\p{L}\p{N}\r\n]+")),
    "ufakzeka": _cuts(rf"{_FIRST}\p{{L}}+|\p{{N}}|{_OTHERS}[\r\n]*|{_SPACES}"),
    "laguna": _cuts(r"[^\n]+|[\n]+", _WORDS_TO_1),
    "exaone-moe": _cuts(
        rf"{_CONTRACTION}|{_FIRST}(?:\p{{L}}\p{{M}}*(?: \p{{L}}\p{{M}}*)*)+|\p{{N}}|{_OTHERS}[\r\n/]?"
        r"|\s*[\r\n]|\s+(?!\S)|\s+"
    ),
}

#: As those who trained the models wrote them, where that is known to differ from `CUTS`.
PUBLISHED: Mapping[str, tuple[Cut, ...]] = {
    **{
        name: tuple(Cut(cut.pattern.replace(_CONTRACTION, _CONTRACTION_PUBLISHED), cut.joins) for cut in cuts)
        for name, cuts in CUTS.items()
        if any(_CONTRACTION in cut.pattern for cut in cuts)
    },
    "gpt-4o": _cuts(_cased(_UPPER, _LOWER, f"{_CONTRACTION_PUBLISHED}?", r"\p{N}{1,3}")),
    "granite-embed-multi-97m": _cuts(_cased(_UPPER, _LOWER, f"{_CONTRACTION_PUBLISHED}?", r"\p{N}{1,3}")),
    "tekken": _cuts(_cased(_UPPER, _LOWER, "", r"\p{N}")),
    "youtu": _cuts(
        _HANGUL_AND_MARKS_OF_YOUTU, _cased(_UPPER, _LOWER, f"{_CONTRACTION_PUBLISHED}?", r"\p{N}")
    ),
    "tiny_aya": _cuts(
        r"\d{1,3}(?=(?:\d{3})*\b)", _cased(_UPPER, _LOWER, f"{_CONTRACTION_PUBLISHED}?", r"\p{N}{1,3}")
    ),
}

_SAME = {
    "gpt-2": """
        phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert jina-v1-en
        jina-v2-code roberta-bpe exaone4 mpt olmo jais trillion granite-docling
    """,
    "llama-bpe": """
        llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano dbrx smaug-bpe chatglm-bpe glm4
        glm5
    """,
    "qwen2": "stablelm2 deepseek-r1-qwen kormo f2llmv2 megrez hunyuan solar-open grok-2",
    "starcoder": "refact command-r smollm codeshell exaone minerva-7b mellum2",
    "deepseek-v3": "hunyuan-dense joyai-llm hy_v4",
    "gpt-4o": "llama4 kanana2 talkie minimax-m2",
    "bloom": "poro-chat gpt3-finnish",
    "bailingmoe": "bailingmoe2 llada-moe",
    "tiny_aya": "cohere2moe",
}

#: The key in `CUTS` of each ``pre`` whose cuts are known.
CUTS_OF: Mapping[str, str] = {
    **{name: name for name in CUTS},
    **{name: family for family, names in _SAME.items() for name in names.split()},
}

_LIKE_LLAMA_3 = frozenset(
    {
        *("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"),
        "jina-v5-nano",
    }
)

#: A part of a text that is a token is not cut further.
WHOLE_PARTS = _LIKE_LLAMA_3 | {"minicpm5", "youtu", "glm4", "glm5", "tekken", "granite-embed-multi-97m"}

#: A text begins with the token bos unless ``tokenizer.ggml.add_bos_token`` says otherwise.
WITH_BOS = _LIKE_LLAMA_3 | {"tekken", "chameleon"}
