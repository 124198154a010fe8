"""The public API in Python: ids, outputs, options and texts of every kind, right and wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import pyembed

from . import Tally
from .models import TYPED, Sample, chance, pick, sample

_INTS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
_OUTPUTS = ("float32", "float16", "bfloat16")
_JUNK: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**31, 2**63, 2**64, -(2**63), 10**30, 0.5, math.nan, math.inf, -math.inf, 1j,
    "", "a", "\0", "\udcff", "\ud800", b"", b"\xff", (), [], {}, set(), [[1], [1, 2]], [None], ["a"],
    object(), range(3), range(0, 10**20), np.float32(1), np.int8(-1), np.array(1), np.array([]),
    np.array([1 + 2j]), np.array(["a"]), np.array([object()]), np.array([True]), np.datetime64(1, "s"),
    np.zeros((2, 0)), float, len, {1: 2}, {"a": "b"}, [("a", 1)], np.ma.array([1, 2], mask=[False, True]),
    bytes(15), bytes(16), bytes(32),
)  # fmt: skip


def case(rng: np.random.Generator, folder: Path, tally: Tally) -> None:
    """Open a model and use it in twenty ways."""
    made = sample(rng, folder)
    before = made.contents()
    model: pyembed.Model | None = None
    if made.format in ("gguf", "split"):
        mode = pick(rng, ["auto", "none", "mmap", "dio"])
        model = pyembed.load_model(made.path, validate="off", load_mode=mode)
        table = model.table
    else:
        table = pyembed.open_table(made.path)
    everything = table.gather(np.arange(made.shape[0]))
    if made.rows is not None:
        assert np.array_equal(everything, made.rows), "all rows"
    try:
        for _ in range(20):
            use = pick(rng, _USES if model is None else (*_USES, *_MODEL_USES))
            use(rng, made, model or table, table, everything, tally)
    finally:
        (model or table).close()
    if chance(rng, 0.2):
        _attempt(tally, "open", lambda: pyembed.open_table(made.path, **_options(rng, _OPEN)).close())
        _attempt(tally, "load", lambda: pyembed.load_model(made.path, **_options(rng, _LOAD)).close())
    assert made.contents() == before, "the model was changed"


_OPEN = ("tensor", "shape", "dtype", "offset", "guard")
_LOAD = ("load_mode", "vocab_only", "validate", "ignore", "lock", "kv_overrides")


def _options(rng: np.random.Generator, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: pick(rng, _JUNK) for name in names if chance(rng, 0.3)}


def _attempt(tally: Tally, what: str, call: Callable[[], Any]) -> Any:
    """Return what a call returns; None, and no other exception than a typed one, where it fails."""
    try:
        result = call()
    except TYPED:
        tally[f"{what} refused"] += 1
        return None
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
    tally[what] += 1
    return result


def _right_ids(rng: np.random.Generator, n_rows: int) -> np.ndarray:
    shape = tuple(rng.integers(0, 6, int(rng.integers(0, 4))))
    ids = rng.integers(0, min(n_rows, 127), shape).astype(pick(rng, _INTS))
    if ids.ndim > 1 and chance(rng, 0.3):
        ids = ids.T
    if ids.ndim and chance(rng, 0.3):
        ids = np.repeat(ids, 2, axis=0)[::-2]
    if chance(rng, 0.2):
        ids = ids.astype(ids.dtype.newbyteorder(">"))
    return ids


def _gather(
    rng: np.random.Generator, made: Sample, opened: Any, table: Any, everything: Any, tally: Tally
) -> None:
    ids = _right_ids(rng, made.shape[0])
    dtype = pick(rng, _OUTPUTS)
    threads = pick(rng, [None, 1, 2, 5])
    form = pick(rng, ["array", "list", "out", "gaps", "read-only", "wrong"])
    storage = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}[dtype]
    expected = table.gather(np.arange(made.shape[0]), dtype=dtype)[ids]
    if form in ("array", "list"):
        form = form if ids.size or ids.ndim == 1 else "array"  # an empty list has lost its shape
        got = table.gather(ids if form == "array" else ids.tolist(), dtype=dtype, threads=threads)
        assert got.shape == expected.shape, (ids.shape, got.shape)
        assert got.tobytes() == expected.tobytes(), "rows"
        tally["gather"] += 1
        return
    shape = (*ids.shape, made.shape[1])
    whole = np.full((*shape[:-1], 2 * shape[-1]) if form == "gaps" else shape, 7, storage)
    out = whole[..., ::2] if form == "gaps" and chance(rng, 0.5) else whole[..., : shape[-1]]
    if form == "read-only":
        out.flags.writeable = False
    if form == "wrong":
        out = pick(rng, [whole.astype(np.float64), whole[..., None], whole[..., :0], *_JUNK[1:]])
    got = _attempt(tally, "gather into", lambda: table.gather(ids, out=out, dtype=dtype, threads=threads))
    if got is None:
        assert (whole == 7).all(), "out was written by a call that failed"
    elif form != "wrong":
        assert got is out
        assert got.tobytes() == expected.tobytes(), "rows in out"
        if form == "gaps" and out.strides[-1] == out.itemsize:
            assert (whole[..., shape[-1] :] == 7).all(), "the gaps were written"


def _wrong_ids(
    rng: np.random.Generator, made: Sample, opened: Any, table: Any, everything: Any, tally: Tally
) -> None:
    n = made.shape[0]
    ids = rng.integers(0, n, int(rng.integers(1, 50)))
    ids[int(rng.integers(len(ids)))] = pick(rng, [-1, n, -n, 2**40, -(2**63), 2**63 - 1])
    out = np.full((len(ids), made.shape[1]), 7, np.float32)
    try:
        table.gather(ids, out=out)
    except IndexError:
        tally["wrong id refused"] += 1
    else:
        raise AssertionError("an id without a row was taken")
    assert (out == 7).all(), "out was written before the ids were checked"


def _junk(
    rng: np.random.Generator, made: Sample, opened: Any, table: Any, everything: Any, tally: Tally
) -> None:
    junk = [pick(rng, _JUNK) for _ in range(3)]
    calls: dict[str, Callable[[], Any]] = {
        "gather": lambda: table.gather(junk[0]),
        "dtype": lambda: table.gather([0], dtype=junk[0]),
        "threads": lambda: table.gather([0], threads=junk[0]),
        "out": lambda: table.gather([0], out=junk[0]),
        "scores": lambda: table.scores(junk[0], junk[1]),
        "scores of": lambda: table.scores(everything[0], ids=junk[0]),
        "scores out": lambda: table.scores(everything[0], out=junk[0]),
        "top": lambda: table.top(everything[0], junk[0]),
        "top but": lambda: table.top(everything[0], 1, exclude=junk[0], threads=junk[1]),
        "metric": lambda: table.top(everything[0], 1, junk[0]),
        "digest": lambda: table.digest(junk[0]),
        "check_rows": lambda: table.check_rows(junk[0], junk[1]),
        "key": lambda: table.check_rows(0, 1, key=junk[0]),
        "item": lambda: table[junk[0]],
        "nearest": lambda: pyembed.Geometry(table).nearest(junk[0], junk[1]),
        "analogy": lambda: pyembed.Geometry(table).analogy(junk[0], junk[1]),
        "baseline": lambda: pyembed.Geometry(table).baseline(junk[0], n=3),
        "logits": lambda: pyembed.Geometry(table).logits(junk[0], junk[1]),
    }
    name = pick(rng, calls)
    _attempt(tally, f"{name} of junk", calls[name])


def _scan(
    rng: np.random.Generator, made: Sample, opened: Any, table: Any, everything: Any, tally: Tally
) -> None:
    n, columns = made.shape
    queries = rng.standard_normal((int(rng.integers(1, 4)), columns)).astype(np.float32)
    ids = None if chance(rng, 0.5) else rng.integers(0, n, int(rng.integers(1, 30)))
    metric = pick(rng, ["dot", "cosine"])
    threads = pick(rng, [None, 1, 3])
    scores = table.scores(queries, metric, ids=ids, threads=threads)
    rows = everything if ids is None else everything[ids]
    with np.errstate(all="ignore"):
        exact, wide = queries.astype(np.float64), rows.astype(np.float64)
        expected, sizes = exact @ wide.T, np.abs(exact) @ np.abs(wide.T)
        allowed = 1e-5 * (sizes + np.abs(exact).max() * np.abs(wide).max()) + 1e-30
        if metric == "cosine":
            lengths = np.linalg.norm(exact, axis=1)[:, None] * np.linalg.norm(wide, axis=1)
            divisor = np.where(lengths > 0, lengths, 1)
            expected, allowed = np.where(lengths > 0, expected / divisor, 0), allowed / divisor
        usable = np.isfinite(expected) & (sizes < 1e37)
        close = np.abs(scores - expected) <= allowed
    assert close[usable].all(), f"scores by {metric}"
    k = int(rng.integers(1, scores.shape[1] + 1))
    top = table.top(queries, k, metric, ids=ids, threads=threads)
    for found, best, row in zip(top.ids, top.scores, scores, strict=True):
        order = np.sort(row[~np.isnan(row)])[::-1][:k]
        kept = best[found >= 0]
        assert np.array_equal(kept, order), "the best k"
    tally["scan"] += 1


def _digest(
    rng: np.random.Generator, made: Sample, opened: Any, table: Any, everything: Any, tally: Tally
) -> None:
    assert table.digest() == table.digest(1)
    with pyembed.open_table(made.path) as again:
        step = int(rng.integers(1, 9))
        assert again.digest(step) == table.digest(step)
        assert again.norms.tobytes() == table.norms.tobytes()
    tally["digest"] += 1


def _vocabulary(
    rng: np.random.Generator, made: Sample, opened: Any, table: Any, everything: Any, tally: Tally
) -> None:
    vocabulary = opened.vocabulary
    assert len(vocabulary) == made.n_tokens
    token = int(rng.integers(made.n_tokens))
    text = vocabulary.tokens[token]
    assert vocabulary.tokens[vocabulary.id(text)] == text
    assert vocabulary.id(text) <= token
    junk = pick(rng, _JUNK)
    for call in (vocabulary.id, vocabulary.find, vocabulary.written):
        _attempt(tally, f"vocabulary.{call.__name__} of junk", partial(call, junk))
    _attempt(tally, "vocabulary[] of junk", lambda: vocabulary[junk])


def _model(
    rng: np.random.Generator, made: Sample, opened: Any, table: Any, everything: Any, tally: Tally
) -> None:
    junk = [pick(rng, _JUNK) for _ in range(3)]
    calls: dict[str, Callable[[], Any]] = {
        "embed": lambda: opened.embed(junk[0], dtype=junk[1]),
        "replace": lambda: opened.embed([0], replace=junk[0]),
        "open_table": lambda: opened.open_table(junk[0]),
        "metadata": lambda: opened.metadata[junk[0]],
        "tensors": lambda: opened.tensors[junk[0]],
        "nearest": lambda: opened.nearest(junk[0], junk[1]),
        "validate": lambda: opened.validate(junk[0], ignore=junk[1]),
        "reference": lambda: opened.validate("order", junk[0]),
        "lock": lambda: pyembed.check_lock(opened, junk[0]),
        "make_lock": lambda: pyembed.make_lock(opened),
        "health": lambda: pyembed.health.examine(opened, tensor=junk[0]),
    }
    name = pick(rng, calls)
    _attempt(tally, f"model: {name} of junk", calls[name])


_USES = (_gather, _gather, _wrong_ids, _junk, _junk, _scan, _digest)
_MODEL_USES = (_vocabulary, _model, _model)
