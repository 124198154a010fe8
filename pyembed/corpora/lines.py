"""Files of lines: a text a line, JSON lines, CSV; compressed too, by the end of their names."""

from __future__ import annotations

import csv
import io
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from ..errors import FormatError
from ..safe_text import quote
from ..tokens.cutting.cutter import MAX_CHARACTERS
from .arrow import pyarrow
from .pieces import Piece

_CHUNK = 1 << 20
#: Bytes of a line; one text may have 2**24 characters, of four bytes each.
_LONGEST = 1 << 28
#: How deep objects and lists of a line may be nested: readers go down by recursion.
_DEEPEST = 64
#: Lines from which columns are guessed, and records of a piece.
_GUESSED, _RECORDS = 1000, 4096
_TEXT = "text"
_MARK = b"\xef\xbb\xbf"


class Lines:
    """A file of lines, read a megabyte at a time."""

    def __init__(self, path: str) -> None:
        self.path = path

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any]]:
        """Yield what the bytes come from, and the file below, whose position says how far it was read."""
        with open(self.path, "rb") as raw:
            try:
                yield pyarrow.input_stream(raw, compression=_compression(self.path)), raw
            except (pyarrow.ArrowException, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise
                first = str(error).partition("\n")[0]
                raise FormatError(f"{self.path}: it cannot be read: {first[:300]}", self.path) from None

    def _chunks(self) -> Iterator[tuple[list[bytes | None], float]]:
        """Yield lines without their ends, a few at a time, and the share that was read; None is too long."""
        size = max(os.path.getsize(self.path), 1)
        with self._opened() as (stream, raw):
            rest: list[bytes] = []
            n_rest, is_too_long = 0, False
            first = stream.read(_CHUNK).removeprefix(_MARK)
            for data in chain([first], iter(partial(stream.read, _CHUNK), b"")):
                head, newline, tail = data.rpartition(b"\n")
                if newline:
                    found: list[bytes | None] = [*b"".join([*rest, head]).split(b"\n")]
                    if is_too_long or len(found[0] or b"") > _LONGEST:
                        found[0] = None
                    yield found, min(1.0, raw.tell() / size)
                    rest, n_rest, is_too_long = [], 0, False
                    data = tail
                n_rest += len(data)
                is_too_long = is_too_long or n_rest > _LONGEST
                rest = [] if is_too_long else [*rest, data]
            if n_rest:
                yield [None if is_too_long else b"".join(rest)], 1.0

    def _numbered(self, first: int) -> Iterator[tuple[list[bytes | None], int, float]]:
        """Yield lines from line `first` on, with the number of the first of them."""
        number = 0
        for found, share in self._chunks():
            end = number + len(found)
            if end > first:
                skipped = max(first - number, 0)
                yield found[skipped:], number + skipped, share
            number = end


def _compression(path: str) -> str | None:
    kinds = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"}
    return kinds.get(os.path.splitext(path.lower())[1])


class Texts(Lines):
    """A text a line, in the column ``text``."""

    def schema(self) -> Any:
        """Return the one column."""
        return pyarrow.schema([(_TEXT, pyarrow.string())])

    def pieces(self, schema: Any, first: int) -> Iterator[Piece]:
        """Yield the lines; an empty one is a text too."""
        for found, number, share in self._numbered(first):
            texts, faults = _decoded(found, number)
            rows = [number + place for place, text in enumerate(texts) if text is not None]
            table = _texts([[text for text in texts if text is not None]] * len(schema), schema)
            yield Piece(table, np.array(rows, np.int64), faults, number, number + len(found), share)


def _decoded(found: list[bytes | None], number: int) -> tuple[list[str | None], dict[int, str]]:
    """Return lines as texts, None for those with a fault."""
    if None not in found:
        try:
            whole = b"\n".join(found).decode("utf-8")  # type: ignore[arg-type]
            texts: list[str | None] = [*whole.split("\n")]
            if "\r" in whole:
                texts = [text.removesuffix("\r") for text in texts if text is not None]
            return texts, {}
        except UnicodeDecodeError:
            pass
    texts, faults = [], {}
    for place, line in enumerate(found):
        fault = _line_fault(line)
        if fault is not None:
            faults[number + place] = fault
        texts.append(None if fault or line is None else line.decode("utf-8").removesuffix("\r"))
    return texts, faults


def _line_fault(line: bytes | None) -> str | None:
    if line is None:
        return f"the line has more than {_LONGEST} bytes"
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"not UTF-8: {error.reason} at byte {error.start} of the line"
    return None


class JsonLines(Lines):
    """An object a line; rows are lines, and blank lines are left out.

    Attributes
    ----------
    ignores_others : bool
        Whether members without a column are left out; otherwise they are faults.
    """

    ignores_others = False

    def schema(self) -> Any:
        """Guess the columns from the first lines."""
        for found, _ in self._chunks():
            values: dict[str, list[Any]] = {}
            for line in found[:_GUESSED]:
                for name, value in _object(line).items():
                    values.setdefault(name, []).append(value)
            if values:
                return pyarrow.schema([(name, _guess(given)) for name, given in values.items()])
        return pyarrow.schema([])

    def pieces(self, schema: Any, first: int) -> Iterator[Piece]:
        """Yield the objects. A line that is none, or has a value of another type, is a fault."""
        for found, number, share in self._numbered(first):
            faults: dict[int, str] = {}
            numbers, kept = [], []
            for place, line in enumerate(found, number):
                if line is None or line.count(b"{") + line.count(b"[") > _DEEPEST:
                    fault = _line_fault(line) or _json_fault(line)
                    if fault is not None:
                        faults[place] = fault
                        continue
                if line is not None and line.strip():
                    numbers.append(place)
                    kept.append(line)
            tables = list(self._tables(kept, numbers, schema, faults))
            rows = np.array([row for row in numbers if row not in faults], np.int64)
            table = pyarrow.concat_tables(tables) if tables else schema.empty_table()
            yield Piece(table, rows, faults, number, number + len(found), share)

    def _tables(
        self, found: list[bytes], numbers: list[int], schema: Any, faults: dict[int, str]
    ) -> Iterator[Any]:
        """Yield the rows of lines. Where some have faults, halves are tried, down to the single line."""
        if not found:
            return
        fault = self._parsed(found, schema)
        if not isinstance(fault, str):
            yield fault
        elif len(found) == 1:
            faults[numbers[0]] = fault
        else:
            half = len(found) // 2
            yield from self._tables(found[:half], numbers[:half], schema, faults)
            yield from self._tables(found[half:], numbers[half:], schema, faults)

    def _parsed(self, found: list[bytes], schema: Any) -> Any:
        """Return lines as a table, or a fault of one of them."""
        data = b"\n".join(found) + b"\n"
        others = "ignore" if self.ignores_others else "error"
        try:
            data.decode("utf-8")
            table = pyarrow.json.read_json(
                io.BytesIO(data),
                parse_options=pyarrow.json.ParseOptions(
                    explicit_schema=schema, unexpected_field_behavior=others
                ),
                read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(data) + 1),
            )
        except UnicodeDecodeError as error:
            return f"not UTF-8: {error.reason} at byte {error.start} of the line"
        except pyarrow.ArrowInvalid as error:
            unknown = sorted(set(_object(found[0])) - set(schema.names)) if len(found) == 1 else []
            if unknown and not self.ignores_others:
                return f"the member {quote(unknown[0])} is not a column of the first lines"
            text = str(error).removesuffix(" in row 0").removeprefix("JSON parse error: ")
            return f"not an object with these columns: {text[:200]}"
        if table.num_rows != len(found):
            return "more than one value in a line"
        return table.select(schema.names).combine_chunks()


def _object(line: bytes | None) -> dict[str, Any]:
    """Return the object of a line; an empty one where there is none."""
    try:
        value = json.loads(line or b"")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) and _json_fault(line) is None else {}


def _json_fault(line: bytes | None) -> str | None:
    """Return why a line must not be parsed: Arrow's parser goes down without a limit, and crashes."""
    depth = deepest = 0
    is_text = is_escaped = False
    for letter in line or b"":
        if is_text:
            is_text = is_escaped or letter != 0x22
            is_escaped = letter == 0x5C and not is_escaped
        elif letter == 0x22:
            is_text = True
        elif letter in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif letter in b"]}":
            depth -= 1
    return f"nested {deepest} deep; at most {_DEEPEST} are read" if deepest > _DEEPEST else None


def _guess(values: list[Any]) -> Any:
    """Return the type of some values; of values of several types, that of the first."""
    given = [value for value in values if value is not None][:_GUESSED] or [""]
    for some in (given, given[:1]):
        try:
            kind = pyarrow.infer_type(some)
        except (pyarrow.ArrowException, OverflowError, UnicodeError):
            continue
        return _settled(kind)
    return pyarrow.string()


def _settled(kind: Any) -> Any:
    """Return a type whose lists say what they hold: an empty one says nothing."""
    if pyarrow.types.is_null(kind):
        return pyarrow.string()
    if pyarrow.types.is_list(kind):
        inner = pyarrow.int64() if pyarrow.types.is_null(kind.value_type) else _settled(kind.value_type)
        return pyarrow.list_(inner)
    return kind


class _LongFields:
    """Lets Python's CSV readers take fields as long as texts may be, while one of ours reads.

    The limit is one number for the whole process. The last of our readers to end puts it back, in whatever
    order they end, unless somebody else has set it meanwhile.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a generator may be collected, and end, within a call of these
        self._n_readers = self._before = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._n_readers == 0:
                self._before = csv.field_size_limit()
            self._n_readers += 1
            if csv.field_size_limit() < MAX_CHARACTERS:
                csv.field_size_limit(MAX_CHARACTERS)

    def __exit__(self, *raised: object) -> None:
        with self._lock:
            self._n_readers -= 1
            if self._n_readers == 0 and csv.field_size_limit() == MAX_CHARACTERS:
                csv.field_size_limit(self._before)


_LONG_FIELDS = _LongFields()


class Csv(Lines):
    """Records of fields that commas separate, as RFC 4180 has them; the first one names the columns.

    Python's reader takes records of any length; all columns are texts, since nothing says what else they are.
    """

    def _records(self) -> Iterator[tuple[list[str], int, float]]:
        """Yield the fields, the number, -1 for the header's, and the share that was read."""
        size = max(os.path.getsize(self.path), 1)
        with _LONG_FIELDS, self._opened() as (stream, raw):
            number = -1
            try:
                text = io.TextIOWrapper(stream, "utf-8", "surrogateescape", newline="")
                for number, fields in enumerate(csv.reader(text, strict=True), -1):
                    yield fields, number, min(1.0, raw.tell() / size)
            except csv.Error as error:
                raise FormatError(
                    f"{self.path}: the record after row {number} cannot be read: {error}; is a quote open?",
                    self.path,
                ) from None

    def schema(self) -> Any:
        """Return the columns that the header names."""
        return pyarrow.schema([(name, pyarrow.string()) for name in self._header()])

    def _header(self) -> list[str]:
        for fields, _, _ in self._records():
            fields[:1] = [fields[0].removeprefix("\ufeff")] if fields else []
            for name in fields:
                if not name.isprintable():
                    raise FormatError(f"{self.path}: the header names a column {quote(name)}", self.path)
            return fields
        raise FormatError(f"{self.path}: there is no header", self.path)

    def pieces(self, schema: Any, first: int) -> Iterator[Piece]:
        """Yield the records; one of another number of fields, or that is not UTF-8, is a fault."""
        header = self._header()
        places = [header.index(name) for name in schema.names]
        begin, rows, faults, n_characters = first, [], {}, 0
        columns: list[list[str]] = [[] for _ in places]
        for fields, number, share in self._records():
            if number < first or not fields:
                continue
            fault = _record_fault(fields, len(header))
            if fault is not None:
                faults[number] = fault
            else:
                rows.append(number)
                for column, place in zip(columns, places, strict=True):
                    column.append(fields[place])
                    n_characters += len(fields[place])
            if len(rows) + len(faults) >= _RECORDS or n_characters >= _CHUNK:
                yield Piece(
                    _texts(columns, schema), np.array(rows, np.int64), faults, begin, number + 1, share
                )
                begin, rows, faults, n_characters = number + 1, [], {}, 0
                columns = [[] for _ in places]
        if rows or faults:
            end = max([*rows[-1:], *faults]) + 1
            yield Piece(_texts(columns, schema), np.array(rows, np.int64), faults, begin, end, 1.0)


def _record_fault(fields: list[str], n: int) -> str | None:
    if len(fields) != n:
        return f"{len(fields)} fields; the header has {n}"
    try:
        for field in fields:
            if not field.isascii():
                field.encode("utf-8")
    except UnicodeEncodeError:
        return "not UTF-8"
    return None


def _texts(columns: list[list[str]], schema: Any) -> Any:
    return pyarrow.table([pyarrow.array(column, pyarrow.string()) for column in columns], schema=schema)
