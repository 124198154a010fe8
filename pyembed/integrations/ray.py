"""Ray Data: vectors of a dataset's texts or ids, by actors that share a mapping: ``pyembed-gguf[ray]``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

try:
    import ray
    import ray.data
    from ray.util.metrics import Counter
except ImportError as error:
    raise ImportError("pyembed.integrations.ray needs Ray: pip install 'pyembed-gguf[ray]'") from error

from ..core.paths import file_name
from ..corpora import batches
from ..encoders.engines import THREADS_VARIABLE
from ..safe_text import printable

if TYPE_CHECKING:
    from ray.data import Dataset

_METRICS = (
    ("pyembed_encoded_rows", "Rows that were given to encode."),
    ("pyembed_failed_rows", "Rows of those that were null or could not be encoded."),
    ("pyembed_encoded_vectors", "Vectors that were made."),
)


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
        if options.get("threads") is None:
            options["threads"] = assigned_cpus()
        if options["threads"] is not None:  # in a process that is the actor's own
            os.environ.setdefault(THREADS_VARIABLE, str(options["threads"]))
        super().__init__(model, **options)
        path = printable(os.path.basename(os.path.normpath(self._maker.table.path)))
        self._counters = [Counter(name, text, tag_keys=("model",)) for name, text in _METRICS]
        for counter in self._counters:
            counter.set_default_tags({"model": path})

    def __call__(self, batch: Any) -> Any:
        """Return a batch with a column of vectors, as `pyembed.Encode` does."""
        before = self.counts
        try:
            return super().__call__(batch)
        finally:
            for counter, old, new in zip(self._counters, before, self.counts, strict=True):
                if new > old:
                    counter.inc(new - old)


class Gather(Encode):
    """An `Encode` of ids: the row of each, in a list; ``pool="mean"`` makes one vector of a row's."""

    def __init__(self, model: Any, *, ids: str = "ids", **options: Any) -> None:
        super().__init__(model, ids=ids, **{"pool": "none", **options})


def assigned_cpus() -> int | None:
    """Return the whole CPUs that this actor was given, at least 1; None in a process that is not an actor."""
    if not ray.is_initialized() or ray.get_runtime_context().get_actor_id() is None:
        return None
    return max(1, int(ray.get_runtime_context().get_assigned_resources().get("CPU", 1)))


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
    if actors is not None and actors < 1:
        raise ValueError(f"actors is {actors}; expected at least 1")
    if num_cpus < 0:
        raise ValueError(f"num_cpus is {num_cpus}; expected at least 0")
    if actors is None:
        actors = _actors_that_fit(num_cpus)
        num_cpus = num_cpus if actors else 0
    kind = Gather if options.get("ids") is not None and options.get("pool") == "none" else Encode
    found: Dataset = dataset.map_batches(
        kind,
        fn_constructor_kwargs={"model": os.path.abspath(file_name(model)), **options},
        batch_format="pyarrow",
        batch_size=batch_size,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=max(actors, 1), initial_size=max(actors, 1)),
        num_cpus=num_cpus,
        udf_modifying_row_count=False,
    )
    return found


def _actors_that_fit(num_cpus: float) -> int:
    """Return how many actors leave a CPU of every node free."""
    if not ray.is_initialized():
        ray.init()
    cpus = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
    return sum(int(max(0, n - 1) // max(num_cpus, 1)) for n in cpus)
