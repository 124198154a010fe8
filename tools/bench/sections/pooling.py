"""Pooled rows, against torch's ``embedding_bag``, NumPy, gathering them first, and only reading them."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np
import numpy.typing as npt

import pyembed

from .. import ceilings, machine, peers
from .. import tables as made
from ..measure import Json, Rival, race
from ..show import Table, spread, times
from . import Settings

BAGS, PER_BAG, COLUMNS = 200, 50, 256
#: Rows that stay in the caches, and rows that come from memory.
PLACES = {"hot": 64, "memory": 400_000}
TYPES = ("F32", "F16", "BF16", "Q8_0", "Q4_K")

MAPPED, PRIVATE = "mapped", "private"
GATHERED, NUMPY, READ = "gather, then mean", "NumPy", "reading"
TORCH = {"float32": "embedding_bag, float32", "float16": "embedding_bag, float16"}
PEERS = (*TORCH.values(), NUMPY, GATHERED, READ)


def run(settings: Settings) -> Json:
    """Measure the mean of every type's rows."""
    cases = []
    for place, n_rows in PLACES.items():
        for type_name in TYPES:
            with made.table_file(type_name, n_rows, COLUMNS) as file:
                if file is not None:
                    cases.append(_measure(file, place, 7 if settings.quick else 25))
    return {"isa": machine.isa(), "bags": BAGS, "ids a bag": PER_BAG, "columns": COLUMNS, "cases": cases}


def _measure(file: made.TableFile, place: str, rounds: int) -> Json:
    """Let all of them pool other ids in each call."""
    n, one = BAGS * PER_BAG, machine.ONE_THREAD
    bounds = np.arange(BAGS + 1) * PER_BAG
    names: dict[str, Any] = {
        "bounds": bounds,
        "out": np.empty((BAGS, COLUMNS), np.float32),
        "shape": (BAGS, PER_BAG, COLUMNS),
    }
    with ExitStack() as stack:
        mapped = stack.enter_context(file.open())
        model = pyembed.load_model(file.path, load_mode="none", validate="off")
        names |= {"mapped": mapped, "private": stack.enter_context(model).table}
        rivals: dict[str, str] = {
            MAPPED: f"mapped.pool({{}}, bounds, out=out{one})",
            PRIVATE: f"private.pool({{}}, bounds, out=out{one})",
            GATHERED: f"mapped.gather({{}}{one}).reshape(shape).mean(axis=1)",
        }
        rows = mapped.gather(np.arange(file.n_rows))
        names["floats"] = rows
        if place == "hot" or file.type == "F32":
            rivals[NUMPY] = "np.add.reduceat(floats[{}], bounds[:-1], axis=0) / 50"
            names["np"] = np
        rivals |= _torch(file.type, rows, bounds, names)
        streams = {name: made.fresh_ids(file.n_rows, n, i / 8) for i, name in enumerate([*rivals, READ])}
        names |= {f"ids_{i}": streams[name] for i, name in enumerate(rivals)}
        calls: dict[str, Rival] = {
            name: statement.format(f"ids_{i}()") for i, (name, statement) in enumerate(rivals.items())
        }
        stored = np.array(file.bytes)  # in private memory, too
        calls[READ], how = ceilings.read_rows(stored, streams[READ], file.row_bytes)
        result = race(calls, rounds=rounds, names=names, seconds=2e-3)
    return {
        "place": place,
        "rows": file.n_rows,
        "type": file.type,
        "reading": how,
        "ns a row": {name: result.time(name, 1e9 / n) for name in result.times},
        "ratios": {
            memory: {peer: result.ratio(memory, peer) for peer in PEERS} for memory in (MAPPED, PRIVATE)
        },
    }


def _torch(
    kind: str, rows: npt.NDArray[np.float32], bounds: npt.NDArray[Any], names: dict[str, Any]
) -> dict[str, str]:
    """Return torch's bags of the rows as float32 and as float16, each in private memory."""
    torch = peers.torch()
    if torch is None:
        return {}
    tensor = torch.from_numpy(rows)
    names |= {
        "bag": torch.nn.functional.embedding_bag,
        "starts": torch.from_numpy(bounds[:-1].copy()),
        "tensor": torch.from_numpy,
        "float32": tensor,
        "float16": tensor.half(),
    }
    return {
        name: f"bag(tensor({{}}), {dtype}, starts, mode='mean')"
        for dtype, name in TORCH.items()
        if kind != "F32" or dtype == "float32"
    }


def tables(data: Json) -> list[Table]:
    """Lay the figures out."""
    heads = ("torch float32", "torch float16", "NumPy", "gather, then mean", "reading")
    table = Table(
        f"Means of {data['ids a bag']} rows of {data['columns']}, one thread, {data['isa']}",
        ["rows", "type", "memory", "ns a row", *(f"x {head}" for head in heads)],
        note="Ids differ from call to call. torch has no quantised types of ggml: there, and beside BF16, "
        "it gets the rows as float32 and as float16, in up to seven times the memory; NumPy has them as "
        "float32. Their tables lie in private memory, in huge pages where the system gives them, as ours "
        "does that was opened with load_mode='none'; the other lies in a mapped file, whose pages are small. "
        "Reading is the sum of all bytes of as many stored rows in private memory, by the fastest of a few "
        "loops.",
    )
    for case in data["cases"]:
        for memory, ratios in case["ratios"].items():
            place = f"{case['rows']:,} ({case['place']})"
            cells = [spread(case["ns a row"][memory]), *(times(ratios[peer]) for peer in PEERS)]
            table.rows.append([place, case["type"], memory, *cells])
    return [table]
