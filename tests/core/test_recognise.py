"""Files that are no models: the error says what they are and what to do."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import random
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

import pyembed
from pyembed.cli import main
from pyembed.core.recognise import recognise

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4f5d" * 16 + b"\nsize 4081004224\n"
HTML = b'<!doctype html>\n<html class="">\n<head><title>model.Q4_0.gguf\n - main</title></head></html>\n'
GGUF = b"GGUF" + struct.pack("<IQQ", 3, 0, 0)
SAFETENSORS = json.dumps({"w": {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]}}).encode()


def zipped(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return out.getvalue()


def tarred() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.gguf"))
    return out.getvalue()


def saved_array() -> bytes:
    out = io.BytesIO()
    np.save(out, np.zeros((2, 2), np.float32))
    return out.getvalue()


FILES: dict[str, tuple[bytes, str]] = {
    "lfs": (LFS, "a Git LFS pointer that stands for 4081004224 bytes.*git lfs pull"),
    "lfs without a size": (LFS[:60], "a Git LFS pointer, not the file itself"),
    "web page": (HTML + bytes(2000), r"a web page \('model\.Q4_0\.gguf - main'\)"),
    "web page after a byte order mark": (b"\xef\xbb\xbf\n<HTML><body>", "a web page saved"),
    "XML": (
        b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
        "an XML document.*AccessDenied",
    ),
    "JSON error": (b'{"error":"Access to model x is restricted."}', "an error message.*Access to model x"),
    "JSON": (b'{"architectures": ["LlamaForCausalLM"]}', "a JSON file.*LlamaForCausalLM"),
    "text": (b"Invalid username or password.", "a text file.*Invalid username"),
    "text in brackets": (b"[ERROR] download failed", r"a text file.*\[ERROR\]"),
    "text in UTF-16": ("not found".encode("utf-16"), "UTF-16"),
    "empty": (b"", "an empty file"),
    "zeros": (bytes(200_000), "200000 bytes that are zero wherever"),
    "ggjt": (struct.pack("<III", 0x67676A74, 3, 32000), r"before GGUF \(ggjt\): convert"),
    "ggjt in the other order": (struct.pack(">III", 0x67676A74, 3, 32000), r"before GGUF \(ggjt\)"),
    "ggml": (struct.pack("<II", 0x67676D6C, 32000), "before GGUF: convert"),
    "whisper": (struct.pack("<II", 0x67676D6C, 51865), "a Whisper model"),
    "ggla": (struct.pack("<II", 0x67676C61, 1), "a LoRA adapter in ggml's format"),
    "session": (struct.pack("<II", 0x6767736E, 9), "a saved session"),
    "gzip": (gzip.compress(GGUF), "a gzip archive: unpack it"),
    "bzip2": (bz2.compress(GGUF), "a bzip2 archive"),
    "xz": (lzma.compress(GGUF), "an xz archive"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(40), "a Zstandard archive"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(40), "a 7-Zip archive"),
    "rar": (b"Rar!\x1a\x07\1\0" + bytes(40), "a RAR archive"),
    "tar": (tarred(), "a tar archive"),
    "zip": (zipped("a/config.json", "a/readme"), "a zip archive of 'a/config.json', 'a/readme': unpack"),
    "zip cut short": (zipped("a", "b")[:50], "a zip archive that was cut short"),
    "PyTorch": (zipped("archive/data.pkl", "archive/data/0"), "a PyTorch file.*convert"),
    "npz": (zipped("a.npy", "b.npy"), r"a NumPy archive \(\.npz\)"),
    "Keras": (zipped("config.json", "model.weights.h5"), "a Keras model"),
    "pickle": (b"\x80\x04\x95\x10\0\0\0\0\0\0\0}\x94.", "a pickle.*runs the program in it"),
    "ONNX": (b"\x08\x08\x12\x07pytorch\x1a\x052.1.0" + bytes(400), r"an ONNX model \(by 'pytorch'\)"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(400), "an HDF5 file"),
    "TensorFlow Lite": (b"\x1c\0\0\0TFL3" + bytes(400), "a TensorFlow Lite model"),
    "Parquet": (b"PAR1" + bytes(400), "a Parquet file"),
    "SentencePiece": (
        b"\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\2" + b"\n\x08\n\1a\x15\0\0",
        "a SentencePiece tokenizer",
    ),
    "llamafile without a model": (b"MZqFpD='\n\0" + bytes(4000), "an executable such as a llamafile"),
    "executable": (b"\x7fELF\2\1\1" + bytes(400), "an executable: "),
    "reversed": (b"FUGG" + bytes(400), "bytes were reversed"),
}


def write(folder: Path, data: bytes, name: str = "model.gguf") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", FILES)
def test_what_a_file_is(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, says = FILES[kind]
    path = write(tmp_path, data)
    for call, expected in (
        (pyembed.load_model, pyembed.GGUFError),
        (pyembed.open_table, pyembed.FormatError),
    ):
        with pytest.raises(expected, match=says) as caught:
            call(path)
        assert type(caught.value) is expected
        assert str(caught.value).startswith(f"{path}: not a ")
        assert caught.value.path == str(path)
    (finding,) = pyembed.validate(path).findings
    assert finding.rule == "container/damaged"
    assert finding.message.startswith("not a GGUF file, but ")
    assert main(["info", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "not a model file, but " in error


@pytest.mark.parametrize(
    "data", [saved_array(), struct.pack("<Q", len(SAFETENSORS)) + SAFETENSORS + bytes(4)]
)
def test_what_only_open_table_reads(data: bytes, tmp_path: Path) -> None:
    path = write(tmp_path, data)
    with pytest.raises(pyembed.GGUFError, match=r"not a GGUF file, but a .*pyembed\.open_table reads it"):
        pyembed.load_model(path)
    with pyembed.open_table(path, tensor="w" if b"dtype" in data else "data") as table:
        assert table.shape[1] in (1, 2)


@pytest.mark.parametrize("name", ["m.gguf-split-b", "m.gguf.part2of3", "m.gguf.002"])
def test_pieces_of_a_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(pyembed.GGUFError, match=r"a piece of a file.*join"):
        pyembed.load_model(write(tmp_path, random.Random(0).randbytes(100), name))


def test_damaged_files_keep_their_own_errors(tmp_path: Path) -> None:
    with pytest.raises(pyembed.GGUFError, match="ends inside"):
        pyembed.load_model(write(tmp_path, b"GGUF\3\0"))
    with pytest.raises(pyembed.NpyError):
        pyembed.open_table(write(tmp_path, saved_array()[:-3], "m.npy"))
    text = struct.pack("<Q", 40) + b'{"w": {"dtype": "F32", "shape": [1, 1]}}'
    with pytest.raises(pyembed.SafetensorsError, match="data_offsets"):
        pyembed.open_table(write(tmp_path, text))
    with pytest.raises(pyembed.SafetensorsError, match="weight_map"):
        pyembed.open_table(write(tmp_path, b'{"metadata": {}}', "m.safetensors.index.json"))
    with pytest.raises(pyembed.GGUFError, match="begins with the bytes 01 02 03 04"):
        pyembed.load_model(write(tmp_path, b"\1\2\3\4\xff"))


@pytest.mark.posix
def test_what_is_no_regular_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert recognise(str(pipe)) is None
    assert recognise(str(tmp_path)) is None
    assert recognise(str(tmp_path / "none")) is None


def test_any_bytes_make_one_short_line(tmp_path: Path) -> None:
    chance = random.Random(0)
    contents = [data for data, _ in FILES.values()]
    n_known = 0
    for _ in range(1500):
        data = bytearray(chance.choice(contents))
        match chance.randrange(3):
            case 0:
                del data[chance.randrange(len(data) + 1) :]
            case 1:
                for _ in range(min(len(data), 5)):
                    data[chance.randrange(min(len(data), 300))] = chance.randrange(256)
            case _:
                data[:0] = chance.randbytes(chance.randrange(10))
        what = recognise(str(write(tmp_path, bytes(data[:5000]))))
        if what is not None:
            n_known += 1
            assert what.isprintable()
            assert len(what) < 600
    assert n_known > 500


def test_text_of_a_file_is_escaped(tmp_path: Path) -> None:
    page = b"<html><title>\x1b]0;owned\x07\xe2\x80\xae" + b"x" * 300 + b"</title>"
    with pytest.raises(pyembed.GGUFError, match=r"\\x1b\]0;owned\\x07\\u202e") as caught:
        pyembed.load_model(write(tmp_path, page))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("which", ["model-00001-of-00002", "model-00002-of-00002", "index"])
def test_a_folder_that_was_cloned_without_its_files(which: str, tmp_path: Path) -> None:
    text = struct.pack("<Q", len(SAFETENSORS)) + SAFETENSORS + bytes(4)
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    for number, name in enumerate(names):
        write(tmp_path, text.replace(b'"w"', b'"w"' if number == 0 else b'"v"'), name)
    index = {"metadata": {}, "weight_map": {"w": names[0], "v": names[1]}}
    write(tmp_path, json.dumps(index).encode(), "model.safetensors.index.json")
    at_fault = "model.safetensors.index.json" if which == "index" else f"{which}.safetensors"
    write(tmp_path, LFS, at_fault)
    for path in (tmp_path, tmp_path / "model.safetensors.index.json"):
        with pytest.raises(pyembed.FormatError, match="a Git LFS pointer") as caught:
            pyembed.open_table(path)
        assert caught.value.path == str(tmp_path / at_fault)


def test_a_folder_of_one_file_that_was_not_fetched(tmp_path: Path) -> None:
    path = write(tmp_path, LFS, "model.safetensors")
    with pytest.raises(pyembed.FormatError, match="a Git LFS pointer") as caught:
        pyembed.open_table(tmp_path)
    assert caught.value.path == str(path)
