"""Names of hashed rows: prefill, a decode step of many sequences, and one of one, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pyembed.ngram import Constants, Ngram, Scheme
from pyembed.ngram.constants import as_table
from pyembed.ngram.derived import (
    PLE_BASE,
    PLE_EOS,
    PLE_SEED,
    PLE_SHAPE,
    engram_moduli,
    engram_multipliers,
    ple_moduli,
    ple_multipliers,
)

from .. import machine
from ..measure import Json, Rival, race
from ..show import Table, spread, times
from . import Settings

TOKENS = 8192
SEQUENCES = 64
OWN = "ngram.rows(ids, threads=1)"
NUMPY = "NumPy, vectorised"
RIVALS: dict[str, Rival] = {OWN: "rows(ids, layer=layer, threads=1)", NUMPY: "in_numpy(constants, ids)"}
STEPS: dict[str, Rival] = {
    "one token of one sequence": "rows(one, history=history, layer=layer)",
    "one token each of 64 sequences": "rows(many, offsets, histories, layer=layer)",
    "history.advance(one)": "history.advance(one)",
}


def run(settings: Settings) -> Json:
    """Measure the released constants of both schemes."""
    rounds = 15 if settings.quick else 61
    return {"isa": machine.isa(), "schemes": [_measure(made, rounds) for made in (_ple(), _engram())]}


def _ple() -> Constants:
    n_vocab, size, heads = PLE_SHAPE
    moduli = as_table(ple_moduli(PLE_BASE, (size - 1) * heads, 1), 1)
    multipliers = as_table(ple_multipliers(PLE_SEED, 0, size, n_vocab), 1)
    return Constants(Scheme.PLE, "", (1,), size, heads, n_vocab, moduli, multipliers, stand_in=PLE_EOS)


def _engram() -> Constants:
    n_vocab, n_compressed, layers = 129280, 99092, (1, 14)
    moduli = as_table(engram_moduli(16_000_000, 4, 8, 2), 2)
    multipliers = as_table([engram_multipliers(layer, 4, n_compressed) for layer in layers], 2)
    token_map = np.minimum(np.arange(n_vocab), n_compressed - 1).astype(np.uint32)
    return Constants(
        Scheme.ENGRAM,
        "",
        layers,
        4,
        8,
        n_vocab,
        moduli,
        multipliers,
        stand_in=2,
        token_map=token_map,
        n_compressed=n_compressed,
    )


def _in_numpy(constants: Constants, ids: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Name the rows of a sequence without EOS and images by whole arrays, a column at a time."""
    assert constants.multipliers is not None
    hashed = ids if constants.token_map is None else constants.token_map[ids]
    padded = np.concatenate([np.full(constants.max_size - 1, constants.stand_in), hashed]).astype(np.uint64)
    moduli, offsets = constants.moduli[0], constants.running_sums[0]
    out = np.empty((len(ids), constants.n_columns), np.int64)
    mix = hashed.astype(np.uint64) * constants.multipliers[0, 0]
    for place in range(1, constants.max_size):
        start = constants.max_size - 1 - place
        mix ^= padded[start : start + len(ids)] * constants.multipliers[0, place]
        for column in range((place - 1) * constants.n_heads, place * constants.n_heads):
            out[:, column] = mix % moduli[column] + offsets[column]
    return out


def _measure(constants: Constants, rounds: int) -> Json:
    ngram = Ngram(constants)
    rng = np.random.default_rng(0)
    ids = rng.integers(3, constants.n_vocab - 1000, TOKENS, dtype=np.int32)
    history = ngram.history()
    history.advance(ids[:10])
    names = {
        "rows": ngram.rows,
        "in_numpy": _in_numpy,
        "constants": constants,
        "ids": ids,
        "layer": constants.layers[0],
        "one": ids[:1],
        "history": history,
        "many": ids[:SEQUENCES],
        "offsets": np.arange(SEQUENCES + 1),
        "histories": [history.copy() for _ in range(SEQUENCES)],
    }
    layer = constants.layers[0]
    assert (ngram.rows(ids, layer=layer) == _in_numpy(constants, ids)).all(), (
        "the rival computes something else"
    )
    result = race({**RIVALS, **STEPS}, rounds=rounds, names=names)
    n_names = TOKENS * constants.n_columns
    return {
        "scheme": constants.scheme.value,
        "columns": constants.n_columns,
        "millions": {name: result.rate(name, n_names / 1e6) for name in RIVALS},
        "against": result.ratio(OWN, NUMPY),
        "us": {name: result.microseconds(name) for name in STEPS},
    }


def tables(data: Json) -> list[Table]:
    """Lay the figures out."""
    rates = Table(
        f"Names of hashed rows, {TOKENS:,} tokens, one thread: millions a second",
        ["scheme", "names a token", OWN, NUMPY, "faster"],
    )
    steps = Table("A decode step from Python: us", ["scheme", *STEPS])
    for scheme in data["schemes"]:
        millions = [spread(scheme["millions"][name]) for name in RIVALS]
        rates.rows.append([scheme["scheme"], str(scheme["columns"]), *millions, times(scheme["against"])])
        steps.rows.append([scheme["scheme"], *(spread(scheme["us"][name]) for name in STEPS)])
    return [rates, steps]
