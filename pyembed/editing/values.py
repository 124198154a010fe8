"""Values of metadata: from what a person or a program gives to the bytes of a file."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.constants import ValueType
from ..core.strings import encode_text
from ..files.gguf_encoding import STRUCT_CODES, Encoder
from ..safe_text import quote

#: What users call the types of scalars; with ``[]`` behind it, an array of them.
TYPE_NAMES = {
    "u8": ValueType.U8,
    "i8": ValueType.I8,
    "u16": ValueType.U16,
    "i16": ValueType.I16,
    "u32": ValueType.U32,
    "i32": ValueType.I32,
    "f32": ValueType.F32,
    "bool": ValueType.BOOL,
    "string": ValueType.STRING,
    "u64": ValueType.U64,
    "i64": ValueType.I64,
    "f64": ValueType.F64,
}
_NAMES = {kind: name for name, kind in TYPE_NAMES.items()}
_FLOATS = (ValueType.F32, ValueType.F64)
_ARRAY_MARK = "[]"


@dataclass(frozen=True)
class Value:
    """A metadata value with its type.

    Attributes
    ----------
    kind : ValueType
        Of a scalar, or of the elements of an array.
    value : int, float, bool, str or sequence of them
    is_array : bool
    """

    kind: ValueType
    value: Any
    is_array: bool = False

    def encoded(self, encoder: Encoder, key: bytes) -> bytes:
        """Return a whole metadata entry as bytes."""
        if not self.is_array:
            return encoder.entry(key, self.kind) + _scalar(encoder, self.kind, self.value)
        head = encoder.entry(key, ValueType.ARRAY) + encoder.array(self.kind, len(self.value))
        if self.kind == ValueType.STRING:
            return head + b"".join([encoder.string(_bytes(text)) for text in self.value])
        dtype = np.dtype(encoder.order + STRUCT_CODES[self.kind])
        return head + np.asarray(self.value).astype(dtype).tobytes()


def typed(type_name: str, value: Any) -> Value:
    """Return a checked value of a type such as ``"u32"`` or ``"string[]"``.

    Raises
    ------
    ValueError
        For an unknown type, or a value that does not fit it.
    """
    is_array = type_name.endswith(_ARRAY_MARK)
    kind = TYPE_NAMES.get(type_name.removesuffix(_ARRAY_MARK))
    if kind is None:
        known = ", ".join(TYPE_NAMES)
        raise ValueError(f"unknown type {quote(type_name)}; known: {known}; of arrays with [] behind it")
    if not is_array:
        return Value(kind, _checked(kind, value))
    if isinstance(value, str | bytes) or not isinstance(value, Sequence | np.ndarray):
        raise ValueError(f"an array of type {type_name} is a list, not {quote(value)}")
    items = value.tolist() if isinstance(value, np.ndarray) else value
    return Value(kind, [_checked(kind, item) for item in items], True)


def parsed(type_name: str, text: str) -> Value:
    """Return the value that a text stands for: numbers as Python writes them, true or false, lists as JSON.

    Raises
    ------
    ValueError
        As `typed` does, and for a text that stands for none.
    """
    kind = TYPE_NAMES.get(type_name.removesuffix(_ARRAY_MARK))
    if type_name.endswith(_ARRAY_MARK):
        try:
            return typed(type_name, json.loads(text))
        except (json.JSONDecodeError, RecursionError):
            raise ValueError(f'{quote(text)} is not a JSON list, such as [1, 2] or ["a", "b"]') from None
    if kind is None or kind == ValueType.STRING:
        return typed(type_name, text)
    if kind == ValueType.BOOL:
        return typed(type_name, {"true": True, "false": False}.get(text.lower(), text))
    try:
        number = float(text) if kind in _FLOATS else int(text, 0)
        if math.isinf(number) and "inf" not in text.lower():
            raise ValueError(f"{quote(text)} does not fit type {type_name}")
        return typed(type_name, number)
    except ValueError as error:
        if "invalid literal" in str(error) or "could not convert" in str(error):
            raise ValueError(f"{quote(text)} is not a number of type {type_name}") from None
        raise


def _checked(kind: ValueType, value: Any) -> Any:
    """Return a scalar if it fits a type."""
    name = _NAMES[kind]
    if isinstance(value, np.generic):
        value = value.item()
    if kind == ValueType.STRING:
        if not isinstance(value, str) or encode_text(value) is None:
            raise ValueError(f"{quote(value)} is not a text that a file can hold")
        return value
    if kind == ValueType.BOOL:
        if not isinstance(value, bool):
            raise ValueError(f"{quote(value)} is not true or false")
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or (kind not in _FLOATS and not isinstance(value, int)):
        raise ValueError(f"{quote(value)} is not a number of type {name}")
    try:
        Encoder(big_endian=False).number(STRUCT_CODES[kind], value)
    except (OverflowError, ValueError, ArithmeticError):
        raise ValueError(f"{quote(value)} does not fit type {name}") from None
    except Exception as error:  # struct.error, which is not one of these
        raise ValueError(f"{quote(value)} does not fit type {name}") from error
    return value


def _scalar(encoder: Encoder, kind: ValueType, value: Any) -> bytes:
    if kind == ValueType.STRING:
        return encoder.string(_bytes(value))
    return encoder.number(STRUCT_CODES[kind], value)


def _bytes(text: str) -> bytes:
    data = encode_text(text)
    assert data is not None  # it was checked
    return data
