"""What a server calls: one row, 16 and 512, through C, Python and torch, against nn.Embedding."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from pyembed._native import ffi, lib

from .. import ceilings, machine, peers
from .. import tables as made
from ..measure import Json, Rival, race
from ..show import Table, spread, times
from . import Settings

TYPE, TABLE_ROWS, COLUMNS = "Q4_K", 32_768, 4096
COUNTS = (1, 16, 512)

C, OUT = "C, through cffi, pointers at hand", "table.gather(ids, out=out)"
EMBED, INPUT = "model.embed(ids)", "model.input_embeddings(ids), an architecture that scales"
MODULE, MODULE_16 = "the torch module", "the torch module, bfloat16"
PEER, PEER_16 = "nn.Embedding of float32", "nn.Embedding of bfloat16"
#: Which of ours stands against which peer.
PAIRS = ((MODULE, PEER), (MODULE_16, PEER_16))


def run(settings: Settings) -> Json:
    """Measure at every number of rows; all on one thread."""
    with made.table_file(TYPE, TABLE_ROWS, COLUMNS) as file:
        if file is None:
            return {"no room": True}
        counts = [_measure(file, n, 5 if settings.quick else 21) for n in COUNTS]
    return {"isa": machine.isa(), "counts": counts}


def _measure(file: made.TableFile, n: int, rounds: int) -> Json:
    import pyembed

    scaled = {"general.architecture": "gemma"}
    with (
        pyembed.load_model(file.path, validate="off") as model,
        pyembed.load_model(file.path, validate="off", kv_overrides=scaled) as gemma,
    ):
        out = ceilings.aligned(n * COLUMNS * 4).view(np.float32).reshape(n, COLUMNS)
        names: dict[str, Any] = {"gather": model.table.gather, "out": out}
        names |= {"embed": model.embed, "input_embeddings": gemma.input_embeddings}
        rivals: dict[str, Rival] = {
            C: "call(table, pointers(), n, out_pointer, options, null)",
            OUT: "gather(out_ids(), out=out, threads=1)",
            EMBED: "embed(embed_ids(), threads=1)",
            INPUT: "input_embeddings(input_ids(), threads=1)",
        }
        kept = _c_names(file, n, out, names)
        for stream in ("out_ids", "embed_ids", "input_ids"):
            names[stream] = made.fresh_ids(TABLE_ROWS, n, len(names) / 30)
        if (torch := peers.torch()) is not None:
            rivals |= _torch(torch, model, n, names)
        result = race(rivals, rounds=rounds, names=names, seconds=2e-3)
        del kept
    return {
        "rows": n,
        "us a call": {name: result.microseconds(name) for name in result.times},
        "ratio": {own: result.ratio(own, peer) for own, peer in PAIRS},
    }


def _c_names(file: made.TableFile, n: int, out: ceilings.Array, names: dict[str, Any]) -> Any:
    """Add what the call through C needs; return what must be kept meanwhile."""
    model, table = ffi.new("pye_model **"), ffi.new("pye_table **")
    assert lib.pye_model_open(str(file.path).encode(), ffi.NULL, model, ffi.NULL) == lib.PYE_OK
    owner = ffi.gc(model[0], lib.pye_model_close)
    assert lib.pye_table_open(owner, b"token_embd.weight", 17, table, ffi.NULL) == lib.PYE_OK
    options = ffi.new("pye_gather_options *")
    options.struct_bytes = ffi.sizeof("pye_gather_options")
    options.id_type, options.n_threads = lib.PYE_ID_I64, 1
    ids = np.random.default_rng(n).integers(0, TABLE_ROWS, (2048, n))
    names |= {
        "call": lib.pye_table_gather,
        "table": ffi.gc(table[0], lib.pye_table_close),
        "n": n,
        "out_pointer": ffi.from_buffer(out),
        "options": options,
        "null": ffi.NULL,
        "pointers": itertools.cycle([ffi.from_buffer(row) for row in ids]).__next__,
    }
    return owner, ids


def _torch(torch: Any, model: Any, n: int, names: dict[str, Any]) -> dict[str, Rival]:
    """Add the modules, and return what calls them."""
    from pyembed.integrations.torch import Embedding

    weight = torch.from_numpy(model.table.gather(np.arange(TABLE_ROWS)))
    names |= {
        "module": Embedding(model.table, threads=1),
        "module_16": Embedding(model.table, dtype=torch.bfloat16, threads=1),
        "peer": torch.nn.Embedding.from_pretrained(weight),
        "peer_16": torch.nn.Embedding.from_pretrained(weight.bfloat16()),
    }
    calls = {MODULE: "module", MODULE_16: "module_16", PEER: "peer", PEER_16: "peer_16"}
    for name in calls.values():
        ids = np.random.default_rng(len(names)).integers(0, TABLE_ROWS, (2048, n))
        names[f"{name}_ids"] = itertools.cycle([torch.from_numpy(row) for row in ids]).__next__
    return {what: f"{name}({name}_ids())" for what, name in calls.items()}


def tables(data: Json) -> list[Table]:
    """Lay the figures out."""
    title = "What a server calls"
    if data.get("no room"):
        return [Table(title, [], note="No room in memory for the table.")]
    title += f": {TYPE}, {TABLE_ROWS:,} x {COLUMNS}, random rows, one thread, {data['isa']}"
    headers = ["what", *(f"{count['rows']:,} rows" for count in data["counts"])]
    costs = Table(f"{title}: us a call", headers)
    for name in data["counts"][0]["us a call"]:
        costs.rows.append([name, *(spread(count["us a call"][name]) for count in data["counts"])])
    ratios = Table(f"{title}: how many times as fast as nn.Embedding", headers)
    for own, peer in PAIRS:
        if data["counts"][0]["ratio"][own] is not None:
            cells = (times(count["ratio"][own]) for count in data["counts"])
            ratios.rows.append([f"{own} : {peer}", *cells])
    if not ratios.rows:
        ratios.note = "torch is missing here."
    return [costs, ratios]
