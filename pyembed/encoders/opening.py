"""Opening encoders, and opening them again in another process."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from typing import Any, NamedTuple

from .._native import ffi, lib
from ..core.handle import Source
from ..core.paths import Path
from ..errors import FormatError, VocabularyError
from ..files.byte_ranges import FileRange
from ..loader import load_model
from ..model import Model
from ..safe_text import quote
from ..tables.reopening import TableMark, mark_table
from ..tables.table import EmbeddingTable
from ..tokens.readers.checked_reads import as_json, as_object, read_bytes
from .choice import Chosen, EngineName
from .encoder import Encoder
from .engines import FAST
from .files import EncoderFiles, find_encoder
from .parts import Parts
from .rules import LIBRARIES, LibraryName, Rules
from .spellings import Vocabulary, digest_of, documents_of_json, documents_of_model, vocabulary_of
from .tokenizer_facts import TokenizerFacts


class _Arguments(NamedTuple):
    """What `load_encoder` was called with; paths are absolute."""

    path: str
    library: LibraryName | None
    tokenizer: str | None
    engine: EngineName
    cache: bool


def load_encoder(
    path: Path,
    *,
    library: LibraryName | None = None,
    tokenizer: Path | None = None,
    engine: EngineName = "auto",
    cache: bool = True,
) -> Encoder:
    """Open a static embedding model.

    Parameters
    ----------
    path : path-like
        A folder of model2vec, or of sentence-transformers with a StaticEmbedding; WordLlama's weights, with
        its tokenizer beside them or in the folder ``tokenizers`` beside theirs, or the folder that has both;
        a GGUF file with a vocabulary; or a safetensors file or folder with a token table and a
        ``tokenizer.json``.
    library : {"model2vec", "sentence-transformers", "wordllama", "none"}, optional
        By whose rules tokens become vectors; they differ in what they do with unknown tokens, long texts and
        dtypes. Without it that of the files; ``"none"`` is the mean of the rows of all tokens.
    tokenizer : path-like, optional
        The ``tokenizer.json`` to use, in place of the one beside the table.
    engine : {"auto", "tokenizers", "gigatoken", "tokie"}, optional
        What cuts the texts. A fast package is taken only where it is installed and gave the ids of
        ``tokenizers`` on a fixed corpus and on texts of this vocabulary's own tokens: `Encoder.engine` says
        which is used, and why.
    cache : bool, optional
        Whether to remember such a comparison, by digests and versions, in the user's cache folder
        (``PYEMBED_CACHE`` names another one, or is ``off``).

    Returns
    -------
    Encoder
        It holds the file of its table open: close it, or use it in a ``with`` block.

    Raises
    ------
    OSError
        If a file cannot be read.
    FormatError
        If the files are not an encoder, are damaged, or do not belong together: the message says which part.
    ImportError
        If the extra ``text`` is not installed.
    ValueError
        If an argument is unknown, or `engine` names a package that cannot be used.
    """
    if library is not None and library not in LIBRARIES:
        raise ValueError(f"library is {library!r}; expected one of {', '.join(LIBRARIES)}")
    engines = ("auto", "tokenizers", *(kind.package for kind in FAST))
    if engine not in engines:
        raise ValueError(f"engine is {engine!r}; expected one of {', '.join(engines)}")
    found = find_encoder(path, library, tokenizer)
    arguments = _Arguments(
        os.path.abspath(os.fsdecode(path)),
        library,
        None if tokenizer is None else os.path.abspath(os.fsdecode(tokenizer)),
        engine,
        cache,
    )
    return _of_model(found, arguments) if not found.tokenizer_file else _of_files(found, arguments)


def reopen_encoder(arguments: _Arguments, mark: TableMark, tokenizer: str) -> Encoder:
    """Open an encoder that was pickled.

    Raises
    ------
    FormatError
        If its table or tokenizer are not what they were.
    """
    path, library, tokenizer_file, engine, cache = arguments
    encoder = load_encoder(path, library=library, tokenizer=tokenizer_file, engine=engine, cache=cache)
    found = encoder.__reduce__()[1]
    if found != (arguments, mark, tokenizer):
        encoder.close()
        raise FormatError(f"{path}: not the encoder that was pickled: its table or tokenizer differ", path)
    return encoder


def encoder_of(model: Model, *, engine: EngineName = "auto", cache: bool = True) -> Encoder:
    """Return the encoder of an open model: the means of the rows of its tokens.

    Parameters
    ----------
    model : Model
        It goes on belonging to whoever opened it: closing the encoder leaves it open.
    engine, cache
        As for `load_encoder`.

    Raises
    ------
    FormatError
        If it has no token table or no vocabulary, or no tokenizer can be made of that.
    ImportError, ValueError
        As `load_encoder` does.
    """
    arguments = _Arguments(os.path.abspath(model.path), None, None, engine, cache)
    return _over(model, Rules("none"), arguments, lambda: None)


def _of_model(found: EncoderFiles, arguments: _Arguments) -> Encoder:
    """Open a GGUF file, by its own vocabulary."""
    model = load_model(found.table_file)
    try:
        return _over(model, found.rules, arguments, model.close)
    except BaseException:
        model.close()
        raise


def _over(model: Model, rules: Rules, arguments: _Arguments, close: Callable[[], None]) -> Encoder:
    header = _header_digest(model)
    vocabulary = Vocabulary(model.path, header, lambda: documents_of_model(model.vocabulary.cutter.source()))
    chosen = Chosen(vocabulary, arguments.engine, arguments.cache)
    parts = Parts(model.table, rules, vocabulary, chosen)
    return Encoder(parts, _recipe(arguments, model.table, vocabulary), close)


def _header_digest(model: Model) -> str:
    """Return a digest of the metadata of a GGUF file, which say all of its vocabulary, and of this version.

    Raises
    ------
    FormatError
        If the file was replaced meanwhile.
    """
    source = model._source
    first = source.shards()[0]
    metadata = FileRange(first.path, first.first, source.metadata_end(0) - first.first)
    version = ffi.string(lib.pye_version())
    digest = digest_of(chain((version,), metadata.chunks()))
    if source.change() is not None:
        raise FormatError(f"{first.path}: the file changed while it was opened", first.path)
    return digest


def _of_files(found: EncoderFiles, arguments: _Arguments) -> Encoder:
    where = found.tokenizer_file
    documents = documents_of_json(where, as_object(where, as_json(where, read_bytes(where)), "the content"))
    facts = documents.facts
    rules = found.rules
    if rules.library == "sentence-transformers" and facts.truncation is not None:
        rules = replace(rules, max_length=facts.truncation.max_length, direction=facts.truncation.direction)
    source = Source(found.table_file)
    try:
        table = EmbeddingTable(source, found.tensor, owns_source=True)
        _check(found, table, facts)
        vocabulary = vocabulary_of(where, documents)
        chosen = Chosen(vocabulary, arguments.engine, arguments.cache)
        parts = Parts(table, rules, vocabulary, chosen)
        return Encoder(parts, _recipe(arguments, table, vocabulary), table.close)
    except BaseException:
        source.close()
        raise


def _recipe(arguments: _Arguments, table: EmbeddingTable, vocabulary: Vocabulary) -> tuple[Any, ...]:
    return reopen_encoder, (arguments, mark_table(table), vocabulary.digest)


def _check(found: EncoderFiles, table: EmbeddingTable, facts: TokenizerFacts) -> None:
    """Raise VocabularyError if rows and tokens do not belong together."""
    n_rows = len(table)
    is_exact = found.rules.library == "model2vec" and not table.layout.mapping
    if (is_exact and n_rows != facts.n_tokens) or (not found.rules.clips_ids and facts.n_ids > n_rows):
        raise VocabularyError(
            f"{found.tokenizer_file}: it has {facts.n_tokens} tokens with ids up to {facts.n_ids - 1}, but "
            f"{quote(found.tensor)} of {found.table_file} has {n_rows} rows: the two do not belong together",
            found.tokenizer_file,
        )
