"""Ray Data on a cluster of two nodes on this machine: every row once, whatever dies meanwhile."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from tests.helpers.encoders import WORDS, save_model2vec, word_tokenizer

# Slow too, so that the suite does without a cluster where Ray is installed.
pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.filterwarnings("default")]

os.environ.update(
    RAY_USAGE_STATS_ENABLED="0",
    RAY_DATA_DISABLE_PROGRESS_BARS="1",
    RAY_DATA_EXECUTION_NO_PROGRESS_TIMEOUT_S="120",
    RAY_DATA_USE_DATASOURCE_V2="0",  # which makes one block of small files, and that is one actor's
)

ray = pytest.importorskip("ray", reason="ray is not installed")
pyarrow = pytest.importorskip("pyarrow")
pytest.importorskip("ray.data", reason="ray is installed without data")
pytest.importorskip("pyarrow.parquet")

N, WIDTH = 6000, 64


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tokenizer = word_tokenizer()
    n = tokenizer.get_vocab_size(with_added_tokens=True)
    table = np.random.default_rng(0).standard_normal((n, WIDTH)).astype(np.float32)
    save_model2vec(folder, table, tokenizer, {"normalize": True})
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice(WORDS, rng.integers(0, 12))) for _ in range(N)]
    ids = [rng.integers(0, 50, rng.integers(0, 9)).tolist() for _ in range(N)]
    for first in range(0, N, 500):
        part = slice(first, first + 500)
        table = {"id": range(first, first + 500), "text": texts[part], "ids": ids[part]}
        pyarrow.parquet.write_table(pyarrow.table(table), folder / f"{first:05d}.parquet")
    return folder


class Nodes:
    """A cluster of two nodes of two CPUs each, and what may befall it."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._node = {"num_cpus": 2, "object_store_memory": 128 << 20}
        head = {**self._node, "include_dashboard": False}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.second = self.cluster.add_node(**self._node)
        ray.init(address=self.cluster.address, log_to_driver=False, logging_level="ERROR")
        self.cluster.wait_for_nodes()

    def lose_one(self) -> None:
        self.cluster.remove_node(self.second, allow_graceful=False)

    def have_two(self) -> None:
        if sum(node["Alive"] for node in ray.nodes()) < 2:
            self.second = self.cluster.add_node(**self._node)
            self.cluster.wait_for_nodes()

    def close(self) -> None:
        ray.shutdown()
        self.cluster.shutdown()


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    nodes = Nodes()
    yield nodes
    nodes.close()


def collected(dataset: Any) -> Any:
    batches = [batch for batch in dataset.iter_batches(batch_format="pyarrow", batch_size=None) if len(batch)]
    return pyarrow.concat_tables(batches).sort_by("id")


def matrix(column: Any) -> Any:
    return column.combine_chunks().flatten().to_numpy().reshape(len(column), -1)


def test_equal_to_the_local_run(nodes: Nodes, model: Path, corpus: Path, tmp_path: Path) -> None:
    from pyembed.integrations.ray import encode_dataset

    dataset = encode_dataset(ray.data.read_parquet(str(corpus)), model, text="text", batch_size=512)
    found = collected(dataset)
    pyembed.encode_corpus(model, corpus, tmp_path / "local")
    local = pyarrow.concat_tables(
        pyarrow.parquet.read_table(part) for part in sorted((tmp_path / "local").glob("part-*"))
    )
    assert found.column("id").to_pylist() == list(range(N))
    assert found.column("text").equals(local.column("text"))
    assert found.schema.field("embedding").type == local.schema.field("embedding").type
    np.testing.assert_array_equal(matrix(found.column("embedding")), matrix(local.column("embedding")))


def test_ids(nodes: Nodes, model: Path, corpus: Path) -> None:
    from pyembed.integrations.ray import encode_dataset

    dataset = ray.data.read_parquet([str(path) for path in sorted(corpus.iterdir())[:2]])
    pooled = collected(encode_dataset(dataset, model, ids="ids", dtype="float16", dim=8))
    rows = collected(encode_dataset(dataset, model, ids="ids", pool="none"))
    with pyembed.open_table(model / "model.safetensors") as table:
        for place, bag in enumerate(rows.column("ids").to_pylist()[:200]):
            wanted = table.gather(bag)
            np.testing.assert_array_equal(
                np.array(rows.column("embedding")[place].as_py(), np.float32).reshape(-1, WIDTH), wanted
            )
            mean = wanted[:, :8].sum(axis=0) / np.float32(len(bag)) if bag else np.zeros(8)
            np.testing.assert_array_equal(pooled.column("embedding")[place].as_py(), mean.astype(np.float16))


def actors(kind: bytes = b"Slow") -> list[int]:
    """Return the processes of actors of a class."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            try:
                name = Path(f"/proc/{entry}/cmdline").read_bytes()
            except OSError:
                continue
            if name.startswith(b"ray::MapWorker") and kind in name:
                found.append(int(entry))
    return sorted(found)


def test_threads_metrics_and_one_mapping(nodes: Nodes, model: Path, corpus: Path) -> None:
    """Each actor has the threads that it was given, counts, and maps the table, whose pages they share."""
    from pyembed.integrations import ray as integration

    class Slow(integration.Encode):
        def __call__(self, batch: Any) -> Any:
            found = super().__call__(batch)
            maps = Path("/proc/self/smaps").read_text()
            parts = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", maps, flags=re.MULTILINE)
            own = [part for part in parts if "model.safetensors" in part.partition("\n")[0]]
            private = sum(int(size) for part in own for size in re.findall(r"Private_\w+: +(\d+) kB", part))
            columns = {
                "threads": self._threads,
                "variable": int(os.environ["RAYON_NUM_THREADS"]),
                "mappings": len(own),
                "private": private,
                "counted": self.counts.rows,
                "pid": os.getpid(),
            }
            for name, value in columns.items():
                found = found.append_column(name, pyarrow.array([value] * len(batch), pyarrow.int64()))
            time.sleep(0.5)
            return found

    with pyembed.load_encoder(model) as encoder:  # so that no page is only one actor's
        encoder.table.gather(range(len(encoder.table)))
        dataset = ray.data.read_parquet(str(corpus), override_num_blocks=12).map_batches(
            Slow,
            fn_constructor_kwargs={"model": str(model), "text": "text"},
            batch_format="pyarrow",
            batch_size=500,
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(size=2),
        )
        found = collected(dataset).to_pandas()
    assert set(found.threads) == set(found.variable) == {1}
    assert set(found.mappings) == {1}
    assert found.private.max() == 0
    assert found.groupby("pid").counted.max().sum() == N
    assert len(set(found.pid)) == 2


def test_dead_actors_and_a_lost_node(nodes: Nodes, model: Path, corpus: Path) -> None:
    """Half of the actors are killed and then a node is: every row comes once, with its own vector."""
    from pyembed.integrations import ray as integration

    class Slow(integration.Encode):
        def __call__(self, batch: Any) -> Any:
            time.sleep(0.25)
            return super().__call__(batch)

    dataset = ray.data.read_parquet(str(corpus), override_num_blocks=24).map_batches(
        Slow,
        fn_constructor_kwargs={"model": str(model), "text": "text"},
        batch_format="pyarrow",
        batch_size=250,
        num_cpus=0.5,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=4, initial_size=4),
    )
    done: list[Any] = []
    worker = threading.Thread(target=lambda: done.append(collected(dataset)), daemon=True)
    worker.start()
    until = time.monotonic() + 90
    while len(actors()) < 4 and time.monotonic() < until:
        time.sleep(0.1)
    time.sleep(1)
    before = actors()
    for process in before[::2]:
        os.kill(process, signal.SIGKILL)
    time.sleep(1)
    nodes.lose_one()
    worker.join(200)
    assert len(before) >= 2
    assert done
    found = done[0]
    assert found.column("id").to_pylist() == list(range(N))
    with pyembed.load_encoder(model) as encoder:
        wanted = encoder.encode(found.column("text").to_pylist())
    np.testing.assert_array_equal(matrix(found.column("embedding")), wanted)


def written(folder: Path) -> dict[str, bytes]:
    """Return the files that a run wrote, by their names from its folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_are_those_of_local_runs(nodes: Nodes, model: Path, corpus: Path, tmp_path: Path) -> None:
    """Also when one of them is made later, and more have come."""
    from pyembed.integrations.ray import encode_corpus

    files = sorted(corpus.iterdir())[:4]
    options = {"text": "text", "dtype": "float16", "columns": ["id", "text"], "part_size": "8KiB"}
    done = encode_corpus(model, files[:3], tmp_path / "out", **options)
    assert (done.rows, done.vectors, done.failed, done.resumed) == (1500, 1500, 0, 0)
    parts = [part for part in done.parts if part.startswith("000001/")]
    for part in (tmp_path / "out" / name for name in parts[len(parts) // 2 :]):
        part.unlink()  # with its line in the way of a run that was killed before the part had its name
    lines = (tmp_path / "out" / "000001" / "_parts.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "out" / "000001" / "_parts.jsonl").write_bytes(b"".join(lines[: len(parts) // 2 + 1]))
    again = encode_corpus(model, files, tmp_path / "out", resume=True, **options)
    assert again.rows == 2000
    assert 1000 < again.resumed < 1500
    for number, path in enumerate(files):
        pyembed.encode_corpus(model, path, tmp_path / "local" / f"{number:06d}", **options)
    assert written(tmp_path / "out") == written(tmp_path / "local")
    assert sorted(again.parts) == sorted(name for name in written(tmp_path / "out") if "/part-" in name)
    rows = [row for part in again.parts for row in pyarrow.parquet.read_table(tmp_path / "out" / part)["id"]]
    assert [row.as_py() for row in rows] == list(range(2000))


def test_files_while_actors_and_a_node_die(nodes: Nodes, model: Path, tmp_path: Path) -> None:
    """Files of a killed actor and of a lost node are continued, to the bytes of an undisturbed run."""
    from pyembed.integrations.ray import encode_corpus

    nodes.have_two()
    rng = np.random.default_rng(2)
    for number in range(4):
        texts = [" ".join(rng.choice(WORDS, 4)) for _ in range(1000)] * 20
        pyarrow.parquet.write_table(pyarrow.table({"text": texts}), tmp_path / f"{number}.parquet")
    inputs, out = sorted(tmp_path.glob("*.parquet")), tmp_path / "out"
    options = {"part_size": "32KiB"}  # so that there are hundreds of parts to die between
    done: list[Any] = []
    worker = threading.Thread(
        target=lambda: done.append(encode_corpus(model, inputs, out, num_cpus=1, **options)), daemon=True
    )
    worker.start()

    def wait_for(n_parts: int) -> None:
        until = time.monotonic() + 120
        while len(list(out.glob("*/part-*"))) < n_parts and worker.is_alive() and time.monotonic() < until:
            time.sleep(0.02)

    wait_for(40)
    before = actors(b"_EncodeFile")
    for process in before[::2]:
        os.kill(process, signal.SIGKILL)
    wait_for(150)
    assert worker.is_alive()
    nodes.lose_one()
    worker.join(400)
    assert len(before) >= 2
    assert done
    assert done[0].rows == 4 * 20_000
    for number, path in enumerate(inputs):
        pyembed.encode_corpus(model, path, tmp_path / "local" / f"{number:06d}", **options)
    assert written(out) == written(tmp_path / "local")


def test_files_that_cannot_be_encoded(nodes: Nodes, model: Path, tmp_path: Path) -> None:
    from pyembed.integrations.ray import encode_corpus

    for name, texts in (("a", ["the", "cat"]), ("b", ["the", None]), ("c", [None, None])):
        table = pyarrow.table({"text": pyarrow.array(texts, pyarrow.string())})
        pyarrow.parquet.write_table(table, tmp_path / f"{name}.parquet")
    pyarrow.parquet.write_table(pyarrow.table({"other": ["the"]}), tmp_path / "d.parquet")
    a, b, c, d = (tmp_path / f"{name}.parquet" for name in "abcd")
    out = tmp_path / "out"
    with pytest.raises(ValueError, match=r"d\.parquet: column 'text' is missing"):
        encode_corpus(model, [a, d], out)
    with pytest.raises(ValueError, match=r"dim is 65; expected 1 to 64"):
        encode_corpus(model, a, out, dim=WIDTH + 1)
    with pytest.raises(ValueError, match="actors is 0"):
        encode_corpus(model, a, out, actors=0)
    assert not out.exists()
    with pytest.raises(ValueError, match=rf"^{re.escape(str(c))}: row 1: .*; 1 rows failed before"):
        encode_corpus(model, [a, b, c], out, max_errors=1)
    with pytest.raises(ValueError, match="holds a run already"):
        encode_corpus(model, [a, b], out)
    with pytest.raises(ValueError, match="holds '000002', which is not of this run"):
        encode_corpus(model, [a, b], out, resume=True)
    done = encode_corpus(model, [a, b, c], out, resume=True, max_errors=None)
    assert (done.rows, done.failed) == (3, 3)
    with pytest.raises(ValueError, match="is not the one that"):
        encode_corpus(model, [c, b, a], out, resume=True, max_errors=None)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds 'notes\.txt', which is not of this run"):
        encode_corpus(model, [a, b, c], out, resume=True)


def test_what_is_given_wrongly(nodes: Nodes, model: Path, corpus: Path) -> None:
    from pyembed.integrations.ray import encode_dataset

    dataset = ray.data.read_parquet(str(corpus))
    with pytest.raises(ValueError, match="actors is 0"):
        encode_dataset(dataset, model, actors=0)
    with pytest.raises(ValueError, match="num_cpus is -1"):
        encode_dataset(dataset, model, num_cpus=-1)


def test_counts_become_metrics(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyembed.integrations import ray as integration

    class Counter:
        def __init__(self, name: str, text: str, tag_keys: tuple[str, ...]) -> None:
            assert text.endswith(".")
            assert tag_keys == ("model",)
            self.name = name

        def set_default_tags(self, tags: dict[str, str]) -> None:
            assert tags == {"model": "model.safetensors"}

        def inc(self, value: float) -> None:
            counted[self.name] = counted.get(self.name, 0) + value

    counted: dict[str, float] = {}
    monkeypatch.setattr(integration, "Counter", Counter)
    encode = integration.Encode(model, text="text", errors="null", threads=1)
    for _ in range(2):
        encode(pyarrow.table({"text": ["the", None, "cat"]}))
    assert counted == {"pyembed_encoded_rows": 6, "pyembed_failed_rows": 2, "pyembed_encoded_vectors": 4}
