"""Numbers under keys and in tensors whose names differ from program to program, and what these contradict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.handle import Source
from ..core.records import TensorInfo
from ..errors import FormatError
from ..files.byte_ranges import tensor_range
from ..files.metadata import Metadata, Tensors
from ..safe_text import quote

_TENSOR_DTYPES: Mapping[str, np.dtype[Any]] = {"I32": np.dtype(np.int32), "I64": np.dtype(np.int64)}
_MAX_LISTED = 12


def read_integers(source: Source, info: TensorInfo, most: int) -> npt.NDArray[Any]:
    """Return the numbers of a tensor of integers, flat.

    Raises
    ------
    FormatError
        If it is of another type, or holds more than `most`.
    """
    dtype = _TENSOR_DTYPES.get(info.type)
    if dtype is None:
        raise FormatError(
            f"{info.path}: {quote(info.name)} is of type {info.type}; expected I32 or I64",
            info.path,
            info.offset,
        )
    n = math.prod(info.shape)
    if n > most:
        raise FormatError(
            f"{info.path}: {quote(info.name)} holds {n} numbers; expected at most {most}",
            info.path,
            info.offset,
        )
    swapped = any(shard.big_endian for shard in source.shards() if shard.path == info.path)
    data = b"".join(bytes(chunk) for chunk in tensor_range(info).chunks())
    return np.frombuffer(data, dtype.newbyteorder(">" if swapped else "<")).astype(dtype)


class StoredNumbers:
    """Finds numbers under any of several names, and notes where two of the names disagree.

    Names are given without what stands before them; `names` maps each to the full names that a file has.

    Attributes
    ----------
    origins : dict of str to str
        The full name that each field was taken from.
    contradictions : list of str
        Where several names of one field hold different values.
    """

    def __init__(self, source: Source, metadata: Metadata, tensors: Tensors) -> None:
        self._source = source
        self._metadata = metadata
        self._tensors = tensors
        self._names: dict[str, list[str]] = {}
        self.origins: dict[str, str] = {}
        self.contradictions: list[str] = []

    @property
    def path(self) -> str:
        """The file."""
        return self._source.path

    def know(self, name: str, full_name: str) -> None:
        """Note that the file has a key or a tensor `full_name` that is meant by `name`."""
        self._names.setdefault(name, []).append(full_name)

    def __bool__(self) -> bool:
        return bool(self._names)

    def has(self, names: Iterable[str]) -> bool:
        """Return whether there is a key or a tensor of any of the names."""
        return any(name in self._names for name in names)

    def listed(self) -> str:
        """Return the keys and tensors that were found, for a message."""
        found = [full for names in self._names.values() for full in names]
        more = f" and {len(found) - _MAX_LISTED} more" if len(found) > _MAX_LISTED else ""
        return ", ".join(map(quote, found[:_MAX_LISTED])) + more

    def missing(self, what: str) -> FormatError:
        """Return the error for a constant that is not there, or under no known name."""
        return FormatError(
            f"{self.path}: {what} of hashed rows: not there, or under a name that is not known; "
            f"found: {self.listed()}",
            self.path,
        )

    def count(self, field: str, names: Iterable[str], low: int = 0, high: int = 2**62) -> int | None:
        """Return a whole number from `low` to `high`; None where no name is there."""
        value = None
        for full in self._full_names(names):
            number = self._metadata.integer(full)
            if number is None:
                number = self._single(full)
            if number is None or not low <= number <= high:
                raise FormatError(
                    f"{self.path}: {quote(full)} is {self._describe(full)}; expected a whole number from "
                    f"{low} to "
                    f"{high}",
                    self.path,
                )
            value = self._settle(field, full, value, number)
        return value

    def numbers(
        self, field: str, names: Iterable[str], most: int, high: int = 2**64 - 1
    ) -> npt.NDArray[np.uint64] | None:
        """Return an array of 1 to `most` whole numbers from 0 to `high`; None where no name is there."""
        value = None
        for full in self._full_names(names):
            array = self._array(full, most)
            wrong = None
            if not array.size:
                wrong = "has no elements"
            elif int(array.min()) < 0 or int(array.max()) > high:
                wrong = f"holds {array.min() if int(array.min()) < 0 else array.max()}"
            if wrong is not None:
                raise FormatError(
                    f"{self.path}: {quote(full)} {wrong}; expected whole numbers from 0 to {high}", self.path
                )
            value = self._settle(field, full, value, array.astype(np.uint64))
        return value

    def _full_names(self, names: Iterable[str]) -> Iterator[str]:
        for name in names:
            yield from self._names.get(name, ())

    def _single(self, full: str) -> int | None:
        """Return the only element of an array of one whole number."""
        numbers = self._metadata.numbers(full, most=1)
        if numbers is None or numbers.size != 1 or numbers.dtype.kind not in "iu":
            return None
        return int(numbers[0])

    def _array(self, full: str, most: int) -> npt.NDArray[Any]:
        if full not in self._metadata:
            return read_integers(self._source, self._tensors[full], most)
        array = self._metadata.numbers(full, most)
        if array is None or array.dtype.kind not in "iu":
            kind = f" of {array.dtype.name}" if array is not None else ""
            raise FormatError(
                f"{self.path}: {quote(full)} is {self._describe(full)}{kind}; expected an array of at "
                f"most {most} "
                "whole numbers",
                self.path,
            )
        return array

    def _describe(self, full: str) -> str:
        return self._metadata.describe(full) if full in self._metadata else "a tensor"

    def _settle(self, field: str, full: str, before: Any, value: Any) -> Any:
        """Return what a field holds: the first value that was found. Another one is noted."""
        if before is None:
            self.origins[field] = full
            return value
        if not np.array_equal(before, value):
            self.contradict(self.origins[field], full)
        return before

    def contradict(self, one: str, other: str, how: str = "") -> None:
        """Note that two keys say different things."""
        more = f": {how}" if how else ""
        self.contradictions.append(f"{quote(one)} and {quote(other)} contradict each other{more}")
