"""Writing GGUF: metadata and tensors of an open file into a new one, in version 3 and either byte order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

from ..core.constants import ValueType
from ..core.dtypes import tensor_type
from ..core.handle import Source
from ..core.records import TensorInfo
from ..core.strings import encode_text
from ..errors import CData
from .byte_ranges import FileRange, tensor_range
from .copying import Piece, PieceWriter, n_bytes_of
from .gguf_encoding import STRUCT_CODES, Encoder

_SIGNED = {kind for kind, code in STRUCT_CODES.items() if code in "bhiq"}
_FLOATS = {ValueType.F32, ValueType.F64}
_STRINGS_AT_ONCE = 4096


class GGUFWriter:
    """Collects what a file is to hold, then writes it: a copy of parts of another GGUF file.

    Tensors, and long arrays of strings where the two files store them alike, are copied from file to file in
    pieces, so that memory does not grow with them.

    Parameters
    ----------
    source : Source
        The open file that metadata comes from.
    big_endian : bool
        The byte order of the new file. The bytes of a tensor are copied as they are, so it is also theirs.
    alignment : int
        Tensors begin at multiples of this.
    """

    def __init__(self, source: Source, *, big_endian: bool, alignment: int) -> None:
        self._source = source
        self._encoder = Encoder(big_endian=big_endian)
        self._alignment = alignment
        shard = source.shards()[0]
        self._path = shard.path
        # Version 1 stores lengths in 32 bits.
        self._strings_alike = shard.version >= 2 and shard.big_endian == big_endian
        self._metadata: list[Piece] = []
        self._n_metadata = 0
        self._infos: list[bytes] = []
        self._tensors: list[FileRange] = []
        self._data_bytes = 0

    # ------------------------------------------------------------------------------------- content

    def copy_metadata(self, key: str) -> None:
        """Add a key of the open file with its value, of the same type."""
        value = self._source.metadata_value(key)
        if value is None:
            return
        self._metadata.append(self._encoder.entry(encode_text(key) or b"", value.type))
        self._metadata.extend(self._value(value))
        self._n_metadata += 1

    def add_tensor(self, info: TensorInfo) -> None:
        """Add a tensor of a GGUF file: its description now, its bytes when the file is written."""
        data = tensor_range(info)
        name, kind = encode_text(info.name) or b"", tensor_type(info.type).id
        self._infos.append(self._encoder.tensor(name, info.shape, kind, self._data_bytes))
        self._tensors.append(data)
        self._data_bytes += data.n_bytes + -data.n_bytes % self._alignment

    def _value(self, value: CData) -> Iterator[Piece]:
        """Yield the bytes of a value, without its type."""
        if value.type == ValueType.ARRAY:
            yield self._encoder.array(value.element_type, value.n_elements)
            yield from self._elements(value)
        elif value.type == ValueType.STRING:
            yield self._encoder.string(encode_text(self._source.string_value(value)) or b"")
        else:
            number = getattr(value, "as")
            kind = value.type
            plain = number.f64 if kind in _FLOATS else number.i64 if kind in _SIGNED else number.u64
            yield self._encoder.number(STRUCT_CODES[kind], plain)

    def _elements(self, array: CData) -> Iterator[Piece]:
        n = array.n_elements
        if array.element_type == ValueType.ARRAY:
            for child in self._source.array_arrays(array):
                yield from self._value(child)
        elif array.element_type != ValueType.STRING:
            numbers = self._source.array_numbers(array)
            yield numbers.astype(numbers.dtype.newbyteorder(self._encoder.order), copy=False).tobytes()
        elif self._strings_alike and n:
            yield FileRange(self._path, array.offset, self._source.strings_bytes(array))
        else:
            for first in range(0, n, _STRINGS_AT_ONCE):
                texts = self._source.array_strings(array, first, min(_STRINGS_AT_ONCE, n - first))
                yield b"".join([self._encoder.string(encode_text(text) or b"") for text in texts])

    # ------------------------------------------------------------------------------------- writing

    def write(self, file: BinaryIO, report: Callable[[float], None]) -> int:
        """Write the file and return its size in bytes; `report` is called with the share that is done."""
        counts = self._encoder.counts(3, len(self._infos), self._n_metadata)
        head = [counts, *self._metadata, *self._infos]
        # The padding before the first tensor is not counted.
        writer = PieceWriter(file, sum(map(n_bytes_of, head)) + self._data_bytes, report)
        writer.put_all(head)
        for tensor in self._tensors:
            writer.pad(self._alignment)
            writer.put(tensor)
        if self._tensors:
            writer.pad(self._alignment)
        return writer.written
