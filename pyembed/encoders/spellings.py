"""A vocabulary as engines are given it: what says which ids are right, and other spellings of the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..tokens.cutting.document import tokenizer_document
from ..tokens.cutting.families.merging import NEWLINES_APART
from ..tokens.cutting.source import TokenSource
from .corpus import corpus_digest
from .engines import bare
from .tokenizer_facts import TokenizerFacts, tokenizer_facts


@dataclass(frozen=True)
class Documents:
    """What engines are made of.

    Attributes
    ----------
    standard : str
        The ``tokenizer.json`` that says what is right.
    spellings : tuple of str
        What fast engines are given: that file, and others that should cut the same.
    around : object
        What puts tokens around texts, as the file has it, unchecked: its ``post_processor``.
    facts : TokenizerFacts
    """

    standard: str
    spellings: tuple[str, ...]
    around: Any
    facts: TokenizerFacts


class Vocabulary:
    """A vocabulary; its documents are made when they are first needed.

    Parameters
    ----------
    path : str
        For messages.
    digest : str
        Of all that a verdict depends on, but for the versions of packages.
    make : callable
        Returns the `Documents`.
    """

    def __init__(self, path: str, digest: str, make: Callable[[], Documents]) -> None:
        self.path, self.digest, self._make = path, digest, make

    @cached_property
    def documents(self) -> Documents:
        """What engines are made of."""
        return self._make()


def vocabulary_of(path: str, documents: Documents) -> Vocabulary:
    """Return the vocabulary of documents that were made already."""
    parts = (documents.standard, *documents.spellings, *documents.facts.sample)
    return Vocabulary(
        path, digest_of(part.encode("utf-8", "surrogatepass") for part in parts), lambda: documents
    )


def digest_of(parts: Iterable[bytes | memoryview]) -> str:
    """Return a digest of a vocabulary and of the texts that engines are compared on."""
    hashed = hashlib.sha256(corpus_digest().encode())
    for part in parts:
        hashed.update(b"%d " % len(part))
        hashed.update(part)
    return hashed.hexdigest()


def documents_of_json(path: str, document: dict[str, Any]) -> Documents:
    """Return the documents of a ``tokenizer.json``; raises FormatError as `tokenizer_facts` does."""
    text = bare(document)
    return Documents(text, (text,), document.get("post_processor"), tokenizer_facts(path, document))


def documents_of_model(source: TokenSource) -> Documents:
    """Return the documents of a GGUF file's vocabulary.

    Raises
    ------
    VocabularyError
        If no ``tokenizer.json`` expresses it.
    """
    document = tokenizer_document(source, special=False)
    step = document["pre_tokenizer"]
    published = tokenizer_document(source, special=False, published=True)["pre_tokenizer"]
    others = [published] if published != step else []
    if step == NEWLINES_APART and not any("\n" in text and text.strip("\n") for text in source.texts):
        others.append(None)  # no merge crosses the cuts, since no token has both sides of one
    spellings = [bare({**document, "pre_tokenizer": other}) for other in (step, *others)]
    facts = tokenizer_facts(source.path, document)
    return Documents(spellings[0], tuple(spellings), document["post_processor"], facts)
