"""Tables of .npy files and raw files: the rows they give, and what they refuse."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

import pyembed
from tests.helpers.table_files import (
    DATA_16,
    as_float32,
    assert_same_bits,
    check_every_prefix,
    check_mutations,
    random_array,
    rows_of,
    write,
)


def npy_bytes(
    header: str, data: bytes = b"", *, version: tuple[int, int] = (1, 0), length: int | None = None
) -> bytes:
    text = header.encode("latin1")
    size = len(text) if length is None else length
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version[0] == 1 else "<I", size) + text + data


# --------------------------------------------------------------------------------------------- .npy


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "i1", "i2", "i4", "i8"])
@pytest.mark.parametrize("shape", [(6, 5), (7,), (2, 3, 4), (2, 1, 3, 2, 4), (0, 4)])
def test_npy_rows_equal_numpy(tmp_path: Path, order: str, kind: str, shape: tuple[int, ...]) -> None:
    array = random_array(order + kind, shape, 3)
    np.save(tmp_path / "a.npy", array)
    assert_same_bits(rows_of(tmp_path / "a.npy"), as_float32(array))


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_npy_versions(tmp_path: Path, version: tuple[int, int]) -> None:
    array = random_array("<f2", (4, 3))
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, array, version=version)
    assert_same_bits(rows_of(tmp_path / "a.npy"), as_float32(array))


NPY_DESCR, NPY_ORDER, NPY_SHAPE = "'descr': '<f4'", "'fortran_order': False", "'shape': (2, 2)"
NPY_HEADER = f"{{{NPY_DESCR}, {NPY_ORDER}, {NPY_SHAPE}, }}"
NPY_ACCEPTED = {
    "as NumPy writes it": NPY_HEADER + "   \n",
    "any order": f"{{{NPY_SHAPE}, {NPY_DESCR}, {NPY_ORDER}}}",
    "double quotes": NPY_HEADER.replace("'", '"'),
    "no spaces": NPY_HEADER.replace(" ", ""),
    "more commas and spaces": "{ 'descr' :\n'<f4' , 'fortran_order':False,'shape':( 2 , 2 , ) , } ",
    "Python 2": NPY_HEADER.replace("(2, 2)", "(2L, 2L)"),
    "folded dimensions": NPY_HEADER.replace("(2, 2)", "(1, 2, 1, 1, 2)"),
}


@pytest.mark.parametrize("name", NPY_ACCEPTED)
def test_npy_header_is_accepted(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.npy", npy_bytes(NPY_ACCEPTED[name], DATA_16 + b"more"))
    np.testing.assert_array_equal(rows_of(path), [[0, 1], [2, 3]])


def npy_header(descr: str = "'<f4'", order: str = "False", shape: str = "(2, 2)") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


NPY_REFUSED: dict[str, tuple[str, str]] = {
    "no dict": ("[1]", "begin with"),
    "two dicts": (NPY_HEADER + NPY_HEADER, "unexpected text"),
    "no end": (NPY_HEADER[:-1], "string was expected"),
    "missing descr": (f"{{{NPY_ORDER}, {NPY_SHAPE}}}", 'no "descr"'),
    "missing fortran_order": (f"{{{NPY_DESCR}, {NPY_SHAPE}}}", 'no "fortran_order"'),
    "missing shape": (f"{{{NPY_DESCR}, {NPY_ORDER}}}", 'no "shape"'),
    "descr twice": (f"{{{NPY_DESCR}, {NPY_HEADER[1:]}", '"descr" occurs twice'),
    "unknown key": (f"{{'extra': 1, {NPY_HEADER[1:]}", "'extra' is not part of the format"),
    "no comma": (f"{{{NPY_DESCR} {NPY_ORDER}, {NPY_SHAPE}}}", "comma"),
    "no colon": ("{'descr' '<f4'}", "colon"),
    "escape in a string": (npy_header("'\\x3cf4'"), "printable ASCII"),
    "mixed quotes": (npy_header("'<f4\""), "more than a data type"),
    "Fortran order": (npy_header(order="True"), "np.ascontiguousarray"),
    "order is a number": (npy_header(order="0"), "True or False"),
    "structured": (npy_header("[('a', '<f4')]"), "structured"),
    "objects": (npy_header("'|O'"), "Python objects"),
    "no byte order": (npy_header("'f4'"), "byte order"),
    "open byte order": (npy_header("'|f4'"), "the byte order"),
    "unknown kind": (npy_header("'<q4'"), "unknown data type"),
    "no size": (npy_header("'<f'"), "invalid size"),
    "more than a type": (npy_header("'<f4,<f4'"), "more than a data type"),
    "shape is a list": (npy_header(shape="[2, 2]"), "tuple"),
    "shape is a number": (npy_header(shape="(4)"), "ends in a comma"),
    "lone comma": (npy_header(shape="(,)"), "whole numbers"),
    "negative dimension": (npy_header(shape="(-2, -2)"), "whole numbers"),
    "fractional dimension": (npy_header(shape="(2.0, 2)"), "comma or the end"),
    "dimension of 65 bits": (npy_header(shape="(18446744073709551616,)"), "64 bits"),
    "size of 65 bits": (npy_header(shape="(4294967296, 4294967296)"), "63 bits"),
    "size that wraps to 16": (npy_header(shape="(4611686018427387908,)"), "63 bits"),
    "past the end": (npy_header(shape="(2, 3)"), "24 bytes, but only 16"),
}


@pytest.mark.parametrize("name", NPY_REFUSED)
def test_npy_refuses(tmp_path: Path, name: str) -> None:
    header, words = NPY_REFUSED[name]
    path = write(tmp_path / "a.npy", npy_bytes(header, DATA_16))
    with pytest.raises(pyembed.NpyError) as caught:
        pyembed.open_table(path)
    assert words in str(caught.value)
    assert caught.value.path == str(path)
    assert caught.value.offset is not None
    assert 10 <= caught.value.offset <= path.stat().st_size


@pytest.mark.parametrize("version", [(0, 9), (1, 1), (4, 0), (255, 255)])
def test_npy_refuses_version(tmp_path: Path, version: tuple[int, int]) -> None:
    path = write(tmp_path / "a.npy", npy_bytes(NPY_HEADER, DATA_16, version=version))
    with pytest.raises(pyembed.NpyError, match=r"version \d+\.\d+") as caught:
        pyembed.open_table(path)
    assert caught.value.offset == 6


@pytest.mark.parametrize("length", [1000, 0xFFFFFFFF])
def test_npy_refuses_header_length(tmp_path: Path, length: int) -> None:
    path = write(tmp_path / "a.npy", npy_bytes(NPY_HEADER, DATA_16, version=(2, 0), length=length))
    with pytest.raises(pyembed.NpyError, match="inside its header"):
        pyembed.open_table(path)


@pytest.mark.parametrize("descr", ["<V2", "|b1", "|u1", "<u4", "<c8", "|S3", "<U2", "<M8[ns]", "<f16"])
def test_npy_types_without_a_decoder(tmp_path: Path, descr: str) -> None:
    path = write(tmp_path / "a.npy", npy_bytes(npy_header(f"'{descr}'"), bytes(64)))
    with pytest.raises(pyembed.UnsupportedTypeError):
        pyembed.open_table(path)


def test_npy_every_prefix_is_refused(tmp_path: Path) -> None:
    check_every_prefix(tmp_path / "a.npy", npy_bytes(NPY_HEADER, DATA_16), None)


def test_npy_mutations_do_no_harm(tmp_path: Path) -> None:
    check_mutations(tmp_path / "a.npy", npy_bytes(NPY_HEADER, DATA_16), None)


# ---------------------------------------------------------------------------------------------- raw


@pytest.mark.parametrize("offset", [0, 1, 64])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "int16", "int32", "int64"])
def test_raw_rows_equal_numpy(tmp_path: Path, dtype: str, offset: int) -> None:
    array = random_array(np.dtype(dtype).newbyteorder("<").str, (5, 3))
    path = write(tmp_path / "a.bin", b"x" * offset + array.tobytes() + b"more")
    assert_same_bits(rows_of(path, shape=(5, 3), dtype=dtype, offset=offset), as_float32(array))


def test_raw_big_endian(tmp_path: Path) -> None:
    path = write(tmp_path / "a.bin", np.arange(6, dtype=">f4").tobytes())
    np.testing.assert_array_equal(rows_of(path, shape=(3, 2), dtype=">f4"), [[0, 1], [2, 3], [4, 5]])


def test_raw_bfloat16(tmp_path: Path) -> None:
    path = write(tmp_path / "a.bin", struct.pack("<4H", 0x3F80, 0x4000, 0xC040, 0x0000))
    np.testing.assert_array_equal(rows_of(path, shape=(2, 2), dtype="bfloat16"), [[1, 2], [-3, 0]])


@pytest.mark.parametrize(
    ("shape", "offset", "words"),
    [
        ((3, 4), 0, "which is 2 rows of 4 columns"),
        ((2, 4), 1, "has 31 from byte 1 on"),
        ((1, 1), 33, "raw_offset is 33"),
        ((1 << 31, 1 << 31), 0, "63 bits"),
        ((1 << 62, 1 << 62), 0, "63 bits"),
        ((2, 0), 0, "column"),
    ],
    ids=[
        "too many rows",
        "offset pushes rows out",
        "offset past the end",
        "size of 64 bits",
        "size that wraps",
        "no columns",
    ],
)
def test_raw_refuses(tmp_path: Path, shape: tuple[int, int], offset: int, words: str) -> None:
    path = write(tmp_path / "a.bin", bytes(32))
    with pytest.raises(ValueError, match=words):
        pyembed.open_table(path, shape=shape, dtype="float32", offset=offset)


# --------------------------------------------------------------------------------------- every kind


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"hello, world; this is no model", bytes(4096)],
    ids=["empty", "short", "text", "zeros"],
)
def test_a_file_of_no_known_kind(tmp_path: Path, data: bytes) -> None:
    path = write(tmp_path / "a.safetensors", data)
    with pytest.raises(pyembed.FormatError) as caught:
        pyembed.open_table(path)
    assert caught.value.path == str(path)
    assert caught.value.offset == 0


def test_exceptions_are_value_errors() -> None:
    for kind in (pyembed.SafetensorsError, pyembed.NpyError, pyembed.GGUFError):
        assert issubclass(kind, pyembed.FormatError)
    assert issubclass(pyembed.FormatError, ValueError)
