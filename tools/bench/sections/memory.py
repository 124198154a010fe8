"""Random rows of a table that no cache holds, against what the memory can deliver and take."""

from __future__ import annotations

import numpy as np

from .. import ceilings, machine
from .. import tables as made
from ..measure import Json, race
from ..show import Table, median, number, spread, times
from . import Settings

TABLE_ROWS, COLUMNS, ROWS = 128_256, 4096, 8192
QUICK_TYPES = ("F16", "Q8_0", "Q4_K", "IQ2_XXS")


def run(settings: Settings) -> Json:
    """Measure every tensor type that there is room for."""
    out = ceilings.aligned(ROWS * COLUMNS * 4).view(np.float32).reshape(ROWS, COLUMNS)
    types, left_out = [], []
    for type_name in QUICK_TYPES if settings.quick else made.TYPES:
        with made.table_file(type_name, TABLE_ROWS, COLUMNS) as file:
            if file is None:
                left_out.append(type_name)
            else:
                types.append(_measure(file, out, 5 if settings.quick else 15))
    shape = {"table rows": TABLE_ROWS, "columns": COLUMNS, "rows": ROWS}
    return {"isa": machine.isa(), **shape, "types": types, "no room": left_out}


def _measure(file: made.TableFile, out: ceilings.Array, rounds: int) -> Json:
    stored = file.bytes
    ceilings.read_all(stored)()
    fill, fill_variant = ceilings.fill(out)
    read, read_variant = ceilings.read_rows(stored, made.fresh_ids(TABLE_ROWS, ROWS, 0.5), file.row_bytes)
    with file.open() as table:
        names = {"gather": table.gather, "ids": made.fresh_ids(TABLE_ROWS, ROWS), "out": out}
        result = race(
            {"gather": f"gather(ids(), out=out{machine.ONE_THREAD})", "fill": fill, "read": read},
            rounds=rounds,
            names=names,
        )
    read_seconds = float(np.median(result.times["read"]))
    fill_seconds = float(np.median(result.times["fill"]))
    return {
        "type": file.type,
        "us a row": result.microseconds("gather", ROWS),
        "fill us a row": result.microseconds("fill", ROWS),
        "read us a row": result.microseconds("read", ROWS),
        "fill GB/s": out.nbytes / fill_seconds / 1e9,
        "read GB/s": ROWS * file.row_bytes / read_seconds / 1e9,
        "of the limit": result.ratio("gather", "fill", "read"),
        "fill variant": fill_variant,
        "read variant": read_variant,
    }


def tables(data: Json) -> list[Table]:
    """Lay the figures out."""
    table = Table(
        f"Rows from memory, {data['isa']}: {data['rows']:,} random rows of "
        f"{data['table rows']:,} x {data['columns']}, one thread, into a warm `out`",
        ["type", "us a row", "fill us", "fill GB/s", "read us", "read GB/s", "prefetch", "of the limit"],
        note=(
            "The limit is the time of filling the output and then reading the rows, each the fastest of a "
            "few loops."
        ),
    )
    for kind in data["types"]:
        table.rows.append(
            [
                kind["type"],
                spread(kind["us a row"]),
                median(kind["fill us a row"]),
                number(kind["fill GB/s"]),
                median(kind["read us a row"]),
                number(kind["read GB/s"]),
                kind["read variant"],
                times(kind["of the limit"]),
            ]
        )
    if data["no room"]:
        table.note += f" No room in memory for {', '.join(data['no room'])}."
    return [table]
