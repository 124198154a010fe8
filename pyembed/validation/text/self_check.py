"""Without a reference: whether the texts of tokens become those tokens again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...core.progress import Report
from ...llama_cpp.pre_cuts import CUTS, CUTS_OF
from ...safe_text import quote
from ...tokens.cutting import engine
from ...tokens.cutting.document import tokenizer_document
from ...tokens.cutting.families.merging import byte_level_steps
from ...tokens.cutting.families.unigram import puts_mark_before
from ...tokens.cutting.source import TokenSource
from ...tokens.token_text import SPACE_MARK, TokenType
from ...tokens.vocabulary import Vocabulary
from ..report import Findings
from .rules import UNLIKELY, UNREACHED

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Tokens that are looked at, evenly spaced.
_MOST = 20_000
#: Characters of a token that is looked at: merging costs a microsecond for each, and no word is so long.
_LONGEST = 4096
#: Of these, the share that no text may become: vocabularies keep some from before their merges were made, or
#: after others were taken out. The most seen in a sound one is 0.045; a wrong family has 0.3.
_UNREACHED_SHARE = 0.1
#: And the share that the pre-tokenizer may cut apart: of Qwen 2 that is 0.011, of letters with marks.
_SPLIT_SHARE = 0.015
_SHOWN = 4


def examine_alone(source: TokenSource, vocabulary: Vocabulary, findings: Findings, report: Report) -> None:
    """Cut the texts of ordinary tokens, and conclude how many become those tokens again."""
    ids, texts, n_long = _sample(source, vocabulary)
    if not ids:
        findings.no_evidence(f"no text of a token of the family {quote(source.family)} can be cut by itself")
        return
    document = _bare(tokenizer_document(source, published=True, special=False), source)
    tokenizer = engine.build(source.path, document)
    report("texts of tokens", 0.0)
    found = engine.cut(source.path, tokenizer, texts)
    lost = [k for k, ids_of in enumerate(found) if ids_of != [ids[k]]]
    split = [k for k in lost if _n_parts(tokenizer, texts[k]) > 1]
    apart = set(split)
    changed = [k for k in lost if k not in apart and _is_changed(tokenizer, texts[k])]
    aside = apart.union(changed)
    unreached = [k for k in lost if k not in aside]
    if len(split) > _SPLIT_SHARE * len(ids):
        _report_split(source, [texts[k] for k in split], texts, findings)
    if len(unreached) > _UNREACHED_SHARE * len(ids):
        some = ", ".join(quote(source.texts[ids[k]], 40) for k in unreached[:_SHOWN])
        findings.add(
            UNREACHED,
            f"{len(unreached)} of {len(ids)} tokens that were looked at are cut into others, such as {some}",
            first_id=ids[unreached[0]],
            last_id=ids[unreached[-1]],
            n_ids=len(unreached),
        )
    report("texts of tokens", 1.0)
    exceptions = [
        f"{len(some)} {what}"
        for some, what in (
            (split, "are cut apart by the pre-tokenizer"),
            (changed, "are changed by the normalizer"),
            (unreached, "are reached by no merge or score"),
        )
        if some
    ]
    if n_long:
        exceptions.append(f"{n_long} of more than {_LONGEST} characters were not looked at")
    back = f"{len(ids) - len(lost)} of {len(ids)} texts of tokens become these tokens again"
    findings.conclude("; ".join([back, *exceptions]))


def _sample(source: TokenSource, vocabulary: Vocabulary) -> tuple[list[int], list[str], int]:
    """Return ordinary tokens, the texts that should become them, and how many were too long for that."""
    normal = source.of_type(TokenType.NORMAL)
    step = max(1, -(-len(normal) // _MOST))
    ids, texts, n_long = [], [], 0
    for token_id in normal[::step]:
        if len(source.texts[token_id]) > _LONGEST:
            n_long += 1
            continue
        text = _text_of(source, vocabulary, token_id)
        if text:
            ids.append(token_id)
            texts.append(text)
    return ids, texts, n_long


def _text_of(source: TokenSource, vocabulary: Vocabulary, token_id: int) -> str | None:
    """Return what stands for a token in a text; None where nothing does by itself."""
    stored = source.texts[token_id]
    if source.family == "t5" and not puts_mark_before(source):
        return stored.replace(SPACE_MARK, " ")
    if source.family in ("bert", "t5"):  # pieces inside a word need a word around them
        return stored[1:] if stored.startswith(SPACE_MARK) and SPACE_MARK not in stored[1:] else None
    try:
        return vocabulary[token_id].bytes.decode("utf-8")
    except UnicodeDecodeError:
        return None  # part of a character


def _bare(document: dict[str, Any], source: TokenSource) -> dict[str, Any]:
    """Return a document without added tokens, and without the space before a text if pieces have it."""
    document = {**document, "added_tokens": []}
    normalizer = document["normalizer"]
    if source.family == "llama" and normalizer is not None and normalizer["type"] == "Sequence":
        kept = [step for step in normalizer["normalizers"] if step["type"] != "Prepend"]
        document["normalizer"] = {"type": "Sequence", "normalizers": kept}
    return document


def _n_parts(tokenizer: Tokenizer, text: str) -> int:
    if tokenizer.pre_tokenizer is None:
        return 1
    normal = text if tokenizer.normalizer is None else tokenizer.normalizer.normalize_str(text)
    return len(tokenizer.pre_tokenizer.pre_tokenize_str(normal))


def _is_changed(tokenizer: Tokenizer, text: str) -> bool:
    if tokenizer.normalizer is None:
        return False
    normal: str = tokenizer.normalizer.normalize_str(text)
    return normal.replace(SPACE_MARK, " ").strip() != text.strip()


def _report_split(source: TokenSource, split: list[str], texts: list[str], findings: Findings) -> None:
    """Report tokens that are cut apart, with the pre-tokenizers that cut fewest."""
    own = CUTS_OF.get(source.pre or "default")
    most = len(split) // 10
    apart = set(split)
    order = [*split, *(text for text in texts if text not in apart)]  # what is far off shows it first
    counts = {name: n for name in CUTS if (n := _n_split(source, name, order, most)) <= most}
    fitting = [name for name in sorted(counts, key=lambda name: (counts[name], name)) if name != own]
    hint = f"; {', '.join(fitting[:_SHOWN])} cut {counts[fitting[0]]}" if fitting else ""
    some = ", ".join(quote(text, 40) for text in split[:_SHOWN])
    findings.add(
        UNLIKELY,
        f"the pre-tokenizer {quote(source.pre or 'default')} cuts {len(split)} of {len(texts)} tokens apart, "
        f"such as {some}{hint}",
    )


def _n_split(source: TokenSource, name: str, texts: list[str], most: int) -> int:
    """Return how many texts a pre-tokenizer cuts apart; once more than `most`, that is enough."""
    steps = engine.pre_tokenizer(source.path, byte_level_steps(CUTS[name]))
    n = 0
    for text in texts:
        n += len(steps.pre_tokenize_str(text)) > 1
        if n > most:
            break
    return n
