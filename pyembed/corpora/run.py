"""A corpus to parts: one thread reads and writes, others encode what lies between."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from ..core.budget import budget_bytes
from ..core.paths import Path
from ..core.processors import n_processors
from ..core.progress import Progress, Report, report_to
from ..safe_text import json_text, printable, quote
from ..tables.arguments import thread_count
from ..tables.scan import index_of
from .arrow import pyarrow
from .blocks import Block, Fault, Limits, Position, blocks, rows_of
from .columns import Made, check_column, vectors_of
from .manifest import Folder, Part, opened
from .sinks import FORMATS, check_schema, part_names
from .sources import Source, ends_digest, open_sources, schema_of
from .vectors import Options, PoolName, VectorMaker, VectorType

_BLOCK_BYTES = 8 << 20  # of vectors
_BLOCK_ROWS = 16384
_TEXT_BYTES = 4 << 20  # of a block's texts, where each has one vector
#: Bytes of text that make a token at least, for what a block's tokens may take.
_BYTES_A_TOKEN = 4
_PART_FAULTS = 1 << 16  # rows that failed after which a part ends: they are kept until then
_SECONDS_A_REPORT = 0.2
#: Threads that encode blocks, at most. Each uses several processors itself where its packages let go of the
#: interpreter; together they leave none idle while one of them does not.
_THREADS = 2


class CorpusResult(NamedTuple):
    """What a run, with those that it resumed, has done.

    Attributes
    ----------
    rows, vectors, failed : int
        Rows that are in the parts, their vectors, and rows that failed.
    parts : tuple of str
        The files of vectors, in order.
    seconds : float
        Of this run alone.
    resumed : int
        How many of the rows, failed ones too, earlier runs had done.
    """

    rows: int
    vectors: int
    failed: int
    parts: tuple[str, ...]
    seconds: float
    resumed: int


def encode_corpus(
    model: Any,
    inputs: Path | Sequence[Path],
    out: Path,
    *,
    text: str | None = None,
    ids: str | None = None,
    columns: Sequence[str] | None = None,
    into: str = "embedding",
    pool: PoolName = "mean",
    dim: int | None = None,
    dtype: VectorType = "float32",
    normalize: bool | None = None,
    format: str = "parquet",
    max_errors: int | None = 0,
    resume: bool = False,
    part_size: int | str = "256MiB",
    threads: int | None = None,
    progress: Progress | None = None,
) -> CorpusResult:
    """Write the vectors of all rows of some files into a folder, in parts.

    Rows are read, encoded and written some thousands at a time, and memory does not grow with their number. A
    run that was interrupted continues with `resume`; the parts are then, byte for byte, those of a run that
    was not. One folder is written by one process at a time.

    Parameters
    ----------
    model : path-like, Encoder, EmbeddingTable or Model
        For texts what `load_encoder` opens, for ids a table.
    inputs : path-like or sequence of path-likes
        Parquet, Arrow or Feather, JSON lines, CSV, or a text a line, by the ends of their names, the latter
        three compressed too; of a folder the files that are one of these, by name. All have the same columns.
    out : path-like
        The folder; new, empty, or one that such a run began.
    text, ids : str, optional
        The column of texts, or that of ids: whole numbers or lists of them. Without either it is the column
        ``text``, or the only one that holds texts.
    columns : sequence of str, optional
        The columns to keep; without it all.
    into : str, optional
        The name of the column of vectors, which no other has.
    pool, dim, dtype, normalize, threads
        As for `Encode`; with one thread nothing is done beside anything else.
    format : {"parquet", "npy", "safetensors"}, optional
        Parquet has the input's columns, and vectors as lists of fixed size. The others have the vectors
        alone, and the numbers of their rows, counted over all inputs from 0.
    max_errors : int or None, optional
        How many rows may fail: rows that cannot be read, are null, cannot be cut, or have an id that is not a
        row. They are left out, and named with the reason in ``_rejects-*.jsonl``. None: any number.
    resume : bool, optional
        Continue a run that wrote to `out`, if there is one.
    part_size : int or str, optional
        Bytes of vectors after which a part ends, such as ``"1GiB"``.
    progress : callable, optional
        Called with the number of rows, how many a second and the time that is left, and the share that is
        done.

    Returns
    -------
    CorpusResult

    Raises
    ------
    OSError
        If a file cannot be read or written.
    FormatError
        If a file or the model is damaged.
    LockError
        If the run that is resumed had another model.
    TypeError
        If the column is of another type.
    ValueError
        If more rows fail than may; if files differ in their columns; if `out` holds something else, another
        process writes it, or `resume` is to continue a run of other inputs or options.
    """
    began = time.monotonic()
    sources = open_sources(inputs)
    _check_options(format, max_errors, text, ids)
    n_part = budget_bytes(part_size, "part_size")
    schema, column = _columns(sources, columns, text, ids, into, format)
    maker = VectorMaker(model, ids is not None, Options(pool, dim, dtype, normalize))
    try:
        manifest = {
            "pyembed_corpus": 1,
            "model": maker.identity(),
            "options": {
                **vars(maker.options),
                "ids" if maker.of_ids else "text": column,
                "columns": {field.name: str(field.type) for field in schema},
                "into": into,
                "format": format,
                "part_size": n_part,
            },
            "inputs": [{"path": source.path, "digest": ends_digest(source.path)} for source in sources],
        }
        with opened(out) as folder:
            folder.begin(manifest, resume)
            limit = Limits(*_block_limits(maker, n_part))
            run = _Run(folder, sources, schema, column, maker, max_errors)
            run.write(format, into, limit, n_part, thread_count(threads) or None, report_to(progress))
            return run.result(time.monotonic() - began)
    finally:
        maker.close()


def _check_options(format: str, max_errors: int | None, text: str | None, ids: str | None) -> None:
    if format not in FORMATS:
        raise ValueError(f"format is {format!r}; expected one of {', '.join(FORMATS)}")
    if text is not None and ids is not None:
        raise ValueError("text and ids both name a column; give one of them")
    if max_errors is not None and index_of("max_errors", max_errors) < 0:
        raise ValueError(f"max_errors is {max_errors}; expected at least 0, or None for any number")


def _columns(
    sources: list[Source],
    columns: Sequence[str] | None,
    text: str | None,
    ids: str | None,
    into: str,
    format: str,
) -> tuple[Any, str]:
    """Return the schema of what is read, and the column that is encoded."""
    wanted = text if ids is None else ids
    named = None if columns is None else list(columns)
    if named is not None and wanted is None and "text" in named:
        wanted = "text"
    if named is not None and wanted is None:
        raise ValueError("columns leaves open which one is encoded: name it with text or ids")
    if named is not None and wanted is not None and wanted not in named:
        raise ValueError(f"columns leaves out {quote(wanted)}, which is to be encoded")
    schema = schema_of(sources, named)
    if wanted is None:
        wanted = _only_text(sources[0].path, schema)
    if wanted not in schema.names:
        raise ValueError(
            f"{sources[0].path} has no column {quote(wanted)}; it has "
            f"{', '.join(map(quote, schema.names[:20]))}"
        )
    if into in schema.names:
        raise ValueError(
            f"{sources[0].path} has a column {quote(into)} already: name another for the vectors"
        )
    check_column(wanted, schema.field(wanted).type, ids is not None)
    if format == "parquet":
        check_schema(sources[0].path, schema)
    return schema, wanted


def _only_text(path: str, schema: Any) -> str:
    texts = [field.name for field in schema if pyarrow.types.is_string(field.type)]
    if "text" in schema.names:
        return "text"
    if len(texts) == 1:
        found: str = texts[0]
        return found
    names = ", ".join(map(quote, schema.names[:20]))
    raise ValueError(f"{path}: which column has the texts? There are {names}: name it with text or ids")


def _block_limits(maker: VectorMaker, n_part: int) -> tuple[int, int]:
    """Return the rows of a block, and the bytes of its texts, so that parts of a given size are possible."""
    n_bytes = min(_BLOCK_BYTES, max(1, n_part // 8))
    n_vectors = max(1, n_bytes // (maker.width * maker.storage.itemsize))
    if maker.options.pool == "none":
        return min(_BLOCK_ROWS, n_vectors), n_vectors * (8 if maker.of_ids else _BYTES_A_TOKEN)
    return min(_BLOCK_ROWS, n_vectors), _TEXT_BYTES


class _Encoded(NamedTuple):
    """A block and its vectors; the table, files and rows are those of rows that have some."""

    block: Block
    made: Made


class _Run:
    """The parts of a folder, and what is still to be done."""

    def __init__(
        self,
        folder: Folder,
        sources: list[Source],
        schema: Any,
        column: str,
        maker: VectorMaker,
        max_errors: int | None,
    ) -> None:
        self._folder, self._sources, self._schema = folder, sources, schema
        self._column, self._maker, self._max_errors = column, maker, max_errors
        self._n_resumed = sum(part.read for part in folder.parts)
        self._n_read = self._n_resumed
        self._n_failed = sum(part.failed for part in folder.parts)

    def result(self, seconds: float) -> CorpusResult:
        parts = self._folder.parts
        return CorpusResult(
            sum(part.rows for part in parts),
            sum(part.vectors for part in parts),
            sum(part.failed for part in parts),
            tuple(next(iter(part.files)) for part in parts),
            seconds,
            self._n_resumed,
        )

    def write(
        self, format: str, into: str, limits: Limits, n_part: int, threads: int | None, report: Report
    ) -> None:
        """Write the parts that are missing."""
        start = self._folder.parts[-1].next if self._folder.parts else Position(0, 0)
        found = blocks(self._sources, self._schema, self._column, limits, start)
        n_threads = min(threads or n_processors(), _THREADS)
        ready = _in_order(found, lambda block: self._encoded(block, threads), n_threads)
        pace = _Pace(self._sources, report)
        with closing(found), closing(ready):
            for first in ready:
                self._write_part(format, into, first, ready, n_part, pace)

    def _encoded(self, block: Block, threads: int | None) -> _Encoded:
        made = vectors_of(block.table.column(self._column), self._maker, threads)
        if made.faults:
            places = sorted(made.faults)
            lost = [
                Fault(int(block.files[place]), int(block.rows[place]), made.faults[place]) for place in places
            ]
            good = np.ones(len(block.rows), np.bool_)
            good[places] = False
            block = block._replace(
                table=rows_of(block.table, good),
                files=block.files[good],
                rows=block.rows[good],
                faults=sorted([*block.faults, *lost]),
            )
        return _Encoded(block, made)

    def _write_part(
        self, format: str, into: str, first: _Encoded, ready: Iterator[_Encoded], n_part: int, pace: _Pace
    ) -> None:
        """Write a part, of a block and those after it."""
        folder, maker = self._folder, self._maker
        faults: list[Fault] = []
        n_begin, n_rows, n_vectors, n_bytes = self._n_read, 0, 0, 0
        with folder.part(part_names(format, len(folder.parts), maker.options.pool)) as files:
            writer = FORMATS[format](files, self._schema, maker, into)
            try:
                item: _Encoded | None = first
                while item is not None:
                    block, values = item.block, item.made.vectors.values
                    self._count(block.faults)
                    writer.write(block.table, self._n_read + block.places(), item.made)
                    faults += block.faults
                    self._n_read += block.n_read
                    n_rows += len(block.rows)
                    n_vectors += len(values)
                    n_bytes += values.nbytes
                    pace.tell(self._n_read - self._n_resumed, block.next, block.share)
                    is_full = n_bytes >= n_part or len(faults) >= _PART_FAULTS
                    item = None if is_full else next(ready, None)
                writer.finish()
            except BaseException:
                writer.abandon()
                raise
            part = Part({}, self._n_read - n_begin, n_rows, n_vectors, len(faults), block.next)
            folder.add(part, b"".join(map(self._reject, faults)))

    def _count(self, faults: list[Fault]) -> None:
        """Raise ValueError when more rows have failed than may."""
        if self._max_errors is not None and self._n_failed + len(faults) > self._max_errors:
            fault = faults[self._max_errors - self._n_failed]
            more = f"; {self._max_errors} rows failed before, as many as may" if self._max_errors else ""
            where = f"{self._sources[fault.file].path}: row {fault.row}"
            raise ValueError(printable(f"{where}: {fault.reason}{more}"))
        self._n_failed += len(faults)

    def _reject(self, fault: Fault) -> bytes:
        path = self._sources[fault.file].path
        return json_text({"file": path, "row": fault.row, "reason": fault.reason}).encode("ascii") + b"\n"


class _Pace:
    """How far a run is, how fast, and how long it will take."""

    def __init__(self, sources: list[Source], report: Report) -> None:
        sizes = [os.path.getsize(source.path) for source in sources]
        self._ends = [0, *accumulate(sizes)]
        self._report = report
        self._began = self._last = time.monotonic()
        self._start: float | None = None

    def tell(self, n_rows: int, at: Position, share: float) -> None:
        """Report, but not more often than anyone can read."""
        now = time.monotonic()
        begin, end = self._ends[at.file : at.file + 2]
        done = (begin + share * (end - begin)) / max(self._ends[-1], 1)
        if self._start is None:  # the first block's end is the nearest thing to where this run began
            self._start = done
        if now - self._last < _SECONDS_A_REPORT:
            return
        self._last = now
        seconds = now - self._began
        text = f"{n_rows:,} rows, {n_rows / seconds:,.0f} a second"
        if done > self._start:
            text += f", {_clock(seconds * (1 - done) / (done - self._start))} left"
        self._report(text, done)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _in_order(
    blocks: Iterator[Block], make: Callable[[Block], _Encoded], n_threads: int
) -> Generator[_Encoded, None, None]:
    """Yield what is made of blocks in their order. Threads are at those that come next.

    What goes wrong is raised in its turn, after everything that lies before it was yielded.
    """
    if n_threads == 1:
        yield from map(make, blocks)
        return
    waiting: deque[Future[_Encoded]] = deque()
    with ThreadPoolExecutor(n_threads, "pyembed-corpus") as pool:
        try:
            for future in _begun(blocks, make, pool):
                waiting.append(future)
                if len(waiting) > n_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _begun(
    blocks: Iterator[Block], make: Callable[[Block], _Encoded], pool: ThreadPoolExecutor
) -> Iterator[Future[_Encoded]]:
    """Yield the future of each block, and of a failure to read one, which is the last."""
    while True:
        try:
            block = next(blocks, None)
        except Exception as error:
            failed: Future[_Encoded] = Future()
            failed.set_exception(error)
            yield failed
            return
        if block is None:
            return
        yield pool.submit(make, block)
