"""Vectors between rows, padding, and sequences of different lengths, against what NumPy assembles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import pyembed
from pyembed.core.dtypes import OUTPUT_TYPES, round_to
from pyembed.inputs.batching import runs_of
from tests.helpers.model_files import TOKEN_TABLE, rows_of_floats, write_model

N, WIDTH = 50, 24
TABLE = rows_of_floats(N, WIDTH)
VECTORS = rows_of_floats(6, WIDTH, seed=9)


@pytest.fixture
def model(tmp_path: Path) -> Iterator[pyembed.Model]:
    path = write_model(tmp_path / "m.gguf", tensors={TOKEN_TABLE: TABLE})
    with pyembed.load_model(path, validate="off") as opened:
        yield opened


# ------------------------------------------------------------------------------------------ replace


def test_vectors_take_the_place_of_rows(model: pyembed.Model) -> None:
    rows = model.embed([4, -100, -100, 5, 10**6, 6], replace={1: VECTORS[:2], 4: VECTORS[2]})
    expected = np.stack([TABLE[4], VECTORS[0], VECTORS[1], TABLE[5], VECTORS[2], TABLE[6]])
    np.testing.assert_array_equal(rows, expected)
    assert rows.dtype == np.float32


def test_a_batch_names_its_sequence(model: pyembed.Model) -> None:
    ids = np.arange(24).reshape(2, 3, 4)
    rows = model.embed(ids, replace={(1, 0, 2): VECTORS[:2], (0, 2, 0): VECTORS[2]})
    expected = TABLE[ids].copy()
    expected[1, 0, 2:4], expected[0, 2, 0] = VECTORS[:2], VECTORS[2]
    np.testing.assert_array_equal(rows, expected)


def test_everything_may_be_replaced(model: pyembed.Model) -> None:
    np.testing.assert_array_equal(model.embed([-1, -1], replace={0: VECTORS[:2]}), VECTORS[:2])


@pytest.mark.parametrize("replace", [{}, None])
def test_nothing_to_replace(model: pyembed.Model, replace: Any) -> None:
    np.testing.assert_array_equal(model.embed([1, 2], replace=replace), TABLE[[1, 2]])


def test_out_is_written_where_it_lies(model: pyembed.Model) -> None:
    out = np.full((3, 2, WIDTH + 4), 7, np.float32)
    view = out[..., :WIDTH].transpose(1, 0, 2)  # rows at irregular distances
    ids = np.arange(6).reshape(2, 3)
    assert model.embed(ids, out=view, replace={(1, 1): VECTORS[:2]}) is view
    expected = TABLE[ids].copy()
    expected[1, 1:] = VECTORS[:2]
    np.testing.assert_array_equal(view, expected)
    assert (out[..., WIDTH:] == 7).all()


def test_vectors_that_lie_in_the_output(model: pyembed.Model) -> None:
    out = rows_of_floats(4, WIDTH, seed=8)
    before = out.copy()
    model.embed([1, -1, -1, 2], out=out, replace={1: out[2:]})
    np.testing.assert_array_equal(out, np.stack([TABLE[1], before[2], before[3], TABLE[2]]))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("given", ["float64", "float32", "float16", "bfloat16", "list", ">f4", "strided"])
def test_vectors_of_other_floats_are_rounded_to_nearest_even(
    model: pyembed.Model, given: str, dtype: str
) -> None:
    exact = VECTORS[0].astype(np.float64) * (1 + 2**-9 + 2**-30)  # not a number of any narrower dtype
    kinds = {"bfloat16": ml_dtypes.bfloat16, "list": np.float64, "strided": np.float64}
    source = exact.astype(kinds.get(given, given))
    vectors: Any = source.tolist() if given == "list" else source
    if given == "strided":
        vectors = np.repeat(source, 3)[::3]
    rows = model.embed([1, 0], dtype=dtype, replace={1: vectors})
    if dtype == "bfloat16":
        rows = rows.view(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(rows[1].astype(np.float64), nearest(source.astype(np.float64), dtype))


def nearest(values: np.ndarray, dtype: str) -> np.ndarray:
    """Round by the definition: to the nearest number of the dtype, of two to that with an even last bit."""
    bits = {"float16": (10, -14), "bfloat16": (7, -126), "float32": (23, -126)}[dtype]
    _, exponent = np.frexp(values)
    step = np.ldexp(1.0, np.maximum(exponent - 1, bits[1]) - bits[0])
    return np.rint(values / step) * step


def test_bits_of_bfloat16(model: pyembed.Model) -> None:
    bits = VECTORS[0].astype(ml_dtypes.bfloat16).view(np.uint16)
    np.testing.assert_array_equal(model.embed([1], dtype="bfloat16", replace={0: bits})[0], bits)
    with pytest.raises(TypeError, match=r"replace\[0\] is of dtype uint16; expected floats"):
        model.embed([1], replace={0: bits})


@pytest.mark.parametrize(
    ("replace", "error", "message"),
    [
        ({4: VECTORS[0]}, IndexError, r"replace\[4\] is for position 4, but there are 4 ids"),
        ({-1: VECTORS[0]}, IndexError, r"replace\[-1\] is for position -1"),
        ({3: VECTORS[:2]}, IndexError, r"replace\[3\] is for position 3 to 4, but there are 4 ids"),
        ({0: VECTORS[:2], 1: VECTORS[0]}, ValueError, r"replace\[1\] overlaps"),
        ({0: VECTORS[0, 1:]}, ValueError, r"replace\[0\] has shape \(23,\); expected \(24,\) or \(n, 24\)"),
        ({0: VECTORS[None]}, ValueError, r"has shape \(1, 6, 24\)"),
        ({0: 1.0}, ValueError, r"has shape \(\)"),
        ({0: VECTORS[:0]}, ValueError, r"replace\[0\] holds no vector"),
        ({0: [[1.0] * WIDTH, [2.0]]}, ValueError, r"replace\[0\] holds lists of different lengths"),
        ({0: np.ones(WIDTH, np.int64)}, TypeError, "is of dtype int64; expected floats"),
        ({0: np.ones(WIDTH, complex)}, TypeError, "is of dtype complex128"),
        ({0: np.array(["x"] * WIDTH)}, TypeError, "expected floats"),
        ({(0, 0): VECTORS[0]}, ValueError, r"key \(0, 0\); expected one integer, a position"),
        ({"0": VECTORS[0]}, TypeError, r"key '0'; expected integers"),
        ({True: VECTORS[0]}, TypeError, r"key True; expected integers"),
        ({1.0: VECTORS[0]}, TypeError, r"key 1\.0; expected integers"),
    ],
)
def test_replacements_that_are_refused(
    model: pyembed.Model, replace: dict[Any, Any], error: type[Exception], message: str
) -> None:
    out = np.full((4, WIDTH), 7, np.float32)
    with pytest.raises(error, match=message):
        model.embed([1, 2, 3, 4], out=out, replace=replace)
    assert (out == 7).all()


def test_ids_between_vectors_are_checked(model: pyembed.Model) -> None:
    out = np.full((2, 3, WIDTH), 7, np.float32)
    with pytest.raises(IndexError, match=r"id 50 at position \(1, 2\) is not a row: the table has 50 rows"):
        model.embed([[1, -1, 2], [3, 4, 50]], out=out, replace={(0, 1): VECTORS[0]})
    with pytest.raises(IndexError, match=r"replace\[\(2, 0\)\] is for sequence 2, but there are 2"):
        model.embed([[1, 1, 2], [3, 4, 5]], out=out, replace={(2, 0): VECTORS[0]})
    assert (out == 7).all()


# --------------------------------------------------------------------------------------------- mask


@pytest.mark.parametrize("kind", [bool, int, np.uint8, list])
def test_masked_positions_are_zero(model: pyembed.Model, kind: Any) -> None:
    ids = np.array([[1, 2, -100], [3, -100, -100]])
    mask = ids >= 0
    given = mask.tolist() if kind is list else mask.astype(kind)
    out = np.full((2, 3, WIDTH), 7, np.float32)
    model.embed(ids, mask=given, out=out)
    np.testing.assert_array_equal(out, np.where(mask[..., None], TABLE[ids * mask], 0))


def test_mask_and_vectors(model: pyembed.Model) -> None:
    ids = np.array([[1, -1, -100], [3, 4, 5]])
    rows = model.embed(ids, mask=ids >= -1, replace={(0, 1): VECTORS[0]}, dtype="float16")
    np.testing.assert_array_equal(rows[0], np.stack([TABLE[1], VECTORS[0], TABLE[0] * 0]).astype(np.float16))
    with pytest.raises(ValueError, match="at which the mask says there is no token"):
        model.embed(ids, mask=ids >= -1, replace={(0, 1): VECTORS[:2]})


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        ([True], ValueError, r"mask has shape \(1,\); expected \(2,\)"),
        ([0, 2], ValueError, "other numbers than 0 and 1"),
        ([0.0, 1.0], TypeError, "mask is of dtype float64"),
    ],
)
def test_masks_that_are_refused(
    model: pyembed.Model, mask: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        model.embed([1, 2], mask=mask)


# ------------------------------------------------------------------------------------ ragged, padded

RAGGED = [[1, 2, 3], [], [4], [5, 6, 7, 8]]
FLAT, OFFSETS = [1, 2, 3, 4, 5, 6, 7, 8], [0, 3, 3, 4, 8]


def test_a_flat_batch(model: pyembed.Model) -> None:
    rows = model.embed(FLAT, offsets=OFFSETS, replace={(3, 1): VECTORS[:2], (0, 0): VECTORS[2]})
    expected = TABLE[FLAT].copy()
    expected[5:7], expected[0] = VECTORS[:2], VECTORS[2]
    np.testing.assert_array_equal(rows, expected)
    for where in ((0, 3), (1, 0), (0, -1)):
        with pytest.raises(IndexError, match=r"is for position"):
            model.embed(FLAT, offsets=OFFSETS, replace={where: VECTORS[0]})
    for where in ((4, 0), (-1, 0)):
        with pytest.raises(IndexError, match=rf"is for sequence {where[0]}, but there are 4"):
            model.embed(FLAT, offsets=OFFSETS, replace={where: VECTORS[0]})
    with pytest.raises(ValueError, match="a tuple of 2 integers, the position last"):
        model.embed(FLAT, offsets=OFFSETS, replace={1: VECTORS[0]})
    with pytest.raises(ValueError, match="offsets are for flat ids"):
        model.embed([FLAT], offsets=OFFSETS)


@pytest.mark.parametrize(
    "offsets",
    [[0, 3], [0, 9], [1, 8], [0, 5, 4, 8], [], [[0, 8]], [0, 2**63], np.array([0, 2**64 - 1], "u8")],
)
@pytest.mark.parametrize("padded", [False, True])
def test_offsets_that_are_none(model: pyembed.Model, offsets: Any, padded: bool) -> None:
    with pytest.raises(
        (ValueError, IndexError), match=r"offsets should be one row of numbers|is not a place"
    ):
        (model.embed_padded if padded else model.embed)(FLAT, offsets=offsets)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("length", [None, 6])
@pytest.mark.parametrize("form", ["lists", "arrays", "flat"])
def test_a_rectangle(model: pyembed.Model, side: Any, length: int | None, form: str) -> None:
    sequences: Any = RAGGED if form == "lists" else [np.array(part, np.int32) for part in RAGGED]
    options: dict[str, Any] = {}
    if form == "flat":
        sequences, options = FLAT, {"offsets": OFFSETS}
    padded = model.embed_padded(
        sequences, padding_side=side, length=length, replace={(3, 1): VECTORS[:2]}, **options
    )
    n = length or 4
    expected, mask = np.zeros((4, n, WIDTH), np.float32), np.zeros((4, n), bool)
    for number, part in enumerate(RAGGED):
        start = n - len(part) if side == "left" else 0
        expected[number, start : start + len(part)] = TABLE[part]
        mask[number, start : start + len(part)] = True
        if number == 3:
            expected[number, start + 1 : start + 3] = VECTORS[:2]
    np.testing.assert_array_equal(padded.rows, expected)
    np.testing.assert_array_equal(padded.mask, mask)
    np.testing.assert_array_equal(padded.lengths, [3, 0, 1, 4])


def test_a_rectangle_into_a_given_buffer(model: pyembed.Model) -> None:
    out = np.full((4, 5, WIDTH), 7, np.float16)
    padded = model.embed_padded(RAGGED, length=5, out=out, dtype="float16")
    assert padded.rows is out
    np.testing.assert_array_equal(out, np.where(padded.mask[..., None], out, 0))
    np.testing.assert_array_equal(out[3, :4], TABLE[RAGGED[3]].astype(np.float16))


def test_rectangles_that_are_refused(model: pyembed.Model) -> None:
    out = np.full((2, 3, WIDTH), 7, np.float32)
    with pytest.raises(IndexError, match=r"id 50 at position 4 is not a row"):
        model.embed_padded([[1, 2, 3], [4, 50]], padding_side="left", out=out)
    with pytest.raises(ValueError, match="length is 2, but a sequence has 3 ids"):
        model.embed_padded([[1, 2, 3], [4]], length=2, out=out)
    with pytest.raises(ValueError, match=r"unknown padding_side 'middle'; known: right, left"):
        model.embed_padded([[1]], padding_side="middle")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="sequence 1: ids must be integers, got float"):
        model.embed_padded([[1, 2, 3], [4.5]], out=out)
    with pytest.raises(ValueError, match=r"sequence 0 has shape \(1, 2\); expected one row"):
        model.embed_padded([[[1, 2]]])
    with pytest.raises(TypeError, match="sequences is a int"):
        model.embed_padded(5)
    with pytest.raises(IndexError, match="is not a row"):
        model.embed_padded([np.array([2**64 - 1], np.uint64)])
    assert (out == 7).all()


def test_an_empty_rectangle(model: pyembed.Model) -> None:
    assert model.embed_padded([]).rows.shape == (0, 0, WIDTH)
    assert model.embed_padded([[], []], length=2).rows.shape == (2, 2, WIDTH)


# -------------------------------------------------------------------------------------------- pieces


def test_runs_of_a_placeholder() -> None:
    assert runs_of([1, 9, 9, 2, 9], 9) == [((1,), 2), ((4,), 1)]
    assert runs_of([[9, 9], [9, 1]], 9) == [((0, 0), 2), ((1, 0), 1)]
    assert runs_of([1, 2], 9) == []
    assert runs_of([], 9) == []


def test_runs_are_keys(model: pyembed.Model) -> None:
    ids = [[1, 49, 49], [49, 2, 3]]
    left = iter(VECTORS)
    replace = {where: np.stack([next(left) for _ in range(n)]) for where, n in runs_of(ids, 49)}
    expected = np.stack([TABLE[1], VECTORS[0], VECTORS[1], VECTORS[2], TABLE[2], TABLE[3]]).reshape(
        2, 3, WIDTH
    )
    np.testing.assert_array_equal(model.embed(ids, replace=replace), expected)


def test_rounding_of_every_kind_of_number() -> None:
    bits = np.arange(0, 2**32, 65521, dtype=np.uint64).astype(np.uint32)
    edges = [0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00001, 0x7F800001, 1, 0x3F808000, 0x3F818000]
    floats = np.concatenate([bits, np.array(edges, np.uint32)]).view(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = floats.astype(ml_dtypes.bfloat16)
    actual = round_to(floats, OUTPUT_TYPES["bfloat16"]).view(ml_dtypes.bfloat16)
    number = ~np.isnan(floats)
    np.testing.assert_array_equal(actual[number].view(np.uint16), expected[number].view(np.uint16))
    assert np.isnan(actual[~number].astype(np.float32)).all()


def test_float64_is_rounded_to_bfloat16_once() -> None:
    # Just above the middle of two bfloat16: by way of float32 it would become the middle, then the even one.
    values = np.array([1 + 2**-8 + 2**-40, 1 + 3 * 2**-8 - 2**-40, 1 + 2**-8, 1e300, -1e300, np.nan])
    actual = round_to(values, OUTPUT_TYPES["bfloat16"]).view(ml_dtypes.bfloat16).astype(np.float64)
    np.testing.assert_array_equal(actual, [1 + 2**-7, 1 + 2**-7, 1, np.inf, -np.inf, np.nan])


@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16"])
def test_out_says_the_dtype(model: pyembed.Model, kind: str) -> None:
    dtype = ml_dtypes.bfloat16 if kind == "bfloat16" else np.dtype(kind)
    replace = {1: VECTORS[0]}
    out = np.zeros((2, WIDTH), dtype)
    assert model.embed([1, 0], out=out, replace=replace) is out
    expected = model.embed([1, 0], dtype=kind, replace=replace)
    np.testing.assert_array_equal(out.view(expected.dtype), expected)
    box = np.zeros((2, 3, WIDTH), dtype)
    padded = model.embed_padded([[1], [0, 1]], length=3, out=box)
    assert padded.rows is box
    expected = model.embed_padded([[1], [0, 1]], length=3, dtype=kind).rows
    np.testing.assert_array_equal(box.view(expected.dtype), expected)
