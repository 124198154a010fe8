"""A Ray cluster of two nodes on this machine, beside one process."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import pyembed

from ..measure import Json
from ..show import Table, number
from .peers import begun, function_of
from .processes import child, run

#: Files of a corpus that a cluster encodes.
FILES = 64
_ROUNDS = 3
#: Seconds in which no step of a cluster makes progress, after which it is given up.
_STUCK = 120
_RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_DATA_USE_DATASOURCE_V2": "0",  # which makes one block of a small file, and that is one actor's
    "RAY_DATA_EXECUTION_NO_PROGRESS_TIMEOUT_S": str(_STUCK),
}


def compare(model: Path, corpus: Path, home: Path, rows: int) -> Table:
    """Compare actors on two nodes with one process of as many threads, and with a hand-written actor."""
    table = Table(
        f"{rows:,} documents in {FILES} files on a Ray cluster of two nodes, an actor of one thread on each",
        ["documents a second", "one process, two threads", "the cluster", "of the process"],
        note="To vectors: from the first batch that is begun to the last that is done; vectors stay on their "
        "nodes. Parquet to Parquet: from the first file that is begun to the last part; the whole call "
        "starts actors and opens the model too. The cluster had done some documents before. Medians "
        f"of {_ROUNDS} rounds; what is of the process is that of each round.",
    )

    def took(name: str, *arguments: object) -> Json:
        return run(child(name, model, corpus, *arguments), 2).found

    def add(title: str, here: Sequence[float], there: Sequence[float]) -> None:
        ratio = median(a / b for a, b in zip(here, there, strict=True))
        table.rows.append([title, *(number(rows / median(one)) for one in (here, there)), f"{ratio:.2f}"])

    vectors = [(took("local_vectors"), took("ray", "pyembed")) for _ in range(_ROUNDS)]
    here, there = ([one["seconds"] for one in side] for side in zip(*vectors, strict=True))
    by_hand = took("ray", "model2vec")["seconds"]
    add("to vectors, encode_dataset", here, there)
    table.rows.append(["to vectors, an actor around model2vec", "", number(rows / by_hand), ""])
    table.note += f" To vectors it is {by_hand / median(there):.1f} times the actor around model2vec."
    files = [(took("local_files", home), took("ray_files", home)) for _ in range(_ROUNDS)]
    for title, what in (
        ("Parquet to Parquet, encode_corpus", "seconds"),
        ("the same, the whole call", "all"),
    ):
        add(title, *([one[what] for one in side] for side in zip(*files, strict=True)))
    return table


def _local_vectors(model: str, corpus: str) -> Json:
    """Encode in one process, with as many threads as it likes."""
    import pyarrow.parquet

    encode_batch = begun(pyembed.Encode(model, text="text"))
    began = time.monotonic()
    for path in sorted(Path(corpus).iterdir()):
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(8192):
            encode_batch(batch)
    return {"seconds": time.monotonic() - began}


def _local_files(model: str, corpus: str, home: str) -> Json:
    """Write what one process makes."""
    return _written(pyembed.encode_corpus, model, corpus, home)


def _ray_files(model: str, corpus: str, home: str) -> Json:
    """Write what a cluster makes of each file."""
    with _nodes():
        from pyembed.integrations.ray import encode_corpus

        first = min(Path(corpus).iterdir())
        _written(partial(encode_corpus, actors=1), model, str(first), home)
        return _written(partial(encode_corpus, actors=2), model, corpus, home)


def _written(encode: Callable[..., pyembed.CorpusResult], model: str, corpus: str, home: str) -> Json:
    """Encode a corpus; return the seconds of the call, and those from the first file made to the last."""
    with tempfile.TemporaryDirectory(dir=home) as out:
        done = encode(model, corpus, out)
        times = [path.stat().st_mtime for path in Path(out).rglob("_manifest.json")]
        times += [(Path(out) / part).stat().st_mtime for part in done.parts]
        return {"seconds": max(times) - min(times), "all": done.seconds}


@contextmanager
def _nodes() -> Iterator[None]:
    """Make a cluster of two nodes here."""
    os.environ.update(_RAY)
    import ray
    import ray.data
    from ray.cluster_utils import Cluster

    nodes = {"num_cpus": 2, "object_store_memory": 1 << 30}
    made = Cluster(initialize_head=True, head_node_args={**nodes, "include_dashboard": False})
    made.add_node(**nodes)
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    made.wait_for_nodes()
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        yield
    finally:
        ray.shutdown()
        made.shutdown()


def _ray(model: str, corpus: str, name: str) -> Json:
    """Encode on two nodes, from the first batch that an actor begins to the last one that is done.

    pyembed's actor is the one of `encode_dataset`, which takes whole blocks; one around model2vec gets
    batches, as people write it.
    """
    with _nodes():
        import ray.data

        from pyembed.integrations import ray as integration

        kind = _timed(name)
        arguments: dict[str, Any] = {"model": model}
        size: int | None = 8192
        if name == "pyembed":
            arguments = {"kind": kind, "n_rows": size, "options": arguments}
            kind, size = integration._EncodeSlices, None
        dataset = ray.data.read_parquet(corpus, override_num_blocks=FILES).map_batches(
            kind,
            fn_constructor_kwargs=arguments,
            batch_format="pyarrow",
            batch_size=size,
            num_cpus=1,
            compute=integration._pool(2, 1, n_spared=0)[0],
        )
        # Looked at on the node that made them, as they would be written there.
        seen = dataset.map_batches(_seen(), batch_format="pyarrow", batch_size=None).to_pandas()
        seconds = float(seen["ended"].max() - seen["began"].min())
        return {"seconds": seconds, "rows": int(seen["rows"].sum())}


def _seen() -> Callable[[Any], Any]:
    """Return what is left of a block with vectors: when it was begun and ended, and its rows."""
    import pyarrow

    def seen(block: Any) -> Any:
        began, ended = (block.column(name).to_numpy() for name in ("began", "ended"))
        return pyarrow.table({"began": [began.min()], "ended": [ended.max()], "rows": [block.num_rows]})

    return seen


def _timed(name: str) -> type:
    """Return a class of actors that say when they began and ended a batch, by the machine's one clock.

    It is pyembed's, or one as people write it by hand around model2vec: the model once, the batch as a list,
    the vectors as a column. It is pickled by value, as nodes do not have this module.
    """
    import pyarrow

    from pyembed.integrations.ray import Encode

    class Actor:
        def __init__(self, model: str) -> None:
            made = Encode(model, text="text") if name == "pyembed" else function_of(name, model)
            self._function = begun(made)

        def __call__(self, batch: Any) -> Any:
            times = {"began": time.monotonic()}
            batch = self._function(batch)
            times["ended"] = time.monotonic()
            for key, value in times.items():
                batch = batch.append_column(key, pyarrow.array([value] * batch.num_rows))
            return batch

    return Actor


CHILDREN: dict[str, Callable[..., Json]] = {
    "local_vectors": _local_vectors,
    "local_files": _local_files,
    "ray": _ray,
    "ray_files": _ray_files,
}
