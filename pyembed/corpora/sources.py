"""Files of rows: what kinds there are, and those that have types, Parquet and Arrow."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from ..core.paths import Path, file_name
from ..errors import FormatError
from ..safe_text import quote
from . import lines
from .arrow import pyarrow
from .pieces import Piece

#: Rows, and bytes of an average file's rows, that are read at once.
_ROWS, _BYTES = 16384, 4 << 20


class Source(Protocol):
    """A file of rows, which is opened when its schema or rows are asked for.

    Attributes
    ----------
    path : str
    """

    path: str

    def schema(self) -> Any:
        """Return the names and types of its columns; those of files without types are a guess."""

    def pieces(self, schema: Any, first: int) -> Iterator[Piece]:
        """Yield its rows from row `first` on, with the columns of `schema`.

        Raises
        ------
        OSError
            If it cannot be read.
        FormatError
            If it is damaged.
        """


class _Parquet:
    def __init__(self, path: str) -> None:
        self.path = path

    def schema(self) -> Any:
        with _errors_of(self.path), self._open() as file:
            return file.schema_arrow

    def _open(self) -> Any:
        # Buffered, so that a row group is not in memory at once, however large its writer made it.
        return pyarrow.parquet.ParquetFile(self.path, buffer_size=1 << 20, pre_buffer=False)

    def pieces(self, schema: Any, first: int) -> Iterator[Piece]:
        with _errors_of(self.path), self._open() as file:
            n_rows, begin = file.metadata.num_rows, 0
            groups: list[int] = []
            widest = 1.0
            for group in range(file.metadata.num_row_groups):
                facts = file.metadata.row_group(group)
                n = facts.num_rows
                widest = max(widest, facts.total_byte_size / max(n, 1))
                if begin + n > first or groups:
                    groups.append(group)
                else:
                    begin += n
            rows = max(1, min(_ROWS, int(_BYTES / widest)))
            batches = file.iter_batches(rows, row_groups=groups, columns=schema.names, use_threads=False)
            yield from _typed(batches, schema, begin, first, n_rows)


class _Arrow:
    """The file format of Arrow, which is Feather's, or its stream."""

    def __init__(self, path: str) -> None:
        self.path = path

    def schema(self) -> Any:
        with _errors_of(self.path), pyarrow.OSFile(self.path) as file:
            return self._reader(file)[0].schema

    def _reader(self, file: Any) -> tuple[Any, int | None]:
        is_file = file.read(6) == b"ARROW1"
        file.seek(0)
        if not is_file:
            return pyarrow.ipc.open_stream(file), None
        reader = pyarrow.ipc.open_file(file)
        return reader, reader.num_record_batches

    def pieces(self, schema: Any, first: int) -> Iterator[Piece]:
        # Not mapped: a file that shrinks meanwhile would end the process.
        with _errors_of(self.path), pyarrow.OSFile(self.path) as file:
            reader, n = self._reader(file)
            batches = reader if n is None else map(reader.get_batch, range(n))
            sliced = (whole.slice(at, _ROWS) for whole in batches for at in range(0, whole.num_rows, _ROWS))
            for piece in _typed(map(_checked, sliced), schema, 0, first, 0):
                yield piece._replace(share=file.tell() / max(file.size(), 1))


def _checked(batch: Any) -> Any:
    """Return a batch whose offsets stay inside its buffers: Arrow believes what files say."""
    batch.validate(full=True)
    return batch


def _typed(batches: Any, schema: Any, begin: int, first: int, n_rows: int) -> Iterator[Piece]:
    """Yield batches whose first row is row `begin`, from row `first` on."""
    for batch in batches:
        end = begin + batch.num_rows
        if end > first:
            begin = max(begin, first)
            kept = batch.slice(batch.num_rows - (end - begin)).select(schema.names)
            table = pyarrow.Table.from_batches([kept]).cast(schema)
            yield Piece(table, np.arange(begin, end), {}, begin, end, end / n_rows if n_rows else 0.0)
        begin = end


class _errors_of:
    """Raise what pyarrow says of a file as the package's own errors, with the file's name."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, OSError) and error.errno is not None:
            if error.filename is None:
                raise OSError(error.errno, os.strerror(error.errno), self._path) from None
        elif isinstance(error, pyarrow.ArrowException | OSError | KeyError):
            first = str(error).partition("\n")[0]
            raise FormatError(f"{self._path}: it cannot be read: {first[:300]}", self._path) from None


_KINDS: dict[str, Any] = {
    **dict.fromkeys((".parquet", ".pq"), _Parquet),
    **dict.fromkeys((".arrow", ".feather", ".ipc", ".arrows"), _Arrow),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), lines.JsonLines),
    ".csv": lines.Csv,
    ".txt": lines.Texts,
}
_COMPRESSED = (".gz", ".bz2", ".zst", ".lz4")


def open_sources(inputs: Path | Sequence[Path]) -> list[Source]:
    """Return the files that inputs stand for, those of a folder in the order of their names.

    Raises
    ------
    OSError
        If there is no such file or folder.
    ValueError
        If a file's name does not end as one of these kinds, a folder has none of them, or a file is given
        twice.
    """
    paths = [inputs] if isinstance(inputs, str | bytes | os.PathLike) else list(inputs)
    names: list[str] = []
    for path in map(file_name, paths):
        os.stat(path)
        names += _of_folder(path) if os.path.isdir(path) else [path]
    if not names:
        raise ValueError("no input is given")
    seen: set[str] = set()
    for name in names:
        if os.path.realpath(name) in seen:
            raise ValueError(f"{quote(name)} is given twice")
        seen.add(os.path.realpath(name))
    return [_kind_of(name)(name) for name in names]


def _of_folder(folder: str) -> list[str]:
    entries = sorted(entry for entry in os.listdir(folder) if not entry.startswith((".", "_")))
    found = [os.path.join(folder, entry) for entry in entries if _suffix(entry) in _KINDS]
    if not found:
        raise ValueError(f"the folder {quote(folder)} has no file that ends in {', '.join(_KINDS)}")
    return found


def _suffix(name: str) -> str:
    stem, suffix = os.path.splitext(name.lower())
    inner = os.path.splitext(stem)[1]
    return inner if suffix in _COMPRESSED and issubclass(_KINDS.get(inner, str), lines.Lines) else suffix


def _kind_of(name: str) -> Any:
    suffix = _suffix(name)
    if suffix not in _KINDS:
        known = ", ".join(_KINDS)
        raise ValueError(
            f"{quote(name)} does not end in {known}; of the lines of text also {', '.join(_COMPRESSED)}"
        )
    return _KINDS[suffix]


def schema_of(sources: list[Source], columns: Sequence[str] | None) -> Any:
    """Return the schema that all files have, of all columns or of some.

    Raises
    ------
    ValueError
        If a file has other columns, or others of a name; the message says which file and column.
    """
    first = _chosen(sources[0], sources[0].schema(), columns)
    for source in sources:
        if isinstance(source, lines.JsonLines):
            source.ignores_others = columns is not None
    for source in sources[1:]:
        if isinstance(source, lines.JsonLines):
            continue  # its types are a guess: every line is held against the first file's
        found = _chosen(source, source.schema(), columns)
        for field in first:
            place = found.get_field_index(field.name)
            kind = None if place < 0 else found.field(place).type
            if kind != field.type:
                what = f"is of type {kind}" if kind is not None else "is missing"
                raise ValueError(
                    f"{source.path}: column {quote(field.name)} {what}; in {sources[0].path} it is of type "
                    f"{field.type}"
                )
        for name in found.names:
            if name not in first.names:
                raise ValueError(
                    f"{source.path}: column {quote(name)} is not in {sources[0].path}; choose columns that "
                    "all files have"
                )
    return first


def _chosen(source: Source, schema: Any, columns: Sequence[str] | None) -> Any:
    """Return a schema without what tells nothing of types, of the columns that are wanted."""
    names = schema.names if columns is None else list(columns)
    for name in names:
        n = schema.names.count(name)
        if n != 1:
            what = f"{n} columns" if n else f"no column (it has {', '.join(map(quote, schema.names[:20]))})"
            raise ValueError(f"{source.path}: {what} of the name {quote(name)}")
    return pyarrow.schema([pyarrow.field(name, schema.field(name).type) for name in names])


def ends_digest(path: str) -> str:
    """Return a digest of a file's size and ends, which tells files apart without reading them whole."""
    size = os.path.getsize(path)
    hashed = hashlib.sha256(b"%d " % size)
    with open(path, "rb") as file:
        hashed.update(file.read(1 << 16))
        file.seek(max(0, size - (1 << 16)))
        hashed.update(file.read(1 << 16))
    return f"sha256:{hashed.hexdigest()}"
