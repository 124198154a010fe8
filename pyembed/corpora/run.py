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

from ..core.paths import Path
from ..core.processors import n_processors
from ..core.progress import Progress, Report, report_to, silent
from ..safe_text import json_text, printable
from .blocks import Block, Fault, Position, blocks, rows_of
from .columns import Made, vectors_of
from .manifest import Folder, Part, opened
from .plan import Plan, planned
from .sinks import FORMATS, part_names
from .sources import Source, ends_digest
from .vectors import PoolName, VectorMaker, VectorType

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
    plan = planned(
        inputs,
        text=text,
        ids=ids,
        columns=columns,
        into=into,
        pool=pool,
        dim=dim,
        dtype=dtype,
        normalize=normalize,
        format=format,
        max_errors=max_errors,
        part_size=part_size,
        threads=threads,
    )
    maker = VectorMaker(model, plan.of_ids, plan.options)
    try:
        done = encode_planned(plan, maker, out, resume=resume, report=report_to(progress))
    finally:
        maker.close()
    return done._replace(seconds=time.monotonic() - began)


def encode_planned(
    plan: Plan,
    maker: VectorMaker,
    out: Path,
    *,
    resume: bool,
    report: Report = silent,
    written: Callable[[Part], object] = lambda part: None,
) -> CorpusResult:
    """Write the parts of a plan into a folder, by a model that is open. See `encode_corpus`.

    `written` is called with each part that was written.
    """
    began = time.monotonic()
    manifest = {
        "pyembed_corpus": 1,
        "model": maker.identity(),
        "options": plan.identity(),
        "inputs": [
            {"path": source.path.replace(os.sep, "/"), "digest": ends_digest(source.path)}
            for source in plan.sources
        ],
    }
    with opened(out) as folder:
        folder.begin(manifest, resume)
        run = _Run(folder, plan, maker)
        run.write(report, written)
        return run.result(time.monotonic() - began)


class _Encoded(NamedTuple):
    """A block and its vectors; the table, files and rows are those of rows that have some."""

    block: Block
    made: Made


class _Run:
    """The parts of a folder, and what is still to be done."""

    def __init__(self, folder: Folder, plan: Plan, maker: VectorMaker) -> None:
        self._folder, self._plan, self._maker = folder, plan, maker
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

    def write(self, report: Report, written: Callable[[Part], object]) -> None:
        """Write the parts that are missing."""
        plan = self._plan
        start = self._folder.parts[-1].next if self._folder.parts else Position(0, 0)
        found = blocks(plan.sources, plan.schema, plan.column, plan.limits(self._maker), start)
        n_threads = min(plan.threads or n_processors(), _THREADS)
        ready = _in_order(found, self._encoded, n_threads)
        pace = _Pace(plan.sources, report)
        with closing(found), closing(ready):
            for first in ready:
                self._write_part(first, ready, pace)
                written(self._folder.parts[-1])

    def _encoded(self, block: Block) -> _Encoded:
        made = vectors_of(block.table.column(self._plan.column), self._maker, self._plan.threads)
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

    def _write_part(self, first: _Encoded, ready: Iterator[_Encoded], pace: _Pace) -> None:
        """Write a part, of a block and those after it."""
        folder, plan, maker = self._folder, self._plan, self._maker
        faults: list[Fault] = []
        n_begin, n_rows, n_vectors, n_bytes = self._n_read, 0, 0, 0
        with folder.part(part_names(plan.format, len(folder.parts), plan.options.pool)) as files:
            writer = FORMATS[plan.format](files, plan.schema, maker, plan.into)
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
                    is_full = n_bytes >= plan.part_size or len(faults) >= _PART_FAULTS
                    item = None if is_full else next(ready, None)
                writer.finish()
            except BaseException:
                writer.abandon()
                raise
            part = Part({}, self._n_read - n_begin, n_rows, n_vectors, len(faults), block.next)
            folder.add(part, b"".join(map(self._reject, faults)))

    def _count(self, faults: list[Fault]) -> None:
        """Raise ValueError when more rows have failed than may."""
        allowed = self._plan.max_errors
        if allowed is not None and self._n_failed + len(faults) > allowed:
            fault = faults[allowed - self._n_failed]
            more = f"; {allowed} rows failed before, as many as may" if allowed else ""
            where = f"{self._plan.sources[fault.file].path}: row {fault.row}"
            raise ValueError(printable(f"{where}: {fault.reason}{more}"))
        self._n_failed += len(faults)

    def _reject(self, fault: Fault) -> bytes:
        path = self._plan.sources[fault.file].path
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
        for block in blocks:  # with `map` a StopIteration that `make` raises would end the run
            yield make(block)
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
