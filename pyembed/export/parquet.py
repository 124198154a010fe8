"""Parquet, for data frames and embedding viewers; needs the extra ``parquet``."""

from __future__ import annotations

from typing import IO

from ..core.aliases import DTypeName
from ..core.strings import encode_text
from .selection import Selection, provenance


def write(files: list[IO[bytes]], chosen: Selection, dtype: DTypeName) -> None:
    """Write the columns ``id`` (int64), ``token`` (string, null where there is none) and ``embedding``.

    ``embedding`` is a list of fixed size. Bytes of a token that are not UTF-8 appear as U+FFFD.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError("writing Parquet needs pyarrow: pip install 'pyembed-gguf[parquet]'") from error
    columns = chosen.shape[1]
    number = pyarrow.float32() if dtype == "float32" else pyarrow.float16()
    schema = pyarrow.schema(
        [
            pyarrow.field("id", pyarrow.int64(), nullable=False),
            ("token", pyarrow.string()),
            pyarrow.field("embedding", pyarrow.list_(number, columns), nullable=False),
        ],
        metadata=provenance(chosen),
    )
    with pyarrow.parquet.ParquetWriter(files[0], schema, use_dictionary=False) as writer:
        for ids, texts, rows in chosen.rows(dtype):
            tokens = [None if text is None else _valid(text) for text in texts]
            values = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(rows.ravel(), number), columns)
            batch = [pyarrow.array(ids, pyarrow.int64()), pyarrow.array(tokens, pyarrow.string()), values]
            writer.write_batch(pyarrow.record_batch(batch, schema=schema))


def _valid(text: str) -> str:
    return (encode_text(text) or b"").decode("utf-8", "replace")
