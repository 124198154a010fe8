"""Texts, or bags of ids, to vectors: what a model and the options of a run make of some rows."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ..core.aliases import DTypeName
from ..encoders import Encoder, load_encoder
from ..encoders.encoder import normalized
from ..encoders.files import find_encoder
from ..errors import PyembedError, VocabularyError
from ..loader import open_table
from ..model import Model
from ..safe_text import printable
from ..tables.arguments import thread_count
from ..tables.scan import index_of
from ..tables.table import EmbeddingTable

PoolName: TypeAlias = Literal["mean", "none"]
VectorType: TypeAlias = Literal["float32", "float16", "binary"]
#: Bytes of rows that the digest of an identity reads at most; of larger tables it takes every k-th row.
_DIGESTED_BYTES = 1 << 30


@dataclass(frozen=True)
class Options:
    """What is made of a row.

    Attributes
    ----------
    pool : {"mean", "none"}
        One vector a row, or one for each of its tokens.
    dim : int or None
        The first columns alone.
    dtype : {"float32", "float16", "binary"}
        ``"binary"`` is one bit a column, whether it is above 0; the first is the highest of the first byte.
    normalize : bool or None
        None: as the model says; without pooling, and of ids, not at all.
    """

    pool: PoolName = "mean"
    dim: int | None = None
    dtype: VectorType = "float32"
    normalize: bool | None = None

    def __post_init__(self) -> None:
        for name, given, known in (
            ("pool", self.pool, ("mean", "none")),
            ("dtype", self.dtype, ("float32", "float16", "binary")),
        ):
            if given not in known:
                raise ValueError(f"{name} is {given!r}; expected one of {', '.join(known)}")


class Vectors(NamedTuple):
    """The vectors of some rows, one behind the other.

    Attributes
    ----------
    values : ndarray of float32, float16 or uint8, shape (vectors, width)
        uint8 holds eight bits each.
    lengths : ndarray of int64 or None
        How many vectors each row has; None where it is one each.
    """

    values: npt.NDArray[Any]
    lengths: npt.NDArray[np.int64] | None


class Bags(NamedTuple):
    """Ids of several rows: those of row i are ``ids[offsets[i] : offsets[i + 1]]``."""

    ids: npt.NDArray[Any]
    offsets: npt.NDArray[np.int64]


class VectorMaker:
    """A model with options.

    Parameters
    ----------
    model : path-like, Encoder, EmbeddingTable or Model
        A path is opened, and closed by `close`: as an encoder for texts, as a table for ids.
    of_ids : bool
        Whether rows are ids. Texts need an encoder.
    options : Options
    """

    def __init__(self, model: Any, of_ids: bool, options: Options) -> None:
        self.of_ids, self.options = of_ids, options
        self._identity: dict[str, Any] | None = None
        self.encoder: Encoder | None = None
        self.table: EmbeddingTable
        self._close: Callable[[], None] = lambda: None
        if of_ids:
            self.table = self._table_of(model)
        else:
            self.encoder = self._encoder_of(model)
            self.table = self.encoder.table
        try:
            self.width, self.storage = self._width(), self._storage()
            self._vectors_of_nothing()
        except BaseException:
            self.close()
            raise

    def _encoder_of(self, model: Any) -> Encoder:
        if isinstance(model, Encoder):
            return model
        if isinstance(model, Model | EmbeddingTable):
            model = model.path
        encoder = load_encoder(model)
        self._close = encoder.close
        return encoder

    def _table_of(self, model: Any) -> EmbeddingTable:
        if isinstance(model, EmbeddingTable):
            return model
        if isinstance(model, Encoder | Model):
            return model.table
        path, tensor = _file_of(model)
        table = open_table(path, tensor=tensor)
        self._close = table.close
        return table

    def close(self) -> None:
        """Close what was opened here."""
        self._close()

    def _width(self) -> int:
        columns = self.table.shape[1] if self.encoder is None else self.encoder.dim
        if self.options.dim is not None:
            columns = index_of("dim", self.options.dim)
        if not 1 <= columns <= self.table.shape[1]:
            raise ValueError(
                f"dim is {columns}; expected 1 to {self.table.shape[1]}, the columns of the table"
            )
        self._columns = columns
        if self.options.dtype != "binary":
            return columns
        if columns % 8:
            raise ValueError(f"{columns} bits do not fill bytes; choose a dim that is a multiple of 8")
        return columns // 8

    def _storage(self) -> np.dtype[Any]:
        return np.dtype({"float32": "f4", "float16": "f2", "binary": "u1"}[self.options.dtype])

    def _vectors_of_nothing(self) -> None:
        """Find what is wrong with the options before the first row is read."""
        if self.of_ids:
            self.of_bags(Bags(np.empty(0, np.int64), np.zeros(1, np.int64)), None)
        else:
            self.of_texts([], None)

    # ------------------------------------------------------------------------------------- one batch

    def of_texts(self, texts: list[str], threads: int | None) -> Vectors:
        """Return the vectors of texts.

        Raises
        ------
        ValueError
            For a text that cannot be cut.
        """
        assert self.encoder is not None
        if self.options.pool == "none":
            ids, offsets = self.encoder.tokenize(texts, threads=threads)
            return self._rows(Bags(ids, offsets), threads)
        number: DTypeName = "float16" if self.options.dtype == "float16" else "float32"
        values = self.encoder.encode(
            texts, normalize=self.options.normalize, dim=self.options.dim, dtype=number, threads=threads
        )
        return Vectors(self._stored(values), None)

    def of_bags(self, bags: Bags, threads: int | None) -> Vectors:
        """Return the vectors of bags of ids; every id is a row of the table."""
        if self.options.pool == "none":
            return self._rows(bags, threads)
        at_once = bool(self.options.normalize) and self._columns == self.table.shape[1]
        values = self.table.pool(
            bags.ids, bags.offsets, normalize=at_once, threads=thread_count(threads) or None
        )[:, : self._columns]
        if self.options.normalize and not at_once:  # by the norm of the columns that are kept
            values = normalized(values)
        return Vectors(self._stored(values), None)

    def _rows(self, bags: Bags, threads: int | None) -> Vectors:
        """Return the row of every id."""
        values = self.table.gather(bags.ids, threads=threads)[:, : self._columns]
        return Vectors(
            self._stored(normalized(values) if self.options.normalize else values), np.diff(bags.offsets)
        )

    def _stored(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if self.options.dtype == "binary":
            return np.packbits(values > 0, axis=1)
        with np.errstate(over="ignore", under="ignore"):
            return np.ascontiguousarray(values.astype(self.storage, copy=False))

    # -------------------------------------------------------------------------------------- identity

    def identity(self) -> dict[str, Any]:
        """Return what tells this model from another one, as plain data, in the words of a lock."""
        if self._identity is None:  # which reads the table
            self._identity = self._identified()
        return self._identity

    def _identified(self) -> dict[str, Any]:
        n_rows, _ = self.table.shape
        step = max(1, -(-self.table.n_bytes // _DIGESTED_BYTES)) if n_rows else 1
        found: dict[str, Any] = {
            "table": {
                "name": self.table.name,
                "shape": list(self.table.shape),
                "type": self.table.type,
                "sample_step": step,
                "sample": self.table.digest(step),
            }
        }
        if self.encoder is not None:
            found["library"] = self.encoder.library
            found["normalize"] = self.encoder.normalize
            found["max_length"] = self.encoder.max_length
            found["tokenizer"] = self.encoder.tokenizer_digest
        return found


def _file_of(model: Any) -> tuple[Any, str | None]:
    """Return the file with the rows of a model, and the name of their tensor; None: the token table."""
    if os.path.isdir(model):
        found = find_encoder(model, None, None)
        return found.table_file, found.tensor or None
    return model, None


def fault_of(error: ValueError) -> str:
    """Return why a row failed; raise the error where it is about the model, and not about one row."""
    if isinstance(error, PyembedError) and not isinstance(error, VocabularyError):
        raise error
    return printable(str(error))
