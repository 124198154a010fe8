"""Edited files are, byte for byte, those that another writer makes with the change in them."""

from __future__ import annotations

import shlex
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from pyembed.cli import main
from pyembed.editing.operations import apply
from tests.helpers.gguf_bytes import (
    ARRAY,
    BOOL,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    STRING,
    U8,
    U16,
    U32,
    U64,
    Array,
    GGUFBytes,
)

ORDERS = pytest.mark.parametrize(("version", "big_endian"), [(2, False), (3, False), (3, True)])
FILE = dict[str, Any]

KINDS = {
    "u8": U8, "i8": I8, "u16": U16, "i16": I16, "u32": U32, "i32": I32, "f32": F32, "bool": BOOL,
    "string": STRING, "u64": U64, "i64": I64, "f64": F64,
}  # fmt: skip
# One text and its value of each type, and lists of them.
VALUES: list[tuple[str, str, Any]] = [
    ("u8", "255", 255), ("i8", "-128", -128), ("u16", "0xffff", 65535), ("i16", "-32768", -32768),
    ("u32", "4294967295", 2**32 - 1), ("i32", "-2147483648", -(2**31)), ("f32", "0.1", 0.1),
    ("f32", "nan", float("nan")), ("bool", "true", 1), ("bool", "False", 0),
    ("string", "a:b=c@d ▁\n", "a:b=c@d ▁\n"), ("string", "", ""), ("u64", str(2**64 - 1), 2**64 - 1),
    ("i64", str(-(2**63)), -(2**63)), ("f64", "1e300", 1e300),
    ("u32[]", "[1, 2, 3]", [1, 2, 3]), ("i16[]", "[-1]", [-1]), ("f32[]", "[0.5, 1]", [0.5, 1.0]),
    ("bool[]", "[true, false]", [1, 0]),
    ("string[]", '["a", "", "▁x"]', ["a", "", "▁x"]), ("string[]", "[]", []),
    ("u64[]", f"[{2**64 - 1}]", [2**64 - 1]),
]  # fmt: skip


def built(
    version: int = 3,
    big_endian: bool = False,
    *,
    entries: Callable[[list[tuple[str, int, Any]]], Any] = lambda given: None,
    tensors: Callable[[list[tuple[str, tuple[int, ...], int, bytes]]], Any] = lambda given: None,
    alignment: int = 32,
) -> bytes:
    """Build a model whose entries and tensors were changed by functions before it was written."""
    keys: list[tuple[str, int, Any]] = [
        ("general.architecture", STRING, "llama"),
        ("a.number", U32, 7),
        ("a.text", STRING, b"raw \xff bytes"),
        ("a.nested", ARRAY, Array(ARRAY, [Array(STRING, ["x", "yz"]), Array(U8, [1])])),
        ("a.strings", ARRAY, Array(STRING, [f"token {i}" for i in range(50)])),
        ("a.floats", ARRAY, Array(F32, [0.5, float("inf")])),
    ]
    rows = np.random.default_rng(3).integers(0, 256, 4096, dtype=np.uint8).tobytes()
    parts = [
        ("first", (5,), 0, rows[:20]),
        ("token_embd.weight", (6, 32), 8, rows[100:304]),
        ("scalar", (), 0, rows[400:404]),
        ("deep", (2, 3, 2, 4), 1, rows[500:596]),
    ]
    entries(keys)
    tensors(parts)
    builder = GGUFBytes(version=version, big_endian=big_endian, alignment=alignment)
    for key, kind, value in keys:
        builder.add(key, kind, value)
    for name, shape, kind, data in parts:
        builder.tensor(name, shape, kind, data)
    return bytes(builder)


def edited(
    path: Path, data: bytes, *words: str, change: Callable[[pyembed.ModelEdit], Any] | None = None
) -> bytes:
    """Return a file with some operations made."""
    path.write_bytes(data)
    out = path.with_name("out.gguf")
    with pyembed.edit(path) as edit:
        apply(edit, words)
        if change is not None:
            change(edit)
        done = edit.write(out)
    assert path.read_bytes() == data
    assert done.files == (str(out),)
    assert done.n_bytes == out.stat().st_size
    return out.read_bytes()


@ORDERS
@pytest.mark.parametrize(("kind", "text", "value"), VALUES)
def test_every_type_new_and_in_place_of_another(
    tmp_path: Path, version: int, big_endian: bool, kind: str, text: str, value: Any
) -> None:
    number = KINDS[kind.removesuffix("[]")]
    stored = (ARRAY, Array(number, value)) if kind.endswith("[]") else (number, value)
    original = built(version, big_endian)
    new = edited(tmp_path / "m.gguf", original, "set", f"b.new={kind}:{text}")
    assert new == built(version, big_endian, entries=lambda keys: keys.append(("b.new", *stored)))
    replaced = edited(tmp_path / "m.gguf", original, "set", f"a.strings={kind}:{text}")
    wanted = built(version, big_endian, entries=lambda keys: keys.__setitem__(4, ("a.strings", *stored)))
    assert replaced == wanted


@ORDERS
def test_keys_go_and_change_their_names(tmp_path: Path, version: int, big_endian: bool) -> None:
    data = edited(
        tmp_path / "m.gguf",
        built(version, big_endian),
        *(
            "unset",
            "a.nested",
            "rename",
            "a.strings=b.texts",
            "set",
            "a.number=u64:9",
            "rename",
            "a.number=n",
        ),
    )

    def change(keys: list[tuple[str, int, Any]]) -> None:
        del keys[3]
        keys[3] = ("b.texts", *keys[3][1:])
        keys[1] = ("n", U64, 9)

    assert data == built(version, big_endian, entries=change)


def padded(data: bytes, alignment: int = 32) -> bytes:
    """Return a file with the padding behind the last tensor that llama.cpp's own writer puts there."""
    return data + bytes(-len(data) % alignment)


@ORDERS
@pytest.mark.parametrize("name", ["first", "token_embd.weight", "scalar", "deep"])
def test_tensors_go(tmp_path: Path, version: int, big_endian: bool, name: str) -> None:
    data = edited(tmp_path / "m.gguf", built(version, big_endian), "drop-tensor", name)
    wanted = built(
        version, big_endian, tensors=lambda parts: parts.remove(next(p for p in parts if p[0] == name))
    )
    assert data == padded(wanted)


@ORDERS
def test_all_tensors_go(tmp_path: Path, version: int, big_endian: bool) -> None:
    words = [
        word for name in ("first", "token_embd.weight", "scalar", "deep") for word in ("drop-tensor", name)
    ]
    data = edited(tmp_path / "m.gguf", built(version, big_endian), *words)
    assert data == built(version, big_endian, tensors=lambda parts: parts.clear())


@ORDERS
def test_tensors_change_their_names(tmp_path: Path, version: int, big_endian: bool) -> None:
    data = edited(
        tmp_path / "m.gguf", built(version, big_endian), "rename-tensor", "first=a.much.longer.name.of.it"
    )
    assert data == built(
        version,
        big_endian,
        tensors=lambda parts: parts.__setitem__(0, ("a.much.longer.name.of.it", *parts[0][1:])),
    )


@ORDERS
@pytest.mark.parametrize("alignment", [8, 64, 4096])
def test_another_alignment_moves_the_tensors(
    tmp_path: Path, version: int, big_endian: bool, alignment: int
) -> None:
    data = edited(
        tmp_path / "m.gguf", built(version, big_endian), "set", f"general.alignment=u32:{alignment}"
    )
    wanted = built(
        version,
        big_endian,
        alignment=alignment,
        entries=lambda keys: keys.append(("general.alignment", U32, alignment)),
    )
    assert data == padded(wanted, alignment)
    back = edited(tmp_path / "m.gguf", data, "unset", "general.alignment")
    assert back == padded(built(version, big_endian))


def test_gaps_and_bytes_behind_the_tensors_stay(tmp_path: Path) -> None:
    builder = GGUFBytes().add("a", U32, 1)
    builder.data += b"\x01" * 96
    builder.tensor("x", (2, 4), 0, bytes(range(32)), offset=96)
    original = bytes(builder) + b"behind"
    data = edited(tmp_path / "m.gguf", original, "set", "bbbb=u32:2")
    builder.add("bbbb", U32, 2)
    assert data == bytes(builder) + b"behind"


def test_a_file_without_tensors(tmp_path: Path) -> None:
    original = bytes(GGUFBytes().add("a", U32, 1))
    data = edited(tmp_path / "m.gguf", original, "set", "a=u8:2")
    assert data == bytes(GGUFBytes().add("a", U8, 2))


def test_random_changes_match_another_writer(tmp_path: Path) -> None:
    """Fifty random sequences of changes."""
    rng = np.random.default_rng(11)
    for _ in range(50):
        keys: list[tuple[str, int, Any]] = []
        original = built(3, bool(rng.integers(2)), entries=lambda given, keys=keys: keys.extend(given))
        big_endian = original[4] == 0
        words: list[str] = []
        for _ in range(int(rng.integers(1, 6))):
            index = int(rng.integers(1, len(keys)))
            what = rng.integers(3)
            if what == 0:
                value = int(rng.integers(1000))
                words += ["set", f"{keys[index][0]}=i32:{value}"]
                keys[index] = (keys[index][0], I32, value)
            elif what == 1 and len(keys) > 2:
                words += ["unset", keys.pop(index)[0]]
            else:
                name = f"k{len(words)}" + "x" * int(rng.integers(60))
                words += ["rename", f"{keys[index][0]}={name}"]
                keys[index] = (name, *keys[index][1:])

        def put(given: list[Any], keys: list[Any] = keys) -> None:
            given[:] = keys

        data = edited(tmp_path / "m.gguf", original, *words)
        assert data == built(3, big_endian, entries=put), words


def test_tensors_of_an_unknown_type_are_copied_where_they_are(tmp_path: Path) -> None:
    builder = GGUFBytes().add("a", U32, 1).tensor("odd", (4, 4), 99, bytes(range(64)))
    data = edited(tmp_path / "m.gguf", bytes(builder), "set", "a=u32:5")
    assert data[-64:] == bytes(range(64))
    with pytest.raises(pyembed.UnsupportedTypeError, match="type 99"):
        edited(tmp_path / "m.gguf", bytes(builder), "set", "general.alignment=u32:64")


def test_an_archive_is_left_as_a_plain_file(tmp_path: Path) -> None:
    import zipfile

    inner = built()
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr("model.gguf", inner)
    with pyembed.edit(tmp_path / "m.zip") as edit:
        edit.set_typed("a.number", "u32", 8)
        edit.write(tmp_path / "out.gguf")
        with pytest.raises(ValueError, match="archive"):
            edit.overwrite()
    wanted = built(entries=lambda keys: keys.__setitem__(1, ("a.number", U32, 8)))
    assert (tmp_path / "out.gguf").read_bytes() == wanted


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["set", "a.number=u8:256"], "256 does not fit type u8"),
        (["set", "a.number=u8:-1"], "-1 does not fit type u8"),
        (["set", "a.number=u32:seven"], "'seven' is not a number of type u32"),
        (["set", "a.number=u32:1.5"], "'1.5' is not a number"),
        (["set", "a.number=f32:1e39"], "does not fit type f32"),
        (["set", "a.number=bool:1"], "is not true or false"),
        (["set", "a.number=u32[]:1"], "is a list"),
        (["set", "a.number=u32[]:[1"], "not a JSON list"),
        (["set", "a.number=u32[]:[1, true]"], "True is not a number of type u32"),
        (["set", "a.number=string[]:[1]"], "1 is not a text"),
        (["set", "a.number=array:1"], "unknown type 'array'"),
        (["set", "a.number"], "not KEY=TYPE:VALUE"),
        (["set", "a.number=7"], "KEY=TYPE:VALUE or KEY=TYPE@FILE"),
        (["set", "=u32:7"], "not KEY=TYPE:VALUE"),
        (["set", "general.alignment=u32:24"], "power of two"),
        (["set", "general.alignment=u32:2097152"], "at most 1048576"),
        (["set", "general.alignment=i32:32"], "of type u32"),
        (["rename", "a.number=a.text"], "there is a key 'a.text' already"),
        (["rename", "a.number=general.alignment"], "set or unset it"),
        (["rename-tensor", "first=deep"], "there is a tensor 'deep' already"),
        (["rename-tensor", "first=" + "x" * 64], "llama.cpp takes 1 to 63 bytes"),
        (["rename-tensor", "first"], "is not OLD=NEW"),
        (["frobnicate", "x"], "unknown operation 'frobnicate'"),
        (["set"], "'set' stands alone"),
        (["requantise", "token=Q4_K"], "of type Q4_K are not written here"),
        (["requantise", "token=TQ2_0"], "do not divide into blocks of TQ2_0"),
        (["requantise", "token=Q9"], "unknown tensor type 'Q9'"),
        (["resize", "0"], "a table of 0 rows"),
        (["resize", "9" * 60], "rows: from 1 to"),
        (["resize", "7=ones"], "is not ROWS"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(
    tmp_path: Path, words: list[str], message: str
) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(built())
    with pyembed.edit(path) as edit, pytest.raises(ValueError, match=message.replace("[", r"\[")):
        apply(edit, words)
    assert [file.name for file in tmp_path.iterdir()] == ["m.gguf"]


def test_names_that_are_not_there(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(built())
    with pyembed.edit(path) as edit:
        for words in (["unset", "a.numbr"], ["rename", "a.numbr=x"]):
            with pytest.raises(pyembed.NotFoundError, match=r"no metadata key 'a.numbr'.*a\.number"):
                apply(edit, words)
        for words in (["drop-tensor", "token_embd"], ["rename-tensor", "token_embd=x"]):
            with pytest.raises(pyembed.NotFoundError, match=r"no tensor is named 'token_embd'"):
                apply(edit, words)


def test_version_1_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    built = GGUFBytes(version=1).add("a", U32, 1).tensor("token_embd.weight", (2, 3), 0, bytes(24))
    Path("m.gguf").write_bytes(bytes(built))
    with pytest.raises(pyembed.GGUFError, match="version 1 cannot be edited; `pyembed extract") as caught:
        pyembed.edit("m.gguf")
    _, *words = shlex.split(str(caught.value).split("`")[1])
    assert main(words) == 0
    pyembed.edit("NEW.gguf").close()


def test_tensors_that_share_bytes_are_not_multiplied(tmp_path: Path) -> None:
    builder = GGUFBytes().add("a", U32, 1).tensor("t0", (1024,), 0, bytes(4096))
    for number in range(1, 50):
        builder.tensor(f"t{number}", (1024,), 0, offset=0)
    path = tmp_path / "m.gguf"
    path.write_bytes(bytes(builder))
    with pyembed.edit(path) as edit:
        edit.drop_tensor("t7")
        with pytest.raises(pyembed.GGUFError, match="share bytes"):
            edit.write(tmp_path / "out.gguf")
    assert not (tmp_path / "out.gguf").exists()


def test_the_model_itself_is_not_an_output(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(built())
    with pyembed.edit(path) as edit, pytest.raises(ValueError, match="the model itself"):
        edit.write(path)


@pytest.mark.posix  # Windows lets nobody cut a file that is mapped
def test_a_model_that_changes_meanwhile_is_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(built())
    with pyembed.edit(path) as edit:
        edit.set_typed("b", "u32", 1)
        path.write_bytes(built() + struct.pack("<I", 7))
        with pytest.raises(pyembed.GGUFError, match="was overwritten since it was opened"):
            edit.write(tmp_path / "out.gguf")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m.gguf"]
