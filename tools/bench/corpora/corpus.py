"""The model and the documents."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from ... import test_data
from ..measure import Json
from ..sections.texts import _model2vec, docstrings


def _make_model(folder: str) -> Json:
    """Write a model of BERT's vocabulary, with random rows of 256 columns, as model2vec has them."""
    if _model2vec(Path(folder), test_data.find()) is None:
        raise SystemExit("model2vec or BERT's vocabulary is missing: make test-data, pip install model2vec")
    return {}


def _make_corpus(folder: str, n: str, n_files: str) -> Json:
    """Write documents of 5 to 20 words, made of Python's own docstrings, each from a random word on."""
    import pyarrow
    import pyarrow.parquet

    words = " ".join(docstrings(6000)).split()
    numbers = random.Random(1)
    schema = pyarrow.schema([("id", pyarrow.int64()), ("text", pyarrow.string())])
    ends = [int(n) * number // int(n_files) for number in range(int(n_files) + 1)]
    Path(folder).mkdir()
    for number, (begin, end) in enumerate(pairwise(ends)):
        with pyarrow.parquet.ParquetWriter(Path(folder) / f"{number:05d}.parquet", schema) as writer:
            for first in range(begin, end, 50_000):
                ids = range(first, min(first + 50_000, end))
                starts = [numbers.randrange(len(words)) for _ in ids]
                texts = [" ".join(words[start : start + numbers.randint(5, 20)]) for start in starts]
                writer.write_table(pyarrow.table([ids, texts], schema=schema))
    return {}


CHILDREN: dict[str, Callable[..., Json]] = {"model": _make_model, "corpus": _make_corpus}
