"""GGUF files inside zip archives, as llamafiles hold them, and archives that are hostile."""

from __future__ import annotations

import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from pyembed.cli import main
from tests.helpers.gguf_bytes import ARRAY, STRING, Array, GGUFBytes
from tests.helpers.zip_bytes import Entry, zip_bytes

ROWS = np.arange(64 * 8, dtype="<f4").reshape(64, 8)
MODEL = bytes(
    GGUFBytes()
    .add("general.architecture", STRING, "llama")
    .add("tokenizer.ggml.tokens", ARRAY, Array(STRING, [f"t{i}" for i in range(64)]))
    .tensor("token_embd.weight", (64, 8), 0, ROWS.tobytes())
)
ENTRY = Entry(b"model.gguf", MODEL)
PROGRAM = b"MZqFpD='\n\0" + bytes(3_000_001)
README = Entry(b"readme.txt", b"text " * 50, method=8)

ARCHIVES: dict[str, bytes] = {
    "alone": zip_bytes([ENTRY]),
    "among others": zip_bytes([README, Entry(b"dir/MODEL.GGUF", MODEL, padding=13), README]),
    "llamafile": zip_bytes([README, ENTRY], prefix=PROGRAM, counts_prefix=True),
    "after a program": zip_bytes([README, ENTRY], prefix=b"#!/bin/sh\n" * 7),
    "large": zip_bytes([Entry(b"m.gguf", MODEL, large=True), README], large=True),
    "large after a program": zip_bytes(
        [Entry(b"m.gguf", MODEL, large=True)], large=True, prefix=b"#!/bin/sh\n"
    ),
    "comment": zip_bytes([ENTRY], comment=b"PK\5\6" + bytes(40_000)),
}


def write(folder: Path, data: bytes) -> Path:
    path = folder / "model.llamafile"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("load_mode", ["mmap", "none", "dio", "mlock", "mmap+mlock"])
@pytest.mark.parametrize("kind", ARCHIVES)
def test_stored_models_open(kind: str, load_mode: str, tmp_path: Path) -> None:
    data = ARCHIVES[kind]
    path = write(tmp_path, data)
    with pyembed.load_model(path, load_mode=load_mode) as model:
        np.testing.assert_array_equal(model.table[:], ROWS)
        info = model.tensors["token_embd.weight"]
        assert data[info.offset :][: info.n_bytes] == ROWS.tobytes()
        assert model.vocabulary[63].text == "t63"
    with pyembed.open_table(path) as table:
        np.testing.assert_array_equal(table[[5, 0]], ROWS[[5, 0]])


def test_what_zipfile_writes(tmp_path: Path) -> None:
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w") as archive, archive.open("m.gguf", "w", force_zip64=True) as file:
        file.write(MODEL)
    with pyembed.open_table(path) as table:
        np.testing.assert_array_equal(table[:], ROWS)


def test_a_report_says_where_it_lies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ARCHIVES["llamafile"]
    report = pyembed.validate(write(tmp_path, data), level="header")
    rules = {finding.rule: finding for finding in report.findings}
    assert rules["container/inside-archive"].offset == data.index(MODEL)
    assert not {"container/misaligned-data", "container/trailing-bytes", "container/gap"} & rules.keys()
    assert main(["embed", str(tmp_path / "model.llamafile"), "--ids", "1"]) == 0
    assert "8" in capsys.readouterr().out


def test_extracting_from_an_archive(tmp_path: Path) -> None:
    pyembed.extract.extract(write(tmp_path, ARCHIVES["llamafile"]), tmp_path / "small.gguf")
    with pyembed.load_model(tmp_path / "small.gguf") as model:
        np.testing.assert_array_equal(model.table[:], ROWS)
        assert model.vocabulary[63].text == "t63"


def cut(n: int) -> bytes:
    return zip_bytes([Entry(b"m.gguf", MODEL[:n])])


REFUSED: dict[str, tuple[bytes, str]] = {
    "compressed": (zip_bytes([Entry(b"m.gguf", MODEL, method=8)]), "holds 'm.gguf' compressed"),
    "encrypted": (zip_bytes([Entry(b"m.gguf", MODEL, fields={"flags": 1})]), "compressed or encrypted"),
    "two": (zip_bytes([ENTRY, Entry(b"n.gguf", MODEL)]), "holds 2 GGUF files, 'model.gguf' and others"),
    "none": (zip_bytes([README]), "a zip archive of 'readme.txt'"),
    "not GGUF inside": (zip_bytes([Entry(b"m.gguf", b"x" * 99)]), "begins with the bytes 78"),
    "empty inside": (cut(0), "ends inside the magic"),
    "cut inside": (cut(len(MODEL) - 1), "does not lie inside the file"),
    "header cut inside": (cut(100), "ends inside|more than the remaining"),
    "offset behind": (zip_bytes([Entry(b"m.gguf", MODEL, fields={"offset": 2**31})]), "is damaged"),
    "offset at the directory": (
        zip_bytes([Entry(b"m.gguf", MODEL, fields={"offset": len(ENTRY.local())})]),
        "is damaged",
    ),
    "offset of 64 bits": (
        zip_bytes([Entry(b"m.gguf", MODEL, large=True, fields={"offset": 2**64 - 1})]),
        "is damaged",
    ),
    "size of 64 bits": (
        zip_bytes([Entry(b"m.gguf", MODEL, large=True, fields={"size": 2**64 - 1, "packed": 2**64 - 1})]),
        "is damaged",
    ),
    "size beyond the directory": (
        zip_bytes([Entry(b"m.gguf", MODEL, fields={"size": len(MODEL) + 9, "packed": len(MODEL) + 9})]),
        "is damaged",
    ),
    "number that is missing": (
        zip_bytes([Entry(b"m.gguf", MODEL, fields={"offset": 2**32 - 1})]),
        "a zip archive",
    ),
    "directory behind": (zip_bytes([ENTRY], directory_offset=2**32 - 2), "a zip archive"),
    "directory too large": (zip_bytes([ENTRY], directory_bytes=2**32 - 2), "a zip archive"),
    "directory of 64 bits": (zip_bytes([ENTRY], large=True, directory_bytes=2**64 - 1), "a zip archive"),
    "large without its record": (zip_bytes([ENTRY], directory_offset=2**32 - 1), "a zip archive"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_archives_that_are_refused(kind: str, tmp_path: Path) -> None:
    data, says = REFUSED[kind]
    path = write(tmp_path, data)
    for call in (pyembed.load_model, pyembed.open_table):
        with pytest.raises(pyembed.FormatError, match=says):
            call(path)
    assert pyembed.validate(path, level="header").findings[0].rule == "container/damaged"


def test_a_long_directory(tmp_path: Path) -> None:
    many = [Entry(b"%08d" % i, b"") for i in range(70_000)]
    with pyembed.open_table(write(tmp_path, zip_bytes([*many, ENTRY]))) as table:
        assert table.shape == (64, 8)
    longer = [Entry(b"n" * 60_000, b"") for _ in range(300)]
    with pytest.raises(pyembed.GGUFError, match="the directory of the zip archive takes"):
        pyembed.load_model(write(tmp_path, zip_bytes([*longer, ENTRY])))


@pytest.mark.parametrize("kind", ["after a program", "large after a program"])
def test_no_changed_byte_reads_elsewhere(kind: str, tmp_path: Path) -> None:
    """Every byte of the archive's records is changed: the right rows come out, or a typed error."""
    data = ARCHIVES[kind]
    inside = range(data.index(MODEL), data.index(MODEL) + len(MODEL))
    chance = random.Random(0)
    opened = 0
    for at in range(len(data)):
        if at in inside:
            continue
        changed = bytearray(data)
        changed[at] = chance.choice((0, 0xFF, changed[at] ^ 1, chance.randrange(256)))
        path = write(tmp_path, bytes(changed))
        opened += rows_or_error(path, chance.choice(({}, {"load_mode": "none"})))
    assert opened > 50


def rows_or_error(path: Path, options: dict[str, Any]) -> bool:
    try:
        with pyembed.load_model(path, validate="off", **options) as model:
            np.testing.assert_array_equal(model.table[:], ROWS)
            return True
    except pyembed.FormatError:
        return False


def test_every_prefix_of_an_archive(tmp_path: Path) -> None:
    data = ARCHIVES["large"]
    for n in [*range(100), *range(len(data) - 300, len(data))]:
        assert not rows_or_error(write(tmp_path, data[:n]), {})
