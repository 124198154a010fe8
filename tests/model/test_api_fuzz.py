"""The public API under arbitrary arguments: rows or one of the documented exceptions, and `out` as it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import pyembed

DOCUMENTED = (TypeError, ValueError, IndexError, OverflowError)
FEW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def model() -> Iterator[pyembed.Model]:
    with pyembed.load_model(pyembed.demo_model()) as opened:
        yield opened


SOME_IDS = st.one_of(
    st.integers(),
    st.lists(st.integers(-3, 5000), max_size=20),
    st.lists(st.lists(st.integers(0, 9), min_size=2, max_size=2), max_size=4),
    hnp.arrays(
        dtype=st.one_of(
            hnp.integer_dtypes(endianness="?"),
            hnp.unsigned_integer_dtypes(endianness="?"),
            hnp.boolean_dtypes(),
            hnp.floating_dtypes(),
            hnp.byte_string_dtypes(),
        ),
        shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    ),
    st.none(),
    st.text(max_size=3),
    st.binary(max_size=9),
    st.dictionaries(st.integers(), st.integers(), max_size=2),
)
SOME_DTYPES = st.one_of(
    st.sampled_from(["float32", "float16", "bfloat16", "float64", "", None, np.float32, 3, ()]),
    st.text(max_size=8),
)
SOME_THREADS = st.one_of(st.none(), st.integers(-2, 300), st.booleans(), st.floats(), st.text(max_size=2))


@FEW
@given(ids=SOME_IDS, dtype=SOME_DTYPES, threads=SOME_THREADS)
def test_ids_and_options(model: pyembed.Model, ids: Any, dtype: Any, threads: Any) -> None:
    try:
        rows = model.embed(ids, dtype=dtype, threads=threads)
    except DOCUMENTED:
        return
    wanted = np.asarray(ids, np.int64)
    assert rows.shape == (*wanted.shape, model.n_embd)
    if wanted.size and rows.dtype == np.float32:
        np.testing.assert_array_equal(rows.reshape(-1, model.n_embd)[-1], model.table[int(wanted.flat[-1])])


@FEW
@given(
    out=hnp.arrays(
        dtype=st.sampled_from([np.float32, np.float16, np.uint16, np.float64, np.int32]),
        shape=hnp.array_shapes(min_dims=0, max_dims=3, max_side=5),
    ),
    n=st.integers(0, 5),
    reverse=st.booleans(),
    bad=st.booleans(),
)
def test_out_buffers(model: pyembed.Model, out: np.ndarray, n: int, reverse: bool, bad: bool) -> None:
    wide = np.resize(out, (*out.shape, model.n_embd)) if out.ndim else out
    target = wide[::-1] if reverse and wide.ndim else wide
    before = target.copy()
    ids = [1] * n if not bad else [1] * n + [10**9]
    try:
        rows = model.embed(ids, out=target, dtype={2: "float16"}.get(target.itemsize, "float32"))
    except DOCUMENTED:
        np.testing.assert_array_equal(target, before)
        return
    assert rows is target
    assert not bad
    np.testing.assert_array_equal(
        rows.astype(np.float32),
        model.embed(ids, dtype="float16" if rows.itemsize == 2 else "float32").astype(np.float32),
    )


@FEW
@given(key=st.one_of(st.text(max_size=12), st.integers(), st.none(), st.binary(max_size=4), st.slices(50)))
def test_names_texts_and_indexes(model: pyembed.Model, key: Any) -> None:
    for look in (
        lambda: model.metadata[key],
        lambda: model.tensors[key],
        lambda: model.open_table(key),
        lambda: model.vocabulary[key],
        lambda: model.vocabulary.id(key),
        lambda: model.vocabulary.find(key),
        lambda: key in model.vocabulary,
    ):
        try:
            look()
        except (*DOCUMENTED, KeyError):
            pass


@FEW
@given(
    shape=st.one_of(
        st.tuples(st.integers(), st.integers()), st.lists(st.integers(), max_size=3), st.text(max_size=3)
    ),
    dtype=st.one_of(st.sampled_from(["float32", ">f2", "int8", "bfloat16"]), st.text(max_size=4)),
    offset=st.integers(),
)
def test_raw_layouts(shape: Any, dtype: Any, offset: int) -> None:
    path = pyembed.demo_model()
    try:
        with pyembed.open_table(path, shape=shape, dtype=dtype, offset=offset) as table:
            rows, columns = table.shape
            assert rows * columns * table.n_bytes >= 0
            if rows and columns < 10**6:
                assert table.gather([0, rows - 1]).shape == (2, columns)
    except DOCUMENTED:
        pass
