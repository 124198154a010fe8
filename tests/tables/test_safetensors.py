"""Tables of safetensors files and sets of them: the rows they give, and what they refuse."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

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

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1"}
F32_2X2 = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}


def safetensors_bytes(header: Any, data: bytes = b"", *, length: int | None = None) -> bytes:
    """Return a file with this header, an object or its text; `length` overrides the one in front."""
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dtype", DTYPES)
def test_safetensors_rows_equal_numpy(tmp_path: Path, dtype: str, seed: int) -> None:
    shape = (5 + seed, 7, 3)[: 2 + seed % 2]
    array = random_array(DTYPES[dtype], shape, seed)
    entry = {"dtype": dtype, "shape": shape, "data_offsets": [0, array.nbytes]}
    path = write(tmp_path / "a.safetensors", safetensors_bytes({"w": entry}, array.tobytes()))
    assert_same_bits(rows_of(path, "w"), as_float32(array))
    with pyembed.open_table(path, tensor="w") as table:
        assert table.shape == (int(np.prod(shape[:-1])), shape[-1])
        assert table.type == dtype
        assert table.n_bytes == array.nbytes


def test_safetensors_bfloat16(tmp_path: Path) -> None:
    bits = np.arange(0, 0x7F80, 37, dtype="<u2")[:800].reshape(100, 8)
    entry = {"dtype": "BF16", "shape": [100, 8], "data_offsets": [0, 1600]}
    path = write(tmp_path / "a.safetensors", safetensors_bytes({"w": entry}, bits.tobytes()))
    assert_same_bits(rows_of(path, "w"), (bits.astype(np.uint32) << 16).view(np.float32))


SAFETENSORS_ACCEPTED = {
    "padding": b'{"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}   \n',
    "any order of fields": b'{"w":{"data_offsets":[0,16],"shape":[2,2],"dtype":"F32"}}',
    "white space": b'{ "w"\t: {\r\n"dtype" : "F32" , "shape":[ 2 , 2 ],"data_offsets":[0 ,16 ] } }',
    "metadata": b'{"__metadata__":{"format":"pt","":"\\u20ac"},"w":{'
    b'"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}',
    "empty metadata": b'{"__metadata__":{},"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}',
    "escapes": b'{"\\u0077":{"\\u0064type":"F\\u00332","shape":[2,2],"data_offsets":[0,16]}}',
    "folded dimensions": b'{"w":{"dtype":"F32","shape":[1,1,2,1,1,2],"data_offsets":[0,16]}}',
    "an empty tensor": b'{"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},'
    b'"e":{"dtype":"F32","shape":[0,9],"data_offsets":[16,16]}}',
    "an empty tensor in front": b'{"e":{"dtype":"I8","shape":[9,0],"data_offsets":[0,0]},'
    b'"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}',
}


@pytest.mark.parametrize("name", SAFETENSORS_ACCEPTED)
def test_safetensors_header_is_accepted(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.safetensors", safetensors_bytes(SAFETENSORS_ACCEPTED[name], DATA_16))
    np.testing.assert_array_equal(rows_of(path, "w"), [[0, 1], [2, 3]])


def test_safetensors_names_are_unescaped(tmp_path: Path) -> None:
    header = (
        b'{"\\"\\\\\\/\\b\\f\\n\\r\\t\\ud83d\\ude00\\u20ac\\u00e9":'
        b'{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}'
    )
    path = write(tmp_path / "a.safetensors", safetensors_bytes(header, DATA_16))
    np.testing.assert_array_equal(rows_of(path, '"\\/\b\f\n\r\t\U0001f600\u20ac\u00e9'), [[0, 1], [2, 3]])


def test_safetensors_tensors_lie_where_they_say(tmp_path: Path) -> None:
    first, second = random_array("<f4", (3, 4), 1), random_array("<i2", (5, 2), 2)
    header = {
        "second": {"dtype": "I16", "shape": [5, 2], "data_offsets": [48, 68]},
        "first": {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, 48]},
    }
    path = write(tmp_path / "a.safetensors", safetensors_bytes(header, first.tobytes() + second.tobytes()))
    assert_same_bits(rows_of(path, "first"), first)
    assert_same_bits(rows_of(path, "second"), as_float32(second))


@pytest.mark.parametrize(
    ("dtype", "shape", "n_bytes"),
    [
        ("U8", [3], 3),
        ("BOOL", [3], 3),
        ("U64", [3], 24),
        ("F8_E8M0", [2, 2], 4),
        ("F4", [2, 3], 3),
        ("C64", [2], 16),
        ("NEW", [7], 3),
    ],
)
def test_safetensors_types_without_a_decoder_spare_the_rest(
    tmp_path: Path, dtype: str, shape: list[int], n_bytes: int
) -> None:
    header = {"w": F32_2X2, "other": {"dtype": dtype, "shape": shape, "data_offsets": [16, 16 + n_bytes]}}
    path = write(tmp_path / "a.safetensors", safetensors_bytes(header, DATA_16 + bytes(n_bytes)))
    np.testing.assert_array_equal(rows_of(path, "w"), [[0, 1], [2, 3]])
    with pytest.raises(pyembed.UnsupportedTypeError):
        pyembed.open_table(path, tensor="other")


def test_unknown_tensor_names_the_nearest(tmp_path: Path) -> None:
    header = {"model.embed_tokens.weight": F32_2X2}
    path = write(tmp_path / "a.safetensors", safetensors_bytes(header, DATA_16))
    with pytest.raises(KeyError) as caught:
        pyembed.open_table(path, tensor="model.embed_token.weight")
    assert "model.embed_tokens.weight" in str(caught.value)


def test_scalar_is_no_table(tmp_path: Path) -> None:
    entry = {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}
    path = write(tmp_path / "a.safetensors", safetensors_bytes({"w": entry}, bytes(4)))
    with pytest.raises(ValueError, match="w"):
        pyembed.open_table(path, tensor="w")


def entry_bytes(fields: str) -> bytes:
    return b'{"w":{' + fields.encode() + b"}}"


DTYPE, SHAPE, OFFSETS = '"dtype":"F32"', '"shape":[2,2]', '"data_offsets":[0,16]'
ENTRY = f"{DTYPE},{SHAPE},{OFFSETS}"

# Of each: the header, and words of the message. The data are 16 bytes.
SAFETENSORS_REFUSED: dict[str, tuple[Any, str]] = {
    "no object": (b'["w"]', "not a model file"),
    "space in front": (b" {}", "not a model file"),
    "no end": (b'{"w":{' + ENTRY.encode() + b"}", "comma or the end"),
    "more after the end": (b'{"w":{' + ENTRY.encode() + b"}}{}", "unexpected text"),
    "trailing comma": (entry_bytes(ENTRY + ","), "string was expected"),
    "no comma": (entry_bytes(f"{DTYPE} {SHAPE},{OFFSETS}"), "comma"),
    "no colon": (entry_bytes('"dtype" "F32"'), "colon"),
    "entry is a list": ({"w": [1]}, "object was expected"),
    "missing dtype": (entry_bytes(f"{SHAPE},{OFFSETS}"), '"dtype" is missing'),
    "missing shape": (entry_bytes(f"{DTYPE},{OFFSETS}"), '"shape" is missing'),
    "missing data_offsets": (entry_bytes(f"{DTYPE},{SHAPE}"), '"data_offsets" is missing'),
    "dtype twice": (entry_bytes(f"{DTYPE},{ENTRY}"), '"dtype" occurs twice'),
    "shape twice": (entry_bytes(f"{SHAPE},{ENTRY}"), '"shape" occurs twice'),
    "data_offsets twice": (entry_bytes(f"{OFFSETS},{ENTRY}"), '"data_offsets" occurs twice'),
    "unknown field": (entry_bytes(f'{ENTRY},"strides":[1]'), "'strides' is not part of the format"),
    "dtype is a number": (entry_bytes(f'"dtype":1,{SHAPE},{OFFSETS}'), "string was expected"),
    "shape is a number": (entry_bytes(f'{DTYPE},"shape":4,{OFFSETS}'), "array was expected"),
    "negative dimension": (entry_bytes(f'{DTYPE},"shape":[-2,-2],{OFFSETS}'), "non-negative integer"),
    "fractional dimension": (entry_bytes(f'{DTYPE},"shape":[2.0,2],{OFFSETS}'), "non-negative integer"),
    "dimension with exponent": (entry_bytes(f'{DTYPE},"shape":[4e0],{OFFSETS}'), "non-negative integer"),
    "dimension with leading zero": (entry_bytes(f'{DTYPE},"shape":[04],{OFFSETS}'), "non-negative integer"),
    "dimension of 65 bits": (entry_bytes(f'{DTYPE},"shape":[18446744073709551616],{OFFSETS}'), "64 bits"),
    "size of 65 bits": (entry_bytes(f'{DTYPE},"shape":[4294967296,4294967296],{OFFSETS}'), "63 bits"),
    "size that wraps to 16": (entry_bytes(f'{DTYPE},"shape":[4611686018427387908],{OFFSETS}'), "63 bits"),
    "huge empty size": (
        entry_bytes(f'{DTYPE},"shape":[0,4611686018427387904,4],"data_offsets":[0,0]'),
        "63 bits",
    ),
    "folded dimension of 65 bits": (
        entry_bytes(f'{DTYPE},"shape":[4294967296,4294967296,1,1,1],{OFFSETS}'),
        "64 bits",
    ),
    "one offset": (entry_bytes(f'{DTYPE},{SHAPE},"data_offsets":[16]'), "instead of two"),
    "three offsets": (entry_bytes(f'{DTYPE},{SHAPE},"data_offsets":[0,16,16]'), "more than two"),
    "end before begin": (entry_bytes(f'{DTYPE},{SHAPE},"data_offsets":[16,0]'), "end before"),
    "end past the file": (entry_bytes(f'{DTYPE},"shape":[2,3],"data_offsets":[0,24]'), "end at 24 of 16"),
    "end that wraps": (
        entry_bytes(f'{DTYPE},{SHAPE},"data_offsets":[0,18446744073709551615]'),
        "of 16 bytes",
    ),
    "shape too small": (entry_bytes(f'{DTYPE},"shape":[3],{OFFSETS}'), "96 bits"),
    "half a byte": (entry_bytes(f'"dtype":"F4","shape":[31],{OFFSETS}'), "124 bits"),
    "name twice": (
        b'{"w":{' + ENTRY.encode() + b'},"w":{"dtype":"I8","shape":[0],"data_offsets":[0,0]}}',
        "named 'w'",
    ),
    "name twice by escape": (
        b'{"w":{' + ENTRY.encode() + b'},"\\u0077":{"dtype":"I8","shape":[0],"data_offsets":[0,0]}}',
        "named 'w'",
    ),
    "hole in front": (
        {"w": {"dtype": "F32", "shape": [3], "data_offsets": [4, 16]}},
        "4 bytes of data before",
    ),
    "hole between": (
        {
            "v": {"dtype": "I8", "shape": [7], "data_offsets": [0, 7]},
            "w": {"dtype": "I8", "shape": [8], "data_offsets": [8, 16]},
        },
        "1 bytes of data before tensor 'w'",
    ),
    "hole behind": ({"w": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}}, "last 4 bytes"),
    "no tensor for the data": ({}, "last 16 bytes"),
    "overlap": (
        {"v": F32_2X2, "w": {"dtype": "F32", "shape": [3], "data_offsets": [4, 16]}},
        "begins inside tensor",
    ),
    "same place twice": ({"v": F32_2X2, "w": F32_2X2}, "begins inside tensor"),
    "metadata is a list": ({"__metadata__": [], "w": F32_2X2}, "object was expected"),
    "metadata holds a number": ({"__metadata__": {"a": 1}, "w": F32_2X2}, "string was expected"),
    "metadata twice": (
        b'{"__metadata__":{},"__metadata__":{},"w":{' + ENTRY.encode() + b"}}",
        "occurs twice",
    ),
    "raw control character": (b'{"w\n":{' + ENTRY.encode() + b"}}", "control character"),
    "unknown escape": (b'{"\\x":{' + ENTRY.encode() + b"}}", "unknown escape"),
    "cut escape": (b'{"\\u00":{' + ENTRY.encode() + b"}}", "four hexadecimal digits"),
    "high surrogate alone": (b'{"\\ud83d":{' + ENTRY.encode() + b"}}", "surrogate"),
    "low surrogate alone": (b'{"\\ude00":{' + ENTRY.encode() + b"}}", "surrogate"),
    "surrogates swapped": (b'{"\\ude00\\ud83d":{' + ENTRY.encode() + b"}}", "surrogate"),
    "lone UTF-8 continuation": (b'{"\x80":{' + ENTRY.encode() + b"}}", "UTF-8"),
    "overlong UTF-8": (b'{"\xc0\xaf":{' + ENTRY.encode() + b"}}", "UTF-8"),
    "surrogate in UTF-8": (b'{"\xed\xa0\x80":{' + ENTRY.encode() + b"}}", "UTF-8"),
    "UTF-8 above U+10FFFF": (b'{"\xf4\x90\x80\x80":{' + ENTRY.encode() + b"}}", "UTF-8"),
    "entry in an entry": (b'{"w":' * 40, "not part of the format"),
}


@pytest.mark.parametrize("name", SAFETENSORS_REFUSED)
def test_safetensors_refuses(tmp_path: Path, name: str) -> None:
    header, words = SAFETENSORS_REFUSED[name]
    path = write(tmp_path / "a.safetensors", safetensors_bytes(header, DATA_16))
    with pytest.raises(pyembed.FormatError) as caught:
        pyembed.open_table(path, tensor="w")
    error = caught.value
    assert words in str(error)
    assert isinstance(error, pyembed.SafetensorsError) == (words != "not a model file")
    assert error.path == str(path)
    assert error.offset is not None
    assert 0 <= error.offset <= path.stat().st_size


def test_safetensors_error_names_tensor_and_offset(tmp_path: Path) -> None:
    header = (
        b'{"v":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},'
        b'"bad one":{"dtype":"F32","shape":[5],"data_offsets":[1,16]}}'
    )
    path = write(tmp_path / "a.safetensors", safetensors_bytes(header, DATA_16))
    with pytest.raises(pyembed.SafetensorsError, match="tensor 'bad one'") as caught:
        pyembed.open_table(path, tensor="v")
    assert caught.value.offset == 8 + header.index(b'"bad one"')


@pytest.mark.parametrize("length", [59, 100_000_001, 1 << 40, (1 << 63) - 8, (1 << 64) - 1, (1 << 64) - 8])
def test_safetensors_refuses_header_length(tmp_path: Path, length: int) -> None:
    path = write(tmp_path / "a.safetensors", safetensors_bytes({"w": F32_2X2}, b"", length=length))
    with pytest.raises(pyembed.SafetensorsError) as caught:
        pyembed.open_table(path, tensor="w")
    assert caught.value.offset == 0


def test_safetensors_refuses_header_above_the_bound(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 100_000_001) + b"{")
        file.truncate(100_000_100)
    with pytest.raises(pyembed.SafetensorsError, match="allows 100000000"):
        pyembed.open_table(path, tensor="w")


def test_safetensors_every_prefix_is_refused(tmp_path: Path) -> None:
    check_every_prefix(tmp_path / "a.safetensors", safetensors_bytes({"w": F32_2X2}, DATA_16), "w")


def test_safetensors_mutations_do_no_harm(tmp_path: Path) -> None:
    data = safetensors_bytes({"__metadata__": {"a": "b"}, "w": F32_2X2}, DATA_16)
    check_mutations(tmp_path / "a.safetensors", data, "w")


def test_safetensors_agrees_with_the_reference(tmp_path: Path) -> None:
    oracle = pytest.importorskip("safetensors.numpy")
    oracle_error = pytest.importorskip("safetensors").SafetensorError
    arrays = {f"t{i}": random_array(code, (4, 3 + i), i) for i, code in enumerate(DTYPES.values())}
    path = tmp_path / "a.safetensors"
    oracle.save_file(arrays, path, metadata={"format": "np"})
    for name, array in oracle.load_file(path).items():
        assert_same_bits(rows_of(path, name), as_float32(array))
    accepted_there = {"space in front", "unknown field"}
    for name, (header, _) in SAFETENSORS_REFUSED.items():
        if name not in accepted_there:
            with pytest.raises(oracle_error):
                oracle.load(safetensors_bytes(header, DATA_16))


# --------------------------------------------------------------------------------- safetensors sets

PART = safetensors_bytes({"w": F32_2X2}, DATA_16)
OTHER_PART = safetensors_bytes(
    {"v": {"dtype": "I8", "shape": [1, 3], "data_offsets": [0, 3]}}, bytes([1, 2, 255])
)
WEIGHT_MAP = {"w": "part-1.safetensors", "v": "part-2.safetensors"}


def write_set(folder: Path, index: Any) -> Path:
    write(folder / "part-1.safetensors", PART)
    write(folder / "part-2.safetensors", OTHER_PART)
    text = index if isinstance(index, bytes) else json.dumps(index).encode()
    return write(folder / "model.safetensors.index.json", text)


@pytest.mark.parametrize("through", ["index", "directory"])
def test_set_gives_the_rows_of_every_file(tmp_path: Path, through: str) -> None:
    index = write_set(
        tmp_path, {"metadata": {"total_size": 19, "other": [None, 1.5, {}]}, "weight_map": WEIGHT_MAP}
    )
    path = index if through == "index" else tmp_path
    np.testing.assert_array_equal(rows_of(path, "w"), [[0, 1], [2, 3]])
    np.testing.assert_array_equal(rows_of(path, "v"), [[1, 2, -1]])


@pytest.mark.posix
def test_set_of_links(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshot"
    blobs.mkdir()
    snapshot.mkdir()
    write_set(blobs, {"weight_map": WEIGHT_MAP})
    for name in ["part-1.safetensors", "part-2.safetensors", "model.safetensors.index.json"]:
        (snapshot / name).symlink_to(Path("..") / "blobs" / name)
    np.testing.assert_array_equal(rows_of(snapshot, "v"), [[1, 2, -1]])


SETS_REFUSED: dict[str, tuple[Any, str]] = {
    "no JSON": (b"hello", "object was expected"),
    "no weight_map": ({"metadata": {}}, 'no "weight_map"'),
    "empty weight_map": ({"weight_map": {}}, "is empty"),
    "weight_map twice": (b'{"weight_map":{"w":"part-1.safetensors"},"weight_map":{}}', "occurs twice"),
    "deep nesting": (b'{"metadata":' + b"[" * 1000 + b"]" * 1000 + b"}", "nested too deeply"),
    "file is a number": ({"weight_map": {"w": 1}}, "string was expected"),
    "parent directory": (
        {"weight_map": {**WEIGHT_MAP, "v": "../part-2.safetensors"}},
        "not the name of a file",
    ),
    "absolute path": ({"weight_map": {**WEIGHT_MAP, "v": "/part-2.safetensors"}}, "not the name of a file"),
    "subdirectory": ({"weight_map": {**WEIGHT_MAP, "v": "a/part-2.safetensors"}}, "not the name of a file"),
    "dot": ({"weight_map": {**WEIGHT_MAP, "v": "."}}, "not the name of a file"),
    "two dots": ({"weight_map": {**WEIGHT_MAP, "v": ".."}}, "not the name of a file"),
    "empty name": ({"weight_map": {**WEIGHT_MAP, "v": ""}}, "not the name of a file"),
    "name with NUL": ({"weight_map": {**WEIGHT_MAP, "v": "part-2.safetensors\0"}}, "not the name of a file"),
    "slash by escape": (b'{"weight_map":{"w":"a\\u002fb"}}', "not the name of a file"),
    "unlisted tensor": (
        {"weight_map": {"w": "part-1.safetensors", "x": "part-2.safetensors"}},
        "'v' of 'part-2.safetensors' is not listed",
    ),
    "absent tensor": (
        {"weight_map": {**WEIGHT_MAP, "x": "part-1.safetensors"}},
        "'part-1.safetensors' holds no tensor 'x'",
    ),
    "wrong file": (
        {"weight_map": {"w": "part-2.safetensors", "v": "part-1.safetensors"}},
        "but is in 'part-2.safetensors'",
    ),
    "tensor twice": (
        b'{"weight_map":{"v":"part-2.safetensors","v":"part-2.safetensors","w":"part-1.safetensors"}}',
        "listed twice",
    ),
}


@pytest.mark.parametrize("name", SETS_REFUSED)
def test_set_refuses(tmp_path: Path, name: str) -> None:
    index, words = SETS_REFUSED[name]
    path = write_set(tmp_path, index)
    with pytest.raises(pyembed.SafetensorsError, match=r"'model\.safetensors\.index\.json'") as caught:
        pyembed.open_table(path, tensor="w")
    assert words in str(caught.value)
    assert caught.value.path == str(path)


def test_set_names_the_damaged_file(tmp_path: Path) -> None:
    path = write_set(tmp_path, {"weight_map": WEIGHT_MAP})
    write(tmp_path / "part-2.safetensors", OTHER_PART[:-1])
    with pytest.raises(pyembed.SafetensorsError, match=r"part-2\.safetensors.*tensor 'v'"):
        pyembed.open_table(path, tensor="w")


def test_set_refuses_the_same_tensor_in_two_files(tmp_path: Path) -> None:
    path = write_set(tmp_path, {"weight_map": WEIGHT_MAP})
    write(tmp_path / "part-2.safetensors", PART)
    with pytest.raises(pyembed.SafetensorsError, match="two tensors are named 'w'"):
        pyembed.open_table(path, tensor="w")


def test_set_without_one_of_its_files(tmp_path: Path) -> None:
    path = write_set(tmp_path, {"weight_map": WEIGHT_MAP})
    (tmp_path / "part-2.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"part-2\.safetensors"):
        pyembed.open_table(path, tensor="w")


def test_set_every_prefix_of_the_index_is_refused(tmp_path: Path) -> None:
    path = write_set(tmp_path, {"weight_map": WEIGHT_MAP})
    check_every_prefix(path, path.read_bytes(), "w")


@pytest.mark.parametrize(
    "names", [["model.safetensors", "other.safetensors"], ["only.safetensors", "notes.txt"]]
)
def test_directory_with_one_candidate(tmp_path: Path, names: list[str]) -> None:
    write(tmp_path / names[0], PART)
    write(tmp_path / names[1], OTHER_PART)
    np.testing.assert_array_equal(rows_of(tmp_path, "w"), [[0, 1], [2, 3]])


@pytest.mark.parametrize("names", [[], ["a.safetensors", "b.safetensors"], ["a.bin"]])
def test_directory_without_one_candidate(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        write(tmp_path / name, PART)
    with pytest.raises(pyembed.FormatError, match=r"model\.safetensors\.index\.json.*model\.safetensors"):
        pyembed.open_table(tmp_path, tensor="w")
