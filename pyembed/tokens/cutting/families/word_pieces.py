"""BERT's WordPiece."""

from __future__ import annotations

from ...token_text import SPACE_MARK, TokenType, WordPiece
from ..parts import Parts, Step, vocabulary_of
from ..source import TokenSource

#: As BERT has it. llama.cpp has no such limit; without one, a word takes the cube of its length.
_LONGEST_WORD = 100


def parts(source: TokenSource, *, published: bool, special: bool) -> Parts:
    """Return the parts of a WordPiece vocabulary; `published` and `special` make no difference."""
    flags = source.flags
    lowercase = flags.get("normalizer.lowercase", True)
    normalizer: Step = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": flags.get("normalizer.strip_accents", lowercase),
        "lowercase": lowercase,
    }
    contents = _contents(source)
    unknown = source.special.get("unk")
    if unknown is None:
        source.fail("no token is the unknown one, which a word without pieces becomes")
    model = {
        "type": "WordPiece",
        "unk_token": contents[unknown],
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": _LONGEST_WORD,
        "vocab": vocabulary_of(contents),
    }
    for role in ("bos", "sep"):
        if role not in source.special:
            source.fail(f"no token has the role {role}, which every text is given")
    decoder: Step = {"type": "WordPiece", "prefix": "##", "cleanup": False}
    return Parts(normalizer, {"type": "BertPreTokenizer"}, model, decoder, ("bos",), ("sep",), contents)


def _contents(source: TokenSource) -> list[str]:
    """Return the tokens as BERT writes them: "##" before what continues a word, nothing before a first piece.

    A bracketed text without a mark continues nothing, since brackets are words of their own, and is written
    as it is: where that is taken, it becomes a continuation after all.
    """
    spelling = WordPiece(lowercase=False, strip_accents=False)
    contents = [spelling.written(text, kind) for text, kind in zip(source.texts, source.types, strict=True)]
    if len(set(contents)) == len(contents):
        return contents
    first: dict[str, int] = {}
    for token_id, content in enumerate(contents):
        other = first.setdefault(content, token_id)
        if other == token_id:
            continue
        moved = next((i for i in (other, token_id) if _is_idle(source, i)), None)
        if moved is None:
            source.fail(f"tokens {other} and {token_id} are both written {content!r}")
        first[content] = other if moved == token_id else token_id
        contents[moved] = f"##{source.texts[moved]}"
    return contents


def _is_idle(source: TokenSource, token_id: int) -> bool:
    is_plain = source.types[token_id] in (TokenType.NORMAL, TokenType.UNUSED)
    return is_plain and not source.texts[token_id].startswith(SPACE_MARK)
