"""SentencePiece's unigram: of all ways to cut a text the one with the best sum of scores."""

from __future__ import annotations

import base64

from ...token_text import SPACE_MARK, TokenType
from ..charsmap import check_charsmap
from ..parts import Parts, Step, ends, replace, sequence
from ..source import TokenSource

_IN_TEXTS = frozenset({int(TokenType.NORMAL), int(TokenType.USER_DEFINED), int(TokenType.UNUSED)})


def parts(source: TokenSource, *, published: bool, special: bool) -> Parts:
    """Return the parts of a unigram vocabulary; `published` makes no difference.

    Where `special` tokens are not to be found in texts, they are written with a space, which no text has when
    pieces are looked for.
    """
    before, after = ends(source, bos=False, eos=True)
    unknown = source.special.get("unk")
    if unknown is None:
        source.fail("no token is the unknown one, which a character without a token becomes")
    model: Step = {
        "type": "Unigram",
        "unk_id": unknown,
        "vocab": [
            [text, score] for text, score in zip(_pieces(source, special), _scores(source), strict=True)
        ],
        "byte_fallback": False,
    }
    # Where no token goes on behind a space, words can be cut one by one, which gives the same and is faster.
    by_words = all(text.rfind(SPACE_MARK) <= 0 for text in source.texts)
    split: Step = {
        "type": "Metaspace",
        "replacement": SPACE_MARK,
        "prepend_scheme": "never",
        "split": True,
    }
    decoder: Step = {
        "type": "Metaspace",
        "replacement": SPACE_MARK,
        "prepend_scheme": "always",
        "split": True,
    }
    normalizer = sequence("normalizers", _normalizers(source))
    pre_tokenizer = split if by_words else None
    return Parts(normalizer, pre_tokenizer, model, decoder, before, after, source.texts)


def puts_mark_before(source: TokenSource) -> bool:
    """Return whether a text is cut as if a space stood before it."""
    return source.flags.get("remove_extra_whitespaces", False) or source.flags.get("add_space_prefix", False)


def _normalizers(source: TokenSource) -> list[Step]:
    steps: list[Step] = []
    if source.charsmap is not None:
        check_charsmap(source, source.charsmap)
        mapped = base64.b64encode(source.charsmap).decode("ascii")
        steps.append({"type": "Precompiled", "precompiled_charsmap": mapped})
    if source.flags.get("remove_extra_whitespaces", False):
        steps.append(replace({"Regex": r"\A +| +\z"}, ""))
        steps.append(replace({"Regex": " {2,}"}, " "))
    if puts_mark_before(source):
        steps.append({"type": "Prepend", "prepend": SPACE_MARK})
    return [*steps, replace({"String": " "}, SPACE_MARK)]


def _pieces(source: TokenSource, special: bool) -> list[str]:
    if special:
        return source.texts
    return [
        text if kind in _IN_TEXTS else f" {text}"
        for text, kind in zip(source.texts, source.types, strict=True)
    ]


def _scores(source: TokenSource) -> list[float]:
    """Return the scores: 0 for user-defined tokens, as llama.cpp has it.

    Control tokens and bytes are in no text. Nothing says so in the file that is written, so that they get the
    lowest score of all, which leaves the score of unknown characters as it is.
    """
    scores = list(map(float, source.scores))
    normal = [scores[token_id] for token_id in source.of_type(TokenType.NORMAL)]
    lowest = min(normal, default=0.0)
    for token_id, kind in enumerate(source.types):
        if kind == TokenType.USER_DEFINED:
            scores[token_id] = 0.0
        elif kind not in _IN_TEXTS:
            scores[token_id] = lowest
    return scores
