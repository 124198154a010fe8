"""Mendings that follow from a reference: its tokens in its order, and what else it says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from ..core.constants import ValueType
from ..core.handle import Source
from ..core.paths import Path
from ..editing.values import Value
from ..editing.vocabulary_lists import MERGES, PREFIX, SCORES, TOKENS, TYPES
from ..files.metadata import Metadata
from ..llama_cpp.special_tokens import ROLE_KEYS
from ..tokens.token_list import NORMAL, UNDEFINED, TokenFile, TokenList, key_of, spelling_for
from ..validation.reference import open_reference
from ..validation.reference.alignment import align
from .draft import Draft, Tokens, id_key, read_tokens
from .mendings import CannotMend, Mending

#: A reference that shares fewer of its tokens with the model is another model's.
_LEAST_COMMON = 0.9
_MODEL, _PRE = PREFIX + "model", PREFIX + "pre"
_LISTS = (TOKENS, TYPES, SCORES, MERGES)
_FLAGS = ("add_bos_token", "add_eos_token", "add_sep_token", "add_space_prefix", "remove_extra_whitespaces")


@dataclass
class Stated:
    """What a reference states.

    Attributes
    ----------
    file : TokenFile
    tokens : Tokens or None
        The lists as a GGUF file stores them, where it is one.
    values : mapping of str to Value
        Scalars below ``tokenizer.ggml.``, where it is a GGUF file.
    """

    file: TokenFile
    tokens: Tokens | None
    values: Mapping[str, Value]


def read_stated(path: Path) -> Stated:
    """Read a reference."""
    with open_reference(path) as reference:
        file = reference.file
        if file.kind != "gguf file" or file.tokens is None:
            return Stated(file, None, {})
        with closing(Source(path, format="gguf")) as source:
            metadata = Metadata(source)
            tokens = read_tokens(metadata)
            values = {
                entry.key: Value(ValueType(entry.type), metadata[entry.key])
                for entry in source.metadata_entries()
                if entry.key.startswith(PREFIX) and entry.type != ValueType.ARRAY
            }
        file.merges = tokens.merges  # the file is closed from here on
        return Stated(file, tokens, values)


def mendings_from(path: Path) -> tuple[Mending, ...]:
    """Return what a reference can mend, in the order in which it is tried.

    Raises
    ------
    OSError, FormatError, ValueError, TypeError
        As `open_reference` does.
    """
    stated = read_stated(path)
    if stated.file.tokens is None:
        return ()
    what = f"those of the {stated.file.kind}"
    return (
        Mending("the reference's types", f"types are {what}", lambda draft: _types(draft, stated)),
        Mending("the reference's scores", f"scores are {what}", lambda draft: _scores(draft, stated)),
        Mending("the reference's merges", f"merges are {what}", lambda draft: _merges(draft, stated)),
        Mending(
            "the reference's special tokens",
            f"ids of special tokens are {what}",
            lambda draft: _specials(draft, stated),
        ),
        Mending(
            "the reference's pre-tokenizer",
            "the pre-tokenizer is the reference's",
            lambda draft: _pre(draft, stated),
        ),
        Mending(
            "the reference's tokens",
            f"tokens, with types, scores and merges, are {what}, in its order; rows stay where they are",
            lambda draft: _tokens(draft, stated),
        ),
        Mending(
            "the reference's vocabulary",
            f"all that is said of tokens is what the {stated.file.kind} says; rows stay where they are",
            lambda draft: _everything(draft, stated),
        ),
    )


# --------------------------------------------------------------------------------- parts of a vocabulary


def _same_tokens(draft: Draft, stated: Stated) -> TokenList:
    """Return the reference's tokens if the model's are the same in the same order, as far as it goes."""
    theirs, ours = stated.file.tokens, draft.tokens.texts
    assert theirs is not None
    if ours is None or len(theirs) > len(ours) or list(theirs.ids) != list(range(len(theirs))):
        raise CannotMend("the reference's tokens first")
    key = key_of(spelling_for(draft.text(_MODEL), draft.text(_PRE)))
    types = draft.tokens.types
    for i, (mine, other) in enumerate(zip(ours, theirs.keys, strict=False)):
        kind = types[i] if types is not None and len(types) == len(ours) else NORMAL
        if mine != theirs.texts[i] and key(mine, kind) != other:
            raise CannotMend("the reference's tokens first")
    return theirs


def _types(draft: Draft, stated: Stated) -> None:
    theirs = _same_tokens(draft, stated)
    types = draft.tokens.types
    if types is None or len(types) < len(theirs):
        types = [NORMAL] * draft.n_tokens
    stated_types = stated.tokens.types if stated.tokens is not None else list(theirs.types)
    if stated_types is None or len(stated_types) != len(theirs):
        raise CannotMend("a reference that states types")
    new = [kind if kind != UNDEFINED else old for old, kind in zip(types, stated_types, strict=False)]
    draft.tokens.types = new + types[len(new) : draft.n_tokens]


def _scores(draft: Draft, stated: Stated) -> None:
    theirs = _same_tokens(draft, stated)
    scores = stated.tokens.scores if stated.tokens is not None else theirs.scores
    if scores is None or len(scores) != draft.n_tokens or any(score != score for score in scores):
        raise CannotMend("a reference that states the scores of all tokens")
    draft.tokens.scores = list(scores)


def _require_related(draft: Draft, stated: Stated) -> None:
    """Raise CannotMend unless the reference has nearly all of the model's tokens, whatever their order."""
    theirs, ours = stated.file.tokens, draft.tokens.texts
    assert theirs is not None
    if ours is None or draft.text(_MODEL) != stated.file.family:
        raise CannotMend("a reference of the same family")
    partner = align(_list_of(draft, ours), theirs).partner
    if int((partner >= 0).sum()) < _LEAST_COMMON * len(theirs):
        raise CannotMend(f"a reference that shares {_LEAST_COMMON:.0%} of its tokens with the model")


def _merges(draft: Draft, stated: Stated) -> None:
    _require_related(draft, stated)
    if not stated.file.merges or draft.text(_MODEL) not in ("gpt2", "gemma4"):
        raise CannotMend("a reference with merges")
    draft.tokens.merges = list(stated.file.merges)


def _specials(draft: Draft, stated: Stated) -> None:
    _same_tokens(draft, stated)
    if stated.values:
        for key, value in stated.values.items():
            if key.endswith("_token_id") or key.removeprefix(PREFIX) in _FLAGS:
                draft.values[key] = value
        _without_others(draft, stated)
        return
    if not stated.file.special:
        raise CannotMend("a reference that states the ids of special tokens")
    for role, token_id in stated.file.special.items():
        keys = [id_key(name) for known, name in ROLE_KEYS if known == role]
        if keys:
            known = [key for key in keys if key in draft.metadata]
            draft.put((known or keys)[0], ValueType.U32, token_id)


def _without_others(draft: Draft, stated: Stated) -> None:
    """Take out ids of special tokens that a GGUF reference does not have, where no special token is."""
    types = draft.tokens.types or []
    for key in draft.metadata:
        if not (key.startswith(PREFIX) and key.endswith("_token_id")) or key in stated.values:
            continue
        token_id = draft.metadata.count(key)
        is_ordinary = token_id is not None and token_id < len(types) and types[token_id] == NORMAL
        if token_id is None or token_id >= draft.n_tokens or is_ordinary:
            draft.values[key] = None


def _pre(draft: Draft, stated: Stated) -> None:
    _require_related(draft, stated)
    if stated.file.pre is None or stated.file.pre == draft.text(_PRE):
        raise CannotMend("a reference that states the pre-tokenizer")
    draft.put(_PRE, ValueType.STRING, stated.file.pre)


# --------------------------------------------------------------------------------- the whole vocabulary


def _tokens(draft: Draft, stated: Stated) -> None:
    """Take the lists of the reference where its tokens are the model's, in another order or damaged."""
    theirs, texts = stated.file.tokens, draft.tokens.texts
    assert theirs is not None
    if texts is None or draft.text(_MODEL) != stated.file.family:
        raise CannotMend("a reference of the same family")
    if list(theirs.ids) != list(range(len(theirs))):
        raise CannotMend("a reference whose ids have no gaps")
    ours = _list_of(draft, texts)
    partner = align(ours, theirs).partner
    if int((partner >= 0).sum()) < _LEAST_COMMON * len(theirs):
        raise CannotMend(f"a reference that shares {_LEAST_COMMON:.0%} of its tokens with the model")
    if draft.n_rows is not None and len(theirs) > draft.n_rows:
        raise CannotMend(f"as many rows as the reference has tokens, {len(theirs)}")
    pads = [text for text in texts[len(theirs) :] if draft.n_rows is not None and len(texts) == draft.n_rows]
    if stated.tokens is not None and stated.tokens.texts is not None and not pads:
        draft.tokens = stated.tokens.copy()
        return
    _from_partners(draft, stated, theirs, partner.tolist())


def _list_of(draft: Draft, texts: Sequence[str]) -> TokenList:
    types = draft.tokens.types
    kinds = types if types is not None and len(types) == len(texts) else [NORMAL] * len(texts)
    key = key_of(spelling_for(draft.text(_MODEL), draft.text(_PRE)))
    keys = [key(text, kind) for text, kind in zip(texts, kinds, strict=True)]
    return TokenList(range(len(texts)), texts, keys, kinds, None)


def _from_partners(draft: Draft, stated: Stated, theirs: TokenList, partner: list[int]) -> None:
    """Put the model's own entries in the reference's order; what it lacks comes from the reference."""
    tokens = draft.tokens
    assert tokens.texts is not None
    of_theirs = {there: here for here, there in enumerate(partner) if there >= 0}
    rest = [here for here in range(len(theirs), len(tokens.texts)) if partner[here] < 0]
    order = [of_theirs.get(there) for there in range(len(theirs))]
    if any(here is None for here in order) and draft.text(_MODEL) == "bert":
        raise CannotMend("a GGUF reference: other files spell the missing tokens otherwise")
    n = len(tokens.texts)
    columns: list[tuple[str, list[object] | None, Sequence[object]]] = [
        ("texts", list(tokens.texts), theirs.texts),
        (
            "types",
            None if tokens.types is None else list(tokens.types),
            [kind or NORMAL for kind in theirs.types],
        ),
        (
            "scores",
            None if tokens.scores is None else list(tokens.scores),
            theirs.scores or [0.0] * len(theirs),
        ),
    ]
    for name, column, others in columns:
        if column is not None and len(column) == n:
            new = [others[there] if here is None else column[here] for there, here in enumerate(order)]
            setattr(tokens, name, new + [column[here] for here in rest])
    if stated.file.merges and tokens.merges is not None:
        tokens.merges = list(stated.file.merges)


def _everything(draft: Draft, stated: Stated) -> None:
    """Take lists and scalars of a GGUF reference."""
    _tokens(draft, stated)
    if not stated.values:
        _specials(draft, stated)
        return
    draft.values.update({key: value for key, value in stated.values.items() if key != _MODEL})
    _without_others(draft, stated)
