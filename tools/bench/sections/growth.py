"""How cost grows: with the number of rows, their width, the size of the table and the threads."""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np

from .. import ceilings, machine
from .. import tables as made
from ..measure import Json, Rival, race
from ..show import Table, number, spread, times
from . import Settings

TYPES = ("F16", "Q4_K")
ROWS, COLUMNS, TABLE_MIB = 512, 4096, 256
#: Limits of the growth, and what is measured of them in a hurry.
ROW_COUNTS = (1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536)
WIDTHS = (256, 512, 1024, 2048, 4096, 8192, 16_384)
TABLES_MIB = (1, 4, 16, 64, 256, 1024, 2048)


def run(settings: Settings) -> Json:
    """Measure one cause at a time, the others at their middle."""
    quick = settings.quick
    rounds = 5 if quick else 11
    cases: list[Json] = []
    for type_name in TYPES[-1:] if quick else TYPES:
        cases += _rows_and_threads(type_name, _some(ROW_COUNTS, quick), rounds)
        for columns in _some(WIDTHS, quick):
            cases += _case(type_name, "width", columns, ROWS, columns, TABLE_MIB, rounds)
        for mib in _some(TABLES_MIB, quick):
            cases += _case(type_name, "table MiB", mib, ROWS, COLUMNS, mib, rounds)
    return {"isa": machine.isa(), "rows": ROWS, "columns": COLUMNS, "table MiB": TABLE_MIB, "cases": cases}


def _some(values: tuple[int, ...], quick: bool) -> Iterable[int]:
    return (values[0], values[len(values) // 2], values[-2]) if quick else values


def _table_rows(type_name: str, columns: int, mib: int) -> int:
    return max(1, (mib << 20) // made.row_bytes(type_name, columns))


def _rows_and_threads(type_name: str, counts: Iterable[int], rounds: int) -> list[Json]:
    cases = []
    with made.table_file(type_name, _table_rows(type_name, COLUMNS, TABLE_MIB), COLUMNS) as file:
        if file is None:
            return []
        cases += [_measure(file, "rows", n, n, rounds) for n in counts]
        if machine.HAS_THREADS:
            for threads in range(1, (os.cpu_count() or 1) + 1):
                cases.append(_measure(file, "threads", threads, 8192, rounds, threads))
    return cases


def _case(type_name: str, cause: str, value: int, n: int, columns: int, mib: int, rounds: int) -> list[Json]:
    with made.table_file(type_name, _table_rows(type_name, columns, mib), columns) as file:
        return [] if file is None else [_measure(file, cause, value, n, rounds)]


def _measure(
    file: made.TableFile, cause: str, value: int, n: int, rounds: int, threads: int | None = None
) -> Json:
    stored = file.bytes
    ceilings.read_all(stored)()
    out = ceilings.aligned(n * file.n_columns * 4).view(np.float32).reshape(n, file.n_columns)
    argument = f", threads={threads}" if threads else machine.ONE_THREAD
    n_threads = threads or 1
    rivals: dict[str, Rival] = {
        "gather": f"gather(ids(), out=out{argument})",
        "fill": ceilings.fill(out, n_threads)[0],
        "read": ceilings.read_rows(stored, made.fresh_ids(file.n_rows, n, 0.5), file.row_bytes, n_threads)[0],
    }
    with file.open() as table:
        names = {"gather": table.gather, "ids": made.fresh_ids(file.n_rows, n), "out": out}
        result = race(rivals, rounds=rounds, names=names)
    seconds = float(np.median(result.times["gather"]))
    return {
        "type": file.type,
        "cause": cause,
        "value": value,
        "us a row": result.microseconds("gather", n),
        "weights a ns": n * file.n_columns / seconds / 1e9,
        "of the limit": result.ratio("gather", "fill", "read"),
    }


def tables(data: Json) -> list[Table]:
    """Lay the figures out."""
    table = Table(
        f"How cost grows, {data['isa']}",
        ["cause", "type", "us a row", "weights a ns", "of the limit"],
        note=(
            f"Where not said otherwise: {data['rows']} random rows of {data['columns']}, a table of "
            f"{data['table MiB']} MiB, one thread. The limit: filling the output plus reading the rows."
        ),
    )
    for case in sorted(
        data["cases"], key=lambda case: ("rows", "width", "table MiB", "threads").index(case["cause"])
    ):
        table.rows.append(
            [
                f"{case['value']:,} {case['cause']}",
                case["type"],
                spread(case["us a row"]),
                number(case["weights a ns"]),
                times(case["of the limit"]),
            ]
        )
    return [table]
