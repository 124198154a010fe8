"""A corpus of short documents to vectors: here, killed and resumed, beside peers, on a cluster of two nodes.

``python -m tools.bench.corpora --help``. Every run is a process of its own, on the processors it is given.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyembed

from .. import test_data
from .ceilings import ROOT
from .measure import Json
from .sections.texts import _model2vec, docstrings
from .show import Table, number

#: Seconds in which no step of a cluster makes progress, after which it is given up.
_STUCK = 120
_RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_DATA_USE_DATASOURCE_V2": "0",  # which makes one block of a small file, and that is one actor's
    "RAY_DATA_EXECUTION_NO_PROGRESS_TIMEOUT_S": str(_STUCK),
}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.corpora", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="documents; default: a million")
    parser.add_argument(
        "--peer-rows", type=int, default=1_000_000, help="rows that peers get; default: a million"
    )
    parser.add_argument("--kills", type=int, default=10, help="how often one run is killed; default: 10")
    parser.add_argument("--folder", type=Path, help="where files are written; default: a temporary one")
    parser.add_argument("--only", default="here,killed,peers,ray", help="default: here,killed,peers,ray")
    parser.add_argument("--child", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, *rest = arguments.child
        print(json.dumps(_CHILDREN[name](*rest)))
        return 0
    with tempfile.TemporaryDirectory(prefix="pyembed-corpora-", dir=arguments.folder) as folder:
        home = Path(folder)
        run(_child("model", home), 2)  # in a process of its own: what this one has, others would begin with
        model = home / "model2vec"
        wanted = arguments.only.split(",")
        if "here" in wanted or "killed" in wanted:
            corpus = home / "corpus.parquet"
            run(_child("corpus", corpus, arguments.rows), 2)
            here(model, corpus, home, arguments.rows).print()
        if "killed" in wanted:
            print(f"\n{killed(model, corpus, home, arguments.kills)}")
        some = home / "some.parquet"
        run(_child("corpus", some, arguments.peer_rows), 2)
        if "peers" in wanted:
            peers(model, some, home, arguments.peer_rows).print()
        if "ray" in wanted:
            cluster(model, some, arguments.peer_rows).print()
    return 0


# ------------------------------------------------------------------------------------- model and corpus


def _make_model(folder: str) -> Json:
    """Write a model of BERT's vocabulary, with random rows of 256 columns, as model2vec has them."""
    if _model2vec(Path(folder), test_data.find()) is None:
        raise SystemExit("model2vec or BERT's vocabulary is missing: make test-data, pip install model2vec")
    return {}


def _make_corpus(path: str, n: str) -> Json:
    """Write documents of 5 to 20 words, made of Python's own docstrings; no two begin at the same word."""
    import pyarrow
    import pyarrow.parquet

    words = " ".join(docstrings(6000)).split()
    numbers = random.Random(1)
    schema = pyarrow.schema([("id", pyarrow.int64()), ("text", pyarrow.string())])
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for first in range(0, int(n), 50_000):
            ids = range(first, min(first + 50_000, int(n)))
            starts = [numbers.randrange(len(words)) for _ in ids]
            texts = [" ".join(words[start : start + numbers.randint(5, 20)]) for start in starts]
            writer.write_table(pyarrow.table([ids, texts], schema=schema))
    return {}


class Run(NamedTuple):
    """What a program printed as JSON, and what it took.

    Attributes
    ----------
    found : dict
    seconds, processor : float
        On the clock, and of its processors and those of its children.
    memory : int
        The most that it had, in MB.
    """

    found: Json
    seconds: float
    processor: float
    memory: int


def run(command: list[str], cores: int) -> Run:
    """Run a program to its end on some of the processors."""
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    found: Json = json.loads(output[output.index(b"{") :])
    processor = usage.ru_utime + usage.ru_stime
    return Run(found, time.monotonic() - began, processor, usage.ru_maxrss // 1000)


def encode(model: Path, corpus: Path, out: Path, *options: str) -> list[str]:
    """Return the command line of a run."""
    call = [sys.executable, "-m", "pyembed", "encode", str(model), str(corpus), "--out", str(out), "--json"]
    return [*call, *options]


def _child(name: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", "tools.bench.corpora", "--child", name, *map(str, arguments)]


# ------------------------------------------------------------------------------------------- one machine


def here(model: Path, corpus: Path, home: Path, rows: int) -> Table:
    """Run the command on one processor and on two."""
    size = corpus.stat().st_size / 1e6
    table = Table(
        f"{rows:,} documents ({size:.0f} MB of Parquet) to vectors of 256 as Parquet",
        ["processors", "documents a second", "seconds", "of processors", "peak memory, MB"],
    )
    rates = []
    for cores in (1, 2):
        done = run(encode(model, corpus, home / f"on-{cores}", "--threads", str(cores)), cores)
        rates.append(rows / done.found["seconds"])
        figures = map(number, (rates[-1], done.seconds, done.processor))
        table.rows.append([str(cores), *figures, str(done.memory)])
    same = _same(home / "on-1", home / "on-2")
    table.note = f"Two are {rates[1] / rates[0]:.2f} times as fast as one; the bytes are {same}."
    return table


def killed(model: Path, corpus: Path, home: Path, kills: int) -> str:
    """Kill a run at random times and resume it, until it is done; compare it with an undisturbed one."""
    out, numbers = home / "killed", random.Random(2)
    part_size = ["--part-size", "32MiB"]
    whole = run(encode(model, corpus, home / "whole", *part_size), 2)
    seconds = whole.found["seconds"]
    n_killed = 0
    while n_killed < kills:
        call = encode(model, corpus, out, "--resume", *part_size)
        process = subprocess.Popen(call, stdout=subprocess.DEVNULL, cwd=ROOT)
        try:
            # On the average each of them does less than its share, so that all of them are killed.
            process.wait(whole.seconds - seconds + numbers.random() * 1.2 * seconds / kills)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            n_killed += process.wait() == -signal.SIGKILL
            continue
        break
    last = run(encode(model, corpus, out, "--resume", *part_size), 2).found
    return (
        f"killed {n_killed} times (SIGKILL), at random: of {last['rows']:,} rows the last run found "
        f"{last['resumed']:,} done; {len(last['parts'])} parts, and all bytes are "
        f"{_same(out, home / 'whole')} to those of an undisturbed run"
    )


def _same(one: Path, other: Path) -> str:
    names = sorted(path.name for path in one.iterdir())
    same = names == sorted(path.name for path in other.iterdir())
    return "equal" if same and all(_equal(one / name, other / name) for name in names) else "NOT EQUAL"


def _equal(one: Path, other: Path) -> bool:
    with open(one, "rb") as a, open(other, "rb") as b:
        while True:
            data = a.read(1 << 20)
            if data != b.read(1 << 20):
                return False
            if not data:
                return True


# ------------------------------------------------------------------------------------------------- peers


def peers(model: Path, corpus: Path, home: Path, rows: int) -> Table:
    """Compare with model2vec and its own processes, with and without the Parquet files around it."""
    table = Table(
        f"{rows:,} documents, two processors: documents a second",
        ["what", "to vectors", "Parquet to Parquet", "its seconds of processors", "peak memory, MB"],
        note="model2vec with its own multiprocessing, 16,384 documents at a time; its Parquet is written as "
        "pyarrow writes it by default. To vectors is without opening the model, Parquet to Parquet with it.",
    )
    rates: dict[str, list[float]] = {}
    for name in ("pyembed", "model2vec"):
        vectors = run(_child("vectors", name, model, corpus), 2).found
        if name == "pyembed":
            whole = run(encode(model, corpus, home / "peer"), 2)
        else:
            whole = run(_child("parquet", model, corpus, home / "peer.parquet"), 2)
        rates[name] = [rows / vectors["seconds"], rows / whole.found["seconds"]]
        table.rows.append([name, *map(number, rates[name]), number(whole.processor), str(whole.memory)])
    ratios = [a / b for a, b in zip(*rates.values(), strict=True)]
    table.rows.append(["times as fast", *(f"{ratio:.1f}" for ratio in ratios), "", ""])
    return table


def _vectors(name: str, model: str, corpus: str) -> Json:
    """Encode all documents, 16,384 at a time, without writing them."""
    import pyarrow.parquet

    function = _begun(_function(name, model))
    table = pyarrow.parquet.read_table(corpus, columns=["text"])
    began = time.monotonic()
    for batch in table.to_batches(16384):
        function(batch)
    return {"seconds": time.monotonic() - began}


def _function(name: str, model: str) -> Callable[[Any], Any]:
    """Return what adds vectors to a batch."""
    import pyarrow

    function: Callable[[Any], Any]
    if name == "pyembed":
        function = pyembed.Encode(model, text="text")
    else:
        import model2vec

        static = model2vec.StaticModel.from_pretrained(model)

        def function(batch: Any) -> Any:
            vectors = static.encode(batch.column("text").to_pylist())
            column = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(vectors.reshape(-1)), 256)
            return batch.append_column("embedding", column)

    return function


def _begun(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a function after its first call, which starts threads and processes."""
    import pyarrow

    function(pyarrow.table({"text": ["a"] * 20_000}))
    return function


def _parquet(model: str, corpus: str, out: str) -> Json:
    """Encode all documents as a short program around model2vec does it."""
    import pyarrow
    import pyarrow.parquet

    began = time.monotonic()
    function = _function("model2vec", model)
    writer = None
    for batch in pyarrow.parquet.ParquetFile(corpus).iter_batches(16384):
        done = pyarrow.Table.from_batches([function(batch)])
        writer = writer or pyarrow.parquet.ParquetWriter(out, done.schema)
        writer.write_table(done)
    if writer is not None:
        writer.close()
    return {"seconds": time.monotonic() - began}


# ------------------------------------------------------------------------------------------------- Ray


def cluster(model: Path, corpus: Path, rows: int) -> Table:
    """Compare actors on two nodes with one process of as many threads, and with a hand-written actor."""
    table = Table(
        f"{rows:,} documents on a Ray cluster of two nodes, one actor of one thread on each: a second",
        ["what", "documents a second", "seconds with the actors' start"],
        note="From the first batch that is begun to the last that is done, without the start of the actors; "
        "vectors stay on their nodes.",
    )
    local = run(_child("local", model, corpus), 2)
    rates = {"one local process of two threads": rows / local.found["seconds"]}
    table.rows.append([*rates, number(rows / local.found["seconds"]), number(local.seconds)])
    for name, title in (("pyembed", "pyembed.integrations.ray"), ("model2vec", "hand-written, model2vec")):
        found = run(_child("ray", name, model, corpus), 2).found
        rates[title] = rows / found["seconds"]
        table.rows.append([title, number(rates[title]), number(found["all"])])
    values = list(rates.values())
    table.note += (
        f" {values[1] / values[0]:.2f} of the local process; {values[1] / values[2]:.1f} times model2vec."
    )
    return table


def _local(model: str, corpus: str) -> Json:
    """Encode in one process, with as many threads as it likes."""
    import pyarrow.parquet

    encode_batch = pyembed.Encode(model, text="text")
    encode_batch(pyarrow.table({"text": ["a"] * 20_000}))
    began = time.monotonic()
    for batch in pyarrow.parquet.ParquetFile(corpus).iter_batches(8192):
        encode_batch(batch)
    return {"seconds": time.monotonic() - began}


def _ray(name: str, model: str, corpus: str) -> Json:
    """Encode on two nodes, from the first batch that an actor begins to the last one that is done."""
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
        dataset = ray.data.read_parquet(corpus, override_num_blocks=16).map_batches(
            _timed(name),
            fn_constructor_args=[model],
            batch_format="pyarrow",
            batch_size=8192,
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(size=2),
        )
        began = time.monotonic()
        # Looked at on the node that made them, as they would be written there.
        seen = dataset.map_batches(_seen(), batch_format="pyarrow", batch_size=None).to_pandas()
        seconds = float(seen["ended"].max() - seen["began"].min())
        return {"seconds": seconds, "rows": int(seen["rows"].sum()), "all": time.monotonic() - began}
    finally:
        ray.shutdown()
        made.shutdown()


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
            made = Encode(model, text="text") if name == "pyembed" else _function(name, model)
            self._function = _begun(made)

        def __call__(self, batch: Any) -> Any:
            times = {"began": time.monotonic()}
            batch = self._function(batch)
            times["ended"] = time.monotonic()
            for key, value in times.items():
                batch = batch.append_column(key, pyarrow.array([value] * batch.num_rows))
            return batch

    return Actor


_CHILDREN: dict[str, Callable[..., Json]] = {
    "model": _make_model,
    "corpus": _make_corpus,
    "vectors": _vectors,
    "parquet": _parquet,
    "local": _local,
    "ray": _ray,
}


if __name__ == "__main__":
    sys.exit(main())
