"""model2vec with its own processes, with and without the Parquet files around it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyembed

from ..measure import Json
from ..show import Table, number
from .processes import child, encode, run

LIBRARIES = ("pyembed", "model2vec")


def compare(model: Path, corpus: Path, home: Path, rows: int) -> Table:
    """Compare with model2vec and its own processes, with and without the Parquet files around it."""
    table = Table(
        f"{rows:,} documents, two processors: documents a second",
        ["what", "to vectors", "Parquet to Parquet", "its seconds of processors", "peak memory, MB"],
        note="model2vec with its own multiprocessing, 16,384 documents at a time; its Parquet is written as "
        "pyarrow writes it by default. To vectors is without opening the model, Parquet to Parquet with it.",
    )
    rates: dict[str, list[float]] = {}
    for name in LIBRARIES:
        vectors = run(child("vectors", name, model, corpus), 2).found
        if name == "pyembed":
            whole = run(encode(model, corpus, home / "peer"), 2)
        else:
            whole = run(child("parquet", model, corpus, home / "peer.parquet"), 2)
        rates[name] = [rows / vectors["seconds"], rows / whole.found["seconds"]]
        table.rows.append([name, *map(number, rates[name]), number(whole.processor), str(whole.memory)])
    ratios = [a / b for a, b in zip(*rates.values(), strict=True)]
    table.rows.append(["times as fast", *(f"{ratio:.1f}" for ratio in ratios), "", ""])
    return table


def _vectors(name: str, model: str, corpus: str) -> Json:
    """Encode all documents, 16,384 at a time, without writing them."""
    import pyarrow.parquet

    function = begun(function_of(name, model))
    table = pyarrow.parquet.read_table(corpus, columns=["text"])
    began = time.monotonic()
    for batch in table.to_batches(16384):
        function(batch)
    return {"seconds": time.monotonic() - began}


def function_of(name: str, model: str) -> Callable[[Any], Any]:
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


def begun(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a function after its first call, which starts threads and processes."""
    import pyarrow

    function(pyarrow.table({"text": ["a"] * 20_000}))
    return function


def _parquet(model: str, corpus: str, out: str) -> Json:
    """Encode all documents as a short program around model2vec does it."""
    import pyarrow
    import pyarrow.parquet

    began = time.monotonic()
    function = function_of("model2vec", model)
    writer = None
    for batch in pyarrow.parquet.ParquetFile(corpus).iter_batches(16384):
        done = pyarrow.Table.from_batches([function(batch)])
        writer = writer or pyarrow.parquet.ParquetWriter(out, done.schema)
        writer.write_table(done)
    if writer is not None:
        writer.close()
    return {"seconds": time.monotonic() - began}


CHILDREN: dict[str, Callable[..., Json]] = {"vectors": _vectors, "parquet": _parquet}
