"""The metadata and the tensors of an open file, as mappings that read when touched."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from ..core.constants import ValueType
from ..core.handle import Source
from ..core.layouts import sharded_tables
from ..core.records import TensorInfo
from ..errors import CData, NotFoundError, nearest_names
from ..safe_text import printable, quote

Scalar: TypeAlias = "int | float | bool | str"

_CHUNK = 4096


class StringArray(Sequence[str]):
    """An array of strings in a file's metadata: an immutable sequence that reads what is asked for.

    It equals any sequence of the same strings. Bytes that are not UTF-8 appear as surrogates
    (``errors="surrogateescape"``). Indexing raises ClosedError once the model is closed.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, source: Source, value: CData) -> None:
        self._source = source
        self._value = value
        self._n: int = value.n_elements

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        positions = range(self._n)[index]
        if isinstance(positions, int):
            return self._read(positions, 1)[0]
        if len(positions) == 0:
            return []
        if positions.step == 1:
            return self._read(positions.start, len(positions))
        return [self._read(position, 1)[0] for position in positions]

    def __iter__(self) -> Iterator[str]:
        for first in range(0, self._n, _CHUNK):
            yield from self._read(first, min(_CHUNK, self._n - first))

    def __contains__(self, text: object) -> bool:
        return any(text == other for other in self)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if isinstance(other, str | bytes) or not isinstance(other, Sequence):
            return NotImplemented
        if isinstance(other, StringArray):
            same = self._source.same_strings(self._value, other._source, other._value)
            if same is not None:
                return same
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    def _read(self, first: int, n: int) -> list[str]:
        return self._source.array_strings(self._value, first, n)

    def __repr__(self) -> str:
        if self._source.closed:
            return f"<StringArray of {self._n} strings, closed>"
        shown = ", ".join(map(quote, self[:3])) + (", ..." if self._n > 3 else "")
        return f"<StringArray of {self._n} strings: [{shown}]>"


# ---------------------------------------------------------------------------------------- metadata

_INTEGERS: Mapping[int, tuple[str, int, int]] = {
    ValueType.U8: ("u8", 0, 2**8),
    ValueType.I8: ("i8", -(2**7), 2**7),
    ValueType.U16: ("u16", 0, 2**16),
    ValueType.I16: ("i16", -(2**15), 2**15),
    ValueType.U32: ("u32", 0, 2**32),
    ValueType.I32: ("i32", -(2**31), 2**31),
    ValueType.U64: ("u64", 0, 2**64),
    ValueType.I64: ("i64", -(2**63), 2**63),
}
_SIGNED = {number for number, (_, low, _) in _INTEGERS.items() if low < 0}
# The name of each other type, and of the Python type that may stand in for it.
_OTHERS: Mapping[int, tuple[str, str]] = {
    ValueType.F32: ("f32", "float"),
    ValueType.F64: ("f64", "float"),
    ValueType.BOOL: ("bool", "bool"),
    ValueType.STRING: ("string", "str"),
    ValueType.ARRAY: ("array", ""),
}


def _decode(source: Source, value: CData) -> Any:
    """Turn a ``pye_value`` into what `Metadata` promises."""
    if value.type == ValueType.STRING:
        return source.string_value(value)
    if value.type == ValueType.ARRAY:
        return _decode_array(source, value)
    number = getattr(value, "as")
    if value.type in (ValueType.F32, ValueType.F64):
        return number.f64
    if value.type in _SIGNED:
        return number.i64
    return bool(number.u64) if value.type == ValueType.BOOL else number.u64


def _decode_array(source: Source, value: CData) -> Any:
    if value.element_type == ValueType.STRING:
        return StringArray(source, value)
    if value.element_type == ValueType.ARRAY:
        return [_decode_array(source, element) for element in source.array_arrays(value)]
    array = source.array_numbers(value)
    array.flags.writeable = False
    return array


def _plain(key: str, value: object) -> Scalar:
    """Return an override as a plain Python value."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value)
    if isinstance(value, str):
        return str(value)
    raise TypeError(
        f"kv_overrides[{key!r}] is of type {type(value).__name__}; expected int, float, bool or str"
    )


def _check_override(key: str, value: Scalar, stored: int | None) -> None:
    """Check an override against the type that the file stores; None for a key that it does not have."""
    kind = type(value).__name__
    if stored is None:
        name, wanted = kind, kind
    elif stored in _INTEGERS:
        name, wanted = _INTEGERS[stored][0], "int"
    else:
        name, wanted = _OTHERS[stored]
    if kind != wanted:
        raise TypeError(f"kv_overrides[{key!r}] is of type {kind}, the file's value of type {name}")
    _, low, end = _INTEGERS.get(-1 if stored is None else stored, (name, -(2**63), 2**64))
    if wanted == "int" and not low <= int(value) < end:
        raise ValueError(f"kv_overrides[{key!r}] = {value} does not fit type {name}")


_ELEMENTS: Mapping[int, str] = {
    ValueType.STRING: "strings",
    ValueType.ARRAY: "arrays",
    ValueType.BOOL: "truth values",
}


class Metadata(Mapping[str, Any]):
    """The metadata of a model, in the file's order; read-only, and decoded when touched.

    Scalars are int, float, bool or str. Arrays of numbers and of bools are read-only NumPy arrays in this
    machine's byte order, arrays of strings a `StringArray`, arrays of arrays a list. Strings that are not
    UTF-8 are decoded with ``errors="surrogateescape"``.

    Raises
    ------
    NotFoundError
        (a KeyError) for a key that is not there.
    ValueError
        Once the model is closed.
    """

    def __init__(self, source: Source, overrides: Mapping[str, object] | None = None) -> None:
        self._source = source
        self._overrides: dict[str, Scalar] = {}
        self._decoded: dict[str, Any] = {}
        if overrides is not None and not isinstance(overrides, Mapping):
            raise TypeError(f"kv_overrides is of type {type(overrides).__name__}; expected a dict")
        for key, given in (overrides or {}).items():
            if not isinstance(key, str):
                raise TypeError(f"kv_overrides has a key of type {type(key).__name__}; expected str")
            value = _plain(key, given)
            stored = source.metadata_value(key)
            _check_override(key, value, None if stored is None else stored.type)
            self._overrides[key] = value
        keys = source.metadata_keys()
        known = set(keys)
        self._keys = (*keys, *(key for key in self._overrides if key not in known))

    def __getitem__(self, key: str) -> Any:
        self._source.ensure_open()
        if key in self._overrides:
            return self._overrides[key]
        if key in self._decoded:
            return self._decoded[key]
        value = self._source.metadata_value(key) if isinstance(key, str) else None
        if value is None:
            raise NotFoundError(
                f"{self._source.path}: no metadata key {quote(key)}",
                lambda: nearest_names(str(key), self._keys),
            )
        # Of threads that all decode it, each gets what the first one kept.
        return self._decoded.setdefault(key, _decode(self._source, value))

    # Nothing in a file is of the type that it should be unless one of these says so. They return None for a
    # key that is absent and for a value of another type; `describe` says in a message what is there.

    def text(self, key: str) -> str | None:
        """Return the value of a key that holds a string."""
        value = self._scalar(key)
        return value if isinstance(value, str) else None

    def flag(self, key: str) -> bool | None:
        """Return the value of a key that holds a truth value."""
        value = self._scalar(key)
        return value if isinstance(value, bool) else None

    def integer(self, key: str) -> int | None:
        """Return the value of a key that holds an integer; a truth value is none."""
        value = self._scalar(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def count(self, key: str) -> int | None:
        """Return the value of a key that holds an integer of 0 or more."""
        value = self.integer(key)
        return value if value is not None and value >= 0 else None

    def number(self, key: str) -> int | float | None:
        """Return the value of a key that holds a finite number; a truth value is none."""
        value = self._scalar(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return None
        return value

    def strings(self, key: str) -> StringArray | None:
        """Return the value of a key that holds an array of strings, which is read when touched."""
        if self._stored(key) != (ValueType.ARRAY, ValueType.STRING):
            return None
        value = self[key]
        return value if isinstance(value, StringArray) else None

    def numbers(self, key: str, most: int | None = None) -> npt.NDArray[Any] | None:
        """Return the value of a key that holds an array of numbers, of at most `most` elements."""
        kind, element = self._stored(key)
        if kind != ValueType.ARRAY or element in (ValueType.STRING, ValueType.ARRAY):
            return None
        if most is not None and self._length(key) > most:
            return None
        value = self[key]
        return value if isinstance(value, np.ndarray) else None

    def describe(self, key: str) -> str:
        """Return in a few words what a key holds, for a message."""
        kind, element = self._stored(key)
        if kind == ValueType.ARRAY:
            return f"an array of {self._length(key)} {_ELEMENTS.get(element, 'numbers')}"
        return "absent" if kind is None else quote(self[key])

    def _scalar(self, key: str) -> Scalar | None:
        kind, _ = self._stored(key)
        if kind in (None, ValueType.ARRAY):
            return None
        value: Scalar = self[key]
        return value

    def _stored(self, key: str) -> tuple[int | None, int]:
        """Return the type of a value and of its elements; None for a key that is not there."""
        if key in self._overrides:
            return ValueType.STRING, -1  # any scalar
        value = self._source.metadata_value(key)
        return (None, -1) if value is None else (value.type, value.element_type)

    def _length(self, key: str) -> int:
        value = self._source.metadata_value(key)
        return 0 if value is None else int(value.n_elements)

    @property
    def overrides(self) -> dict[str, Scalar]:
        """What ``kv_overrides`` replaced or added."""
        return dict(self._overrides)

    def uncached(self) -> Metadata:
        """Return the same metadata with nothing decoded yet: what is decoded through it goes with it."""
        return Metadata(self._source, self._overrides)

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str):
            return False
        return key in self._overrides or self._source.metadata_value(key) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"<Metadata of {printable(self._source.path)}: {len(self)} keys>"


class Tensors(Mapping[str, TensorInfo]):
    """The tensors of a model by name, in the files' order.

    Raises
    ------
    NotFoundError
        (a KeyError) for a name that no tensor has.
    ValueError
        Once the model is closed.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    def __getitem__(self, name: str) -> TensorInfo:
        info = self._source.tensor(name) if isinstance(name, str) else None
        if info is None:
            raise NotFoundError(
                f"{self._source.path}: no tensor is named {quote(name)}", near_tensors(self._source, name)
            )
        return info

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._source.tensor(name) is not None

    def __iter__(self) -> Iterator[str]:
        for info in self._infos():
            yield info.name

    def _infos(self) -> Iterator[TensorInfo]:
        for index in range(self._source.n_tensors()):
            info = self._source.tensor(index)
            assert info is not None
            yield info

    def __len__(self) -> int:
        return self._source.n_tensors()

    def __repr__(self) -> str:
        return f"<Tensors of {printable(self._source.path)}>"


def near_tables(source: Source, name: object) -> Callable[[], list[str]]:
    """As `near_tensors`, with the names of tables that are cut into shards before all."""

    def near() -> list[str]:
        if source.closed:
            return []
        return nearest_names(str(name), [*sharded_tables(source), *Tensors(source)])

    return near


def near_tensors(source: Source, name: object) -> Callable[[], list[str]]:
    """Return what finds, when called, the tensors whose names are spelled most like `name`."""

    def near() -> list[str]:
        return [] if source.closed else nearest_names(str(name), Tensors(source))

    return near
