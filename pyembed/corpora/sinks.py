"""Parts: files of vectors, each whole or not there. Parquet has the input's columns too."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from ..export.safetensors import little_endian
from ..files.atomic_write import errors_of, place_of
from ..files.npy_writer import write_array
from ..safe_text import quote
from .arrow import pyarrow
from .columns import Made, vector_column, vector_type
from .vectors import VectorMaker

#: Room for the header of a shard, whose number of vectors is known when all are written.
_HEADER_BYTES = 512
_SAFETENSORS_TYPES = {"float32": "F32", "float16": "F16", "uint8": "U8"}


class Writer(Protocol):
    """Writes the rows of a part, some at a time, into the files that it was made with."""

    def write(self, table: Any, rows: npt.NDArray[np.int64], made: Made) -> None:
        """Write some rows: their columns, their numbers among all rows, and their vectors."""

    def finish(self) -> None:
        """Write what comes last."""

    def abandon(self) -> None:
        """Write no more: the files are about to be removed."""


class ParquetPart:
    """The input's columns and the vectors; every `write` is a row group."""

    def __init__(self, files: list[BinaryIO], schema: Any, maker: VectorMaker, into: str) -> None:
        self._maker = maker
        self._schema = schema.append(pyarrow.field(into, vector_type(maker), nullable=False))
        # Vectors neither repeat nor compress, and their least and largest numbers say nothing.
        names = _leaves(self._schema)[:-1]
        self._file = files[0]
        # By its place: writing to a file of Python's waits for the interpreter, which encodes meanwhile.
        self._stream = pyarrow.OSFile(place_of(self._file), "wb")
        try:
            self._writer = pyarrow.parquet.ParquetWriter(
                self._stream,
                self._schema,
                compression=dict.fromkeys(names, "zstd") or "none",
                use_dictionary=names or False,
                write_statistics=names or False,
            )
        except BaseException:  # a signal's handler may raise; Windows removes no file that is open
            self._stream.close()
            raise

    def write(self, table: Any, rows: npt.NDArray[np.int64], made: Made) -> None:
        """Write a row group."""
        columns = [*table.columns, vector_column(self._maker, made)]
        whole = pyarrow.table(columns, schema=self._schema)
        with errors_of(self._file):
            self._writer.write_table(whole, row_group_size=max(len(rows), 1))

    def finish(self) -> None:
        """Write the footer."""
        with errors_of(self._file):
            self._writer.close()
            self._stream.close()

    def abandon(self) -> None:
        """Close the writer, which would do so when nothing is there any more to be written to."""
        with suppress(Exception):
            self._writer.close()
        self._writer.is_open = False
        with suppress(Exception):
            self._stream.close()


def check_schema(path: str, schema: Any) -> None:
    """Raise TypeError if a column of a file is of a type that Parquet does not hold."""
    for field in schema:
        try:
            _leaves(pyarrow.schema([field]))
        except (pyarrow.ArrowException, OSError) as error:  # OSError: lengths that its schema refuses
            raise TypeError(
                f"{path}: column {quote(field.name)} is of type {quote(str(field.type))}, which Parquet does "
                f"not hold: leave it out ({str(error)[:100]})"
            ) from None


def _leaves(schema: Any) -> list[str]:
    """Return the columns of a Parquet file of a schema, by the paths that its writer knows them by."""
    file = io.BytesIO()
    with pyarrow.parquet.ParquetWriter(file, schema):
        pass
    found = pyarrow.parquet.read_metadata(io.BytesIO(file.getvalue())).schema
    return [found.column(number).path for number in range(len(found.names))]


class _Shard:
    """Vectors alone, behind a header of fixed size, and beside them the numbers of their rows."""

    def __init__(self, files: list[BinaryIO], schema: Any, maker: VectorMaker, into: str) -> None:
        self._files, self._maker = files, maker
        self._n_vectors = 0
        self._rows: list[npt.NDArray[np.int64]] = []
        self._lengths: list[npt.NDArray[np.int64]] = []
        files[0].write(bytes(_HEADER_BYTES))

    def write(self, table: Any, rows: npt.NDArray[np.int64], made: Made) -> None:
        """Write vectors; their rows are kept for the end."""
        values, lengths = made.vectors
        self._files[0].write(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).reshape(-1).data)
        self._n_vectors += len(values)
        self._rows.append(rows)
        if lengths is not None:
            self._lengths.append(lengths)

    def abandon(self) -> None:
        """Write no more."""

    def _beside(self) -> dict[str, npt.NDArray[np.int64]]:
        """Return the arrays beside the vectors: the numbers of the rows, and where their vectors begin."""
        found = {"rows": np.concatenate([np.empty(0, np.int64), *self._rows])}
        if self._maker.options.pool == "none":
            found["offsets"] = np.cumsum(np.concatenate([np.zeros(1, np.int64), *self._lengths]))
        return found

    def _write_header(self, header: bytes) -> None:
        self._files[0].seek(0)
        self._files[0].write(header)
        self._files[0].seek(0, io.SEEK_END)


class NpyPart(_Shard):
    """Vectors as one array, and the other arrays in files of their own."""

    def finish(self) -> None:
        """Write the header, and the files beside."""
        kind = self._maker.storage.newbyteorder("<").str
        shape = (self._n_vectors, self._maker.width)
        text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
        prefix = b"\x93NUMPY\x01\x00" + (_HEADER_BYTES - 10).to_bytes(2, "little")
        self._write_header(prefix + text.ljust(_HEADER_BYTES - 11).encode("ascii") + b"\n")
        for file, array in zip(self._files[1:], self._beside().values(), strict=True):
            write_array(file, array)


class SafetensorsPart(_Shard):
    """The tensors ``embeddings``, ``rows`` and, without pooling, ``offsets``."""

    def finish(self) -> None:
        """Write the other tensors, and the header."""
        storage, width = self._maker.storage, self._maker.width
        end = self._n_vectors * width * storage.itemsize
        shape = [self._n_vectors, width]
        tensors: dict[str, Any] = {
            "embeddings": {
                "dtype": _SAFETENSORS_TYPES[storage.name],
                "shape": shape,
                "data_offsets": [0, end],
            }
        }
        for name, array in self._beside().items():
            begin, end = end, end + array.nbytes
            tensors[name] = {"dtype": "I64", "shape": [array.size], "data_offsets": [begin, end]}
            self._files[0].write(little_endian(array))
        size = _HEADER_BYTES - 8
        self._write_header(size.to_bytes(8, "little") + json.dumps(tensors).ljust(size).encode("ascii"))


class Format(Protocol):
    """A class of `Writer`."""

    def __call__(self, files: list[BinaryIO], schema: Any, maker: VectorMaker, into: str) -> Writer:
        """Begin a part."""


FORMATS: dict[str, Format] = {"parquet": ParquetPart, "npy": NpyPart, "safetensors": SafetensorsPart}


def part_names(format: str, number: int, pool: str) -> list[str]:
    """Return the names of a part's files, that of the vectors first."""
    stem = f"part-{number:05d}"
    if format != "npy":
        return [f"{stem}.{format}"]
    return [f"{stem}.npy", f"{stem}.rows.npy", *[f"{stem}.offsets.npy"] * (pool == "none")]
