"""Rows in the cache: what decoding itself costs, type by type, against ggml and against a plain copy."""

from __future__ import annotations

import math

import numpy as np

from .. import ceilings, machine, peers
from .. import tables as made
from ..measure import Json, Rival, race
from ..show import Table, median, number, spread, times
from . import Settings

ROWS, COLUMNS = 64, 4096


def run(settings: Settings) -> Json:
    """Measure every tensor type."""
    rounds = 9 if settings.quick else 41
    ids = np.random.default_rng(1).permutation(ROWS)
    out = ceilings.aligned(ROWS * COLUMNS * 4).view(np.float32).reshape(ROWS, COLUMNS)
    source = ceilings.aligned(out.nbytes).view(np.float32).reshape(out.shape)
    copy, variant = ceilings.copy_rows(source, ids, out)
    types = []
    for type_name in made.TYPES:
        with made.table_file(type_name, ROWS, COLUMNS) as file:
            assert file is not None, "no room for a small table"
            types.append(_measure(file, ids, out, copy, rounds))
    return {
        "isa": machine.isa(),
        "rows": ROWS,
        "columns": COLUMNS,
        "copy variant": variant,
        "types": types,
    }


def _measure(
    file: made.TableFile, ids: made.I64, out: ceilings.Array, copy: ceilings.Call, rounds: int
) -> Json:
    stored = ceilings.aligned(file.bytes.nbytes)
    stored[:] = file.bytes.reshape(-1)
    narrow = ceilings.aligned(out.nbytes // 2).view(np.float16).reshape(out.shape)
    one = machine.ONE_THREAD
    with file.open() as table:
        rivals: dict[str, Rival] = {
            "float32": f"gather(ids, out=out{one})",
            "copy": copy,
            "float16": f"gather(ids, out=narrow, dtype='float16'{one})",
            "bfloat16": f"gather(ids, out=bits, dtype='bfloat16'{one})",
        }
        names = {"gather": table.gather, "ids": ids, "out": out, "narrow": narrow, "bits": narrow.view("u2")}
        library = peers.ggml()
        decoder = library.decoder(file.type) if library is not None else None
        if decoder is not None:
            names |= {"decoder": decoder, "start": stored.ctypes.data, "to": out.ctypes.data, "n": out.size}
            rivals["ggml"] = "decoder(start, to, n)"
        result = race(rivals, rounds=rounds, names=names)
        slow = _python_peer(file.type, stored.reshape(ROWS, -1))
        if slow is not None:
            again = race({"float32": rivals["float32"], "gguf-py": slow}, rounds=3, names=names)
    return {
        "type": file.type,
        "us a row": result.microseconds("float32", ROWS),
        "ggml us a row": result.microseconds("ggml", ROWS) if "ggml" in result else None,
        "copy us a row": result.microseconds("copy", ROWS),
        "against ggml": result.ratio("float32", "ggml"),
        "against copy": result.ratio("float32", "copy"),
        "float16 against copy": result.ratio("float16", "copy"),
        "bfloat16 against copy": result.ratio("bfloat16", "copy"),
        "against gguf-py": again.ratio("float32", "gguf-py") if slow is not None else None,
    }


def _python_peer(type_name: str, rows: made.U8) -> Rival | None:
    gguf = peers.gguf_py()
    type_id, weights, block_bytes = made.TYPES[type_name]
    if gguf is None or type_name == "F32":  # which it hands out as it is
        return None
    try:
        kind = gguf.GGMLQuantizationType(type_id)
        if gguf.GGML_QUANT_SIZES.get(kind) != (weights, block_bytes):
            return None
        stored = rows.view({"F32": "f4", "F16": "f2"}.get(type_name, "u1"))
        gguf.quants.dequantize(stored, kind)
    except (ValueError, NotImplementedError):
        return None
    return lambda: gguf.quants.dequantize(stored, kind)


def geometric_mean(data: Json) -> float | None:
    """Return the geometric mean of how many times as fast as ggml the quantised types are."""
    ratios = [
        kind["against ggml"]["median"]
        for kind in data["types"]
        if kind["type"] in made.QUANTISED and kind["against ggml"]
    ]
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None


def tables(data: Json) -> list[Table]:
    """Lay the figures out."""
    mean = geometric_mean(data)
    copies = float(np.median([kind["copy us a row"]["median"] for kind in data["types"]]))
    note = (
        f"A float32 row copy ({data['copy variant']}) takes {number(copies)} us a row. "
        "Columns with an x: how many times as fast as that rival float32 rows come, those of the 16-bit "
        "outputs against the same copy."
    )
    if mean is not None:
        note += f" Geometric mean over the quantised types against ggml: {number(mean)}x."
    table = Table(
        f"Hot rows, {data['isa']}: {data['rows']} rows of {data['columns']} to float32",
        ["type", "us a row", "ggml us", "x ggml", "x copy", "float16 x copy", "bfloat16 x copy", "x gguf-py"],
        note=note,
    )
    for kind in data["types"]:
        table.rows.append(
            [
                kind["type"],
                spread(kind["us a row"]),
                median(kind["ggml us a row"]),
                times(kind["against ggml"]),
                times(kind["against copy"]),
                median(kind["float16 against copy"]),
                median(kind["bfloat16 against copy"]),
                median(kind["against gguf-py"]),
            ]
        )
    return [table]
