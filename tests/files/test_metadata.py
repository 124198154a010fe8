"""The metadata mapping: every kind of value, arrays read when touched, and overrides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pyembed
from tests.helpers import gguf_bytes as gb

SCALARS = {
    "u8": (gb.U8, 255),
    "i8": (gb.I8, -128),
    "u16": (gb.U16, 65535),
    "i16": (gb.I16, -32768),
    "u32": (gb.U32, 2**32 - 1),
    "i32": (gb.I32, -(2**31)),
    "u64": (gb.U64, 2**64 - 1),
    "i64": (gb.I64, -(2**63)),
    "f32": (gb.F32, 0.5),
    "f64": (gb.F64, 1e300),
    "true": (gb.BOOL, True),
    "false": (gb.BOOL, False),
    "text": (gb.STRING, "häßlich\n"),
    "empty": (gb.STRING, ""),
}
NUMBER_ARRAYS = {
    "a.u8": (gb.U8, np.uint8, [0, 255]),
    "a.i8": (gb.I8, np.int8, [-128, 127]),
    "a.u16": (gb.U16, np.uint16, [1, 65535]),
    "a.i16": (gb.I16, np.int16, [-32768, 2]),
    "a.u32": (gb.U32, np.uint32, [1, 2**32 - 1]),
    "a.i32": (gb.I32, np.int32, [-(2**31), 3]),
    "a.u64": (gb.U64, np.uint64, [2**64 - 1]),
    "a.i64": (gb.I64, np.int64, [-(2**63), 1]),
    "a.f32": (gb.F32, np.float32, [0.5, -0.25, 3.0]),
    "a.f64": (gb.F64, np.float64, [1e300, -1.5]),
    "a.bool": (gb.BOOL, np.bool_, [True, False, True]),
    "a.none": (gb.F32, np.float32, []),
}
WORDS = [f"word {i}" for i in range(10_000)]


def build(*, big_endian: bool = False, version: int = 3) -> gb.GGUFBytes:
    file = gb.GGUFBytes(big_endian=big_endian, version=version)
    file.add("general.architecture", gb.STRING, "test")
    for key, (kind, value) in SCALARS.items():
        file.add(key, kind, value)
    for key, (kind, _, values) in NUMBER_ARRAYS.items():
        file.add(key, gb.ARRAY, gb.Array(kind, values))
    file.add("words", gb.ARRAY, gb.Array(gb.STRING, WORDS))
    file.add("bytes", gb.ARRAY, gb.Array(gb.STRING, [b"ok", b"\xff\xfe", b"a\0b", b""]))
    nested = gb.Array(
        gb.ARRAY,
        [
            gb.Array(gb.I32, [1, 2]),
            gb.Array(gb.STRING, ["x", "y"]),
            gb.Array(gb.ARRAY, [gb.Array(gb.U8, [7])]),
        ],
    )
    return file.add("nested", gb.ARRAY, nested)


@pytest.fixture(
    params=[(3, False), (3, True), (2, False), (1, False)], ids=["v3", "v3-big-endian", "v2", "v1"]
)
def model(request: pytest.FixtureRequest, tmp_path: Path):
    version, big_endian = request.param
    path = tmp_path / "model.gguf"
    path.write_bytes(bytes(build(big_endian=big_endian, version=version)))
    with pyembed.load_model(path) as model:
        yield model


def overridden(tmp_path: Path, **overrides: object) -> pyembed.Metadata:
    path = tmp_path / "model.gguf"
    path.write_bytes(bytes(build()))
    return pyembed.load_model(path, kv_overrides=overrides).metadata  # type: ignore[arg-type]


def test_scalars(model: pyembed.Model) -> None:
    for key, (_, value) in SCALARS.items():
        assert model.metadata[key] == value
        assert type(model.metadata[key]) is type(value)


def test_number_arrays_come_in_this_machines_order(model: pyembed.Model) -> None:
    for key, (_, dtype, values) in NUMBER_ARRAYS.items():
        array = model.metadata[key]
        assert array.dtype == np.dtype(dtype)
        assert array.dtype.isnative
        assert array.tolist() == values
        assert not array.flags.writeable
        assert model.metadata[key] is array, "decoded once"


def test_string_array(model: pyembed.Model) -> None:
    words = model.metadata["words"]
    assert isinstance(words, pyembed.StringArray)
    assert len(words) == len(WORDS)
    assert (words[0], words[-1], words[np.int64(5000)]) == (WORDS[0], WORDS[-1], WORDS[5000])
    assert words[4090:4100] == WORDS[4090:4100]
    assert words[::-3000] == WORDS[::-3000]
    assert words[5:5] == []
    assert list(words) == WORDS
    assert words == WORDS
    assert words == tuple(WORDS)
    assert words != WORDS[:-1]
    assert words != [*WORDS[:-1], "other"]
    assert words != "word"
    assert "word 9999" in words
    assert "word" not in words
    assert words.index("word 17") == 17
    with pytest.raises(IndexError):
        words[len(WORDS)]
    with pytest.raises(TypeError):
        words[0] = "x"  # type: ignore[index]
    with pytest.raises(TypeError):
        hash(words)
    assert "10000 strings" in repr(words)


@pytest.mark.parametrize("other", [(3, False), (2, False), (1, False), (3, True)])
def test_string_arrays_of_two_files(other: tuple[int, bool], tmp_path: Path) -> None:
    """They are compared byte by byte where both files spell lengths alike, else string by string."""
    layouts = {"here": (3, False), "there": other}
    big = "x" * (3 << 20)
    arrays = {
        "words": WORDS,
        "changed": [*WORDS[:-1], "word 999x"],
        "shorter": WORDS[:-1],
        "cut elsewhere": ["ab", "c", big],
        "of the same bytes": ["a", "bc", big],
        "large, and other in the last byte": ["ab", "c", big[:-1] + "y"],
        "none": [],
    }
    for name, (version, big_endian) in layouts.items():
        file = gb.GGUFBytes(version=version, big_endian=big_endian).add(
            "general.architecture", gb.STRING, "x"
        )
        for key, strings in arrays.items():
            file.add(key, gb.ARRAY, gb.Array(gb.STRING, strings))
        (tmp_path / name).write_bytes(bytes(file))
    with (
        pyembed.load_model(tmp_path / "here", validate="off") as here,
        pyembed.load_model(tmp_path / "there", validate="off") as there,
    ):
        for ours, a in arrays.items():
            for theirs, b in arrays.items():
                assert (here.metadata[ours] == there.metadata[theirs]) == (a == b), (ours, theirs)


def test_strings_keep_bytes_that_are_not_utf8(model: pyembed.Model) -> None:
    texts = list(model.metadata["bytes"])
    assert [text.encode("utf-8", "surrogateescape") for text in texts] == [b"ok", b"\xff\xfe", b"a\0b", b""]


def test_arrays_of_arrays(model: pyembed.Model) -> None:
    first, second, third = model.metadata["nested"]
    assert first.tolist() == [1, 2]
    assert second == ["x", "y"]
    assert third[0].tolist() == [7]


def test_it_is_a_mapping_in_the_files_order(model: pyembed.Model) -> None:
    keys = list(model.metadata)
    assert keys[:3] == ["general.architecture", "u8", "i8"]
    assert keys[-1] == "nested"
    assert len(model.metadata) == len(keys) == 4 + len(SCALARS) + len(NUMBER_ARRAYS)
    assert dict(model.metadata.items())["u8"] == 255
    assert "u8" in model.metadata
    assert "u9" not in model.metadata
    assert 5 not in model.metadata
    assert model.metadata.get("nothing", 3) == 3
    with pytest.raises(
        KeyError, match=r"no metadata key 'general\.architecure'; near it: 'general\.architecture'"
    ):
        model.metadata["general.architecure"]
    with pytest.raises(KeyError):
        model.metadata["\ud800"]
    with pytest.raises(TypeError):
        model.metadata["u8"] = 1  # type: ignore[index]


def test_a_closed_model_answers_nothing(model: pyembed.Model) -> None:
    metadata = model.metadata
    words, _ = metadata["words"], metadata["u8"]
    model.close()
    for ask in (lambda: metadata["u8"], lambda: metadata["i8"], lambda: "i8" in metadata, lambda: words[0]):
        with pytest.raises(ValueError, match="is closed"):
            ask()
    assert "closed" in repr(words)


def test_overrides(tmp_path: Path) -> None:
    metadata = overridden(
        tmp_path,
        u8=7,
        i64=-1,
        u64=2**64 - 1,
        f32=2.5,
        true=False,
        text="new",
        added=1,
        also="x",
        share=0.5,
        flag=True,
    )
    assert (metadata["u8"], metadata["i64"], metadata["u64"], metadata["f32"]) == (7, -1, 2**64 - 1, 2.5)
    assert metadata["true"] is False
    assert metadata["text"] == "new"
    assert (metadata["added"], metadata["also"], metadata["share"], metadata["flag"]) == (1, "x", 0.5, True)
    assert list(metadata)[-4:] == ["added", "also", "share", "flag"]
    assert metadata["u16"] == 65535
    assert len(metadata) == len(list(metadata))


def test_overrides_may_be_numpy_scalars(tmp_path: Path) -> None:
    metadata = overridden(tmp_path, u8=np.uint16(7), f64=np.float32(0.5), true=np.False_)
    assert [type(metadata[key]) for key in ("u8", "f64", "true")] == [int, float, bool]


@pytest.mark.parametrize(
    ("key", "value", "names"),
    [
        ("u8", 1.0, ("float", "u8")),
        ("u8", True, ("bool", "u8")),
        ("u8", "1", ("str", "u8")),
        ("f32", 1, ("int", "f32")),
        ("true", 1, ("int", "bool")),
        ("text", 1, ("int", "string")),
        ("words", "x", ("str", "array")),
        ("u8", None, ("NoneType", "int, float, bool or str")),
        ("added", [1], ("list", "int, float, bool or str")),
    ],
)
def test_an_override_of_another_type_is_refused(
    key: str, value: object, names: tuple[str, str], tmp_path: Path
) -> None:
    with pytest.raises(TypeError) as caught:
        overridden(tmp_path, **{key: value})
    assert key in str(caught.value)
    assert all(name in str(caught.value) for name in names)


@pytest.mark.parametrize(
    ("key", "value"),
    [("u8", 256), ("u8", -1), ("i8", 128), ("i8", -129), ("u64", 2**64), ("i64", 2**63), ("added", 2**64)],
)
def test_an_override_out_of_range_is_refused(key: str, value: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        overridden(tmp_path, **{key: value})


def test_override_keys_are_texts(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(bytes(build()))
    with pytest.raises(TypeError, match="key of type int"):
        pyembed.load_model(path, kv_overrides={1: 2})  # type: ignore[dict-item]
