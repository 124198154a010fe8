"""A model and a corpus that it encodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.corpora import save_model, texts


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder as model2vec writes it; engines are compared anew, not by what other runs remember."""
    pytest.importorskip("tokenizers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYEMBED_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files of 1500 rows, in row groups of 400."""
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet")
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(2):
        table = pyarrow.table({"id": range(number * 1500, number * 1500 + 1500), "body": texts(1500, number)})
        pyarrow.parquet.write_table(table, folder / f"{number}.parquet", row_group_size=400)
    return folder
