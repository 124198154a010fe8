"""Rows of a table, with their tokens, in files that other tools open."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..core.aliases import DTypeName
from ..core.progress import Progress
from ..files.atomic_write import check_is_not_read, is_replaceable, replacing_together
from ..tables.table import EmbeddingTable
from ..tokens.vocabulary import Vocabulary
from . import numpy_files, parquet, safetensors, tables
from .selection import Selection, selection
from .tables import METADATA_HEADER
from .words import text_of, word_of

__all__ = ["FORMATS", "Exported", "Format", "export", "text_of", "word_of"]


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file that rows are written to.

    Attributes
    ----------
    suffixes : tuple of str
        Names of files that mean it.
    dtypes : tuple of str
        What it can hold.
    holds : str
        What is in it, in a few words.
    write : callable
        Writes a selection to one or two open files.
    beside : bool
        Whether a second file holds ids and tokens.
    """

    suffixes: tuple[str, ...]
    dtypes: tuple[str, ...]
    holds: str
    write: Callable[[list[IO[bytes]], Selection, DTypeName], None]
    beside: bool = False


_ALL = ("float32", "float16", "bfloat16")
_BESIDE = "ids and tokens in *.metadata.tsv beside it"
_PROJECTOR = "TensorBoard's projector: vectors.tsv and metadata.tsv"
_WORD2VEC = "word2vec's text, for gensim and many others"
_SAFETENSORS = "tensors embeddings and ids; tokens as JSON in the metadata"
FORMATS = {
    "npy": Format((".npy",), _ALL, f"one array; {_BESIDE}", numpy_files.write_npy, beside=True),
    "npz": Format((".npz",), _ALL, "arrays embeddings, ids and tokens", numpy_files.write_npz),
    "safetensors": Format((".safetensors",), _ALL, _SAFETENSORS, safetensors.write),
    "word2vec": Format((".vec", ".txt"), _ALL[:1], _WORD2VEC, tables.write_word2vec_text),
    "word2vec-binary": Format((".bin",), _ALL[:1], "word2vec's binary", tables.write_word2vec_binary),
    "projector": Format((".tsv",), _ALL[:1], _PROJECTOR, tables.write_projector, beside=True),
    "parquet": Format((".parquet",), _ALL[:2], "columns id, token and embedding", parquet.write),
}


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: its files, the `FORMATS` key, the shape and the dtype of the rows."""

    paths: tuple[str, ...]
    format: str
    shape: tuple[int, int]
    dtype: DTypeName


def export(
    table: EmbeddingTable,
    out: str | os.PathLike[str],
    *,
    vocabulary: Vocabulary | None = None,
    ids: Any = None,
    format: str | None = None,
    dtype: DTypeName = "float32",
    force: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write rows of a table and their tokens to a file for other tools.

    Rows are gathered and written some at a time, so memory does not grow with the table.

    Parameters
    ----------
    table : EmbeddingTable
        Where the rows come from.
    out : path-like
        The file to write; what is there is replaced once the new one is whole. The formats ``"npy"`` and
        ``"projector"`` write a second one: ``vectors.tsv`` has ``metadata.tsv`` beside it, any other
        ``x.npy`` or ``x.tsv`` has ``x.metadata.tsv``. Both change together or not at all. Beside a pipe or a
        device, such as ``/dev/stdout``, there is none.
    vocabulary : Vocabulary, optional
        The tokens of the rows. Their stored texts are written; where a format does not hold just any text,
        `word_of` spells it and `text_of` leads back. Without a vocabulary the ids stand for the texts.
    ids : array-like of int, optional
        Which rows, in which order. Without it, all.
    format : str, optional
        A key of `FORMATS`. Without it, what the end of `out` means.
    dtype : {"float32", "float16", "bfloat16"}, optional
        As in `EmbeddingTable.gather`; a format may know only some of them.
    force : bool, optional
        Replace the second file whatever it holds. Without it, only one that begins as `export` begins it,
        with the line ``token<TAB>id``, is replaced.
    progress : callable, optional
        Called with what is being done and the share of it that is done, between 0 and 1; a false answer that
        is not None cancels.

    Returns
    -------
    Exported

    Raises
    ------
    OSError
        If a file cannot be written.
    FileExistsError
        (an OSError) if the second file exists and is not one of `export`'s, without `force`.
    IndexError
        For an id that is not a row.
    ValueError
        If no row was chosen, the name of `out` does not end in a known format, the format does not hold
        `dtype`, a word2vec file would hold a word twice, or `out` is a file that the table is read from.
    ImportError
        If Parquet is asked for and pyarrow is not installed.
    """
    path = Path(out)
    name = _format_name(path) if format is None else format
    if name not in FORMATS:
        raise ValueError(f"unknown format {name!r}; known: {', '.join(FORMATS)}")
    kind = FORMATS[name]
    if dtype not in kind.dtypes:
        raise ValueError(f"{name} files hold {' or '.join(kind.dtypes)}, not {dtype}")
    chosen = selection(table, vocabulary, ids, progress)
    source = table._source
    check_is_not_read(path, source)
    paths = [path]
    if kind.beside and is_replaceable(path):
        paths.append(_beside(path))
        check_is_not_read(paths[1], source)
        if not force:
            _check_may_replace(paths[1], path)
    with replacing_together(paths, source) as files:
        kind.write(list(files), chosen, dtype)
    return Exported(tuple(map(str, paths)), name, chosen.shape, dtype)


def _check_may_replace(beside: Path, path: Path) -> None:
    """Raise FileExistsError if a file that nobody named holds something else than `export` writes there."""
    if not beside.exists():
        return
    with beside.open("rb") as file:
        begin = file.read(len(METADATA_HEADER))
    if begin != METADATA_HEADER:
        raise FileExistsError(
            errno.EEXIST,
            f"would be replaced by the ids and tokens of {path.name}, and holds something else; move it, "
            "choose another name, or force it",
            str(beside),
        )


def _format_name(path: Path) -> str:
    for name, kind in FORMATS.items():
        if path.suffix.lower() in kind.suffixes:
            return name
    known = ", ".join(suffix for kind in FORMATS.values() for suffix in kind.suffixes)
    raise ValueError(
        f"cannot tell the format from the name {path}: end it in one of {known}, or say which format"
    )


def _beside(path: Path) -> Path:
    stem = path.stem.replace("vectors", "metadata") if "vectors" in path.stem else f"{path.stem}.metadata"
    return path.with_name(f"{stem}.tsv")
