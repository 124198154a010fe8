"""Pooled rows, against torch's ``embedding_bag`` and against gathering the rows first."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from .. import machine, peers
from .. import tables as made
from ..measure import Json, Rival, race
from ..show import Table, spread, times
from . import Settings

BAGS, PER_BAG, COLUMNS = 200, 50, 256
#: Rows that stay in the caches, and rows that come from memory.
PLACES = {"hot": 64, "memory": 400_000}
TYPES = ("F32", "F16", "BF16", "Q8_0", "Q4_K")

OWN, TORCH, WIDENED, GATHERED = "pool", "embedding_bag", "embedding_bag, widened", "gather, then mean"


def run(settings: Settings) -> Json:
    """Measure the mean of every type's rows."""
    cases = []
    for place, n_rows in PLACES.items():
        for type_name in TYPES:
            with made.table_file(type_name, n_rows, COLUMNS) as file:
                if file is not None:
                    with file.open() as table:
                        cases.append(_measure(file, table, place, 7 if settings.quick else 25))
    return {"isa": machine.isa(), "bags": BAGS, "ids a bag": PER_BAG, "columns": COLUMNS, "cases": cases}


def _measure(file: made.TableFile, table: Any, place: str, rounds: int) -> Json:
    """Let all of them pool other ids in each call."""
    n = BAGS * PER_BAG
    bounds = np.arange(BAGS + 1) * PER_BAG
    out = np.empty((BAGS, COLUMNS), np.float32)
    names: dict[str, Any] = {"table": table, "bounds": bounds, "out": out, "shape": (BAGS, PER_BAG, COLUMNS)}
    one = machine.ONE_THREAD
    rivals: dict[str, Rival] = {
        OWN: f"table.pool(own_ids(), bounds, out=out{one})",
        GATHERED: f"table.gather(gather_ids(){one}).reshape(shape).mean(axis=1)",
    }
    streams = ["own_ids", "gather_ids"]
    torch = peers.torch()
    if torch is not None:
        names |= {
            "bag": torch.nn.functional.embedding_bag,
            "T": _tensor(torch, file, table),
            "starts": torch.from_numpy(bounds[:-1].copy()),
            "tensor": torch.from_numpy,
        }
        name = TORCH if file.type in ("F32", "F16", "BF16") else WIDENED
        rivals[name] = "bag(tensor(torch_ids()), T, starts, mode='mean')"
        streams.append("torch_ids")
    for index, stream in enumerate(streams):
        names[stream] = made.fresh_ids(file.n_rows, n, index / len(streams))
    result = race(rivals, rounds=rounds, names=names, seconds=2e-3)
    return {
        "place": place,
        "rows": file.n_rows,
        "type": file.type,
        "ns a row": {name: result.time(name, 1e9 / n) for name in result.times},
        "ratios": {peer: result.ratio(OWN, peer) for peer in (TORCH, WIDENED, GATHERED)},
    }


def _tensor(torch: Any, file: made.TableFile, table: Any) -> Any:
    """Return the rows as torch would have them: its own floats, or what has no type there as float32."""
    kinds = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    if file.type not in kinds:
        return torch.from_numpy(table.gather(np.arange(file.n_rows)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # memory that is read-only is all right here
        return torch.from_numpy(np.array(file.bytes)).view(kinds[file.type])


def tables(data: Json) -> list[Table]:
    """Lay the figures out."""
    table = Table(
        f"Means of {data['ids a bag']} rows of {data['columns']}, one thread, {data['isa']}",
        ["rows", "type", "ns a row", "x embedding_bag", "x gather, then mean"],
        note="Ids differ from call to call. torch has no quantised types of ggml: there it gets the rows as "
        "float32, in several times the memory. Its tables lie in private memory, these in a mapped file.",
    )
    for case in data["cases"]:
        torch = case["ratios"][TORCH] or case["ratios"][WIDENED]
        place = f"{case['rows']:,} ({case['place']})"
        cells = [spread(case["ns a row"][OWN]), times(torch), times(case["ratios"][GATHERED])]
        table.rows.append([place, case["type"], *cells])
    return [table]
