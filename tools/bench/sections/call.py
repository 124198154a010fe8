"""One row into `out` from Python, against NumPy's own indexing, and where the time goes."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

import pyembed
from pyembed._native import ffi, lib

from .. import ceilings, machine
from .. import tables as made
from ..measure import Json, Rival, race
from ..show import Table, median, spread, times
from . import Settings

TABLE_ROWS = 1024
COLUMNS = (64, 4096)

OWN = "table.gather(ids, out=out)"
INDEXING = "T[[i]]"
RIVALS: dict[str, Rival] = {
    OWN: "gather(ids, out=out)",
    INDEXING: "T[[7]]",
    "T[ids]": "T[ids]",
    "T[i]": "T[7]",
    "np.take(T, [i], axis=0, out=half)": "take(T, [7], axis=0, out=half)",
    "np.take(T, ids, axis=0, out=half)": "take(T, ids, axis=0, out=half)",
    "np.take(..., mode='clip')": "take(T, ids, axis=0, out=half, mode='clip')",
    "T[ids].astype('f4')": "T[ids].astype('f4')",
    "table.gather(ids)": "gather(ids)",
    "table.gather([i], out=out)": "gather([7], out=out)",
    "table[i]": "table[7]",
    "model.embed(ids, out=out)": "embed(ids, out=out)",
}
#: The same gather with less and less around it, and what Python pays on the way.
PARTS: dict[str, Rival] = {
    "C, through cffi, pointers at hand": "call(table, ids_pointer, 1, out_pointer, options, null)",
    "C, through ctypes, pointers at hand": "ctypes_call(*addresses)",
    "ffi.from_buffer(ids)": "from_buffer(ids)",
    "ffi.from_buffer(out)": "from_buffer(out)",
    "out.flags.carray, .dtype, .shape": "out.flags.carray and out.dtype == f4 and out.shape == shape",
    "ids.dtype in a dict": "ids.dtype in kinds",
    "np.may_share_memory(out, ids)": "share(out, ids)",
    "an empty function f(x, *, out, dtype)": "empty(ids, out=out)",
}


def run(settings: Settings) -> Json:
    """Measure narrow rows and wide ones."""
    rounds = 15 if settings.quick else 61
    return {"isa": machine.isa(), "widths": [_measure(width, rounds) for width in COLUMNS]}


def _measure(n_columns: int, rounds: int) -> Json:
    with made.table_file("F16", TABLE_ROWS, n_columns) as file:
        assert file is not None, "no room for a small table"
        out = np.zeros((1, n_columns), np.float32)
        ids = np.array([7])
        with pyembed.load_model(file.path) as model:
            table = model.table
            names: dict[str, Any] = {
                "T": np.array(file.bytes).view(np.float16),
                "ids": ids,
                "out": out,
                "half": np.zeros((1, n_columns), np.float16),
                "take": np.take,
                "table": table,
                "gather": table.gather,
                "embed": model.embed,
            }
            result = race(RIVALS, rounds=rounds, names=names)
        parts = _parts(file, ids, out, rounds)
    return {
        "columns": n_columns,
        "us": {name: result.microseconds(name) for name in RIVALS},
        "ratio": {name: result.ratio(OWN, name) for name in RIVALS},
        "parts": parts,
    }


def _parts(file: made.TableFile, ids: ceilings.Array, out: ceilings.Array, rounds: int) -> Json:
    """Time the C call with less and less around it."""
    anything: Any = ffi
    model, table = ffi.new("pye_model **"), ffi.new("pye_table **")
    assert lib.pye_model_open(str(file.path).encode(), ffi.NULL, model, ffi.NULL) == lib.PYE_OK
    assert lib.pye_table_open(model[0], b"token_embd.weight", 17, table, ffi.NULL) == lib.PYE_OK
    try:
        options = ffi.new("pye_gather_options *")
        options.struct_bytes = ffi.sizeof("pye_gather_options")
        options.id_type = lib.PYE_ID_I64
        pointers = (table[0], ffi.from_buffer(ids), ffi.from_buffer(out), options)
        address = [int(ffi.cast("uintptr_t", pointer)) for pointer in pointers]
        function = int(ffi.cast("uintptr_t", anything.addressof(lib, "pye_table_gather")))
        pointer, size = ctypes.c_void_p, ctypes.c_size_t
        kind = ctypes.CFUNCTYPE(ctypes.c_int, pointer, pointer, size, pointer, pointer, pointer)
        names = {
            "call": lib.pye_table_gather,
            "table": table[0],
            "ids_pointer": pointers[1],
            "out_pointer": pointers[2],
            "options": options,
            "null": ffi.NULL,
            "ctypes_call": kind(function),
            "addresses": (address[0], address[1], 1, address[2], address[3], None),
            "from_buffer": ffi.from_buffer,
            "ids": ids,
            "out": out,
            "f4": np.dtype(np.float32),
            "shape": out.shape,
            "empty": _empty,
            "kinds": {np.dtype(kind): kind for kind in ("i4", "i8", "u4", "u8", "i2", "u2", "i1", "u1")},
            "share": np.may_share_memory,
        }
        many = 1000
        loop = ceilings.library().ceiling_calls
        in_c = (function, address[0], address[1], 1, address[2], address[3], many)
        result = race({"C": lambda: loop(*in_c), **PARTS}, rounds=rounds, names=names)
        times_of = {"C, from C": result.microseconds("C", many)}
        return times_of | {name: result.microseconds(name) for name in PARTS}
    finally:
        lib.pye_table_close(table[0])
        lib.pye_model_close(model[0])


def _empty(ids: object, *, out: object = None, dtype: object = "float32") -> object:
    return out


def tables(data: Json) -> list[Table]:
    """Lay the figures out."""
    widths = data["widths"]
    headers = [f"{what}, {width['columns']}" for width in widths for what in ("us", "takes x ours")]
    rows = Table(
        f"One row of a float16 table from Python, {data['isa']}",
        ["what", *headers],
        note=(
            "`i` is a number, `ids` an array of one; `out` is float32, `half` float16: NumPy's rows stay "
            "what they are."
        ),
    )
    for name in RIVALS:
        cells = [
            cell for width in widths for cell in (spread(width["us"][name]), times(width["ratio"][name]))
        ]
        rows.rows.append([name, *cells])
    parts = Table(
        f"Where the time of a call goes, {data['isa']}: us",
        ["what", *(f"{width['columns']} columns" for width in widths)],
    )
    for name in widths[0]["parts"]:
        parts.rows.append([name, *(median(width["parts"][name]) for width in widths)])
    return [rows, parts]
