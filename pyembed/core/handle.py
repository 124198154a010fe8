"""The handle of an open model file. Every call that needs the open file goes through here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .._native import ffi, lib
from ..errors import CData, NotFoundError, Status, check
from .callbacks import raise_kept
from .constants import MAX_DIMS, UNKNOWN_BYTES, ValueType
from .open_file import OpenFile
from .records import MetadataEntry, Stats, TensorInfo
from .strings import decode_string, decode_strings, encode_text

_NUMBER_DTYPES: Mapping[int, np.dtype[Any]] = {
    ValueType.U8: np.dtype(np.uint8),
    ValueType.I8: np.dtype(np.int8),
    ValueType.U16: np.dtype(np.uint16),
    ValueType.I16: np.dtype(np.int16),
    ValueType.U32: np.dtype(np.uint32),
    ValueType.I32: np.dtype(np.int32),
    ValueType.F32: np.dtype(np.float32),
    ValueType.BOOL: np.dtype(np.bool_),
    ValueType.U64: np.dtype(np.uint64),
    ValueType.I64: np.dtype(np.int64),
    ValueType.F64: np.dtype(np.float64),
}
_TENSOR_FIELDS = (
    ("name_bytes", np.uint64, ("name", "size")),
    ("type", np.int32, ("type",)),
    ("n_dims", np.uint32, ("n_dims",)),
    ("shape", (np.uint64, (MAX_DIMS,)), ("shape",)),
    ("n_bytes", np.uint64, ("n_bytes",)),
    ("offset", np.uint64, ("offset",)),
    ("shard", np.uint32, ("shard",)),
)
_TENSOR_LAYOUT = np.dtype(
    {
        "names": [name for name, _, _ in _TENSOR_FIELDS],
        "formats": [kind for _, kind, _ in _TENSOR_FIELDS],
        "offsets": [ffi.offsetof("pye_tensor", *path) for _, _, path in _TENSOR_FIELDS],
        "itemsize": ffi.sizeof("pye_tensor"),
    }
)


def _type_name(tensor: CData) -> str:
    """Return the type of a tensor as `TensorInfo` spells it."""
    name = decode_string(tensor.type_name)
    if not name:
        return f"type {tensor.type}"
    of_a_fork = tensor.type >= 0 and tensor.n_bytes == UNKNOWN_BYTES
    return f"type {tensor.type} ({name})" if of_a_fork else name


class Source(OpenFile):
    """An open file, or the set of files of a split model, with all that is read from it.

    Parameters are those of `OpenFile`, and as there every method takes its own reference to the C handle.
    """

    # ------------------------------------------------------------------------------------- metadata

    def metadata_keys(self) -> list[str]:
        """Return all metadata keys in the file's order."""
        model, value, error = self._handle(), ffi.new("pye_value *"), ffi.new("pye_error *")
        keys = []
        for index in range(lib.pye_model_n_metadata(model)):
            self.check(lib.pye_metadata_at(model, index, value, error), error)
            keys.append(decode_string(value.key))
        self.ensure_intact(model)
        return keys

    def metadata_entries(self) -> list[MetadataEntry]:
        """Return how each metadata value is stored, in the file's order."""
        model, value, error = self._handle(), ffi.new("pye_value *"), ffi.new("pye_error *")
        entries = []
        for index in range(lib.pye_model_n_metadata(model)):
            self.check(lib.pye_metadata_at(model, index, value, error), error)
            is_string = value.type == ValueType.STRING
            n = getattr(value, "as").string.size if is_string else value.n_elements
            key = decode_string(value.key)
            entries.append(MetadataEntry(key, value.type, value.element_type, n, value.offset))
        self.ensure_intact(model)
        return entries

    def metadata_value(self, key: str) -> CData | None:
        """Return the ``pye_value *`` of a key, None if there is no such key."""
        model, value, error = self._handle(), ffi.new("pye_value *"), ffi.new("pye_error *")
        data = encode_text(key)
        if data is None:
            return None
        status = lib.pye_metadata_find(model, data, len(data), value, error)
        if status == Status.NOT_FOUND:
            return None
        self.check(status, error)
        return value

    def string_value(self, value: CData) -> str:
        """Return the text of a string value."""
        model = self._handle()
        text = decode_string(getattr(value, "as").string)
        self.ensure_intact(model)
        return text

    def array_numbers(self, value: CData) -> npt.NDArray[Any]:
        """Return an array of numbers or bools, copied to this machine's byte order."""
        model, error = self._handle(), ffi.new("pye_error *")
        out = np.empty(value.n_elements, _NUMBER_DTYPES[value.element_type])
        data = ffi.from_buffer(out, require_writable=True)
        self.check(lib.pye_array_read(model, value, 0, out.size, data, error), error)
        return out

    def array_strings(self, value: CData, first: int, n: int) -> list[str]:
        """Return elements `first` to `first` + `n` - 1 of an array of strings."""
        model, error = self._handle(), ffi.new("pye_error *")
        strings = ffi.new("pye_string[]", n)
        self.check(lib.pye_array_strings(model, value, first, n, strings, error), error)
        texts = decode_strings(strings)
        self.ensure_intact(model)
        return texts

    def strings_bytes(self, value: CData) -> int:
        """Return how many bytes of the file an array of one string or more takes, from ``value.offset`` on.

        Not for version 1, whose lengths are shorter.
        """
        return len(self._stored_strings(value))

    def _stored_strings(self, value: CData) -> CData:
        """Return a buffer over an array of one string or more as it lies in the file; not for version 1."""
        model, error = self._handle(), ffi.new("pye_error *")
        ends = ffi.new("pye_string[2]")
        for index, position in enumerate((0, value.n_elements - 1)):
            self.check(lib.pye_array_strings(model, value, position, 1, ends + index, error), error)
        start = ends[0].data - 8  # the first string's length
        return ffi.buffer(start, ends[1].data - start + ends[1].size)

    def same_strings(self, value: CData, other: Source, other_value: CData) -> bool | None:
        """Return whether two arrays of strings are the same bytes; None where the bytes cannot decide.

        That is so for arrays of different byte orders, and of version 1, whose lengths are shorter.
        """
        if value.n_elements != other_value.n_elements:
            return False
        layouts = [(source.shards()[0].version, source.shards()[0].big_endian) for source in (self, other)]
        if layouts[0][1] != layouts[1][1] or min(layouts)[0] < 2 or value.n_elements == 0:
            return None
        models = self._handle(), other._handle()  # a reference to each keeps what is compared
        same = bool(self._stored_strings(value) == other._stored_strings(other_value))
        for source, model in zip((self, other), models, strict=True):
            source.ensure_intact(model)
        return same

    def array_arrays(self, value: CData) -> list[CData]:
        """Return the elements of an array of arrays, each as a value of its own."""
        model, error = self._handle(), ffi.new("pye_error *")
        n = value.n_elements
        values = ffi.new("pye_value[]", n)
        self.check(lib.pye_array_arrays(model, value, 0, n, values, error), error)
        return [ffi.new("pye_value *", values[index]) for index in range(n)]

    # ----------------------------------------------------------------------------------- statistics

    def stats(self) -> Stats:
        """Return what the tables of this file have done since it was opened."""
        model, stats, error = self._handle(), ffi.new("pye_stats *"), ffi.new("pye_error *")
        stats.struct_bytes = ffi.sizeof("pye_stats")
        self.check(lib.pye_model_stats(model, stats, error), error)
        return Stats(
            stats.n_gathers,
            stats.n_rows,
            stats.n_bytes_read,
            stats.n_bytes_written,
            stats.nanoseconds / 1e9,
            stats.n_major_faults,
            stats.n_rows_missed,
            stats.n_reads,
            stats.n_bytes_fetched,
            stats.n_pages_found,
            stats.wait_nanoseconds / 1e9,
            stats.n_prefetches,
            stats.n_prefetches_lost,
            stats.n_forgotten,
            stats.budget_bytes,
            stats.held_bytes,
            stats.n_pages_evicted,
            ffi.string(stats.mechanism).decode("ascii"),
        )

    # -------------------------------------------------------------------------------------- tensors

    def n_tensors(self) -> int:
        """Return the number of tensors in all files."""
        return lib.pye_model_n_tensors(self._handle())

    def tensor(self, which: int | str) -> TensorInfo | None:
        """Return a tensor by index or by name; None if no tensor has that name."""
        model, tensor, error = self._handle(), ffi.new("pye_tensor *"), ffi.new("pye_error *")
        if isinstance(which, int):
            status = lib.pye_tensor_at(model, which, tensor, error)
        else:
            data = encode_text(which)
            if data is None:
                return None
            status = lib.pye_tensor_find(model, data, len(data), tensor, error)
            if status == Status.NOT_FOUND:
                return None
        self.check(status, error)
        info = TensorInfo(
            decode_string(tensor.name),
            tuple(tensor.shape[axis] for axis in range(tensor.n_dims)),
            _type_name(tensor),
            None if tensor.n_bytes == UNKNOWN_BYTES else tensor.n_bytes,
            tensor.offset,
            self._paths[tensor.shard],
        )
        self.ensure_intact(model)
        return info

    def tensor_columns(self) -> npt.NDArray[Any]:
        """Return the facts about all tensors as a structured array, in the files' order.

        Its fields are ``name_bytes``, ``type``, ``n_dims``, ``shape`` (rows first), ``n_bytes``, ``offset``
        and ``shard``, as in ``pye_tensor``.
        """
        model, error = self._handle(), ffi.new("pye_error *")
        n = lib.pye_model_n_tensors(model)
        if n == 0:
            return np.empty(0, _TENSOR_LAYOUT)
        tensors = ffi.new("pye_tensor[]", n)
        for index in range(n):
            self.check(lib.pye_tensor_at(model, index, tensors + index, error), error)
        return np.frombuffer(ffi.buffer(tensors), _TENSOR_LAYOUT)

    # -------------------------------------------------------------------- what is opened of a model

    def open_table(self, name: str) -> CData:
        """Return the ``pye_table *`` of a name, which is closed when the last reference goes."""
        model, table, error = self._handle(), ffi.new("pye_table **"), ffi.new("pye_error *")
        data = encode_text(name)
        if data is None:
            raise NotFoundError(f"{self.path}: no tensor has a name that is not text")
        self._check_in_file(lib.pye_table_open(model, data, len(data), table, error), error)
        return ffi.gc(table[0], lib.pye_table_close)

    def _check_in_file(self, status: int, error: CData) -> None:
        """As `check`, for what is wrong with tensors of a set of files: the path is that of one of them."""
        raise_kept()
        known = status != Status.OK and error.offset != lib.PYE_NO_OFFSET and len(self._paths) > 1
        check(status, error, self.path, self._paths if known else self._given)

    def open_vocabulary(self) -> CData:
        """Return the ``pye_vocabulary *``, which is closed when the last reference goes."""
        model, vocabulary, error = self._handle(), ffi.new("pye_vocabulary **"), ffi.new("pye_error *")
        self.check(lib.pye_vocabulary_open(model, vocabulary, error), error)
        return ffi.gc(vocabulary[0], lib.pye_vocabulary_close)
