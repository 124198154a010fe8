"""extract: a small file that is a model in its own right, with the same tokens and the same bytes of rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from pyembed.cli import main
from pyembed.files.extract import extract
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
from tests.helpers.model_files import TOKEN_TABLE, write_model

TOKENS = ["<unk>", "", "▁king", "Ġa b\n", b"\xff\xfe", *(f"t{i}" for i in range(40))]


def model_bytes(version: int = 3, *, big_endian: bool = False, alignment: int = 32) -> bytes:
    """Return a model with metadata of every kind, a Q8_0 table, tensors to keep and tensors to drop."""
    builder = GGUFBytes(version=version, big_endian=big_endian, alignment=alignment)
    builder.add("general.architecture", STRING, "llama").add("general.alignment", U32, alignment)
    for key, kind, value in [
        ("u8", U8, 200), ("i8", I8, -100), ("u16", U16, 60000), ("i16", I16, -30000), ("u32", U32, 2**32 - 1),
        ("i32", I32, -(2**31)), ("f32", F32, 0.1), ("bool", BOOL, 1), ("u64", U64, 2**64 - 1),
        ("i64", I64, -(2**63)), ("f64", F64, 0.1), ("nan", F32, float("nan")), ("", STRING, b"\xff"),
        ("empty", ARRAY, Array(STRING, [])), ("shorts", ARRAY, Array(I16, [1, -2, 3])),
        ("flags", ARRAY, Array(BOOL, [1, 0])), ("doubles", ARRAY, Array(F64, [0.1, -1e300])),
        ("nested", ARRAY, Array(ARRAY, [Array(STRING, ["a", "bc"]), Array(U8, [7]), Array(STRING, [])])),
    ]:  # fmt: skip
        builder.add(f"test.{key}", kind, value)
    builder.add("tokenizer.ggml.model", STRING, "llama")
    builder.add("tokenizer.ggml.tokens", ARRAY, Array(STRING, TOKENS))
    builder.add("tokenizer.ggml.scores", ARRAY, Array(F32, [-float(i) for i in range(len(TOKENS))]))
    row = np.random.default_rng(1).integers(0, 100, (len(TOKENS), 34), dtype=np.uint8).tobytes()
    builder.tensor("blk.0.ffn_up.weight", (3, 4), 0, bytes(48))
    builder.tensor("output_norm.weight", (32,), 0, bytes(range(128)))
    builder.tensor("blk.0.odd", (5,), 0, bytes(range(20)))
    builder.tensor(TOKEN_TABLE, (len(TOKENS), 32), 8, row)
    return bytes(builder)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def plain(value: Any) -> Any:
    """Return a metadata value as something that compares, NaN with NaN too."""
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.tolist())
    if isinstance(value, list):
        return [plain(element) for element in value]
    return list(value) if isinstance(value, pyembed.StringArray) else repr(value)


@pytest.mark.parametrize(
    ("version", "big_endian", "alignment"),
    [(3, False, 32), (3, True, 32), (2, False, 64), (1, False, 32), (3, False, 8)],
)
def test_all_but_the_layers_is_kept(version: int, big_endian: bool, alignment: int, tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf", model_bytes(version, big_endian=big_endian, alignment=alignment))
    done = extract(path, tmp_path / "x.gguf")
    assert done.tensors == ("output_norm.weight", TOKEN_TABLE)
    assert done.n_bytes == (tmp_path / "x.gguf").stat().st_size
    with pyembed.load_model(path, validate="off") as a, pyembed.load_model(done.path, validate="off") as b:
        assert list(a.metadata) == list(b.metadata)
        for key in a.metadata:
            assert plain(a.metadata[key]) == plain(b.metadata[key]), key
        assert a.vocabulary.digest == b.vocabulary.digest
        np.testing.assert_array_equal(a.table[:].view(np.uint32), b.table[:].view(np.uint32))
        assert a.table.type == b.table.type == "Q8_0"
        assert stored(a, TOKEN_TABLE) == stored(b, TOKEN_TABLE)
        assert all(info.offset % alignment == 0 for info in b.tensors.values())
        assert b._source.shards()[0].big_endian == big_endian


def stored(model: pyembed.Model, name: str) -> bytes:
    info = model.tensors[name]
    with open(info.path, "rb") as file:
        file.seek(info.offset)
        return file.read(info.n_bytes or 0)


def test_a_file_of_nothing_else_comes_out_as_it_was(tmp_path: Path) -> None:
    extract(pyembed.demo_model(), tmp_path / "x.gguf")
    assert (tmp_path / "x.gguf").read_bytes() == Path(pyembed.demo_model()).read_bytes()


def test_other_tensors_by_name_and_by_pattern(tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf", model_bytes())
    done = extract(path, tmp_path / "x.gguf", tensors=["blk.0.odd"])
    assert done.tensors == ("output_norm.weight", "blk.0.odd", TOKEN_TABLE)
    assert len(extract(path, tmp_path / "x.gguf", tensors=["blk.*"]).tensors) == 4
    with pytest.raises(pyembed.NotFoundError, match=r"'blk\.0\.od'; near it: 'blk\.0\.odd'"):
        extract(path, tmp_path / "x.gguf", tensors=["blk.0.od"])


def shard(number: int, *, big_endian: bool = False) -> GGUFBytes:
    builder = GGUFBytes(big_endian=big_endian)
    if number == 0:
        builder.add("general.architecture", STRING, "llama")
        builder.add("tokenizer.ggml.tokens", ARRAY, Array(STRING, ["a", "b"]))
    builder.add("split.no", U16, number).add("split.count", U16, 3).add("split.tensors.count", I32, 3)
    name = [TOKEN_TABLE, "blk.0.x", "output.weight"][number]
    floats = (np.arange(8) + number).astype(">f4" if big_endian else "<f4")
    return builder.tensor(name, (2, 4), 0, floats.tobytes())


def write_set(folder: Path, *big: int) -> Path:
    for number in range(3):
        path = folder / f"m-{number + 1:05d}-of-00003.gguf"
        path.write_bytes(bytes(shard(number, big_endian=number in big)))
    return folder / "m-00001-of-00003.gguf"


def test_a_split_set_becomes_one_file(tmp_path: Path) -> None:
    done = extract(write_set(tmp_path), tmp_path / "x.gguf")
    with pyembed.load_model(done.path) as model:
        assert list(model.tensors) == [TOKEN_TABLE, "output.weight"]
        assert not [key for key in model.metadata if key.startswith("split.")]
        np.testing.assert_array_equal(model.output_table[:].ravel(), np.arange(8) + 2)
        assert not model.tied


def test_the_byte_order_is_that_of_the_tensors(tmp_path: Path) -> None:
    done = extract(write_set(tmp_path, 0, 2), tmp_path / "x.gguf")
    with pyembed.load_model(done.path) as model:
        np.testing.assert_array_equal(model.table[:].ravel(), np.arange(8))
        assert list(model.vocabulary.tokens) == ["a", "b"]
    with pytest.raises(pyembed.GGUFError, match=r"'output\.weight' and 'token_embd\.weight' lie in files of"):
        extract(write_set(tmp_path, 2), tmp_path / "x.gguf")


def test_gguf_py_reads_it(tmp_path: Path) -> None:
    import gguf

    done = extract(write(tmp_path / "m.gguf", model_bytes()), tmp_path / "x.gguf")
    reader = gguf.GGUFReader(done.path)
    tokens = reader.fields["tokenizer.ggml.tokens"]
    assert [bytes(tokens.parts[index]) for index in tokens.data] == [
        token if isinstance(token, bytes) else token.encode() for token in TOKENS
    ]
    assert [tensor.name for tensor in reader.tensors] == list(done.tensors)
    with pyembed.load_model(done.path, validate="off") as model:
        table = next(tensor for tensor in reader.tensors if tensor.name == TOKEN_TABLE)
        np.testing.assert_array_equal(gguf.dequantize(table.data, table.tensor_type), model.table[:])


def test_llama_cpp_reads_it(data_dir: Path, tmp_path: Path) -> None:
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    vocab = (data_dir / "vocab/ggml-vocab-llama-spm.gguf").read_bytes()
    n_bytes = 32_000 * 64 * 4
    # A file without tensors ends with its metadata, so a tensor is added by describing it there.
    head = GGUFBytes()
    head.tensor(TOKEN_TABLE, (32_000, 64), 0, np.arange(n_bytes // 4, dtype="<f4").tobytes())
    head.tensor("blk.0.attn_q.weight", (64, 64), 0, bytes(64 * 64 * 4))
    data = vocab[:8] + (2).to_bytes(8, "little") + vocab[16:] + b"".join(head.infos)
    data += bytes(-len(data) % 32) + bytes(head.data)
    done = extract(write(tmp_path / "m.gguf", data), tmp_path / "x.gguf")
    assert done.tensors == (TOKEN_TABLE,)
    llama = llama_cpp.Llama(done.path, vocab_only=True, verbose=False)
    assert llama.n_vocab() == 32_000
    assert llama.tokenize(b"Hello world", add_bos=False) == [15043, 3186]
    llama.close()


@pytest.mark.parametrize("name", ["minilm-f16.gguf"])
def test_a_real_model(name: str, data_dir: Path, tmp_path: Path) -> None:
    path = data_dir / "models" / name
    extract(path, tmp_path / "x.gguf")
    assert (tmp_path / "x.gguf").read_bytes() == path.read_bytes()


CHILD = """
import resource, sys
from pyembed.files.extract import extract
extract(sys.argv[1], sys.argv[2])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
extract(sys.argv[3], sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts KiB as Linux does")
def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    builder = GGUFBytes().add("general.architecture", STRING, "llama")
    rows, columns = 65_536, 1024
    builder.tensor(TOKEN_TABLE, (rows, columns), 1)
    header = builder.header()
    header += bytes(-len(header) % 32)
    with (tmp_path / "big.gguf").open("wb") as file:
        file.write(header)
        file.truncate(len(header) + rows * columns * 2)
    paths = [pyembed.demo_model(), str(tmp_path / "x.gguf"), str(tmp_path / "big.gguf")]
    done = subprocess.run([sys.executable, "-c", CHILD, *paths], capture_output=True, text=True, check=True)
    assert (tmp_path / "x.gguf").stat().st_size == (tmp_path / "big.gguf").stat().st_size
    assert int(done.stdout) < 8 << 10


# ----------------------------------------------------------------------------------- what goes wrong


def test_a_model_without_tables(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf", model="llama", tokens=["a"])
    with pytest.raises(pyembed.NotFoundError, match="token_embd"):
        extract(path, tmp_path / "x.gguf")


def test_an_unknown_type(tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf", bytes(GGUFBytes().tensor(TOKEN_TABLE, (2, 4), 99, bytes(32))))
    with pytest.raises(pyembed.UnsupportedTypeError, match="unknown type"):
        extract(path, tmp_path / "x.gguf")
    assert not (tmp_path / "x.gguf").exists()


def test_the_model_itself_is_never_written(tmp_path: Path) -> None:
    path = write_set(tmp_path)
    for number in (1, 3):
        with pytest.raises(ValueError, match="is the model itself"):
            extract(path, tmp_path / f"m-{number:05d}-of-00003.gguf")
    os.link(path, tmp_path / "other-name.gguf")
    with pytest.raises(ValueError, match="is the model itself"):
        extract(path, tmp_path / "other-name.gguf")


def test_no_room_keeps_the_old_file(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="limits the size of files as POSIX does")
    old = write(tmp_path / "x.gguf", b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        with pytest.raises(OSError, match=r"x\.gguf"):
            extract(pyembed.demo_model(), old)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert old.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [old]


@pytest.mark.posix
def test_a_file_that_became_shorter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "m.gguf", model_bytes())
    write(tmp_path / "x.gguf", b"old")

    def cut(text: str, done: float) -> None:
        os.truncate(path, path.stat().st_size - 8)

    with pytest.raises(pyembed.FormatError, match="the file became shorter"):
        extract(path, tmp_path / "x.gguf", progress=cut)
    assert (tmp_path / "x.gguf").read_bytes() == b"old"


def test_progress(tmp_path: Path) -> None:
    told: list[float] = []
    extract(pyembed.demo_model(), tmp_path / "x.gguf", progress=lambda text, done: told.append(done))
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "x.gguf")
    assert main(["extract", "demo", out]) == 0
    assert TOKEN_TABLE in capsys.readouterr().out
    assert main(["extract", "demo", out, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts == {
        "out": out,
        "n_bytes": os.path.getsize(out),
        "tensors": [TOKEN_TABLE, "position_embd.weight"],
    }
    assert main(["extract", "demo", out, "--tensor", "nothing"]) == 2
    assert "no tensor is named 'nothing'" in capsys.readouterr().err
    assert main(["extract", "demo", str(tmp_path / "no" / "x.gguf")]) == 2
    assert f"{tmp_path / 'no' / 'x.gguf'}: " in capsys.readouterr().err


@pytest.mark.posix
@pytest.mark.parametrize("kind", ["replaced", "removed", "overwritten"])
def test_a_model_that_changes_while_it_is_copied(kind: str, tmp_path: Path) -> None:
    """Bytes of two files make no model: there is an error, and the file of before stays."""
    path = write(tmp_path / "m.gguf", model_bytes())
    out = write(tmp_path / "x.gguf", b"before")
    other = write(tmp_path / "other.gguf", model_bytes()[::-1])

    def change(what: str, share: float) -> None:
        if kind == "replaced" and other.exists():
            other.replace(path)
        elif kind == "removed":
            path.unlink(missing_ok=True)
        elif kind == "overwritten" and other.exists():
            path.write_bytes(other.read_bytes())
            other.unlink()

    with pytest.raises((pyembed.GGUFError, FileNotFoundError), match=r"m\.gguf"):
        extract(path, out, progress=change)
    assert out.read_bytes() == b"before"
    assert {entry.name for entry in tmp_path.iterdir()} <= {"m.gguf", "x.gguf", "other.gguf"}
