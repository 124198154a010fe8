"""A whole ``tokenizer.json``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from ...llama_cpp.pre_tokenizers import WITHOUT_TOKENS
from ...safe_text import quote
from ..token_text import TokenType
from .families import merging, scored, unigram, word_pieces
from .parts import Parts, Step
from .source import TokenSource

_FAMILIES = {
    "gpt2": merging.parts,
    "gemma4": merging.parts,
    "llama": scored.parts,
    "bert": word_pieces.parts,
    "t5": unigram.parts,
}
_MASK_AFTER_SPACES = ({"jina-v2-de", "jina-v2-es", "jina-v2-code"}, {"nomic-bert-moe", "jina-bert-v3"})
#: Longer texts of special tokens are found by nobody.
_LONGEST_NAME = 200


def tokenizer_parts(source: TokenSource, *, published: bool = False, special: bool = True) -> Parts:
    """Return the parts of a tokenizer but for its added tokens.

    Raises
    ------
    VocabularyError
        For a family, pre-tokenizer or part that a ``tokenizer.json`` cannot express, and where something is
        missing or damaged that cutting needs.
    """
    if source.family in WITHOUT_TOKENS:
        source.fail(f"the tokenizer is {quote(source.family)}: the model takes no texts")
    make = _FAMILIES.get(source.family or "")
    if make is None:
        named = "names no tokenizer" if source.family is None else f"is {quote(source.family)}"
        source.fail(
            f"tokenizer.ggml.model {named}, which no tokenizer.json expresses; known: {', '.join(_FAMILIES)}"
        )
    return make(source, published=published, special=special)


def tokenizer_document(
    source: TokenSource, *, published: bool = False, special: bool = True
) -> dict[str, Any]:
    """Return the content of a ``tokenizer.json``.

    Parameters
    ----------
    source : TokenSource
    published : bool, optional
        Whether to cut as the model's makers published it, where that is known to differ from llama.cpp.
    special : bool, optional
        Whether control and unknown tokens are found in texts; user-defined ones always are.

    Raises
    ------
    VocabularyError
        See `tokenizer_parts`.
    """
    parts = tokenizer_parts(source, published=published, special=special)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": list(_added(source, parts, special)),
        "normalizer": parts.normalizer,
        "pre_tokenizer": parts.pre_tokenizer,
        "post_processor": _template(source, parts),
        "decoder": parts.decoder,
        "model": parts.model,
    }


def document_text(document: dict[str, Any]) -> str:
    """Return the content of a ``tokenizer.json`` as text."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _added(source: TokenSource, parts: Parts, special: bool) -> Iterator[Step]:
    control = [TokenType.CONTROL, TokenType.UNKNOWN] if special else []
    for token_id in source.of_type(TokenType.USER_DEFINED, *control):
        left, right = _takes_spaces(source, token_id)
        yield {
            "id": token_id,
            "content": parts.contents[token_id],
            "single_word": False,
            "lstrip": left,
            "rstrip": right,
            "normalized": False,
            "special": source.types[token_id] != TokenType.USER_DEFINED,
        }


def _takes_spaces(source: TokenSource, token_id: int) -> tuple[bool, bool]:
    """Return whether a special token takes the spaces before and after it, which llama.cpp knows by names."""
    text = source.texts[token_id]
    name = (source.name or "")[:_LONGEST_NAME].lower()
    pres, architectures = _MASK_AFTER_SPACES
    left = text == "<mask>" and (source.pre in pres or source.architecture in architectures)
    left |= text == "[MASK]" and "modern-bert" in name
    right = re.search("phi-?3", name) is not None and text not in ("<unk>", "<s>", "<|endoftext|>")
    return left, right


def _template(source: TokenSource, parts: Parts) -> Step | None:
    """Return the step that adds the tokens that a text begins and ends with."""
    if not (parts.before or parts.after):
        return None

    def named(role: str, type_id: int) -> Step:
        return {"SpecialToken": {"id": parts.contents[source.special[role]], "type_id": type_id}}

    before, after = ([named(role, 0) for role in roles] for roles in (parts.before, parts.after))
    first, second = ({"Sequence": {"id": which, "type_id": k}} for k, which in enumerate("AB"))
    ids = {parts.contents[i]: i for i in (source.special[role] for role in (*parts.before, *parts.after))}
    return {
        "type": "TemplateProcessing",
        "single": [*before, first, *after],
        "pair": [*before, first, *after, second, *(named(role, 1) for role in parts.after)],
        "special_tokens": {text: {"id": text, "ids": [i], "tokens": [text]} for text, i in ids.items()},
    }
