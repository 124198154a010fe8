"""Corpora: what comes out, in what parts, and what becomes of a run that was cut off."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from tests.helpers.corpora import WIDTH, contents, matrix, texts, written
from tests.helpers.tokenizer_files import write_safetensors

pyarrow = pytest.importorskip("pyarrow")
pytest.importorskip("pyarrow.parquet")
pytest.importorskip("tokenizers")


def bodies(corpus: Path) -> list[str]:
    return pyarrow.parquet.read_table(corpus).column("body").to_pylist()


# ------------------------------------------------------------------------------------- what comes out


@pytest.mark.parametrize("threads", [1, 2])
def test_columns_and_vectors(model: Path, corpus: Path, tmp_path: Path, threads: int) -> None:
    done = pyembed.encode_corpus(model, corpus, tmp_path / "out", part_size="64KiB", threads=threads)
    assert (done.rows, done.vectors, done.failed, done.resumed) == (3000, 3000, 0, 0)
    assert done.parts == ("part-00000.parquet", "part-00001.parquet", "part-00002.parquet")
    found = written(tmp_path / "out")
    assert found.column("id").to_pylist() == list(range(3000))
    assert found.column("body").to_pylist() == bodies(corpus)
    assert found.schema.field("embedding").type.list_size == WIDTH
    with pyembed.load_encoder(model) as encoder:
        np.testing.assert_array_equal(matrix(found.column("embedding")), encoder.encode(bodies(corpus)))


def test_threads_and_how_files_are_cut_change_no_byte(model: Path, corpus: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    for path in sorted(corpus.iterdir()):
        pyarrow.parquet.write_table(pyarrow.parquet.read_table(path), whole / path.name, row_group_size=77)
    for name, source, threads in (("a", corpus, 1), ("b", corpus, 2), ("c", whole, 2)):
        pyembed.encode_corpus(model, source, tmp_path / name, part_size="16KiB", threads=threads)
    found = [
        {name: data for name, data in contents(tmp_path / name).items() if not name.startswith("_manifest")}
        for name in "abc"
    ]
    assert len(found[0]) == 13
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("dtype", ["float32", "float16", "binary"])
@pytest.mark.parametrize(("dim", "normalize"), [(None, None), (8, None), (8, False), (None, False)])
def test_dtypes(model: Path, tmp_path: Path, dtype: Any, dim: int | None, normalize: bool | None) -> None:
    given = texts(50)
    (tmp_path / "in.txt").write_text("\n".join(given) + "\n", "utf-8")
    out = tmp_path / "out"
    pyembed.encode_corpus(model, tmp_path / "in.txt", out, dtype=dtype, dim=dim, normalize=normalize)
    with pyembed.load_encoder(model) as encoder:
        wanted = encoder.encode(given, dim=dim, normalize=normalize, dtype="float32")
    if dtype == "binary":
        wanted = np.packbits(wanted > 0, axis=1)
    np.testing.assert_array_equal(
        matrix(written(out).column("embedding")),
        wanted.astype({"float32": np.float32, "float16": np.float16, "binary": np.uint8}[dtype]),
    )


def test_a_vector_for_each_token(model: Path, tmp_path: Path) -> None:
    given = texts(300)
    (tmp_path / "in.txt").write_text("\n".join(given) + "\n", "utf-8")
    pyembed.encode_corpus(model, tmp_path / "in.txt", tmp_path / "out", pool="none", part_size="8KiB")
    rows = written(tmp_path / "out").column("embedding").to_pylist()
    with pyembed.load_encoder(model) as encoder:
        ids, offsets = encoder.tokenize(given)
        wanted = encoder.table.gather(ids)
    assert [len(row) for row in rows] == np.diff(offsets).tolist()
    np.testing.assert_array_equal(np.array([v for row in rows for v in row], np.float32), wanted)
    assert len(list((tmp_path / "out").glob("part-*"))) > 3


@pytest.mark.parametrize("pool", ["mean", "none"])
def test_shards(model: Path, tmp_path: Path, pool: Any) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    lines = [json.dumps({"text": text if number != 7 else None}) for number, text in enumerate(texts(40))]
    (tmp_path / "in.jsonl").write_text("\n".join(lines), "utf-8")
    for kind in ("npy", "safetensors", "parquet"):
        pyembed.encode_corpus(
            model, tmp_path / "in.jsonl", tmp_path / kind, format=kind, pool=pool, max_errors=1
        )
    npy = {
        name: np.load(tmp_path / "npy" / f"part-00000{suffix}.npy")
        for name, suffix in (("embeddings", ""), ("rows", ".rows"), ("offsets", ".offsets"))
        if name != "offsets" or pool == "none"
    }
    tensors = safetensors.load_file(tmp_path / "safetensors" / "part-00000.safetensors")
    assert npy.keys() == tensors.keys()
    for name, array in npy.items():
        np.testing.assert_array_equal(tensors[name], array)
    assert npy["rows"].tolist() == [row for row in range(40) if row != 7]
    rows = written(tmp_path / "parquet").column("embedding").to_pylist()
    flat = [v for row in rows for v in row] if pool == "none" else rows
    np.testing.assert_array_equal(np.array(flat, np.float32), npy["embeddings"])


def test_ids(tmp_path: Path) -> None:
    table = np.random.default_rng(0).standard_normal((50, WIDTH)).astype(np.float32)
    np.save(tmp_path / "table.npy", table)
    bags = [[1, 2, 3], [], [49], [7, 7]]
    data = {"n": [5, 6, 7, 8], "ids": pyarrow.array(bags, pyarrow.list_(pyarrow.uint16()))}
    pyarrow.parquet.write_table(pyarrow.table(data), tmp_path / "in.parquet")
    for ids, normalize, wanted in (
        ("n", None, table[5:9]),
        ("ids", None, [table[bag].mean(axis=0) if bag else np.zeros(WIDTH) for bag in bags]),
        ("n", True, table[5:9] / np.linalg.norm(table[5:9], axis=1, keepdims=True)),
    ):
        out = tmp_path / f"{ids}{normalize}"
        pyembed.encode_corpus(
            tmp_path / "table.npy", tmp_path / "in.parquet", out, ids=ids, normalize=normalize
        )
        np.testing.assert_allclose(matrix(written(out).column("embedding")), wanted, rtol=1e-6, atol=1e-7)


def test_models_of_other_kinds(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("open the file\nstring\n", "utf-8")
    pyembed.encode_corpus(pyembed.demo_model(), tmp_path / "in.txt", tmp_path / "out")
    with pyembed.load_model(pyembed.demo_model()) as opened:
        bags = opened.tokenize(["open the file", "string"])
        wanted = opened.table.pool(*bags)
        np.testing.assert_array_equal(matrix(written(tmp_path / "out").column("embedding")), wanted)
        (tmp_path / "ids.txt").write_text("1 2 3\n[4, 5]\n", "utf-8")
        pyembed.encode_corpus(opened, tmp_path / "ids.txt", tmp_path / "ids", ids="text")
        wanted = opened.table.pool([1, 2, 3, 4, 5], [0, 3, 5])
        np.testing.assert_array_equal(matrix(written(tmp_path / "ids").column("embedding")), wanted)
        assert not opened.closed


def test_an_empty_corpus_has_no_parts(model: Path, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(b"")
    done = pyembed.encode_corpus(model, tmp_path / "in.txt", tmp_path / "out")
    assert (done.rows, done.parts) == (0, ())


def test_progress(model: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyembed.corpora.run._SECONDS_A_REPORT", 0)
    told: list[tuple[str, float]] = []
    pyembed.encode_corpus(
        model, corpus, tmp_path / "out", part_size="64KiB", progress=lambda *given: told.append(given)
    )
    shares = [done for _, done in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert told[-1][0].startswith("3,000 rows, ")
    assert " a second, 0:00 left" in told[-1][0]
    with pytest.raises(pyembed.LoadCancelledError):
        pyembed.encode_corpus(model, corpus, tmp_path / "no", progress=lambda *_: False)


# --------------------------------------------------------------------------------- cut off, and resumed


@pytest.fixture(scope="module")
def whole(model: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an undisturbed run writes."""
    out = tmp_path_factory.mktemp("whole")
    pyembed.encode_corpus(model, corpus, out, part_size="32KiB", format="npy")
    return out


KILLED = 77


def encode_and_die(model: Path, corpus: Path, out: Path, point: str, number: int) -> None:
    """Encode until a certain call of a function, and then end as if killed."""
    module, _, name = point.rpartition(".")
    owner = __import__(module, fromlist=[name])
    real, calls = getattr(owner, name), iter(range(1, 1 << 30))

    def dying(*arguments: Any, **options: Any) -> Any:
        if next(calls) == number:
            os._exit(KILLED)
        return real(*arguments, **options)

    setattr(owner, name, dying)
    pyembed.encode_corpus(model, corpus, out, part_size="32KiB", threads=1, resume=True, format="npy")


@pytest.mark.parametrize(
    ("point", "number"),
    [
        *((point, number) for point in ("os.replace", "os.fsync") for number in range(1, 6)),
        ("pyembed.corpora.run.vectors_of", 1),
        ("pyembed.corpora.run.vectors_of", 20),
    ],
)
def test_killed_and_resumed(
    model: Path, corpus: Path, whole: Path, tmp_path: Path, point: str, number: int
) -> None:
    """Before and after every file is on the disk or gets its name: the rest follows, byte for byte."""
    options: dict[str, Any] = {"part_size": "32KiB", "format": "npy"}
    how = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
    child = how.Process(target=encode_and_die, args=(model, corpus, tmp_path / "out", point, number))
    child.start()
    child.join()
    assert child.exitcode == KILLED
    pyembed.encode_corpus(model, corpus, tmp_path / "out", resume=True, **options)
    before = contents(tmp_path / "out")
    assert before == contents(whole)
    done = pyembed.encode_corpus(model, corpus, tmp_path / "out", resume=True, **options)
    assert (done.rows, done.resumed) == (3000, 3000)
    assert contents(tmp_path / "out") == before


def test_resumed_in_every_kind_of_file(model: Path, tmp_path: Path) -> None:
    given = texts(800)
    folder = tmp_path / "in"
    folder.mkdir()
    table = pyarrow.table({"text": given})
    pyarrow.parquet.write_table(table, folder / "a.parquet", row_group_size=300)
    with pyarrow.ipc.new_file(folder / "b.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=300)
    with pyarrow.ipc.new_stream(folder / "c.arrows", table.schema) as writer:
        writer.write_table(table, max_chunksize=300)
    (folder / "d.txt").write_text("\n".join(given), "utf-8")
    (folder / "e.jsonl").write_text("\n\n".join(json.dumps({"text": text}) for text in given), "utf-8")
    (folder / "f.csv").write_text("text\n" + "".join(f'"{text}"\n' for text in given), "utf-8")
    with pyarrow.output_stream(folder / "g.txt.gz", compression="gzip") as stream:
        stream.write("\n".join(given).encode())
    whole = tmp_path / "whole"
    pyembed.encode_corpus(model, folder, whole, part_size="32KiB")
    assert written(whole).column("text").to_pylist() == 7 * given
    parts = [json.loads(line) for line in (whole / "_parts.jsonl").read_text().splitlines()]
    assert len(parts) == 11
    for number in range(1, len(parts), 3):
        out = tmp_path / str(number)
        out.mkdir()
        for name, data in contents(whole).items():
            if name != f"part-{number:05d}.parquet" and (
                not name.startswith("part") or int(name[5:10]) < number
            ):
                (out / name).write_bytes(data)
        lines = (whole / "_parts.jsonl").read_bytes().splitlines(keepends=True)
        (out / "_parts.jsonl").write_bytes(b"".join(lines[: number + 1]))  # the last part got no name
        done = pyembed.encode_corpus(model, folder, out, part_size="32KiB", resume=True)
        assert done.resumed == sum(part["read"] for part in parts[:number])
        assert contents(out) == contents(whole)


def test_resumed_with_columns_of_many_pages(model: Path, tmp_path: Path) -> None:
    """The first part's last row lies inside of what is read at once, and pages are longer than that."""
    path, n, n_part = tmp_path / "in.parquet", 2700, 8 * 300 * WIDTH * 4
    wide = [os.urandom(8000) for _ in range(n)]
    table = pyarrow.table({"text": texts(n), "wide": wide})
    pyarrow.parquet.write_table(table, path, row_group_size=400, compression="none")
    pyembed.encode_corpus(model, path, tmp_path / "out", part_size=n_part)
    before = contents(tmp_path / "out")
    lines = before["_parts.jsonl"].splitlines(keepends=True)
    assert [json.loads(line)["read"] for line in lines] == [2400, 300]
    (tmp_path / "out" / "_parts.jsonl").write_bytes(lines[0])
    (tmp_path / "out" / "part-00001.parquet").unlink()
    pyembed.encode_corpus(model, path, tmp_path / "out", part_size=n_part, resume=True)
    assert contents(tmp_path / "out") == before


def test_write_failures_name_the_file(model: Path, corpus: Path, tmp_path: Path) -> None:
    """No memory is used up by rows that wait behind a writer that failed."""
    import threading

    n = threading.active_count()
    with pytest.raises(ValueError, match="part_size"):
        pyembed.encode_corpus(model, corpus, tmp_path / "out", part_size="none")
    with pytest.raises(ValueError, match="dim is 17"):
        pyembed.encode_corpus(model, corpus, tmp_path / "out", dim=17)
    assert not (tmp_path / "out").exists()
    assert threading.active_count() == n


def test_safetensors_tables(tmp_path: Path) -> None:
    """A table that is not an encoder takes ids, and says what it lacks where texts are given."""
    rows = np.arange(40, dtype=np.float32).reshape(10, 4)
    write_safetensors(tmp_path / "t.safetensors", {"embedding.weight": ("F32", rows)})
    (tmp_path / "in.csv").write_text("n\n3\n9\n", "utf-8")
    pyembed.encode_corpus(tmp_path / "t.safetensors", tmp_path / "in.csv", tmp_path / "out", ids="n")
    np.testing.assert_array_equal(matrix(written(tmp_path / "out").column("embedding")), rows[[3, 9]])
    with pytest.raises((OSError, pyembed.FormatError), match="tokenizer"):
        pyembed.encode_corpus(tmp_path / "t.safetensors", tmp_path / "in.csv", tmp_path / "no")
