"""SentencePiece's BPE: a score says which of two adjacent pieces become one first."""

from __future__ import annotations

from collections.abc import Iterator

from ...token_text import SPACE_MARK, TokenType
from ..parts import Parts, Step, ends, replace, sequence, vocabulary_of
from ..source import TokenSource

#: Longer tokens are reached by no merge: finding all ways to cut one takes the square of its length.
_LONGEST = 512


def parts(source: TokenSource, *, published: bool, special: bool) -> Parts:
    """Return the parts of a vocabulary with scores; `published` and `special` make no difference."""
    before, after = ends(source, bos=True, eos=False)
    prefix = source.flags.get("add_space_prefix", True)
    first: list[Step] = [{"type": "Prepend", "prepend": SPACE_MARK}] if prefix else []
    unknown = source.special.get("unk")
    back: list[Step] = [replace({"String": SPACE_MARK}, " "), {"type": "ByteFallback"}, {"type": "Fuse"}]
    if prefix:
        back.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None if unknown is None else source.texts[unknown],
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": True,
        "byte_fallback": bool(source.of_type(TokenType.BYTE)),
        "ignore_merges": False,
        "vocab": vocabulary_of(source.texts),
        "merges": list(_merges(source)),
    }
    normalizer = sequence("normalizers", [*first, replace({"String": " "}, SPACE_MARK)])
    return Parts(normalizer, None, model, sequence("decoders", back), before, after, source.texts)


def _merges(source: TokenSource) -> Iterator[str] | Iterator[list[str]]:
    """Yield the two pieces of every way to make a token, the best score first."""
    texts, scores = source.texts, source.scores
    known = set(texts)
    order = sorted(range(len(texts)), key=lambda token_id: -scores[token_id])
    has_space = any(" " in text for text in texts)
    for token_id in order:
        text = texts[token_id]
        if 1 < len(text) <= _LONGEST:
            for middle in range(1, len(text)):
                left, right = text[:middle], text[middle:]
                if left in known and right in known:
                    yield [left, right] if has_space else f"{left} {right}"
