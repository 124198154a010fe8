"""The GGUF container: what is written is read, and what is damaged is refused with where it is damaged."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from pyembed.core.dtypes import TENSOR_TYPES
from tests.helpers.damaged_files import DAMAGED, entry, header
from tests.helpers.gguf_bytes import (
    ARRAY,
    BOOL,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    NUMBER_CODES,
    STRING,
    U8,
    U16,
    U32,
    U64,
    Array,
    GGUFBytes,
)

ROOT = Path(__file__).parents[2]
SCALARS: dict[int, list[Any]] = {
    U8: [0, 255],
    I8: [-128, 127],
    U16: [0, 65535],
    I16: [-32768, 32767],
    U32: [0, 2**32 - 1],
    I32: [-(2**31), 2**31 - 1],
    U64: [0, 2**64 - 1],
    I64: [-(2**63), 2**63 - 1],
    F32: [0.0, -1.5, float("inf")],
    F64: [0.1, -1e300],
    BOOL: [0, 1],
    STRING: ["", "text", "naïve ▁ 🦙", "with\0nul"],
}
LAYOUTS = [(version, big) for version in (1, 2, 3) for big in (False, True)]


@pytest.fixture(params=LAYOUTS, ids=lambda p: f"v{p[0]}-{'big' if p[1] else 'little'}")
def layout(request: pytest.FixtureRequest) -> dict[str, Any]:
    version, big_endian = request.param
    return {"version": version, "big_endian": big_endian}


def write(path: Path, builder: GGUFBytes | bytes) -> Path:
    path.write_bytes(bytes(builder))
    return path


def same(got: Any, expected: Any) -> bool:
    if isinstance(got, np.ndarray):
        return got.tolist() == list(expected)
    if isinstance(expected, list):
        return len(got) == len(expected) and all(map(same, got, expected))
    return type(got) is type(expected) and got == expected


# --------------------------------------------------------------------------------- what is written is read


@pytest.mark.parametrize("load_mode", ["mmap", "none"])
def test_every_value_type(layout: dict[str, Any], load_mode: str, tmp_path: Path) -> None:
    builder, expected = GGUFBytes(**layout), {}
    for kind, values in SCALARS.items():
        known = [bool(v) for v in values] if kind == BOOL else values
        for i, value in enumerate(values):
            builder.add(f"scalar.{kind}.{i}", kind, value)
            expected[f"scalar.{kind}.{i}"] = known[i]
        for name, elements in {"some": values, "none": [], "many": values * 40}.items():
            builder.add(f"array.{kind}.{name}", ARRAY, Array(kind, elements))
            expected[f"array.{kind}.{name}"] = [bool(v) for v in elements] if kind == BOOL else elements
    with pyembed.load_model(write(tmp_path / "m.gguf", builder), load_mode=load_mode) as model:
        assert list(model.metadata) == list(expected)
        for key, value in expected.items():
            assert same(model.metadata[key], value), key


def test_number_arrays_keep_their_dtype(layout: dict[str, Any], tmp_path: Path) -> None:
    builder = GGUFBytes(**layout)
    for kind in NUMBER_CODES:
        builder.add(f"k{kind}", ARRAY, Array(kind, [1, 0, 1]))
    with pyembed.load_model(write(tmp_path / "m.gguf", builder)) as model:
        for kind, code in NUMBER_CODES.items():
            array = model.metadata[f"k{kind}"]
            assert array.dtype == (np.bool_ if kind == BOOL else np.dtype(code))
            assert array.dtype.isnative


def test_arrays_of_arrays(layout: dict[str, Any], tmp_path: Path) -> None:
    nested = [
        Array(I32, [1, 2, 3]),
        Array(STRING, ["a", "", "c"]),
        Array(ARRAY, [Array(BOOL, [1, 0]), Array(U8, [])]),
    ]
    builder = GGUFBytes(**layout).add("nested", ARRAY, Array(ARRAY, nested)).add("after", U32, 7)
    with pyembed.load_model(write(tmp_path / "m.gguf", builder)) as model:
        numbers, texts, deeper = model.metadata["nested"]
        assert same(numbers, [1, 2, 3])
        assert list(texts) == ["a", "", "c"]
        assert same(deeper[0], [True, False])
        assert len(deeper[1]) == 0
        assert model.metadata["after"] == 7


def test_a_bool_that_is_neither_0_nor_1_is_true(tmp_path: Path) -> None:
    builder = GGUFBytes().add("b", BOOL, 2).add("a", ARRAY, Array(BOOL, [0, 2, 255]))
    with pyembed.load_model(write(tmp_path / "m.gguf", builder)) as model:
        assert model.metadata["b"] is True
        assert model.metadata["a"].tolist() == [False, True, True]


def test_strings_that_are_not_utf8_survive(tmp_path: Path) -> None:
    builder = (
        GGUFBytes().add(b"k\xff", STRING, b"\xfe\x80a").add("list", ARRAY, Array(STRING, [b"\xff", b"ok"]))
    )
    with pyembed.load_model(write(tmp_path / "m.gguf", builder)) as model:
        key = b"k\xff".decode("utf-8", "surrogateescape")
        assert model.metadata[key].encode("utf-8", "surrogateescape") == b"\xfe\x80a"
        assert model.metadata["list"][0].encode("utf-8", "surrogateescape") == b"\xff"


@pytest.mark.parametrize("alignment", [1, 2, 4, 8, 16, 24, 32, 40, 64, 4096])
def test_alignment(layout: dict[str, Any], alignment: int, tmp_path: Path) -> None:
    rows = np.arange(12, dtype=">f4" if layout["big_endian"] else "<f4").reshape(3, 4)
    builder = GGUFBytes(**layout, alignment=alignment).add("general.alignment", U32, alignment)
    builder.tensor("first", (3,), 24, b"\1\2\3").tensor("t", (3, 4), 0, rows.tobytes())
    with pyembed.open_table(write(tmp_path / "m.gguf", builder), tensor="t") as table:
        np.testing.assert_array_equal(table[[2, 0, 1]], rows[[2, 0, 1]])


def test_tensor_facts(layout: dict[str, Any], tmp_path: Path) -> None:
    builder = GGUFBytes(**layout)
    builder.tensor("scalar", (), 0, b"\0" * 4).tensor("one", (5,), 30, b"\0" * 10).tensor(
        "", (2, 3, 4, 256), 12, bytes(3456)
    )
    path = write(tmp_path / "m.gguf", builder)
    with pyembed.load_model(path) as model:
        assert list(model.tensors) == ["scalar", "one", ""]
        facts = {name: (info.shape, info.type, info.n_bytes) for name, info in model.tensors.items()}
        assert facts == {
            "scalar": ((), "F32", 4),
            "one": ((5,), "BF16", 10),
            "": ((2, 3, 4, 256), "Q4_K", 3456),
        }
        data = -(-len(builder.header()) // 32) * 32
        assert [info.offset for info in model.tensors.values()] == [data, data + 32, data + 64]
        assert {info.path for info in model.tensors.values()} == {str(path)}


@pytest.mark.parametrize("kind", [4, 5, 31, 36, 43, 99, 2**31 - 1, -1, -(2**31)])
def test_an_unknown_type_matters_only_to_its_reader(kind: int, tmp_path: Path) -> None:
    builder = GGUFBytes().tensor("odd", (3, 32), kind, b"\0" * 7).tensor("t", (2, 2), 0, bytes(16))
    with pyembed.load_model(write(tmp_path / "m.gguf", builder)) as model:
        assert model.tensors["odd"].n_bytes is None
        assert model.open_table("t").shape == (2, 2)
        with pytest.raises(pyembed.UnsupportedTypeError, match="odd"):
            model.open_table("odd")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (36, "I2_S of ik_llama.cpp"),
        (133, "Q6_0 of ik_llama.cpp"),
        (139, "IQ4_K of ik_llama.cpp"),
        (142, "IQ2_TN of an old ik_llama.cpp, or PQ2_0 of PrismML's llama.cpp"),
        (158, "IQ1_KT of ik_llama.cpp"),
        (202, "Q4_0_R8 of ik_llama.cpp"),
        (399, "Q8_K_R8 of ik_llama.cpp"),
    ],
)
def test_types_of_forks_have_names(kind: int, name: str, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(bytes(GGUFBytes().tensor("t", (1, 32), kind, bytes(32))))
    with pyembed.load_model(path, validate="off") as model:
        assert model.tensors["t"].type == f"type {kind} ({name})"
        with pytest.raises(pyembed.UnsupportedTypeError) as raised:
            model.open_table("t")
    said = f"tensor 't' is of type {kind} ({name}), which cannot be decoded"
    assert str(raised.value) == f"{path}: {said}"
    assert said in [finding.message for finding in pyembed.validate(path).findings]


def test_no_type_is_both_of_a_fork_and_decoded() -> None:
    rows = (ROOT / "csrc/base/foreign_types.def").read_text("utf-8")
    of_forks = [int(number) for number in re.findall(r"^PYE_FOREIGN_TYPE\((\d+),", rows, re.M)]
    assert len(of_forks) == rows.count("PYE_FOREIGN_TYPE(") - 1, "the comment has one more"
    assert sorted(set(of_forks)) == of_forks
    assert not set(of_forks) & set(TENSOR_TYPES)


def test_what_llama_cpp_refuses_and_the_format_allows(tmp_path: Path) -> None:
    rows = np.arange(8, dtype="<f4")
    builder = GGUFBytes().add("a" * 70_000, U8, 1)
    builder.tensor("n" * 200, (2, 2), 0, rows.tobytes())  # a long name
    builder.tensor("gap", (2, 2), 0, b"", offset=4)  # overlapping the first, misaligned
    path = write(tmp_path / "m.gguf", bytes(builder) + b"trailing bytes")
    with pyembed.load_model(path, validate="off") as model:
        np.testing.assert_array_equal(model.open_table("gap")[[0, 1]], rows[1:5].reshape(2, 2))
        assert model.metadata["a" * 70_000] == 1


def test_gguf_writer_agrees(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf", reason="gguf-py is not installed")
    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint8("u8", 200)
    writer.add_int8("i8", -100)
    writer.add_uint16("u16", 60_000)
    writer.add_int16("i16", -30_000)
    writer.add_uint32("u32", 4_000_000_000)
    writer.add_int32("i32", -2_000_000_000)
    writer.add_uint64("u64", 2**63)
    writer.add_int64("i64", -(2**62))
    writer.add_float32("f32", 0.25)
    writer.add_float64("f64", 1e-200)
    writer.add_bool("bool", True)
    writer.add_string("string", "naïve")
    writer.add_array("ints", [1, -2, 3])
    writer.add_array("strings", ["a", "", "ü"])
    rows = np.random.default_rng(0).standard_normal((5, 64)).astype(np.float32)
    writer.add_tensor("f32.weight", rows)
    writer.add_tensor("f16.weight", rows.astype(np.float16))
    quantised = gguf.quants.quantize(rows, gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("q8.weight", quantised, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    reader = gguf.GGUFReader(path)
    with pyembed.load_model(path) as model:
        for key, field in reader.fields.items():
            if not key.startswith("GGUF."):
                got = model.metadata[key]
                assert (
                    got if isinstance(got, str | bool | int | float) else list(got)
                ) == field.contents(), key
        for tensor in reader.tensors:
            info = model.tensors[tensor.name]
            assert (info.shape, info.offset, info.n_bytes) == (
                tuple(map(int, reversed(tensor.shape))),
                tensor.data_offset,
                tensor.n_bytes,
            )
            expected = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            np.testing.assert_array_equal(model.open_table(tensor.name)[range(5)], expected)


# ------------------------------------------------------------------------------ what is damaged is refused


def complete_file(**layout: Any) -> bytes:
    builder = GGUFBytes(**layout).add("general.architecture", STRING, "llama").add("n", U64, 1)
    builder.add("tokens", ARRAY, Array(STRING, ["a", "bc"])).add(
        "nested", ARRAY, Array(ARRAY, [Array(I32, [1])])
    )
    return bytes(builder.tensor("one", (2, 3), 1, bytes(12)).tensor("two", (1, 32), 2, bytes(18)))


@pytest.mark.parametrize("load_mode", ["mmap", "none"])
def test_every_prefix_is_an_error_with_an_offset(
    layout: dict[str, Any], load_mode: str, tmp_path: Path
) -> None:
    whole = complete_file(**layout)
    path = tmp_path / "m.gguf"
    for n in range(1, len(whole)):
        path.write_bytes(whole[:n])
        with pytest.raises(pyembed.GGUFError) as caught:
            pyembed.load_model(path, load_mode=load_mode)
        assert caught.value.offset is not None, n
        assert 0 <= caught.value.offset <= n, n
        assert caught.value.path == str(path)
    path.write_bytes(whole)
    pyembed.load_model(path, load_mode=load_mode).close()


@pytest.mark.parametrize("load_mode", ["mmap", "none"])
@pytest.mark.parametrize("name", DAMAGED)
def test_damaged(name: str, load_mode: str, tmp_path: Path) -> None:
    content, offset, words = DAMAGED[name]
    path = write(tmp_path / "m.gguf", content)
    with pytest.raises(pyembed.GGUFError, match=words) as caught:
        pyembed.load_model(path, load_mode=load_mode)
    assert caught.value.offset == offset
    assert str(path) in str(caught.value)


def test_nesting_has_a_bound(tmp_path: Path) -> None:
    def nested(depth: int) -> bytes:
        return entry(b"k", 9, struct.pack("<iQ", 9, 1) * depth + struct.pack("<iQ", 4, 0))

    pyembed.load_model(write(tmp_path / "ok.gguf", header(0, 1, rest=nested(60)))).close()
    with pytest.raises(pyembed.GGUFError, match="nest more than"):
        pyembed.load_model(write(tmp_path / "deep.gguf", header(0, 1, rest=nested(100_000))))


@pytest.mark.parametrize(
    "kind",
    [
        "empty",
        "directory",
        "missing",
        *(pytest.param(kind, marks=pytest.mark.posix) for kind in ("pipe", "unreadable")),
    ],
)
def test_no_file_at_all(kind: str, tmp_path: Path) -> None:
    import os

    path = tmp_path / "m.gguf"
    expected: type[Exception] = pyembed.FormatError
    if kind == "empty":
        path.touch()
    elif kind == "directory":
        path.mkdir()
        expected = IsADirectoryError
    elif kind == "missing":
        expected = FileNotFoundError
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(complete_file())
        path.chmod(0)
        expected = PermissionError
        if os.geteuid() == 0:
            pytest.skip("root may read everything")
    with pytest.raises(expected, match=r"m\.gguf"):
        pyembed.load_model(path)
