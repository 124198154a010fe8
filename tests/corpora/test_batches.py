"""One function object for batches of all kinds, in threads, in processes, and across forks."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from tests.helpers.corpora import WIDTH
from tests.helpers.encoders import TEXTS

pyarrow = pytest.importorskip("pyarrow")
pytest.importorskip("pyarrow.parquet")
pytest.importorskip("tokenizers")


@pytest.fixture
def encode(model: Path) -> Iterator[pyembed.Encode]:
    encode = pyembed.Encode(model, text="text")
    yield encode
    encode.close()


@pytest.fixture(scope="module")
def wanted(model: Path) -> Any:
    with pyembed.load_encoder(model) as encoder:
        return encoder.encode(TEXTS)


def matrix(column: Any) -> Any:
    return np.array(column.to_pylist(), np.float32)


# -------------------------------------------------------------------------------------- kinds of batch


def test_arrow(encode: pyembed.Encode, wanted: Any) -> None:
    table = pyarrow.table({"n": range(len(TEXTS)), "text": TEXTS})
    for batch in (table, table.to_batches()[0], encode(table)):
        found = encode(batch)
        assert type(found) is type(batch)
        assert found.schema.names == ["n", "text", "embedding"]
        assert found.schema.field("embedding").type.list_size == WIDTH
        np.testing.assert_array_equal(matrix(found.column("embedding")), wanted)
    chunked = pyarrow.concat_tables([table.slice(0, 3), table.slice(3)])
    np.testing.assert_array_equal(matrix(encode(chunked).column("embedding")), wanted)
    assert encode.counts == (4 * len(TEXTS) + len(TEXTS), 0, 5 * len(TEXTS))


def test_vectors_are_not_copied(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pyembed.load_encoder(model) as encoder:
        made: list[Any] = []
        real = encoder.encode
        monkeypatch.setattr(encoder, "encode", lambda *a, **o: made.append(real(*a, **o)) or made[-1])
        found = pyembed.Encode(encoder, text="text")(pyarrow.table({"text": TEXTS}))
        values = found.column("embedding").chunk(0).values.to_numpy(zero_copy_only=True)
    assert np.shares_memory(values, made[-1])


def test_pandas(encode: pyembed.Encode, wanted: Any) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": TEXTS}, index=range(10, 10 + len(TEXTS)))
    found = encode(frame)
    assert list(found.columns) == ["text", "embedding"]
    np.testing.assert_array_equal(np.stack(found["embedding"]), wanted)
    series = encode(frame["text"])
    as_spark = pyarrow.Array.from_pandas(series, type=pyarrow.list_(pyarrow.float32()))
    np.testing.assert_array_equal(matrix(as_spark), wanted)
    assert series.index.equals(frame.index)
    np.testing.assert_array_equal(np.stack(series), wanted)


def test_mappings_and_sequences(encode: pyembed.Encode, model: Path, wanted: Any) -> None:
    for column in (TEXTS, np.array(TEXTS, object), pyarrow.array(TEXTS)):
        found = encode({"n": [0] * len(TEXTS), "text": column})
        assert list(found) == ["n", "text", "embedding"]
        np.testing.assert_array_equal(found["embedding"], wanted)
        np.testing.assert_array_equal(encode(column), wanted)
    with pyembed.load_encoder(model) as encoder:
        ids, offsets = encoder.tokenize(TEXTS)
        rows = np.split(encoder.table.gather(ids), offsets[1:-1])
        bags = [part.tolist() for part in np.split(ids, offsets[1:-1])]
    for one, of_tokens in zip(pyembed.Encode(model, pool="none")(TEXTS), rows, strict=True):
        np.testing.assert_array_equal(one, of_tokens)
    with pyembed.Encode(model, ids="ids")._maker.table as table:
        pooled = table.pool(ids, offsets)
        for given in (bags, pyarrow.array(bags)):
            np.testing.assert_array_equal(pyembed.Encode(table, ids="ids")(given), pooled)
        np.testing.assert_array_equal(pyembed.Encode(table, ids="ids")(np.arange(5)), table.gather(range(5)))


def test_rows_that_fail(encode: pyembed.Encode, model: Path) -> None:
    batch = pyarrow.table({"text": ["the", None, "cat"]})
    with pytest.raises(ValueError, match="row 1 of the batch: null"):
        encode(batch)
    lenient = pyembed.Encode(model, text="text", errors="null")
    assert [row is None for row in lenient(batch).column("embedding").to_pylist()] == [False, True, False]
    assert [row is None for row in lenient(["the", None])] == [False, True]
    assert lenient.counts == (5, 2, 3)
    for given, error, message in (
        (["a", 5], TypeError, "row 1 of the batch is of type int"),
        (["a", "\ud800"], ValueError, r"row 1 of the batch has the lone surrogate U\+D800"),
        ("a text", TypeError, "a batch is a sequence"),
        (pyarrow.table({"text": [1]}), TypeError, "column 'text' is of type 'int64'"),
        (pyarrow.table({"t": ["a"]}), KeyError, "no column 'text'"),
    ):
        with pytest.raises(error, match=message):
            encode(given)
    with pytest.raises(ValueError, match="which column has the texts"):
        pyembed.Encode(model)({"a": TEXTS})
    ids = pyembed.Encode(model, ids="ids")
    for given, error in (
        ([1, 10**6], ValueError),
        ([1.5], TypeError),
        ([True], TypeError),
        (["a"], ValueError),
    ):
        with pytest.raises(error):
            ids(given)
    for options in ({"text": "a", "ids": "b"}, {"errors": "drop"}, {"dtype": "int8"}, {"dim": 0}):
        with pytest.raises(ValueError, match=r"text and ids|errors|dtype|dim"):
            pyembed.Encode(model, **options)  # type: ignore[arg-type]


# --------------------------------------------------------------------- threads, processes, forks, copies


def engine_and_vectors(encode: pyembed.Encode) -> tuple[str, Any, int]:
    assert encode._maker.encoder is not None
    return encode._maker.encoder.engine.name, encode(TEXTS), id(encode._maker.encoder)


def test_a_pool_opens_a_model_once_a_process(encode: pyembed.Encode, wanted: Any) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        found = list(pool.map(engine_and_vectors, [encode] * 3))
    for _, vectors, _ in found:
        np.testing.assert_array_equal(vectors, wanted)
    assert len({model for _, _, model in found}) == 1
    assert found[0][0] == engine_and_vectors(encode)[0]


def test_threads_share_it(encode: pyembed.Encode, wanted: Any) -> None:
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(encode, [TEXTS] * 16):
            np.testing.assert_array_equal(found, wanted)
    assert encode.counts.rows == 16 * len(TEXTS)


def test_copies(encode: pyembed.Encode, model: Path) -> None:
    for same in (copy.copy(encode), copy.deepcopy(encode)):
        assert same._maker.table is encode._maker.table
    with pyembed.load_encoder(model) as encoder:
        assert copy.deepcopy([encoder])[0].table is copy.copy(encoder).table is encoder.table


@pytest.mark.posix
def test_forks(encode: pyembed.Encode, wanted: Any) -> None:
    encode(TEXTS)
    child = os.fork()
    if not child:
        found = encode(TEXTS)
        os._exit(0 if np.array_equal(found, wanted) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_pickles(model: Path) -> None:
    from pyembed.corpora import batches

    options: dict[str, Any] = {"dim": 4, "dtype": "float16", "normalize": False, "threads": 1}
    encode = pyembed.Encode(model, text="body", into="v", errors="null", **options)
    data = pickle.dumps(encode)
    assert len(data) < 2000
    again, third = pickle.loads(data), pickle.loads(data)
    assert again._maker.encoder is third._maker.encoder
    batch = pyarrow.table({"body": [*TEXTS, None]})
    assert again(batch).equals(encode(batch))
    again._maker.encoder.close()
    assert pickle.loads(data)(batch).equals(encode(batch))
    batches._opened.clear()
    ids = pickle.loads(pickle.dumps(pyembed.Encode(model, ids="tokens")))
    assert ids(pyarrow.table({"tokens": [[1], [2, 3]]})).column("embedding").type.list_size == WIDTH


def test_datasets(encode: pyembed.Encode, wanted: Any) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    whole = datasets.Dataset.from_dict({"text": TEXTS})
    for given in (whole, whole.with_format("arrow"), whole.with_format("numpy")):
        mapped = given.map(encode, batched=True, batch_size=3, load_from_cache_file=False)
        np.testing.assert_array_equal(np.array(mapped.with_format("numpy")["embedding"]), wanted)
