"""Models as references: their tokens, and the rows of their tables."""

from __future__ import annotations

from ...core.handle import Source
from ...errors import FormatError, NotFoundError
from ...files.metadata import Metadata
from ...tables.table import EmbeddingTable
from ...tables.token_table import find_token_table
from ...tokens.token_list import MAX_TOKENS, TokenFile, TokenList, key_of, spelling_for
from ...tokens.vocabulary import Vocabulary
from ..subject import Subject
from .reference import Reference, Rows

_TOKENIZER = "tokenizer.ggml."
MERGING_FAMILIES = ("gpt2", "gemma4")
"""Families whose tokenizers apply merges."""


def of_subject(subject: Subject) -> Reference:
    """Return the model that is being validated in the form in which it is compared."""
    file = TokenFile("model", subject.source.path)
    if subject.vocabulary is not None:
        _fill(file, subject.vocabulary, subject.metadata)
    return Reference(file, _rows_of_subject(subject), is_model=True)


def tokens_of(path: str, vocabulary: Vocabulary, metadata: Metadata) -> TokenFile:
    """Return an open model's tokens in the form in which they are compared."""
    file = TokenFile("model", path)
    _fill(file, vocabulary, metadata)
    return file


def _rows_of_subject(subject: Subject) -> Rows:
    if subject.table_name not in subject.tensors:
        return Rows()
    if subject.level != "full":
        return Rows(left_out='rows are compared at level "full" only')
    table = subject.table
    if table is not None:
        return Rows(table)
    return Rows(unread=f"the model's {subject.table_name} cannot be decoded")


def read_model(path: str) -> Reference:
    """Open a GGUF, safetensors or .npy file with its table; of GGUF, with its tokens too."""
    source = Source(path)
    try:
        file = TokenFile(f"{source.format} file", path)
        metadata = Metadata(source) if source.format == "gguf" else None
        if metadata is not None and _TOKENIZER + "tokens" in metadata:
            _fill(file, Vocabulary(source, metadata), metadata)
        rows = rows_of(source)
        if file.tokens is None and rows.table is None:
            why = rows.unread or "it has no tensors"
            raise FormatError(f"{path}: neither tokens nor rows to compare with: {why}", path)
    except BaseException:
        source.close()
        raise
    return Reference(file, rows, is_model=True)


def rows_of(source: Source) -> Rows:
    """Return the rows of the token table of an open file, or why they cannot be read."""
    if source.n_tensors() == 0:
        return Rows(close=source.close)
    try:
        return Rows(EmbeddingTable(source, find_token_table(source).name), close=source.close)
    except (ValueError, NotFoundError) as error:
        return Rows(unread=str(error), close=source.close)


def _fill(found: TokenFile, vocabulary: Vocabulary, metadata: Metadata) -> None:
    n = len(vocabulary)
    if n > MAX_TOKENS:
        raise FormatError(f"{found.path}: {n} tokens; more than {MAX_TOKENS} cannot be compared", found.path)
    types = vocabulary.types.tolist()
    texts = list(vocabulary.tokens)
    key = key_of(spelling_for(vocabulary.model, vocabulary.pre))
    keys = [key(text, type) for text, type in zip(texts, types, strict=True)]
    scores = vocabulary.scores.tolist() if _TOKENIZER + "scores" in metadata else None
    found.family, found.pre, found.special = vocabulary.model, vocabulary.pre, vocabulary.special
    found.tokens = TokenList(range(n), texts, keys, types, scores)
    found.digest = vocabulary.digest
    found.merges = metadata.strings(_TOKENIZER + "merges")
    if found.merges is None and found.family in MERGING_FAMILIES:
        found.merges = []
