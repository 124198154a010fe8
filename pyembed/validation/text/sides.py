"""What is compared: a tokenizer, read from whatever kind of file states one."""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from ...core.handle import Source
from ...core.paths import file_name
from ...errors import FormatError, VocabularyError
from ...files.metadata import Metadata
from ...tokens.cutting.charsmap import check_charsmap
from ...tokens.cutting.document import tokenizer_document
from ...tokens.cutting.source import TokenSource, source_of
from ...tokens.readers.checked_reads import as_json, read_bytes
from ...tokens.readers.sentencepiece_model import is_sentencepiece, read_rules, read_sentencepiece
from ...tokens.vocabulary import Vocabulary

_IN_FOLDERS = ("tokenizer.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "spm.model")
_DEPTH = 16
_ONLY_TOKENS = "it says which tokens there are, and not how texts are cut"


@dataclass(frozen=True)
class Side:
    """A tokenizer, or why there is none.

    Attributes
    ----------
    path : str
    document : dict or None
        As a ``tokenizer.json`` has it.
    why : str
        Why `document` is None.
    pre : str or None
        As ``tokenizer.ggml.pre``.
    family : str or None
        As ``tokenizer.ggml.model``; None where the file does not say it.
    by_text : frozenset of str
        Texts of tokens that are found in texts for what they spell, whatever the file says of them.
    """

    path: str
    document: dict[str, Any] | None
    why: str = ""
    pre: str | None = None
    family: str | None = None
    by_text: frozenset[str] = frozenset()


def side_of_vocabulary(path: str, vocabulary: Vocabulary, metadata: Metadata) -> Side:
    """Return the tokenizer of an open model, with the patterns that its makers published."""
    try:
        return _of_source(source_of(vocabulary, metadata))
    except VocabularyError as error:
        return Side(path, None, str(error).removeprefix(f"{path}: "))


def side_of_file(path: object) -> Side:
    """Return the tokenizer of a file, or of a folder that holds one.

    Raises
    ------
    OSError
        If it cannot be read.
    FormatError
        If it is damaged.
    """
    name = file_name(path)  # type: ignore[arg-type]
    if name.startswith("sha256:"):
        return Side(name, None, "a digest cuts no texts")
    if os.path.isdir(name):
        found = next((file for file in _IN_FOLDERS if os.path.isfile(os.path.join(name, file))), None)
        if found is None:
            return Side(name, None, f"the folder holds none of {', '.join(_IN_FOLDERS)}")
        name = os.path.join(name, found)
    with open(name, "rb") as file:
        head = file.read(4096)
    if head[:4] == b"GGUF":
        return _of_model(name)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{" and head[8:9] != b"{":
        return _of_json(name)
    if is_sentencepiece(head):
        return _of_sentencepiece(name)
    return Side(name, None, _ONLY_TOKENS)


def _of_source(source: TokenSource) -> Side:
    document = tokenizer_document(source, published=True)
    return Side(source.path, document, "", source.pre, source.family, source.by_text)


def _of_model(path: str) -> Side:
    with closing(Source(path)) as source:
        metadata = Metadata(source)
        try:
            vocabulary = Vocabulary(source, metadata)
        except VocabularyError as error:
            return Side(path, None, str(error).removeprefix(f"{path}: "))
        with closing(vocabulary):
            return side_of_vocabulary(path, vocabulary, metadata)


def _of_json(path: str) -> Side:
    document = as_json(path, read_bytes(path))
    if not isinstance(document.get("model"), dict) or "vocab" not in document["model"]:
        return Side(path, None, _ONLY_TOKENS)
    if not (document.get("normalizer") or document.get("pre_tokenizer")) or _lacks_merges(document["model"]):
        return Side(path, None, _ONLY_TOKENS)
    document["truncation"] = document["padding"] = None
    document.setdefault("version", "1.0")
    _complete_added(document.get("added_tokens"))
    for part in ("pre_tokenizer", "decoder", "post_processor"):
        _complete_step(document.get(part), _DEPTH)
    try:
        for raw in _charsmaps(document.get("normalizer"), _DEPTH):
            check_charsmap(TokenSource(path, None, None, [], [], []), raw)
    except VocabularyError as error:
        return Side(path, None, str(error).removeprefix(f"{path}: "))
    return Side(path, document)


def _lacks_merges(model: dict[str, Any]) -> bool:
    return model.get("type", "BPE") == "BPE" and not model.get("merges")


def _complete_added(entries: Any) -> None:
    """Fill in what older files, and those of other programs, leave out of added tokens."""
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict):
            special = entry.setdefault("special", False)
            entry.setdefault("normalized", not special)
            for flag in ("single_word", "lstrip", "rstrip"):
                entry.setdefault(flag, False)


def _complete_step(step: Any, depth: int) -> None:
    """Fill in what a step of bytes may leave out."""
    if not isinstance(step, dict) or not depth:
        return
    if step.get("type") == "ByteLevel":
        for flag in ("add_prefix_space", "trim_offsets", "use_regex"):
            step.setdefault(flag, True)
    for name in ("pretokenizers", "decoders", "processors"):
        parts = step.get(name)
        for part in parts if isinstance(parts, list) else []:
            _complete_step(part, depth - 1)


def _charsmaps(step: Any, depth: int) -> Iterator[bytes]:
    """Yield the maps of characters of a normalizer, which `tokenizers` walks without looking."""
    if not isinstance(step, dict) or not depth:
        return
    if step.get("type") == "Precompiled" and isinstance(step.get("precompiled_charsmap"), str):
        try:
            yield base64.b64decode(step["precompiled_charsmap"], validate=True)
        except (ValueError, binascii.Error):
            return  # tokenizers says so
    parts = step.get("normalizers")
    for part in parts if isinstance(parts, list) else []:
        yield from _charsmaps(part, depth - 1)


def _of_sentencepiece(path: str) -> Side:
    data = read_bytes(path)
    tokens, rules = read_sentencepiece(path, data), read_rules(path, data)
    assert tokens.tokens is not None
    if rules.is_unigram is None:
        return Side(path, None, "it does not say whether it is unigram or BPE")
    n = len(tokens.tokens)
    if list(tokens.tokens.ids) != list(range(n)):
        return Side(path, None, "the ids of the reference have gaps")
    source = TokenSource(
        path,
        "t5" if rules.is_unigram else "llama",
        None,
        list(tokens.tokens.texts),
        list(tokens.tokens.types),
        [0.0 if score != score else score for score in tokens.tokens.scores or [0.0] * n],
        special=tokens.special,
        flags={"add_space_prefix": rules.adds_prefix, "remove_extra_whitespaces": rules.squeezes_spaces},
        # llama.cpp has no map for BPE, so that every correct file is without.
        charsmap=(rules.charsmap or None) if rules.is_unigram else None,
    )
    try:
        return _of_source(source)
    except VocabularyError as error:
        return Side(path, None, str(error).removeprefix(f"{path}: "))


def as_text(document: dict[str, Any], path: str) -> str:
    """Return a document as text."""
    try:
        text = json.dumps(document, ensure_ascii=False)
        text.encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: not a tokenizer.json: {error}", path) from None
    return text
