"""What a run does: which columns it keeps, which one it encodes, and what it writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..core.budget import budget_bytes
from ..core.paths import Path
from ..safe_text import quote
from ..tables.arguments import thread_count
from ..tables.scan import index_of
from .arrow import pyarrow
from .blocks import Limits
from .columns import check_column
from .sinks import FORMATS, check_schema
from .sources import Source, open_sources, schema_of
from .vectors import Options, PoolName, VectorMaker, VectorType

_BLOCK_BYTES = 8 << 20  # of vectors
_BLOCK_ROWS = 16384
_TEXT_BYTES = 4 << 20  # of a block's texts, where each has one vector
#: Bytes of text that make a token at least, for what a block's tokens may take.
_BYTES_A_TOKEN = 4


@dataclass(frozen=True)
class Plan:
    """What is made of files, which all have the same columns. It pickles.

    Attributes
    ----------
    sources : list of Source
        The files, in order.
    schema : pyarrow.Schema
        The columns that are kept.
    column : str
        The one that is encoded.
    of_ids : bool
        Whether it has ids.
    options : Options
        Which vectors.
    into : str
        The name of their column.
    format : str
        That of a part.
    part_size : int
        Bytes of vectors after which a part ends.
    max_errors : int or None
        How many rows may fail.
    threads : int or None
        At most, None: all.
    """

    sources: list[Source]
    schema: Any
    column: str
    of_ids: bool
    options: Options
    into: str
    format: str
    part_size: int
    max_errors: int | None
    threads: int | None

    def identity(self) -> dict[str, Any]:
        """Return what decides about the bytes of a part, other than the model and the files."""
        return {
            **vars(self.options),
            "ids" if self.of_ids else "text": self.column,
            "columns": {field.name: str(field.type) for field in self.schema},
            "into": self.into,
            "format": self.format,
            "part_size": self.part_size,
        }

    def limits(self, maker: VectorMaker) -> Limits:
        """Return the rows of a block, and the bytes of its texts, so that parts of that size are possible."""
        n_bytes = min(_BLOCK_BYTES, max(1, self.part_size // 8))
        n_vectors = max(1, n_bytes // (maker.width * maker.storage.itemsize))
        n_rows = min(_BLOCK_ROWS, n_vectors)
        if self.options.pool == "none":
            return Limits(n_rows, n_vectors * (8 if self.of_ids else _BYTES_A_TOKEN))
        return Limits(n_rows, _TEXT_BYTES)


def planned(
    inputs: Path | Sequence[Path],
    *,
    text: str | None = None,
    ids: str | None = None,
    columns: Sequence[str] | None = None,
    into: str = "embedding",
    pool: PoolName = "mean",
    dim: int | None = None,
    dtype: VectorType = "float32",
    normalize: bool | None = None,
    format: str = "parquet",
    max_errors: int | None = 0,
    part_size: int | str = "256MiB",
    threads: int | None = None,
) -> Plan:
    """Return what is to be done with some files, whose columns are looked at. See `encode_corpus`."""
    sources = open_sources(inputs)
    if format not in FORMATS:
        raise ValueError(f"format is {format!r}; expected one of {', '.join(FORMATS)}")
    if text is not None and ids is not None:
        raise ValueError("text and ids both name a column; give one of them")
    if max_errors is not None and index_of("max_errors", max_errors) < 0:
        raise ValueError(f"max_errors is {max_errors}; expected at least 0, or None for any number")
    n_part = budget_bytes(part_size, "part_size")
    of_ids = ids is not None
    schema, column = _columns(sources, columns, ids if of_ids else text)
    if into in schema.names:
        raise ValueError(
            f"{sources[0].path} has a column {quote(into)} already: name another for the vectors"
        )
    check_column(column, schema.field(column).type, of_ids)
    if format == "parquet":
        check_schema(sources[0].path, schema)
    options = Options(pool, dim, dtype, normalize)
    n_threads = thread_count(threads) or None
    return Plan(sources, schema, column, of_ids, options, into, format, n_part, max_errors, n_threads)


def _columns(sources: list[Source], columns: Sequence[str] | None, wanted: str | None) -> tuple[Any, str]:
    """Return the schema of what is read, and the column that is encoded."""
    named = None if columns is None else list(columns)
    if named is not None and wanted is None and "text" in named:
        wanted = "text"
    if named is not None and wanted is None:
        raise ValueError("columns leaves open which one is encoded: name it with text or ids")
    if named is not None and wanted is not None and wanted not in named:
        raise ValueError(f"columns leaves out {quote(wanted)}, which is to be encoded")
    schema = schema_of(sources, named)
    if wanted is None:
        wanted = _only_text(sources[0].path, schema)
    if wanted not in schema.names:
        raise ValueError(
            f"{sources[0].path} has no column {quote(wanted)}; it has "
            f"{', '.join(map(quote, schema.names[:20]))}"
        )
    return schema, wanted


def _only_text(path: str, schema: Any) -> str:
    texts = [field.name for field in schema if pyarrow.types.is_string(field.type)]
    if "text" in schema.names:
        return "text"
    if len(texts) == 1:
        found: str = texts[0]
        return found
    names = ", ".join(map(quote, schema.names[:20]))
    raise ValueError(f"{path}: which column has the texts? There are {names}: name it with text or ids")
