"""Rows and files that are not what they should be: which row, which file, and what is left of the run."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from tests.helpers.corpora import WIDTH

pyarrow = pytest.importorskip("pyarrow")
pytest.importorskip("pyarrow.parquet")
pytest.importorskip("tokenizers")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "table.npy"
    np.save(path, np.ones((100, WIDTH), np.float32))
    return path


def parquet(path: Path, columns: dict[str, Any]) -> Path:
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def rejects(out: Path) -> list[dict[str, Any]]:
    files = sorted(out.glob("_rejects-*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]


def texts_of(out: Path) -> list[str]:
    found: list[str] = pyarrow.parquet.read_table(out).column("text").to_pylist()
    return found


# ----------------------------------------------------------------------------------------------- rows


def test_nulls_and_empty_texts(model: Path, tmp_path: Path) -> None:
    path = parquet(tmp_path / "in.parquet", {"text": ["the", None, "", "cat", None]})
    with pytest.raises(ValueError, match=r"in.parquet: row 1: null"):
        pyembed.encode_corpus(model, path, tmp_path / "out")
    with pytest.raises(ValueError, match=r"in.parquet: row 4: null; 1 rows failed before, as many as may"):
        pyembed.encode_corpus(model, path, tmp_path / "out", resume=True, max_errors=1)
    done = pyembed.encode_corpus(model, path, tmp_path / "out", resume=True, max_errors=2)
    assert (done.rows, done.failed) == (3, 2)
    assert texts_of(tmp_path / "out") == ["the", "", "cat"]
    assert rejects(tmp_path / "out") == [{"file": str(path), "row": row, "reason": "null"} for row in (1, 4)]
    vectors = pyarrow.parquet.read_table(tmp_path / "out").column("embedding").to_pylist()
    assert vectors[1] == [0.0] * WIDTH


def test_only_rows_that_fail(model: Path, tmp_path: Path) -> None:
    path = parquet(tmp_path / "in.parquet", {"text": pyarrow.nulls(10)})
    done = pyembed.encode_corpus(model, path, tmp_path / "out", max_errors=None)
    assert (done.rows, done.vectors, done.failed) == (0, 0, 10)
    assert pyarrow.parquet.read_table(tmp_path / "out").num_rows == 0


def test_a_text_of_a_million_characters(model: Path, tmp_path: Path) -> None:
    long = "the cat " * 125_000
    for suffix, text in (
        ("txt", long),
        ("csv", f'text\n"{long}"'),
        ("jsonl", json.dumps({"text": long})),
    ):
        (tmp_path / f"in.{suffix}").write_text(text, "utf-8")
        for pool in ("mean", "none"):
            out = tmp_path / f"{suffix}{pool}"
            pyembed.encode_corpus(model, tmp_path / f"in.{suffix}", out, pool=pool)  # type: ignore[arg-type]
            assert texts_of(out) == [long]
    with pyembed.load_encoder(model) as encoder:
        wanted = encoder.encode(long)
    found = pyarrow.parquet.read_table(tmp_path / "txtmean").column("embedding").to_pylist()
    assert found == [wanted.tolist()]


def test_long_texts_are_read_a_few_at_a_time(tmp_path: Path) -> None:
    """However many of them lie in a row group."""
    from pyembed.corpora.sources import open_sources, schema_of

    rng = np.random.default_rng(0)
    texts = [rng.integers(32, 127, 100_000, np.uint8).tobytes().decode() for _ in range(300)]
    sources = open_sources(parquet(tmp_path / "in.parquet", {"text": texts}))
    pieces = list(sources[0].pieces(schema_of(sources, None), 0))
    assert [text for piece in pieces for text in piece.table.column("text").to_pylist()] == texts
    assert max(piece.table.nbytes for piece in pieces) < 5 << 20


def test_a_text_that_is_too_long(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyembed.corpora.columns.MAX_CHARACTERS", 20)
    monkeypatch.setattr("pyembed.corpora.lines._LONGEST", 30)
    monkeypatch.setattr("pyembed.corpora.lines._CHUNK", 8)
    (tmp_path / "in.txt").write_text(f"the\n{21 * 'x'}\n{31 * 'y'}\ncat\n{100 * 'z'}", "utf-8")
    pyembed.encode_corpus(model, tmp_path / "in.txt", tmp_path / "out", max_errors=3)
    assert texts_of(tmp_path / "out") == ["the", "cat"]
    assert [(one["row"], one["reason"]) for one in rejects(tmp_path / "out")] == [
        (1, "21 characters: at most 20 are cut at once"),
        (2, "the line has more than 30 bytes"),
        (4, "the line has more than 30 bytes"),
    ]


def test_an_id_that_is_no_row(table: Path, tmp_path: Path) -> None:
    """Row 1,000,000 of all is row 400,000 of the second file."""
    first = np.zeros(600_000, np.int32)
    second = np.zeros(500_000, np.int32)
    second[400_000] = 100
    files = [
        parquet(tmp_path / "a.parquet", {"ids": first}),
        parquet(tmp_path / "b.parquet", {"ids": second}),
    ]
    message = r"b.parquet: row 400000: id 100 at position 0 is not a row: the table has 100 rows"
    with pytest.raises(ValueError, match=message):
        pyembed.encode_corpus(table, files, tmp_path / "out", ids="ids", dtype="binary")
    done = pyembed.encode_corpus(
        table, files, tmp_path / "npy", ids="ids", dtype="binary", format="npy", max_errors=1
    )
    assert (done.rows, done.failed) == (1_099_999, 1)
    rows = np.concatenate([np.load(path) for path in sorted((tmp_path / "npy").glob("*.rows.npy"))])
    np.testing.assert_array_equal(rows, np.delete(np.arange(1_100_000), 1_000_000))


def test_ids_of_all_kinds(table: Path, tmp_path: Path) -> None:
    bags = [[1, 2], None, [3, None], [-1], [99], [1, 2, 100], [2**40]]
    path = parquet(tmp_path / "in.parquet", {"ids": bags})
    pyembed.encode_corpus(table, path, tmp_path / "out", ids="ids", max_errors=5)
    assert [(one["row"], one["reason"]) for one in rejects(tmp_path / "out")] == [
        (1, "null"),
        (2, "null"),
        (3, "id -1 at position 0 is not a row: the table has 100 rows"),
        (5, "id 100 at position 2 is not a row: the table has 100 rows"),
        (6, f"id {2**40} at position 0 is not a row: the table has 100 rows"),
    ]
    big = pyarrow.array([1, 2**64 - 1], pyarrow.uint64())
    path = parquet(tmp_path / "big.parquet", {"ids": big})
    with pytest.raises(ValueError, match=f"row 1: id {2**64 - 1} at position 0"):
        pyembed.encode_corpus(table, path, tmp_path / "big", ids="ids")
    (tmp_path / "in.csv").write_text("ids\n1 2\n\n[3 4]\nx\n1.5\n" + "9" * 5000 + f"\n{2**63}\n", "utf-8")
    pyembed.encode_corpus(table, tmp_path / "in.csv", tmp_path / "csv", ids="ids", max_errors=4)
    assert [one["row"] for one in rejects(tmp_path / "csv")] == [3, 4, 5, 6]


@pytest.mark.parametrize(
    ("column", "of_ids"),
    [
        ([1, 2], False),
        ([["a"], ["b"]], False),
        ([b"a", b"b"], False),
        ([1.5, 2.0], True),
        ([True, False], True),
        ([[1.0], [2.0]], True),
    ],
)
def test_columns_of_other_types(model: Path, table: Path, tmp_path: Path, column: Any, of_ids: bool) -> None:
    path = parquet(tmp_path / "in.parquet", {"c": column})
    name: dict[str, Any] = {"ids": "c"} if of_ids else {"text": "c"}
    with pytest.raises(TypeError, match=r"column 'c' is of type '.*'; expected"):
        pyembed.encode_corpus(table if of_ids else model, path, tmp_path / "out", **name)
    assert not (tmp_path / "out").exists()


def test_columns_that_parquet_does_not_hold(model: Path, tmp_path: Path) -> None:
    spans = pyarrow.array([(1, 2, 3)], pyarrow.month_day_nano_interval())
    table = pyarrow.table({"text": ["the"], "span": spans})
    with pyarrow.ipc.new_file(tmp_path / "in.arrow", table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(
        TypeError, match=r"in.arrow: column 'span' is of type .*, which Parquet does not hold"
    ):
        pyembed.encode_corpus(model, tmp_path / "in.arrow", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    pyembed.encode_corpus(model, tmp_path / "in.arrow", tmp_path / "out", columns=["text"])
    assert texts_of(tmp_path / "out") == ["the"]


def test_columns_that_parquet_says_too_late_it_does_not_hold(model: Path, tmp_path: Path) -> None:
    table = pyarrow.table({"text": ["the"], "none": pyarrow.array([b""], pyarrow.binary(0))})
    with pyarrow.ipc.new_file(tmp_path / "in.arrow", table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(TypeError, match=r"column 'none' is of type .*, which Parquet does not hold"):
        pyembed.encode_corpus(model, tmp_path / "in.arrow", tmp_path / "out")


@pytest.mark.parametrize("kind", ["string_view", "binary_view", "run_end_encoded"])
@pytest.mark.parametrize("format", ["parquet", "npy"])
def test_rows_that_fail_beside_columns_of_all_types(
    model: Path, tmp_path: Path, kind: str, format: str
) -> None:
    """Arrow picks no single rows of these types."""
    if kind == "run_end_encoded":
        if format == "parquet":
            pytest.skip("Parquet holds no runs")
        column = pyarrow.RunEndEncodedArray.from_arrays(pyarrow.array([2, 5], pyarrow.int32()), ["a", "b"])
    else:
        column = pyarrow.array(["a", "b", None, "d" * 30, "e"], getattr(pyarrow, kind)())
    table = pyarrow.table({"text": [None, "the", None, "cat", ""], "kept": column})
    with pyarrow.ipc.new_file(tmp_path / "in.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=3)
    path, out = tmp_path / "in.arrow", tmp_path / "out"
    done = pyembed.encode_corpus(model, path, out, text="text", format=format, max_errors=2)
    assert (done.rows, done.failed) == (3, 2)
    if format == "parquet":
        found = pyarrow.parquet.read_table(out).column("kept").to_pylist()
        assert found == [column[row].as_py() for row in (1, 3, 4)]


def test_names_that_are_paths(model: Path, tmp_path: Path) -> None:
    """Dots in a name are no steps into it."""
    path = parquet(tmp_path / "in.parquet", {"a": [{"b": 1}], "a.b": ["the"], "text": ["cat"]})
    pyembed.encode_corpus(model, path, tmp_path / "out", text="a.b")
    found = pyarrow.parquet.read_table(tmp_path / "out")
    assert found.select(["a", "a.b", "text"]).to_pylist() == [{"a": {"b": 1}, "a.b": "the", "text": "cat"}]


def test_many_rows_that_fail(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not kept until a part is full of others."""
    monkeypatch.setattr("pyembed.corpora.run._PART_FAULTS", 10)
    monkeypatch.setattr("pyembed.corpora.plan._BLOCK_ROWS", 8)
    path = parquet(tmp_path / "in.parquet", {"text": [None] * 50 + ["the"] * 3})
    done = pyembed.encode_corpus(model, path, tmp_path / "out", max_errors=None)
    assert (done.rows, done.failed, len(done.parts)) == (3, 50, 4)
    assert [one["row"] for one in rejects(tmp_path / "out")] == list(range(50))


@pytest.mark.parametrize("kind", ["large_string", "string_view", "dictionary"])
def test_texts_of_all_types(model: Path, tmp_path: Path, kind: str) -> None:
    given = ["the", "cat", "", "the"]
    if kind == "dictionary":
        column = pyarrow.array(given).dictionary_encode()
    else:
        column = pyarrow.array(given, getattr(pyarrow, kind)())
    with pyarrow.ipc.new_file(tmp_path / "in.arrow", pyarrow.schema([("text", column.type)])) as writer:
        writer.write_table(pyarrow.table({"text": column}))
    pyembed.encode_corpus(model, tmp_path / "in.arrow", tmp_path / "out", text="text")
    assert texts_of(tmp_path / "out") == given


# ---------------------------------------------------------------------------------------------- lines


def test_json_lines(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyembed.corpora.lines._GUESSED", 2)
    lines = [
        b'{"text": "the", "n": 1}',
        b'{"text": "cat"}',
        b"",
        b'{"text": 5}',
        b'{"text": "a", "other": 1}',
        b'{"text": "a"} {"text": "b"}',
        b"[1]",
        b'{"text": "\xff"}',
        b'{"text": "\\ud800"}',
        b'{"text": "a", "text": "b"}',
        b'{"text": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"text": "' + b"[" * 100 + b'\\"{", "n": 2}',
        b'{"n": 3}',
        b'{"text": "dog"',
    ]
    (tmp_path / "in.jsonl").write_bytes(b"\n".join(lines))
    pyembed.encode_corpus(model, tmp_path / "in.jsonl", tmp_path / "out", max_errors=None)
    assert texts_of(tmp_path / "out") == ["the", "cat", "[" * 100 + '"{']
    found = {one["row"]: one["reason"] for one in rejects(tmp_path / "out")}
    assert list(found) == [3, 4, 5, 6, 7, 8, 9, 10, 12, 13]
    for row, reason in (
        (3, "changed from string to number"),
        (4, "'other' is not a column"),
        (5, "more than one value"),
        (7, "not UTF-8: invalid start byte at byte 10"),
        (10, "nested 200001 deep; at most 64"),
        (12, "null"),
    ):
        assert reason in found[row]
    done = pyembed.encode_corpus(
        model, tmp_path / "in.jsonl", tmp_path / "some", max_errors=None, columns=["text"]
    )
    assert done.rows == 4


def test_dates_stay_texts(model: Path, tmp_path: Path) -> None:
    lines = ['{"text": "2024-01-01", "l": []}', '{"text": "the", "l": [1]}', '{"text": "", "l": null}']
    (tmp_path / "in.jsonl").write_text("\n".join(lines), "utf-8")
    pyembed.encode_corpus(model, tmp_path / "in.jsonl", tmp_path / "out")
    assert texts_of(tmp_path / "out") == ["2024-01-01", "the", ""]


def test_lines_that_are_not_utf8(model: Path, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(b"\xef\xbb\xbfthe\r\ncat \xff\n\nd\xc3\xb6g")
    pyembed.encode_corpus(model, tmp_path / "in.txt", tmp_path / "out", max_errors=1)
    assert texts_of(tmp_path / "out") == ["the", "", "dög"]
    assert rejects(tmp_path / "out")[0]["reason"] == "not UTF-8: invalid start byte at byte 4 of the line"


def test_csv(model: Path, tmp_path: Path) -> None:
    data = b'\xef\xbb\xbfid,text\n1,"the\n""cat"", a"\n2\n\n3,\xff\n4,dog\n5,a,b\n6,\n'
    (tmp_path / "in.csv").write_bytes(data)
    pyembed.encode_corpus(model, tmp_path / "in.csv", tmp_path / "out", max_errors=3)
    assert texts_of(tmp_path / "out") == ['the\n"cat", a', "dog", ""]
    assert pyarrow.parquet.read_table(tmp_path / "out").column("id").to_pylist() == ["1", "4", "6"]
    assert [(one["row"], one["reason"]) for one in rejects(tmp_path / "out")] == [
        (1, "1 fields; the header has 2"),
        (3, "not UTF-8"),
        (5, "3 fields; the header has 2"),
    ]
    (tmp_path / "open.csv").write_text('text\nthe\n"cat\ndog\n' + "x" * 100, "utf-8")
    with pytest.raises(pyembed.FormatError, match=r"open.csv: the record after row 0 .*is a quote open"):
        pyembed.encode_corpus(model, tmp_path / "open.csv", tmp_path / "open")
    (tmp_path / "none.csv").write_text("", "utf-8")
    with pytest.raises(pyembed.FormatError, match=r"none.csv: there is no header"):
        pyembed.encode_corpus(model, tmp_path / "none.csv", tmp_path / "none")


def test_other_readers_of_csv_have_their_limit_back(tmp_path: Path) -> None:
    """Whichever of two that read at the same time ends first, or fails."""
    from pyembed.corpora.sources import open_sources, schema_of

    limit = csv.field_size_limit()
    readers = []
    for name, end in (("one", '"'), ("two", '"'), ("open", "")):
        (tmp_path / f"{name}.csv").write_text("text\n" + "x\n" * 5000 + '"' + "y" * 2 * limit + end, "utf-8")
        sources = open_sources(tmp_path / f"{name}.csv")
        readers.append(sources[0].pieces(schema_of(sources, None), 0))
    assert csv.field_size_limit() == limit
    one, two, broken = readers
    next(one), next(two), next(broken)
    assert csv.field_size_limit() > limit
    with pytest.raises(pyembed.FormatError, match="is a quote open"):
        list(broken)
    assert sum(piece.table.num_rows for piece in one) == 5001 - 4096
    assert csv.field_size_limit() > limit
    assert next(two).table.num_rows == 5001 - 4096
    two.close()
    assert csv.field_size_limit() == limit


# ---------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("name", ["in.parquet", "in.arrow", "in.arrows", "in.txt.gz", "in.jsonl.zst"])
def test_damaged_files(model: Path, tmp_path: Path, name: str, rng: np.random.Generator) -> None:
    """Whatever the bytes are, there is an error that names the file, or rows come out."""
    table = pyarrow.table({"text": ["the cat"] * 500})
    path = tmp_path / name
    if name == "in.parquet":
        pyarrow.parquet.write_table(table, path)
    elif name.startswith("in.arrow"):
        new = pyarrow.ipc.new_stream if name.endswith("s") else pyarrow.ipc.new_file
        with new(path, table.schema) as writer:
            writer.write_table(table)
    else:
        with pyarrow.output_stream(path) as stream:
            stream.write(b'{"text": "the cat"}\n' * 500)
    whole = path.read_bytes()
    messages = []
    for number in range(12):
        data = bytearray(whole[: len(whole) // 2] if number == 0 else whole)
        if number:
            for place in rng.integers(0, len(data), 8):
                data[place] = rng.integers(256)
        path.write_bytes(data)
        try:
            pyembed.encode_corpus(model, path, tmp_path / str(number), max_errors=None, text="text")
        except (OSError, ValueError, TypeError) as error:
            messages.append(str(error))
    assert messages
    assert all(str(tmp_path) in message or "'text'" in message for message in messages)


def test_offsets_that_lead_out_of_a_file(model: Path, tmp_path: Path) -> None:
    """Arrow believes what a file says of its buffers: that has to be looked at before texts are read."""
    offsets = np.array([0, 3, 1 << 30, 6], np.int32)
    data = pyarrow.py_buffer(b"thecat")
    column = pyarrow.Array.from_buffers(pyarrow.string(), 3, [None, pyarrow.py_buffer(offsets), data])
    with pyarrow.ipc.new_file(tmp_path / "in.arrow", pyarrow.schema([("text", column.type)])) as writer:
        writer.write_batch(pyarrow.record_batch([column], ["text"]))
    with pytest.raises(pyembed.FormatError, match=r"in.arrow: it cannot be read: .*offset"):
        pyembed.encode_corpus(model, tmp_path / "in.arrow", tmp_path / "out")


def test_files_that_differ(model: Path, tmp_path: Path) -> None:
    first = parquet(tmp_path / "a.parquet", {"text": ["the"], "n": [1]})
    for columns, message in (
        ({"text": ["the"], "n": ["1"]}, r"b.parquet: column 'n' is of type string; in .*a.parquet .*int64"),
        ({"text": ["the"]}, r"b.parquet: column 'n' is missing"),
        ({"text": ["the"], "n": [1], "z": [0]}, r"b.parquet: column 'z' is not in .*a.parquet; choose"),
        ({"n": [1]}, r"b.parquet: column 'text' is missing"),
    ):
        second = parquet(tmp_path / "b.parquet", columns)
        with pytest.raises(ValueError, match=message):
            pyembed.encode_corpus(model, [first, second], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    second = parquet(tmp_path / "b.parquet", {"z": [0], "n": [2], "text": ["cat"]})
    pyembed.encode_corpus(model, [first, second], tmp_path / "out", columns=["text", "n"])
    assert pyarrow.parquet.read_table(tmp_path / "out").column("n").to_pylist() == [1, 2]


def test_what_is_given_wrongly(model: Path, tmp_path: Path) -> None:
    path = parquet(tmp_path / "in.parquet", {"a": ["the"], "b": ["cat"], "n": [1]})
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "which column has the texts"),
        ({"text": "c"}, "no column 'c'; it has 'a', 'b', 'n'"),
        ({"text": "a", "ids": "n"}, "text and ids both name a column"),
        ({"text": "a", "into": "b"}, "has a column 'b'"),
        ({"text": "a", "columns": ["b"]}, "columns leaves out 'a'"),
        ({"text": "a", "columns": ["a", "z"]}, "no column .*'z'"),
        ({"text": "a", "dtype": "binary", "dim": 4}, "4 bits do not fill bytes"),
        ({"text": "a", "dtype": "int8"}, "dtype is 'int8'"),
        ({"text": "a", "pool": "max"}, "pool is 'max'"),
        ({"text": "a", "format": "csv"}, "format is 'csv'"),
        ({"text": "a", "max_errors": -1}, "max_errors is -1"),
    ]
    for options, message in cases:
        with pytest.raises(ValueError, match=message):
            pyembed.encode_corpus(model, path, tmp_path / "out", **options)
    for inputs, message in (
        ([path, path], "is given twice"),
        (tmp_path / "in.parquet.gz", "in.parquet.gz"),
        ([], "no input"),
        (model, "has no file that ends in|config.json|no column"),
    ):
        with pytest.raises((ValueError, OSError), match=message):
            pyembed.encode_corpus(model, inputs, tmp_path / "out", text="a")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("threads", [1, 2])
def test_an_end_of_something_else_is_not_the_end_of_a_run(
    model: Path, tmp_path: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(*_: object) -> None:
        raise StopIteration

    (tmp_path / "in.txt").write_text("the cat\n")
    monkeypatch.setattr("pyembed.corpora.run.vectors_of", ends)
    with pytest.raises(RuntimeError, match="StopIteration"):
        pyembed.encode_corpus(model, tmp_path / "in.txt", tmp_path / "out", threads=threads)
