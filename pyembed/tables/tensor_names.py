"""What the name of a tensor says about what the tensor is.

Programs put their own prefixes before a name (``model.``, ``module.``, ``base_model.model.``,
``text_encoders.t5xxl.transformer.``), so that only its end is looked at: the last component, in words, and
whether an earlier one places the tensor in a layer or in the part of a model that reads no text.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

#: A table of embeddings: one of these words, alone or with words of `_OF_TOKENS`.
_EMBEDDING = frozenset({"embd", "emb", "embed", "embedding", "embeddings", "embedder"})
_OF_TOKENS = frozenset({"token", "tokens", "tok", "word", "words", "text", "input", "in", "vocab"})
#: Names of a token table that say it in no such words.
_OTHER_TABLES = frozenset({"wte", "shared"})
_OUTPUTS = frozenset({"lm_head", "output", "embed_out", "head", "output_layer"})


def _set_of(words: str) -> frozenset[str]:
    return frozenset(words.split())


#: A tensor whose last component has one of these words is something else than a token table.
_SOMETHING_ELSE = _set_of(
    """head heads output out unembed classifier classification score scorer pooler decoder predictions logits
    position positions positional pos wpe rotary rope freqs relative time timestep per layer
    type types segment class label labels speaker codec prompt virtual
    proj projection projector linear dense fc kernel mlp ffn expert experts router gate conv adapter lora
    attn attention query key qkv kv wq wk wv wo norm ln layernorm bias mask scale scales counts"""
)
#: And so is one below a component with one of these.
_OTHER_PLACES = _set_of(
    """position positional pos time timestep type segment class label speaker codec prompt head output
    projector adapter lora norm"""
)
_OTHER_SENSES = _set_of("vision visual vit image images img video pixel patch patches audio speech acoustic")
_REPEATED = _set_of("layer layers h blk block blocks resblocks stage stages mtp nextn")
#: Words of a tensor that a coded table comes with, or is stored as.
_CODED = _set_of(
    """scale scales scb absmax packed zeros zero zp biases qweight qzeros qscales quant quantized code codes
    codebook codebooks lut gidx shape"""
)
#: What PEFT puts after the name of a module that it has wrapped.
_WRAPPERS = _set_of("base_layer original_module modules_to_save default")
_LONGEST = 1000  # a longer name is a stranger's joke, and would take long to look at
_CODED_PART = re.compile(r"(?P<stem>.+?)\.(?P<part>weight[._][^.]+(\.[^.]+)*|[^.]+)")


class Named(NamedTuple):
    """A tensor's name taken apart.

    Attributes
    ----------
    stem : str
        The name of the module that the tensor belongs to.
    part : str
        What the tensor is to it: ``""`` or ``"weight"`` for its rows, otherwise something that rows stored
        as codes come with, such as ``"weight_scale"`` or ``"qweight"``.
    """

    stem: str
    part: str

    @property
    def is_rows(self) -> bool:
        """Whether the tensor is what its module's rows would be stored as, if they are not coded."""
        return self.part in ("", "weight")


def parse_name(name: str) -> Named:
    """Take a tensor's name apart."""
    if len(name) > _LONGEST:
        return Named(name, "")
    if name.endswith(".weight"):
        return Named(name.removesuffix(".weight"), "weight")
    match = _CODED_PART.fullmatch(name)
    if match is not None:
        part = _words(match["part"])
        if part[0] not in ("input", "output", "embed") and _CODED.intersection([*part, "".join(part)]):
            return Named(match["stem"], match["part"])
    return Named(name, "")


def is_token_table(stem: str) -> bool:
    """Return whether a module's name is one that token tables have."""
    parts = _parts(stem)
    while len(parts) > 1 and parts[-1] in _WRAPPERS:
        parts.pop()
    words = _words(parts[-1])
    if not (parts[-1] in _OTHER_TABLES or (_EMBEDDING & {*words} and {*words} <= _EMBEDDING | _OF_TOKENS)):
        return False
    return not _is_elsewhere(parts)


def is_something_else(stem: str) -> bool:
    """Return whether a module's name is known to be that of something else than a token table."""
    parts = _parts(stem)
    words = _words(parts[-1])
    return bool((_SOMETHING_ELSE | _OTHER_SENSES).intersection(words)) or _is_elsewhere(parts)


def is_output(stem: str) -> bool:
    """Return whether a module's name is that of an output projection."""
    parts = _parts(stem)
    return parts[-1] in _OUTPUTS and not _is_elsewhere(parts)


def _is_elsewhere(parts: list[str]) -> bool:
    """Return whether the components before the last place a tensor where no token table is.

    That is in one of many layers (``model.layers.61.embed_tokens`` is a copy), in a part that reads no text,
    or below a position table, a head or the like.
    """
    return (
        any((part in _REPEATED and after.isdigit()) or part == "mtp" for part, after in pairwise(parts))
        or any(_OTHER_SENSES.intersection(_words(part)) or part in ("v", "a", "mm") for part in parts[:-1])
        or (len(parts) > 1 and bool(_OTHER_PLACES.intersection(_words(parts[-2]))))
    )


def _parts(stem: str) -> list[str]:
    return re.split(r"[./]", stem.casefold())


def _words(component: str) -> list[str]:
    return re.split(r"[._]", component.casefold())
