"""Vocabularies with merges: of bytes, as GPT-2 has them, and of characters, as Gemma 4 has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ....llama_cpp.pre_cuts import CUTS, CUTS_OF, GPT2, PUBLISHED, WHOLE_PARTS, WITH_BOS, Cut
from ....llama_cpp.pre_tokenizers import MARKED_PRE_TOKENIZERS
from ....safe_text import quote
from ...token_text import SPACE_MARK, TokenType
from ..parts import Parts, Step, ends, replace, sequence, vocabulary_of
from ..source import TokenSource

#: The pre-tokenizer of vocabularies of characters.
NEWLINES_APART: Step = {
    "type": "Split",
    "pattern": {"Regex": r"[^\n]+|[\n]+"},
    "behavior": "Isolated",
    "invert": False,
}
_CHARACTER_PRE = frozenset({"gemma4", "granite-embed-multi-311m", "sarvam-moe"})
_WITH_BOS = frozenset({"gemma4", "granite-embed-multi-311m"})


def parts(source: TokenSource, *, published: bool, special: bool) -> Parts:
    """Return the parts of a vocabulary with merges.

    Parameters
    ----------
    source : TokenSource
    published : bool
        Whether to cut as the model's makers published it, where that differs from llama.cpp.
    special : bool
        Makes no difference.
    """
    if not source.merges:
        source.fail("the vocabulary has no merges, by which its family cuts texts")
    if source.flags.get("normalizer.nfc"):
        normalizers: list[Step] = [{"type": "NFC"}]
    else:
        normalizers = []
    pre = "gemma4" if source.family == "gemma4" else source.pre or "default"
    if pre in _CHARACTER_PRE:
        return _of_characters(source, pre, normalizers)
    if pre not in CUTS_OF:
        known = "is spelled otherwise" if pre in MARKED_PRE_TOKENIZERS else "is not one whose cuts are known"
        source.fail(
            f"the pre-tokenizer {quote(pre)}, tokenizer.ggml.pre, {known}: no tokenizer can be made of it"
        )
    family = CUTS_OF[pre]
    cuts = PUBLISHED.get(family, CUTS[family]) if published else CUTS[family]
    before, after = ends(source, bos=pre in WITH_BOS, eos=False)
    return Parts(
        sequence("normalizers", normalizers),
        byte_level_steps(cuts),
        _model(source, ignore_merges=pre in WHOLE_PARTS),
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        before,
        after,
        source.texts,
    )


def byte_level_steps(cuts: Sequence[Cut]) -> Step | None:
    """Return the pre-tokenizer that makes some cuts and spells bytes."""
    return sequence("pretokenizers", _byte_level(cuts))


def _byte_level(cuts: Sequence[Cut]) -> Iterator[Step]:
    """Yield the steps of cutting, then of spelling bytes: GPT-2's own pattern, last, is in that one."""
    own = cuts[-1].pattern == GPT2
    for cut in cuts[:-1] if own else cuts:
        yield {
            "type": "Split",
            "pattern": {"Regex": cut.pattern},
            "behavior": "MergedWithPrevious" if cut.joins else "Isolated",
            "invert": False,
        }
    yield {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": own}


def _of_characters(source: TokenSource, pre: str, normalizers: Iterable[Step]) -> Parts:
    marks = replace({"String": " "}, SPACE_MARK)
    forced = {"add_bos_token": True} if pre in _WITH_BOS else {}
    source.flags = {**source.flags, **forced}
    before, after = ends(source, bos=False, eos=False)
    model = _model(source, ignore_merges=False)
    model["byte_fallback"] = bool(source.of_type(TokenType.BYTE))
    back: list[Step] = [replace({"String": SPACE_MARK}, " "), {"type": "ByteFallback"}, {"type": "Fuse"}]
    return Parts(
        sequence("normalizers", [*normalizers, marks]),
        NEWLINES_APART,
        model,
        sequence("decoders", back),
        before,
        after,
        source.texts,
    )


def _model(source: TokenSource, *, ignore_merges: bool) -> Step:
    assert source.merges is not None
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": ignore_merges,
        "vocab": vocabulary_of(source.texts),
        "merges": _written(source.merges),
    }


def _written(merges: list[str]) -> list[str] | list[list[str]]:
    """Return merges as one text each, which loads three times as fast; as two if a part has a space."""
    if "".join(merges).count(" ") == len(merges):  # each has one at least
        return merges
    pairs = []
    for merge in merges:
        middle = merge.index(" ", 1)  # as llama.cpp looks for it
        pairs.append([merge[:middle], merge[middle + 1 :]])
    return pairs
