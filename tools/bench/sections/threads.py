"""Two threads against one, rows from memory."""

from __future__ import annotations

import os

import numpy as np

from .. import ceilings, machine
from .. import tables as made
from ..measure import Json, Rival, Spread, race
from ..show import Table, spread, times
from . import Settings
from .memory import COLUMNS, QUICK_TYPES, ROWS, TABLE_ROWS

TYPES = ("F16", "BF16", "Q8_0", "Q4_0", "Q4_K", "Q5_K", "Q6_K", "IQ2_XXS", "IQ3_S", "IQ1_M", "TQ1_0", "MXFP4")


def run(settings: Settings) -> Json:
    """Measure some types with one thread and with two."""
    if not machine.HAS_THREADS or (os.cpu_count() or 1) < 2:
        why = "gather takes no `threads`" if not machine.HAS_THREADS else "there is one core"
        return {"skipped": why}
    out = ceilings.aligned(ROWS * COLUMNS * 4).view(np.float32).reshape(ROWS, COLUMNS)
    types = []
    for type_name in QUICK_TYPES if settings.quick else TYPES:
        with made.table_file(type_name, TABLE_ROWS, COLUMNS) as file:
            if file is not None:
                types.append(_measure(file, out, 5 if settings.quick else 15))
    cores = race({"1": ceilings.compute(1), "2": ceilings.compute(2)}, rounds=15)
    scaling = Spread.of(2 * cores.times["1"] / cores.times["2"]).json()
    shape = {"rows": ROWS, "columns": COLUMNS}
    return {"isa": machine.isa(), **shape, "types": types, "pure computation": scaling}


def _measure(file: made.TableFile, out: ceilings.Array, rounds: int) -> Json:
    stored = file.bytes
    ceilings.read_all(stored)()
    rivals: dict[str, Rival] = {
        "one": "gather(one(), out=out, threads=1)",
        "two": "gather(two(), out=out, threads=2)",
        "chosen": "gather(chosen(), out=out, threads=None)",
    }
    for name, n in (("1", 1), ("2", 2)):
        rivals[f"fill {name}"] = ceilings.fill(out, n)[0]
        ids = made.fresh_ids(TABLE_ROWS, ROWS, 0.5 + n / 8)
        rivals[f"read {name}"] = ceilings.read_rows(stored, ids, file.row_bytes, n)[0]
    with file.open() as table:
        names = {"gather": table.gather, "out": out} | {
            name: made.fresh_ids(TABLE_ROWS, ROWS, index / 8)
            for index, name in enumerate(("one", "two", "chosen"))
        }
        result = race(rivals, rounds=rounds, names=names)
    return {
        "type": file.type,
        "us a row": {name: result.microseconds(name, ROWS) for name in ("one", "two", "chosen")},
        "two against one": result.ratio("two", "one"),
        "chosen against one": result.ratio("chosen", "one"),
        "of the limit of one": result.ratio("one", "fill 1", "read 1"),
        "of the limit of two": result.ratio("two", "fill 2", "read 2"),
    }


def tables(data: Json) -> list[Table]:
    """Lay the figures out."""
    title = "Two threads"
    if "skipped" in data:
        return [Table(title, [], note=f"Not measured: {data['skipped']}.")]
    table = Table(
        f"{title}, {data['isa']}: {data['rows']:,} random rows of {data['columns']} from memory",
        ["type", "us a row, one", "us a row, two", "two : one", "None : one", "limit, one", "limit, two"],
        note=(
            "The limits are those of the section on rows from memory, with one and with two threads. "
            f"Two threads of pure computation do {times(data['pure computation'])} what one does."
        ),
    )
    for kind in data["types"]:
        table.rows.append(
            [
                kind["type"],
                spread(kind["us a row"]["one"]),
                spread(kind["us a row"]["two"]),
                times(kind["two against one"]),
                times(kind["chosen against one"]),
                times(kind["of the limit of one"]),
                times(kind["of the limit of two"]),
            ]
        )
    return [table]
