"""Tables: ids of every kind, output of every kind, and errors that leave the output alone."""

from __future__ import annotations

import array as array_module
import ctypes
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import pyembed
from tests.helpers.float_rows import BFLOAT16_ROWS, N_COLUMNS, N_ROWS, ROWS, filled, write_rows
from tests.helpers.model_files import TOKEN_TABLE, write_model

INTEGERS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "longlong", "ulonglong"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory):
    with pyembed.open_table(write_rows(tmp_path_factory.mktemp("table") / "m.gguf")) as table:
        yield table


def check_untouched(
    table: pyembed.EmbeddingTable, ids: Any, out: Any, expected: type[Exception], **options: Any
) -> str:
    """Assert that a gather fails and writes nothing; return the message."""
    raw = np.asarray(out)
    if raw.flags.writeable:
        raw[...] = 77
    before = raw.copy()
    with pytest.raises(expected) as caught:
        table.gather(ids, out=out, **options)
    np.testing.assert_array_equal(raw, before)
    return str(caught.value)


def test_facts(table: pyembed.EmbeddingTable) -> None:
    assert table.shape == (N_ROWS, N_COLUMNS)
    assert (table.type, table.n_bytes, len(table)) == ("F32", ROWS.nbytes, N_ROWS)
    assert table.name == TOKEN_TABLE
    assert f"{N_ROWS} x {N_COLUMNS} F32" in repr(table)
    assert not table.closed


# ---------------------------------------------------------------------------------------------- ids


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_integer_type(dtype: str, order: str, table: pyembed.EmbeddingTable) -> None:
    ids = np.array([0, 5, 127, 3], np.dtype(dtype).newbyteorder(order))
    np.testing.assert_array_equal(table.gather(ids), ROWS[[0, 5, 127, 3]])


def unaligned(ids: list[int]) -> np.ndarray:
    raw = np.zeros(8 * len(ids) + 1, np.uint8)
    view = raw[1:].view(np.int64)
    view[:] = ids
    assert not view.flags.aligned
    return view


@pytest.mark.parametrize(
    "ids",
    [
        [1, 2, 299],
        (4, 5),
        [[1, 2, 3], [4, 5, 6]],
        [[[7]]],
        range(3, 30, 4),
        range(30, 3, -4),
        range(0),
        7,
        np.int16(7),
        np.array(7),
        np.arange(300)[::-3],
        np.arange(24).reshape(4, 6).T,
        np.asfortranarray(np.arange(24).reshape(4, 6)),
        np.broadcast_to(np.array([[3], [4]]), (2, 5)),
        unaligned([1, 299, 7]),
        np.array([1, 2], object),
        [np.int8(1), np.uint64(2)],
        array_module.array("h", [1, 2]),
        memoryview(np.arange(6, dtype=np.int32).reshape(2, 3)),
        np.ma.masked_array([1, 2], mask=[False, False]),
        np.zeros((2, 0, 3), np.int32),
    ],
    ids=lambda ids: type(ids).__name__,
)
def test_every_kind_of_ids(ids: Any, table: pyembed.EmbeddingTable) -> None:
    index = np.asarray(list(ids) if isinstance(ids, range) else ids).astype(np.int64)
    got = table.gather(ids)
    assert type(got) is np.ndarray
    assert got.dtype == np.float32
    assert got.shape == (*index.shape, N_COLUMNS)
    np.testing.assert_array_equal(got, ROWS[index])
    if not isinstance(ids, tuple):  # which as an index are several indices
        np.testing.assert_array_equal(table[ids], got)


@pytest.mark.parametrize(("ids", "shape"), [([], (0,)), ([[], []], (2, 0)), ((), (0,))])
def test_empty_lists(ids: Any, shape: tuple[int, ...], table: pyembed.EmbeddingTable) -> None:
    assert table.gather(ids).shape == (*shape, N_COLUMNS)


def test_slices(table: pyembed.EmbeddingTable) -> None:
    np.testing.assert_array_equal(table[:], ROWS)
    np.testing.assert_array_equal(table[-5::2], ROWS[-5::2])
    np.testing.assert_array_equal(table[10:5:-1], ROWS[10:5:-1])
    assert table[400:].shape == (0, N_COLUMNS)
    assert next(row.shape for row in table) == (N_COLUMNS,)


@pytest.mark.parametrize(
    "ids",
    [
        [True, False],
        [1, True],
        [[1, 2], [3, False]],
        [1, np.True_],
        True,
        np.array([True]),
        np.array([1, True], object),
        [1.0, 2.0],
        1.5,
        [1, 2.0],
        np.array([], np.float32),
        np.array([1], np.complex64),
        "1",
        ["1"],
        None,
        [None],
        {1: 2},
        {1, 2},
        np.array(["2020-01-01"], "M8[D]"),
        np.zeros(2, [("a", "i4")]),
    ],
    ids=repr,
)
def test_what_is_no_integer(ids: Any, table: pyembed.EmbeddingTable) -> None:
    assert "integers" in check_untouched(table, ids, np.empty((2, N_COLUMNS), np.float32), TypeError)


def test_ragged_lists(table: pyembed.EmbeddingTable) -> None:
    for ids in ([[1, 2], [3]], [[1, 2], 3], [np.array([1, 2]), np.array([3])]):
        with pytest.raises(
            ValueError, match=r"^ids holds lists of different lengths.*; embed_padded takes"
        ) as caught:
            table.gather(ids)
        assert "inhomogeneous" not in str(caught.value)
    with pytest.raises(
        ValueError, match=r"^query holds lists of different lengths, or lists beside numbers$"
    ):
        table.scores([[1, 2], [3]])


def test_one_index(table: pyembed.EmbeddingTable) -> None:
    with pytest.raises(
        IndexError, match=r"expected one index, got 2: for several rows write table\[\[1, 2\]\]"
    ):
        table[1, 2]
    with pytest.raises(IndexError, match="id -1 is not a row"):
        table[-1]
    with pytest.raises(TypeError, match="does not hold ids or words"):
        5 in table  # noqa: B015
    assert len(list(table)) == N_ROWS


@pytest.mark.parametrize(
    ("ids", "bad", "where"),
    [
        ([0, -1, 300], "-1", "at position 1"),
        ([0, 300, -1], "300", "at position 1"),
        ([[1, 2], [3, 301]], "301", r"at position \(1, 1\)"),
        (-5, "-5", ""),
        (300, "300", ""),
        ([2**31], str(2**31), "at position 0"),
        ([2**32], str(2**32), "at position 0"),
        ([1, 2**63], str(2**63), "at position 1"),
        ([2**64 - 1], str(2**64 - 1), "at position 0"),
        ([5, 2**70], str(2**70), "at position 1"),
        ([5, -(2**70)], str(-(2**70)), "at position 1"),
        ([2**63, -1], str(2**63), "at position 0"),
        ([[1], [2**100]], str(2**100), r"at position \(1, 0\)"),
        (2**64, str(2**64), ""),
        (np.array([1, 2**64 - 1], np.uint64), str(2**64 - 1), "at position 1"),
        (np.array([1, 2**63], ">u8"), str(2**63), "at position 1"),
        (np.array([1, -128], np.int8), "-128", "at position 1"),
        (np.arange(310)[::-5], "309", "at position 0"),
        (range(298, 310), "300", "at position 2"),
        (range(2**70, 2**70 + 2), str(2**70), "at position 0"),
    ],
)
@pytest.mark.parametrize("given", [False, True], ids=["new", "out"])
def test_ids_that_are_no_rows(
    ids: Any, bad: str, where: str, given: bool, table: pyembed.EmbeddingTable
) -> None:
    message = rf"^id {bad}{' ' + where if where else ''} is not a row: the table has 300 rows$"
    shape = (len(ids),) if isinstance(ids, range) else np.shape(ids)
    if given:
        check_untouched(table, ids, np.empty((*shape, N_COLUMNS), np.float32), IndexError)
    with pytest.raises(IndexError, match=message):
        table.gather(ids)


# ------------------------------------------------------------------------------------------- dtypes


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("float32", ROWS),
        (np.float32, ROWS),
        (np.dtype("float16"), ROWS.astype(np.float16)),
        ("float16", ROWS.astype(np.float16)),
        ("bfloat16", BFLOAT16_ROWS),
        (ml_dtypes.bfloat16, BFLOAT16_ROWS),
        (np.dtype(ml_dtypes.bfloat16), BFLOAT16_ROWS),
    ],
    ids=str,
)
def test_dtypes(dtype: Any, expected: np.ndarray, table: pyembed.EmbeddingTable) -> None:
    got = table.gather([[3, 4], [5, 299]], dtype=dtype)
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected[[[3, 4], [5, 299]]])


@pytest.mark.parametrize("dtype", ["float64", np.int8, ">f4", "uint16", np.dtype(">f2")])
def test_dtypes_that_rows_do_not_come_in(dtype: Any, table: pyembed.EmbeddingTable) -> None:
    with pytest.raises(ValueError, match="float32, float16, bfloat16"):
        table.gather([1], dtype=dtype)


@pytest.mark.parametrize("dtype", ["nonsense", 5, object()])
def test_what_is_no_dtype(dtype: Any, table: pyembed.EmbeddingTable) -> None:
    with pytest.raises(TypeError, match="is not a dtype"):
        table.gather([1], dtype=dtype)


# ---------------------------------------------------------------------------------------------- out


IDS = np.array([[4, 5, 6], [299, 0, 4]])
LAYOUTS = {
    "contiguous": lambda: filled((2, 3, 8)),
    "padded rows": lambda: filled((2, 3, 12))[..., 2:10],
    "every other": lambda: filled((2, 6, 8))[:, ::2],
    "other rows": lambda: filled((4, 3, 8))[::2],
    "reversed rows": lambda: filled((2, 3, 8))[:, ::-1],
    "all reversed": lambda: filled((2, 3, 8))[::-1, ::-1],
    "transposed": lambda: filled((3, 2, 8)).transpose(1, 0, 2),
    "a subclass": lambda: np.ma.masked_array(filled((2, 3, 8)), mask=True),
    "unaligned": lambda: np.zeros(2 * 3 * 8 * 4 + 1, np.uint8)[1:].view(np.float32).reshape(2, 3, 8),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_out(layout: str, table: pyembed.EmbeddingTable) -> None:
    out = LAYOUTS[layout]()
    assert table.gather(IDS, out=out) is out
    np.testing.assert_array_equal(np.asarray(out), ROWS[IDS])
    base = out.base if isinstance(out.base, np.ndarray) and out.base.dtype == np.float32 else np.asarray(out)
    assert np.count_nonzero(base == 7) == base.size - ROWS[IDS].size, "nothing beside the rows is written"


def test_out_of_one_id_and_of_none(table: pyembed.EmbeddingTable) -> None:
    out = filled((8,))
    assert table.gather(5, out=out) is out
    np.testing.assert_array_equal(out, ROWS[5])
    empty = filled((0, 8))
    assert table.gather([], out=empty) is empty


@pytest.mark.parametrize("dtype", [np.uint16, ml_dtypes.bfloat16])
def test_out_for_bfloat16(dtype: Any, table: pyembed.EmbeddingTable) -> None:
    for out in (filled((3, 8), dtype), filled((3, 16), dtype)[:, 4:12]):
        assert table.gather([1, 2, 299], out=out, dtype="bfloat16") is out
        np.testing.assert_array_equal(out.view(np.uint16), BFLOAT16_ROWS[[1, 2, 299]])


OUT_KINDS = [
    (np.float32, ROWS),
    (np.float16, ROWS.astype(np.float16)),
    (np.uint16, BFLOAT16_ROWS),
    (ml_dtypes.bfloat16, BFLOAT16_ROWS),
]


@pytest.mark.parametrize(("dtype", "expected"), OUT_KINDS, ids=["f32", "f16", "bits", "ml_dtypes"])
def test_out_says_the_dtype(dtype: Any, expected: np.ndarray, table: pyembed.EmbeddingTable) -> None:
    for out in (filled((3, 8), dtype), filled((3, 16), dtype)[:, 4:12]):
        assert table.gather([1, 2, 299], out=out) is out
        np.testing.assert_array_equal(out.view(expected.dtype), expected[[1, 2, 299]])
    assert table.gather([5]).dtype == np.float32, "what one call was given does not stay"


def test_dtype_goes_before_out(table: pyembed.EmbeddingTable) -> None:
    out = filled((1, 8), np.float16)
    message = check_untouched(table, [1], out, TypeError, dtype="float32")
    assert "dtype float16; expected float32" in message


def test_other_buffers(table: pyembed.EmbeddingTable) -> None:
    raw = bytearray(2 * 8 * 4)
    view = memoryview(raw).cast("B").cast("f", (2, 8))
    assert table.gather([3, 4], out=view) is view
    np.testing.assert_array_equal(np.frombuffer(raw, np.float32).reshape(2, 8), ROWS[[3, 4]])
    matrix = ((ctypes.c_float * 8) * 2)()
    assert table.gather([5, 6], out=matrix) is matrix
    np.testing.assert_array_equal(np.array(matrix), ROWS[[5, 6]])
    flat = array_module.array("f", [0] * 8)
    assert table.gather(9, out=flat) is flat
    np.testing.assert_array_equal(np.array(flat), ROWS[9])


@pytest.mark.parametrize("n", [1, 2, 3])
def test_out_that_shares_memory_with_ids(n: int, table: pyembed.EmbeddingTable) -> None:
    memory = np.zeros((n, 8), np.float32)
    ids = memory.view(np.int32).reshape(-1)[-n:]
    ids[:] = [299, 17, 5][:n]
    wanted = ROWS[ids]
    table.gather(ids, out=memory)
    np.testing.assert_array_equal(memory, wanted)


def test_out_that_shares_memory_with_a_bad_id(table: pyembed.EmbeddingTable) -> None:
    memory = np.zeros((2, 8), np.float32)
    ids = memory.view(np.int32).reshape(-1)[-2:]
    ids[:] = [1, 300]
    before = memory.copy()
    with pytest.raises(IndexError):
        table.gather(ids, out=memory)
    np.testing.assert_array_equal(memory, before)


def read_only() -> np.ndarray:
    out = np.zeros((2, 8), np.float32)
    out.flags.writeable = False
    return out


@pytest.mark.parametrize(
    ("out", "kind", "says"),
    [
        (np.empty((2, 8), np.float64), TypeError, "dtype float64; expected float32"),
        (np.empty((2, 8), ">f4"), TypeError, "other byte order; expected float32"),
        (np.empty((2, 8), np.int16), TypeError, "int16; expected float32, float16, bfloat16 (or uint16"),
        (np.empty((2, 8), np.uint32), TypeError, "expected float32"),
        (np.empty((2, 7), np.float32), ValueError, "shape (2, 7); expected (2, 8)"),
        (np.empty((8, 2), np.float32).T, ValueError, "rows of out are not contiguous"),
        (np.empty((2, 16), np.float32)[:, ::2], ValueError, "8 bytes apart; expected 4"),
        (np.empty((2, 8), np.float32)[:, ::-1], ValueError, "-4 bytes apart; expected 4"),
        (np.empty(16, np.float32), ValueError, "shape (16,); expected (2, 8)"),
        (np.empty((1, 2, 8), np.float32), ValueError, "shape (1, 2, 8)"),
        (read_only(), ValueError, "read-only"),
        (np.lib.stride_tricks.as_strided(np.empty(8, np.float32), (2, 8), (0, 4)), ValueError, "overlap"),
        (np.lib.stride_tricks.as_strided(np.empty(12, np.float32), (2, 8), (16, 4)), ValueError, "overlap"),
    ],
    ids=range(13),
)
def test_out_that_is_refused(
    out: Any, kind: type[Exception], says: str, table: pyembed.EmbeddingTable
) -> None:
    assert says in check_untouched(table, [1, 2], out, kind)


@pytest.mark.parametrize("out", [[[0.0] * 8] * 2, 5, "text", object()], ids=lambda out: type(out).__name__)
def test_out_that_is_no_buffer(out: Any, table: pyembed.EmbeddingTable) -> None:
    with pytest.raises(TypeError, match="expected a NumPy array, a torch tensor or a writable buffer"):
        table.gather([1, 2], out=out)


def test_out_that_is_a_read_only_buffer(table: pyembed.EmbeddingTable) -> None:
    with pytest.raises(ValueError, match="read-only"):
        table.gather(1, out=memoryview(bytes(32)).cast("f"))
    with pytest.raises(TypeError, match="uint8; expected float32"):
        table.gather(1, out=bytearray(32))


@pytest.mark.parametrize("dtype", [np.float16, np.int16, np.float32])
def test_out_of_another_dtype_for_bfloat16(dtype: Any, table: pyembed.EmbeddingTable) -> None:
    message = check_untouched(table, [1, 2], np.empty((2, 8), dtype), TypeError, dtype="bfloat16")
    assert "expected uint16 or bfloat16" in message


# ------------------------------------------------------------------------------------------ closing


def test_a_table_owns_the_file_that_it_was_opened_from(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf", tensors={TOKEN_TABLE: ROWS})
    table = pyembed.open_table(path)
    with table:
        np.testing.assert_array_equal(table[1], ROWS[1])
    table.close()
    out = filled((1, 8))
    with pytest.raises(ValueError, match="is closed"):
        table.gather([1], out=out)
    assert (out == 7).all()
    with pytest.raises(ValueError, match="is closed"), table:
        pass
    assert table.closed
    assert table.shape == (N_ROWS, N_COLUMNS)
