"""Ray: vectors of datasets and of files, by actors that share a mapping: ``pyembed-gguf[ray]``."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

try:
    import ray
    import ray.data
    from ray.util.metrics import Counter
except ImportError as error:
    raise ImportError("pyembed.integrations.ray needs Ray: pip install 'pyembed-gguf[ray]'") from error

from ..core.paths import Path, file_name
from ..corpora import CorpusResult, batches
from ..corpora.plan import Plan, planned
from ..corpora.run import encode_planned
from ..corpora.vectors import VectorMaker
from ..encoders.engines import THREADS_VARIABLE
from ..safe_text import printable, quote
from ..tables.table import EmbeddingTable

if TYPE_CHECKING:
    from ray.data import ActorPoolStrategy, Dataset

_METRICS = (
    ("pyembed_encoded_rows", "Rows that were given to encode."),
    ("pyembed_failed_rows", "Rows of those that were null or could not be encoded."),
    ("pyembed_encoded_vectors", "Vectors that were made."),
)


class _Counters:
    """The metrics of an actor."""

    def __init__(self, table: EmbeddingTable) -> None:
        path = printable(os.path.basename(os.path.normpath(table.path)))
        self._counters = [Counter(name, text, tag_keys=("model",)) for name, text in _METRICS]
        for counter in self._counters:
            counter.set_default_tags({"model": path})

    def add(self, counts: batches.Counts) -> None:
        for counter, count in zip(self._counters, counts, strict=True):
            if count:
                counter.inc(count)


class Encode(batches.Encode):
    """`pyembed.Encode` as an actor: its threads are the CPUs that the actor was given, its counts metrics.

    Pass it as the class of ``Dataset.map_batches`` with ``batch_format="pyarrow"`` and an actor pool, and its
    arguments as ``fn_constructor_kwargs``; or call `encode_dataset`, which does. The model is opened once an
    actor, by a path that every node has; actors of a node share the pages of its file.

    Parameters
    ----------
    model : path-like
        As for `pyembed.Encode`.
    **options
        As there. Without ``threads``, as many as the actor's whole CPUs, and at least one.
    """

    def __init__(self, model: Any, **options: Any) -> None:
        super().__init__(model, **{**options, "threads": _threads(options.get("threads"))})
        self._counters = _Counters(self._maker.table)

    def __call__(self, batch: Any) -> Any:
        """Return a batch with a column of vectors, as `pyembed.Encode` does."""
        before = self.counts
        try:
            return super().__call__(batch)
        finally:
            new = (now - old for now, old in zip(self.counts, before, strict=True))
            self._counters.add(batches.Counts(*new))


class Gather(Encode):
    """An `Encode` of ids: the row of each, in a list; ``pool="mean"`` makes one vector of a row's."""

    def __init__(self, model: Any, *, ids: str = "ids", **options: Any) -> None:
        super().__init__(model, ids=ids, **{"pool": "none", **options})


class _EncodeSlices:
    """An actor of `encode_dataset`: what it yields is an `Encode` of some rows of a block at a time.

    Since it takes whole blocks, Ray reads a file in the actor that encodes it, and nothing of it passes
    through the object store before.
    """

    def __init__(self, kind: type[Encode], n_rows: int, options: dict[str, Any]) -> None:
        self._encode, self._n_rows = kind(**options), n_rows

    def __call__(self, block: Any) -> Iterator[Any]:
        for start in range(0, max(block.num_rows, 1), self._n_rows):  # one slice of a block without rows
            yield self._encode(block.slice(start, self._n_rows))


class _EncodeFile:
    """An actor of `encode_corpus`: it encodes a file of a plan at a time, into a folder of its own."""

    def __init__(self, model: str, plan: Plan, out: str) -> None:
        self._plan, self._out = replace(plan, threads=_threads(plan.threads)), out
        self._maker = VectorMaker(model, plan.of_ids, plan.options)
        self._counters = _Counters(self._maker.table)

    def __call__(self, file: dict[str, Any]) -> dict[str, Any]:
        """Return a `CorpusResult` or what went wrong, which Ray would drown in its own frames."""
        try:
            done: CorpusResult | Exception = self._encoded(int(file["number"]))
        except Exception as error:
            done = error
        return {**file, "done": pickle.dumps(done)}

    def _encoded(self, number: int) -> CorpusResult:
        folder = _folder_of(number)
        done = encode_planned(
            replace(self._plan, sources=[self._plan.sources[number]]),
            self._maker,
            os.path.join(self._out, folder),
            resume=True,  # an actor that died may have begun it
            written=lambda part: self._counters.add(batches.Counts(part.read, part.failed, part.vectors)),
        )
        return done._replace(parts=tuple(f"{folder}/{name}" for name in done.parts))


def assigned_cpus() -> int | None:
    """Return the whole CPUs that this actor was given, at least 1; None in a process that is not an actor."""
    if not ray.is_initialized() or ray.get_runtime_context().get_actor_id() is None:
        return None
    return max(1, int(ray.get_runtime_context().get_assigned_resources().get("CPU", 1)))


def _threads(threads: int | None) -> int | None:
    """Return how many threads an actor uses, and let the tokenizer's packages have as many."""
    threads = assigned_cpus() if threads is None else threads
    if threads is not None:  # in a process that is the actor's own
        os.environ.setdefault(THREADS_VARIABLE, str(threads))
    return threads


def encode_dataset(
    dataset: Dataset,
    model: Any,
    *,
    actors: int | None = None,
    num_cpus: float = 1,
    batch_size: int = 8192,
    **options: Any,
) -> Dataset:
    """Return a dataset with a column of vectors, which a pool of actors makes when it is consumed.

    The rows come in another order unless the dataset's context preserves it: carry a column that says which
    they are.

    Parameters
    ----------
    dataset : ray.data.Dataset
    model : path-like
        On every node the same file.
    actors : int, optional
        How many at most. Without it, as many as leave one CPU of every node to those who read and write,
        which wait for ever for CPUs that actors hold; where that is none, one that reserves no CPU.
    num_cpus : float, optional
        CPUs of an actor, and so its threads.
    batch_size : int, optional
        Rows that are encoded at once.
    **options
        As for `pyembed.Encode`: `text` or `ids`, `into`, `pool`, `dim`, `dtype`, `normalize`, `errors`.

    Raises
    ------
    ValueError
        If `actors` or `num_cpus` is out of range.
    """
    pool, num_cpus = _pool(actors, num_cpus, n_spared=1)
    kind = Gather if options.get("ids") is not None and options.get("pool") == "none" else Encode
    options["model"] = os.path.abspath(file_name(model))
    found: Dataset = dataset.map_batches(
        _EncodeSlices,
        fn_constructor_kwargs={"kind": kind, "n_rows": batch_size, "options": options},
        batch_format="pyarrow",
        batch_size=None,
        compute=pool,
        num_cpus=num_cpus,
        udf_modifying_row_count=False,
    )
    return found


def encode_corpus(
    model: Any,
    inputs: Path | Sequence[Path],
    out: Path,
    *,
    actors: int | None = None,
    num_cpus: float = 1,
    resume: bool = False,
    **options: Any,
) -> CorpusResult:
    """Write the vectors of all rows of some files, as `pyembed.encode_corpus` does, each file by an actor.

    A file's parts are in a folder of its own, ``out/000000`` for the first: byte for byte what
    `pyembed.encode_corpus` writes of that file alone. Whoever reads the folders in the order of their names
    has the rows in order. An actor that died is started again and continues its file, on another node if it
    must; a run that was interrupted continues with `resume`. Vectors do not pass through the object store.

    Parameters
    ----------
    model, inputs, out : path-like
        As there; paths that every node has. What is encoded at the same time are files: give at least as many
        as there are actors.
    actors : int, optional
        How many at most. Without it, as many as the CPUs of the cluster allow.
    num_cpus : float, optional
        CPUs of an actor, and so its threads.
    resume : bool, optional
        Continue a run that wrote to `out`, if there is one. More files may have come behind the others.
    **options
        As there: `text` or `ids`, `columns`, `into`, `pool`, `dim`, `dtype`, `normalize`, `format`,
        `part_size`, `threads`; and `max_errors`, which each file may have.

    Returns
    -------
    CorpusResult
        The parts are named from `out`.

    Raises
    ------
    OSError, FormatError, LockError, TypeError
        As there.
    ValueError
        As there, or if `actors` or `num_cpus` is out of range.
    """
    began = time.monotonic()
    plan = planned(inputs, **options)
    for source in plan.sources:
        source.path = os.path.abspath(source.path)  # actors have another working directory
    path, folder = os.path.abspath(file_name(model)), os.path.abspath(file_name(out))
    VectorMaker(path, plan.of_ids, plan.options).close()  # what is wrong with it is said here, and before all
    n_files = len(plan.sources)
    pool, num_cpus = _pool(actors, num_cpus, n_spared=0, most=n_files)
    _begin(folder, n_files, resume)
    files = ray.data.from_items(
        [{"number": number} for number in range(n_files)], override_num_blocks=n_files
    )
    files.context.execution_no_progress_timeout_s = -1  # a file takes as long as it takes
    found = files.map(
        _EncodeFile,
        fn_constructor_kwargs={"model": path, "plan": plan, "out": folder},
        compute=pool,
        num_cpus=num_cpus,
    )
    done = _results(found, n_files)
    return CorpusResult(
        sum(file.rows for file in done),
        sum(file.vectors for file in done),
        sum(file.failed for file in done),
        tuple(part for file in done for part in file.parts),
        time.monotonic() - began,
        sum(file.resumed for file in done),
    )


def _results(files: Dataset, n: int) -> list[CorpusResult]:
    """Return what was done to each file; raise what went wrong with one, and leave the others at that."""
    found: dict[int, CorpusResult] = {}
    for file in files.iter_rows():
        done = pickle.loads(file["done"])
        if isinstance(done, Exception):
            raise done
        found[int(file["number"])] = done
    return [found[number] for number in range(n)]


def _begin(folder: str, n_files: int, resume: bool) -> None:
    """Make a folder of folders; raise ValueError if it holds other things than those of this run."""
    os.makedirs(folder, exist_ok=True)
    known = set(map(_folder_of, range(n_files)))
    for name in sorted(os.listdir(folder)):
        if name not in known:
            raise ValueError(
                f"{folder} holds {quote(name)}, which is not of this run: choose a new or empty folder"
            )
        if not resume:
            raise ValueError(f"{folder} holds a run already: resume it, or choose another folder")


def _folder_of(number: int) -> str:
    """Return the name of the folder of a file's parts."""
    return f"{number:06d}"


def _pool(
    actors: int | None, num_cpus: float, *, n_spared: int, most: int | None = None
) -> tuple[ActorPoolStrategy, float]:
    """Return a pool of actors, and the CPUs that each of them reserves.

    Without a number, they are as many as leave `n_spared` CPUs of every node free; never more than `most`.
    """
    if actors is not None and actors < 1:
        raise ValueError(f"actors is {actors}; expected at least 1")
    if num_cpus < 0:
        raise ValueError(f"num_cpus is {num_cpus}; expected at least 0")
    if actors is None:
        actors = _actors_that_fit(num_cpus, n_spared)
        num_cpus = num_cpus if actors else 0
    actors = max(1, actors if most is None else min(actors, most))
    pool = ray.data.ActorPoolStrategy(
        min_size=1,
        max_size=actors,
        initial_size=actors,
        max_tasks_in_flight_per_actor=2,  # with more, one actor has several in waiting when another has none
    )
    return pool, num_cpus


def _actors_that_fit(num_cpus: float, n_spared: int) -> int:
    """Return how many actors leave some CPUs of every node free."""
    if not ray.is_initialized():
        ray.init()
    cpus = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
    return sum(int(max(0, n - n_spared) // max(num_cpus, 1)) for n in cpus)
