"""Models as references: their tokens, and the rows of their tables."""

from __future__ import annotations

from ...core.handle import Source
from ...errors import FormatError, NotFoundError
from ...files.metadata import Metadata
from ...tables.table import EmbeddingTable
from ...tables.token_table import find_token_table
from ...tokens.token_list import MAX_TOKENS, TokenList, key_of, spelling_for
from ...tokens.vocabulary import Vocabulary
from ..subject import Subject
from .reference import Reference

_TOKENIZER = "tokenizer.ggml."


def of_subject(subject: Subject) -> Reference:
    """Return the model that is being validated in the form in which it is compared."""
    found = Reference("model", subject.source.path)
    if subject.level == "full":
        found.table = subject.table
    if subject.vocabulary is not None:
        _fill(found, subject.vocabulary, subject.metadata)
    return found


def read_model(path: str) -> Reference:
    """Open a GGUF, safetensors or .npy file with its table; of GGUF, with its tokens too."""
    source = Source(path)
    try:
        found = Reference(f"{source.format} file", path, close=source.close)
        metadata = Metadata(source) if source.format == "gguf" else None
        if metadata is not None and _TOKENIZER + "tokens" in metadata:
            _fill(found, Vocabulary(source, metadata), metadata)
        try:
            found.table = EmbeddingTable(source, find_token_table(source).name)
        except (FormatError, NotFoundError) as error:
            found.no_table = str(error)
        if found.tokens is None and found.table is None:
            raise FormatError(f"{path}: neither tokens nor rows to compare with: {found.no_table}", path)
    except BaseException:
        source.close()
        raise
    return found


def _fill(found: Reference, vocabulary: Vocabulary, metadata: Metadata) -> None:
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
