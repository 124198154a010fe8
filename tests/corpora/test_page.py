"""The programs and commands of docs/corpora.md, as they stand there."""

from __future__ import annotations

import concurrent.futures
import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import pyembed
from pyembed.cli import main
from tests.helpers.children import IS_WINE
from tests.helpers.encoders import save_model2vec, word_tokenizer

pyarrow = pytest.importorskip("pyarrow")
pytest.importorskip("pyarrow.parquet")
pytest.importorskip("tokenizers")

PAGE = Path(__file__).parents[2] / "docs" / "corpora.md"
BLOCKS = re.findall(r"^```([\w-]+)\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
N = 200


def block(start: str) -> str:
    """Return the text of the block that begins so."""
    (found,) = [text for _, text in BLOCKS if text.startswith(start)]
    return found


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Put the model and the documents of the page where its programs look for them, and encode them."""
    monkeypatch.chdir(tmp_path)
    tokenizer = word_tokenizer()
    (tmp_path / "potion-base-8M").mkdir()
    n = tokenizer.get_vocab_size(with_added_tokens=True)
    rows = np.random.default_rng(0).standard_normal((n, 256)).astype(np.float32)
    save_model2vec(tmp_path / "potion-base-8M", rows, tokenizer, {"normalize": True})
    (tmp_path / "docs").mkdir()
    table = pyarrow.table({"id": range(N), "body": [f"open word{i % 40} the cat" for i in range(N)]})
    pyarrow.parquet.write_table(table, "docs/a.parquet")
    for line in block("pyembed encode").splitlines():
        words = shlex.split(line.replace("docs/*.parquet", "docs/a.parquet"), comments=True)
        assert main(words[1:]) == 0
    return {"table": table, "parts": [table.slice(0, 90), table.slice(90)]}


def run(start: str, names: dict[str, Any]) -> dict[str, Any]:
    exec(compile(block(start), "corpora.md", "exec"), names)
    return names


def test_the_command_and_the_function(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    found = run("import pyembed", names)  # what the command has done
    assert found["done"].resumed == N
    assert capsys.readouterr().out.splitlines()[-1] == f"{N} 0 ('part-00000.parquet',)"


def test_one_function(names: dict[str, Any]) -> None:
    pandas = pytest.importorskip("pandas")
    names.update(pyembed=pyembed, concurrent=concurrent, dataset=_Dataset(), pandas=pandas)
    if IS_WINE:  # where a pipe of the pool's is said to hold what it does not, and reading it never ends
        futures = SimpleNamespace(ProcessPoolExecutor=concurrent.futures.ThreadPoolExecutor)
        names["concurrent"] = SimpleNamespace(futures=futures)
    names["pandas_udf"] = lambda _: lambda function: function
    found = run("encode = pyembed.Encode", names)
    with pyembed.load_encoder("potion-base-8M") as encoder:
        wanted = encoder.encode(names["parts"][0].column("body").to_pylist())
    for table in (found["table"].slice(0, 90), found["tables"][0]):
        np.testing.assert_array_equal(np.array(table.column("embedding").to_pylist()), wanted)
    series = found["embed"](pandas.Series(names["parts"][0].column("body").to_pylist()))
    column = pyarrow.Array.from_pandas(series, type=pyarrow.list_(pyarrow.float32()))  # as Spark does
    np.testing.assert_array_equal(np.array(column.to_pylist()), wanted)
    found["encode"].close()


class _Dataset:
    def map(self, function: Any, batched: bool) -> Any:
        return function({"body": ["the cat"]})


@pytest.mark.integration
@pytest.mark.parametrize("package", ["duckdb", "lancedb", "faiss"])
@pytest.mark.filterwarnings("default")
def test_other_programs(names: dict[str, Any], package: str) -> None:
    pytest.importorskip(package, reason=f"{package} is not installed")
    pyembed.encode_corpus("potion-base-8M", "docs", "bits", text="body", dtype="binary")
    run("import numpy, pyarrow.dataset", names)
    found = run(f"import {package}", names)
    rows = {"duckdb": "answers", "lancedb": "nearest", "faiss": "rows"}[package]
    assert len(found[rows]) == (1 if package == "faiss" else 10)


@pytest.mark.integration
def test_ray(names: dict[str, Any]) -> None:
    pytest.importorskip("ray", reason="ray is not installed")
    compile(block("import ray.data"), "corpora.md", "exec")
