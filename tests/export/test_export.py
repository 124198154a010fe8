"""Exports, opened by the tools that they are for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyembed
from pyembed.cli import main
from pyembed.export import FORMATS, Exported, export, text_of, word_of
from tests.helpers.gguf_bytes import ARRAY, STRING, Array, GGUFBytes
from tests.helpers.model_files import TOKEN_TABLE

# Texts that some format does not hold as they are: spaces, line breaks, an empty one, two alike, no UTF-8.
TOKENS: list[str | bytes] = [
    "▁king", "a b", "line\nbreak", "tab\t", "back\\slash", "\\s", "", "twice", "twice",
    "\u2028\x85\x1f\u00a0x",
    b"\xff\xfe", "汉字", "👍", "\r", " ", "\\e", "twice\\#8", "\n", ' "quoted" ',
]  # fmt: skip
N_ROWS = len(TOKENS) + 2  # two rows have no token


@pytest.fixture
def path(tmp_path: Path) -> Path:
    builder = GGUFBytes().add("general.architecture", STRING, "llama")
    builder.add("tokenizer.ggml.tokens", ARRAY, Array(STRING, TOKENS))
    rows = np.random.default_rng(3).standard_normal((N_ROWS, 8)).astype("<f4")
    rows[4] *= 1e-30
    rows[5] *= 1e30
    path = tmp_path / "m.gguf"
    path.write_bytes(bytes(builder.tensor(TOKEN_TABLE, rows.shape, 0, rows.tobytes())))
    return path


@pytest.fixture
def model(path: Path) -> Any:
    with pyembed.load_model(path, validate="off") as model:
        yield model


def texts(model: pyembed.Model) -> list[str]:
    return list(model.vocabulary.tokens)


def run(model: pyembed.Model, out: Path, **options: Any) -> Exported:
    return export(model.table, out, vocabulary=model.vocabulary, **options)


# ------------------------------------------------------------------------------------------- formats


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_npy(model: pyembed.Model, dtype: str, tmp_path: Path) -> None:
    done = run(model, tmp_path / "x.npy", dtype=dtype)
    assert done.paths == (str(tmp_path / "x.npy"), str(tmp_path / "x.metadata.tsv"))
    rows = np.load(tmp_path / "x.npy", mmap_mode="r")
    np.testing.assert_array_equal(rows, model.table.gather(range(N_ROWS), dtype=dtype))
    lines = (tmp_path / "x.metadata.tsv").read_bytes().decode().split("\n")
    assert lines[0] == "token\tid"
    assert lines[-1] == ""
    cells = [line.split("\t") for line in lines[1:-1]]
    assert [text_of(word) for word, _ in cells] == [*texts(model), "", ""]
    assert [int(row) for _, row in cells] == list(range(N_ROWS))


def test_npz(model: pyembed.Model, tmp_path: Path) -> None:
    run(model, tmp_path / "x.npz", ids=[3, 1, 9, N_ROWS - 1])
    with np.load(tmp_path / "x.npz") as arrays:
        assert set(arrays) == {"embeddings", "ids", "tokens"}
        np.testing.assert_array_equal(arrays["embeddings"], model.table[[3, 1, 9, N_ROWS - 1]])
        assert arrays["ids"].tolist() == [3, 1, 9, N_ROWS - 1]
        assert arrays["tokens"].tolist() == ["tab\t", "a b", texts(model)[9], ""]


def test_npz_refuses_what_would_take_gigabytes(tmp_path: Path) -> None:
    long = Array(STRING, ["x" * (1 << 20), *map(str, range(2000))])
    builder = (
        GGUFBytes().add("tokenizer.ggml.tokens", ARRAY, long).tensor(TOKEN_TABLE, (2001, 1), 0, bytes(8004))
    )
    (tmp_path / "m.gguf").write_bytes(bytes(builder))
    with pyembed.load_model(tmp_path / "m.gguf", validate="off") as model:
        with pytest.raises(ValueError, match="token 0 has 1048576 characters"):
            run(model, tmp_path / "x.npz")
        assert not (tmp_path / "x.npz").exists()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_safetensors(model: pyembed.Model, dtype: str, tmp_path: Path) -> None:
    safe_open = pytest.importorskip("safetensors", reason="safetensors is not installed").safe_open

    run(model, tmp_path / "x.safetensors", dtype=dtype, ids=np.arange(N_ROWS)[::-1])
    pytest.importorskip("ml_dtypes", reason="safetensors takes bfloat16 from ml_dtypes")
    with safe_open(tmp_path / "x.safetensors", "numpy") as file:
        facts = file.metadata()
        assert json.loads(facts["tokens"]) == [None, None, *texts(model)[::-1]]
        assert facts["vocabulary"] == model.vocabulary.digest
        assert file.get_tensor("ids").tolist() == list(range(N_ROWS))[::-1]
        rows = file.get_tensor("embeddings")  # bfloat16 as ml_dtypes has it
    bits = rows.view(np.uint16) if dtype == "bfloat16" else rows
    np.testing.assert_array_equal(bits, model.table.gather(range(N_ROWS), dtype=dtype)[::-1])
    with pyembed.open_table(tmp_path / "x.safetensors") as table:
        np.testing.assert_array_equal(table[[0]], table.gather([0], dtype="float32"))
        assert table.name == "embeddings"


@pytest.mark.parametrize("name", ["x.vec", "x.txt", "x.bin"])
def test_gensim(model: pyembed.Model, name: str, tmp_path: Path) -> None:
    models = pytest.importorskip("gensim.models", reason="gensim is not installed")
    run(model, tmp_path / name)
    vectors = models.KeyedVectors.load_word2vec_format(tmp_path / name, binary=name == "x.bin")
    assert len(vectors.index_to_key) == N_ROWS, "no word was taken for another"
    assert [text_of(word) for word in vectors.index_to_key] == [*texts(model), "", ""]
    np.testing.assert_array_equal(vectors.vectors, model.table[:])
    assert vectors.index_to_key[8] == "twice\\#8"
    assert vectors.index_to_key[16] == "twice\\\\#8"


def test_a_word_does_not_depend_on_what_else_is_written(model: pyembed.Model, tmp_path: Path) -> None:
    run(model, tmp_path / "x.vec", ids=[8])
    assert (tmp_path / "x.vec").read_text().split("\n")[1].startswith("twice\\#8 ")
    with pytest.raises(ValueError, match="id 8 was chosen twice"):
        run(model, tmp_path / "x.vec", ids=[8, 1, 8])


@given(st.text())
def test_words_lead_back_to_texts(text: str) -> None:
    word = word_of(text)
    assert text_of(word) == text
    assert word
    assert word.split() == [word], "no space in it"
    assert word.encode("utf-8", "strict") or word
    assert text_of(f"{word}\\#17") == text


def test_projector(model: pyembed.Model, tmp_path: Path) -> None:
    done = run(model, tmp_path / "vectors.tsv")
    assert done.paths[1] == str(tmp_path / "metadata.tsv")
    rows = np.loadtxt(tmp_path / "vectors.tsv", delimiter="\t", dtype=np.float32)
    np.testing.assert_array_equal(rows, model.table[:])
    assert len((tmp_path / "metadata.tsv").read_bytes().split(b"\n")) == N_ROWS + 2


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_pandas(model: pyembed.Model, dtype: str, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    run(model, tmp_path / "x.parquet", dtype=dtype)
    frame = pandas.read_parquet(tmp_path / "x.parquet")
    assert list(frame.columns) == ["id", "token", "embedding"]
    assert frame["id"].tolist() == list(range(N_ROWS))
    expected = [text if text != texts(model)[10] else "\ufffd\ufffd" for text in texts(model)]
    assert frame["token"].tolist()[: len(TOKENS)] == expected
    assert frame["token"].isna().tolist() == [False] * len(TOKENS) + [True, True]
    rows = np.stack(list(frame["embedding"]))
    np.testing.assert_array_equal(rows, model.table.gather(range(N_ROWS), dtype=dtype))
    assert rows.dtype == dtype
    schema = parquet.read_schema(tmp_path / "x.parquet")
    assert schema.metadata[b"type"] == b"F32"


def test_the_demo_in_gensim(tmp_path: Path) -> None:
    models = pytest.importorskip("gensim.models", reason="gensim is not installed")
    with pyembed.load_model(pyembed.demo_model()) as model:
        # Of zero rows, as those of special tokens are, gensim computes no angle.
        run(model, tmp_path / "x.bin", ids=range(5, len(model.table)))
        vectors = models.KeyedVectors.load_word2vec_format(tmp_path / "x.bin", binary=True)
        query = model.vocabulary.find("file") - 5
        rows = model.table[5:].astype(np.float64)
        cosines = rows @ rows[query] / np.linalg.norm(rows, axis=1) / np.linalg.norm(rows[query])
        cosines[query] = -1
        best = model.vocabulary[int(np.argmax(cosines)) + 5].text
    assert vectors.most_similar("▁file", topn=1)[0][0] == best


# ------------------------------------------------------------------------------- other tables, memory


def test_a_table_without_vocabulary(tmp_path: Path) -> None:
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    np.save(tmp_path / "m.npy", rows)
    with pyembed.open_table(tmp_path / "m.npy") as table:
        for name in ("x.npy", "x.npz", "x.safetensors", "x.vec", "x.bin", "x.tsv"):
            export(table, tmp_path / name, ids=[2, 0])
        assert (tmp_path / "x.vec").read_text() == "2 3\n2 6 7 8\n0 0 1 2\n"
        assert (tmp_path / "x.metadata.tsv").read_text() == "token\tid\n2\t2\n0\t0\n"
        with np.load(tmp_path / "x.npz") as arrays:
            assert set(arrays) == {"embeddings", "ids"}


def test_the_same_rows_give_the_same_file(model: pyembed.Model, tmp_path: Path) -> None:
    for name in ("npz", "safetensors"):
        run(model, tmp_path / f"a.{name}")
        run(model, tmp_path / f"b.{name}")
        assert (tmp_path / f"a.{name}").read_bytes() == (tmp_path / f"b.{name}").read_bytes()


CHILD = """
import resource, sys
import numpy as np
import pyembed
from pyembed.export import export

export(pyembed.open_table(pyembed.demo_model()), sys.argv[2])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
export(pyembed.open_table(sys.argv[1], shape=(-1, 512), dtype="float16"), sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts KiB as Linux does")
@pytest.mark.parametrize("name", ["x.npy", "x.safetensors"])
def test_memory_does_not_grow_with_the_rows(name: str, tmp_path: Path) -> None:
    with (tmp_path / "rows.bin").open("wb") as file:
        file.truncate(64 << 20)
    command = [sys.executable, "-c", CHILD, str(tmp_path / "rows.bin"), str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (tmp_path / name).stat().st_size > 128 << 20
    # The mapping's pages count while they are in use; the 128 MiB that were written do not.
    assert int(done.stdout) < (64 + 12) << 10


# ------------------------------------------------------------------------------------ what goes wrong


@pytest.mark.parametrize(
    ("name", "options", "error", "says"),
    [
        ("x.dat", {}, ValueError, "end it in one of .npy"),
        ("x.npy", {"format": "csv"}, ValueError, "unknown format 'csv'; known: npy, "),
        ("x.vec", {"dtype": "float16"}, ValueError, "word2vec files hold float32, not float16"),
        ("x.parquet", {"dtype": "bfloat16"}, ValueError, "float32 or float16, not bfloat16"),
        ("x.npy", {"ids": []}, ValueError, "no row was chosen"),
        ("x.npy", {"ids": range(3, 3)}, ValueError, "no row was chosen"),
        ("x.npy", {"ids": [0, 21]}, IndexError, "id 21 at position 1 is not a row: the table has 21"),
        ("x.npy", {"ids": [-1]}, IndexError, "id -1 at position 0"),
        ("x.npy", {"ids": [0.5]}, TypeError, "integer"),
        ("no/x.npy", {}, FileNotFoundError, "x.npy"),
    ],
)
def test_wrong_calls(
    model: pyembed.Model, name: str, options: Any, error: type[Exception], says: str, tmp_path: Path
) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error, match=says.replace(".", r"\.")):
        run(model, tmp_path / name, **options)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("link", ["hardlink_to", pytest.param("symlink_to", marks=pytest.mark.posix)])
def test_the_model_itself_is_never_written(tmp_path: Path, link: str) -> None:
    np.save(tmp_path / "m.npy", np.ones((4, 3), np.float32))
    before = (tmp_path / "m.npy").read_bytes()
    getattr(tmp_path / "link.npy", link)(tmp_path / "m.npy")
    with pyembed.open_table(tmp_path / "m.npy") as table:
        for name in ("m.npy", "link.npy"):
            with pytest.raises(ValueError, match="is the model itself"):
                export(table, tmp_path / name, ids=[0])
    assert (tmp_path / "m.npy").read_bytes() == before


@pytest.mark.parametrize("format", FORMATS)
def test_no_room_keeps_the_old_file(format: str, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="limits the size of files as POSIX does")
    old = tmp_path / f"x{FORMATS[format].suffixes[0]}"
    old.write_bytes(b"old")
    if format == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pyembed.load_model(pyembed.demo_model()) as model:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
        try:
            with pytest.raises(OSError, match=r"x\."):
                run(model, old)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert old.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [old]


def test_parquet_without_pyarrow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["export", "demo", str(tmp_path / "x.parquet")]) == 2
    assert "pip install 'pyembed-gguf[parquet]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------------------------------- the command


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "x.npy")
    for which, n in (["--ids", "1,2,3"], 3), (["--tokens", "file", "string"], 2), (["--range", "10:20"], 10):
        assert main(["export", "demo", out, *which, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["shape"] == [n, 128]
        assert len(np.load(out)) == n
    assert main(["export", "demo", str(tmp_path / "x.dat"), "--format", "word2vec", "--ids", "200"]) == 0
    assert "word2vec" in capsys.readouterr().out
    assert (tmp_path / "x.dat").read_text("utf-8").startswith("1 128\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--range", "3"], "not a range of ids"),
        (["--range", "7:7"], "no row was chosen"),
        (["--range", "0:99999999"], "id 99999998 at position 99999998 is not a row"),
        (["--tokens", "strng"], "near it: "),
        (["--ids", "1", "--range", "1:2"], "not allowed"),
    ],
)
def test_wrong_commands(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "demo", str(tmp_path / "x.npy"), *arguments]) == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
