"""A float16 table to float32, against NumPy and torch."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np

from .. import ceilings, machine, peers
from .. import tables as made
from ..measure import Json, Race, Rival, race
from ..show import Table, spread, times
from . import Settings

TABLE_ROWS, COLUMNS = 128_256, 4096
COUNTS = (1, 16, 512, 8192)

NUMPY, NUMPY_OUT = "T[ids].astype('f4')", "out[...] = T[ids]"
TORCH, TORCH_OUT = "F.embedding(ids, T).float()", "out.copy_(F.embedding(ids, T))"
OWN, OWN_OUT = "gather(ids)", "gather(ids, out=out)"


def run(settings: Settings) -> Json:
    """Measure at every number of rows."""
    with made.table_file("F16", TABLE_ROWS, COLUMNS) as file:
        if file is None:
            return {"no room": True}
        with file.open() as table:
            # Peers get the table as numpy.load gives it: in private memory, in huge pages where offered.
            rows = np.array(file.bytes).view(np.float16)
            counts = [_measure(table, rows, n, 5 if settings.quick else 15) for n in COUNTS]
    return {"isa": machine.isa(), "table rows": TABLE_ROWS, "columns": COLUMNS, "counts": counts}


def _measure(table: Any, rows: ceilings.Array, n: int, rounds: int) -> Json:
    out = ceilings.aligned(n * COLUMNS * 4).view(np.float32).reshape(n, COLUMNS)
    names: dict[str, Any] = {"gather": table.gather, "rows": rows, "out": out}
    rivals: dict[str, Rival] = {
        OWN_OUT: f"gather(own_out_ids(), out=out{machine.ONE_THREAD})",
        OWN: f"gather(own_ids(){machine.ONE_THREAD})",
        NUMPY: "rows[numpy_ids()].astype('f4')",
        NUMPY_OUT: "out[...] = rows[numpy_out_ids()]",
        "T[ids]": "rows[plain_ids()]",
    }
    streams = ["own_out_ids", "own_ids", "numpy_ids", "numpy_out_ids", "plain_ids"]
    torch = peers.torch()
    if torch is not None:
        rivals |= {
            TORCH: "embedding(torch_ids(), T).float()",
            TORCH_OUT: "torch_out.copy_(embedding(torch_out_ids(), T))",
        }
        streams += ["torch_ids", "torch_out_ids"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # shared memory that is read-only is all right here
            names |= {
                "embedding": torch.nn.functional.embedding,
                "T": torch.from_numpy(rows),
                "torch_out": torch.from_numpy(out),
            }
    for index, stream in enumerate(streams):
        ids = made.fresh_ids(TABLE_ROWS, n, index / len(streams))
        names[stream] = _tensors(torch, ids) if stream.startswith("torch") else ids
    result = race(rivals, rounds=rounds, names=names, seconds=2e-3)
    return _figures(result, n)


def _tensors(torch: Any, ids: Any) -> Any:
    """Return a call that gives the same ids as tensors made beforehand."""
    first = ids()
    parts, part = [torch.from_numpy(first)], ids()
    while part is not first:
        parts.append(torch.from_numpy(part))
        part = ids()
    return itertools.cycle(parts).__next__


def _figures(result: Race, n: int) -> Json:
    return {
        "rows": n,
        "us a row": {name: result.microseconds(name, n) for name in result.times},
        "into out": {peer: result.ratio(OWN_OUT, peer) for peer in (NUMPY, NUMPY_OUT, TORCH, TORCH_OUT)},
        "own memory": {peer: result.ratio(OWN, peer) for peer in (NUMPY, TORCH)},
    }


def tables(data: Json) -> list[Table]:
    """Lay the figures out."""
    if data.get("no room"):
        return [Table("An F16 table against NumPy and torch", [], note="No room in memory for the table.")]
    title = f"F16 table, {data['table rows']:,} x {data['columns']}, random rows to float32, {data['isa']}"
    costs = Table(
        f"{title}: us a row",
        ["what", *(f"{count['rows']:,} rows" for count in data["counts"])],
        note="Rows differ from call to call, so that they come from memory; plain `T[ids]` does not convert.",
    )
    ratios = Table(f"{title}: how many times as fast as", ["peer", *costs.headers[1:]])
    for name in data["counts"][0]["us a row"]:
        costs.rows.append([name, *(spread(count["us a row"][name]) for count in data["counts"])])
    for kind, own in (("into out", OWN_OUT), ("own memory", OWN)):
        for peer, figure in data["counts"][0][kind].items():
            if figure is not None:
                cells = (times(count[kind][peer]) for count in data["counts"])
                ratios.rows.append([f"{own} : {peer}", *cells])
    if data["counts"][0]["into out"][TORCH] is None:
        ratios.note = "torch is missing here."
    return [costs, ratios]
