"""Queries against all rows of a table, against reading the bytes and against those who keep float32."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .. import ceilings, machine, peers
from .. import tables as made
from ..measure import Json, race
from ..show import Table, number, spread, times
from . import Settings

TABLE_ROWS, COLUMNS, QUERIES, BEST = 128_256, 4096, 64, 10
TYPES = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_K", "Q5_K", "Q6_K", "IQ2_XXS")
QUICK_TYPES = ("F16", "Q8_0", "Q4_0", "Q4_K", "Q6_K")
NUMPY = "NumPy float32"
FAISS = ("faiss IndexFlatIP", "faiss SQfp16", "faiss SQ8")


def run(settings: Settings) -> Json:
    """Measure the types one after the other, then the peers, each against one scan in the same rounds."""
    rng = np.random.default_rng(17)
    queries = rng.standard_normal((QUERIES, COLUMNS), dtype=np.float32)
    types, left_out = [], []
    for type_name in QUICK_TYPES if settings.quick else TYPES:
        with made.table_file(type_name, TABLE_ROWS, COLUMNS) as file:
            if file is None:
                left_out.append(type_name)
            else:
                types.append(_measure(file, queries, 5 if settings.quick else 11))
    shape = {"table rows": TABLE_ROWS, "columns": COLUMNS, "queries": QUERIES, "k": BEST}
    rivals = _against_peers(queries, 3 if settings.quick else 7)
    return {"isa": machine.isa(), **shape, "types": types, "no room": left_out, "peers": rivals}


def _measure(file: made.TableFile, queries: ceilings.Array, rounds: int) -> Json:
    read = ceilings.read_all(file.bytes)
    read()
    with file.open() as table:
        names: dict[str, Any] = {"top": table.top, "one": queries[0], "all": queries, "k": BEST}
        result = race(
            {"read": read, "one": "top(one, k, threads=1)", "cosine": "top(one, k, 'cosine', threads=1)"},
            rounds=rounds,
            names=names,
        )
        batch = race(
            {"one": "top(one, k, threads=1)", "all": "top(all, k, threads=1)"},
            rounds=max(3, rounds // 3),
            names=names,
        )
    singles = batch.times["one"] * QUERIES
    return {
        "type": file.type,
        "ms": result.time("one", 1e3),
        "read ms": result.time("read", 1e3),
        "read GB/s": file.bytes.nbytes / float(np.median(result.times["read"])) / 1e9,
        "of the read": result.ratio("one", "read"),
        "cosine ms": result.time("cosine", 1e3),
        "batch ms": batch.time("all", 1e3),
        "cheaper": _spread(singles / batch.times["all"]),
    }


def _spread(values: ceilings.Array) -> Json:
    from ..measure import Spread

    return Spread.of(values).json()


def _against_peers(queries: ceilings.Array, rounds: int) -> list[Json]:
    """Search a float16 table with us, and the same rows with each peer, which keeps them its own way."""
    with made.table_file("F16", TABLE_ROWS, COLUMNS) as file:
        if file is None:
            return []
        found = []
        with file.open() as table:
            for name in (NUMPY, *FAISS):
                made_ = _peer(name, table)
                if made_ is None:
                    found.append({"peer": name, "missing": True})
                    continue
                search, n_bytes = made_
                query = queries[:1]
                result = race(
                    {"ours": "top(query, k, threads=1)", "peer": partial(search, query)},
                    rounds=rounds,
                    names={"top": table.top, "query": query, "k": BEST},
                )
                found.append(
                    {
                        "peer": name,
                        "ms": result.time("peer", 1e3),
                        "ours ms": result.time("ours", 1e3),
                        "against": result.ratio("ours", "peer"),
                        "memory GB": n_bytes / 1e9,
                        "ours GB": table.n_bytes / 1e9,
                    }
                )
                del search, made_
        return found


def _peer(name: str, table: Any) -> tuple[Callable[[ceilings.Array], object], int] | None:
    """Return what searches all rows with one query and one thread, and the bytes it holds."""
    if name == NUMPY:
        rows = table.gather(np.arange(TABLE_ROWS), threads=1)

        def numpy_search(query: ceilings.Array) -> object:
            scores = rows @ query[0]
            best = np.argpartition(-scores, BEST)[:BEST]
            return best[np.argsort(-scores[best])]

        return numpy_search, rows.nbytes
    faiss = peers.faiss()
    if faiss is None:
        return None
    if name == FAISS[0]:
        index, weight_bytes = faiss.IndexFlatIP(COLUMNS), 4
    else:
        kinds = {FAISS[1]: faiss.ScalarQuantizer.QT_fp16, FAISS[2]: faiss.ScalarQuantizer.QT_8bit}
        index = faiss.IndexScalarQuantizer(COLUMNS, kinds[name], faiss.METRIC_INNER_PRODUCT)
        weight_bytes = 2 if name == FAISS[1] else 1
    step = 8192
    index.train(table.gather(np.arange(step)))
    for first in range(0, TABLE_ROWS, step):
        index.add(table.gather(np.arange(first, min(first + step, TABLE_ROWS))))
    return (lambda query: index.search(query, BEST)), TABLE_ROWS * COLUMNS * weight_bytes


def tables(data: Json) -> list[Table]:
    """Lay the figures out."""
    own = Table(
        f"One query against {data['table rows']:,} x {data['columns']}, the best {data['k']}, one thread, "
        f"{data['isa']}",
        [
            "type",
            "ms",
            "reading ms",
            "GB/s",
            "of reading",
            "cosine ms",
            f"{data['queries']} queries ms",
            "cheaper",
        ],
        note=(
            "The limit is reading the same bytes, one after the other. The batch are "
            f"{data['queries']} queries; the last column says how many times as much they cost one by one."
        ),
    )
    for kind in data["types"]:
        own.rows.append(
            [
                kind["type"],
                spread(kind["ms"]),
                spread(kind["read ms"]),
                number(kind["read GB/s"]),
                times(kind["of the read"]),
                number(kind["cosine ms"]["median"]),
                number(kind["batch ms"]["median"]),
                times(kind["cheaper"]),
            ]
        )
    if data["no room"]:
        own.note += f" No room in memory for {', '.join(data['no room'])}."
    rivals = Table(
        f"The same search of a float16 table by others, one thread, {data['isa']}",
        ["who", "ms", "ours ms", "takes x ours", "holds GB", "ours GB"],
    )
    for peer in data["peers"]:
        if "missing" in peer:
            rivals.rows.append([peer["peer"], "missing", "-", "-", "-", "-"])
            continue
        rivals.rows.append(
            [
                peer["peer"],
                spread(peer["ms"]),
                spread(peer["ours ms"]),
                times(peer["against"]),
                number(peer["memory GB"]),
                number(peer["ours GB"]),
            ]
        )
    return [own, rivals]
