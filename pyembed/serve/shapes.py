"""Bodies of requests: the fields that an operation takes, for reading them and for describing them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from ..core.dtypes import OUTPUT_TYPES
from ..safe_text import quote
from ..tables.scan import METRICS
from ..tokens.cutting.cutter import checked_text
from .errors import Reason, Refused, invalid

Schema = dict[str, Any]


@dataclass(frozen=True)
class Field:
    """A field of a body.

    Attributes
    ----------
    name, about : str
    schema : dict
        What it may be, as JSON Schema.
    read : callable
        Takes the value and the name, returns what operations work with; raises Refused.
    default : object
        What operations work with where the field is missing or null; `REQUIRED` where it must not be.
    """

    name: str
    about: str
    schema: Schema
    read: Callable[[Any, str], Any]
    default: Any = None


#: Stands for the default of a field that has none.
REQUIRED: Any = object()


@dataclass(frozen=True)
class Shape:
    """The fields of a body. What a body has besides is ignored, as those do whose clients we answer."""

    name: str
    fields: Sequence[Field]

    def read(self, body: bytes) -> dict[str, Any]:
        """Return what operations work with, by field.

        Raises
        ------
        Refused
            If the body is not JSON, not an object, or a field is missing or wrong.
        """
        return self.read_value(json_object(body))

    def read_value(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return the same of an object that is read already."""
        found = {}
        for field in self.fields:
            given = value.get(field.name)
            if given is not None:
                found[field.name] = field.read(given, field.name)
            elif field.default is REQUIRED:
                raise invalid(f"{field.name} is missing", field.name)
            else:
                found[field.name] = field.default
        return found

    def schema(self) -> Schema:
        """Return the JSON Schema of a body."""
        properties = {
            field.name: {**field.schema, "description": field.about}
            if field.default is REQUIRED
            else {"anyOf": [field.schema, {"type": "null"}], "description": field.about}
            for field in self.fields
        }
        required = [field.name for field in self.fields if field.default is REQUIRED]
        return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def json_object(body: bytes) -> dict[str, Any]:
    """Return a body as an object; an empty one is the object without fields."""
    try:
        value = json.loads(body, parse_constant=_refuse_constant) if body else {}
    except Refused:
        raise
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is one
        raise invalid(f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise invalid("the body is not a JSON object")
    return value


def _refuse_constant(text: str) -> NoReturn:
    raise invalid(f"the body is not JSON: it holds {text}")


# ------------------------------------------------------------------------------------------ kinds of values


@dataclass(frozen=True)
class Inputs:
    """Texts, or the ids of texts that are cut already.

    Attributes
    ----------
    texts : list of str or None
    ids : list of int64 arrays or None
        Each has at least one id.
    is_one : bool
        Whether a text or an array of ids was given, not a list of such.
    """

    texts: list[str] | None
    ids: list[npt.NDArray[np.int64]] | None
    is_one: bool

    def __len__(self) -> int:
        return len(self.texts if self.texts is not None else self.ids or ())


def read_inputs(value: Any, name: str) -> Inputs:
    """Read a text, an array of texts, an array of ids, or an array of such."""
    if isinstance(value, str):
        return Inputs([_text(value, name, None)], None, True)
    if not isinstance(value, list):
        raise invalid(f"{name} must be a text, an array of texts, of token ids, or of arrays of those", name)
    if not value:
        raise Refused(Reason.EMPTY, f"{name} is empty", name)
    if isinstance(value[0], str):
        return Inputs([_text(text, name, index) for index, text in enumerate(value)], None, False)
    if isinstance(value[0], list):
        return Inputs(None, [_ids(ids, name, index) for index, ids in enumerate(value)], False)
    return Inputs(None, [_ids(value, name, None)], True)


def read_texts(value: Any, name: str) -> Inputs:
    """Read a text or an array of texts."""
    inputs = read_inputs(value, name)
    if inputs.texts is None:
        raise invalid(f"{name} must be a text or an array of texts", name)
    return inputs


def read_ids(value: Any, name: str) -> Inputs:
    """Read an array of ids, or an array of such."""
    inputs = read_inputs(value, name)
    if inputs.ids is None:
        raise invalid(f"{name} must be an array of token ids, or an array of such", name)
    return inputs


def _text(value: Any, name: str, index: int | None) -> str:
    try:
        text = checked_text(value, index)
    except (TypeError, ValueError) as error:
        raise invalid(f"{name}: {error}", name) from None
    if not text:
        place = "" if index is None else f"[{index}]"
        raise Refused(Reason.EMPTY, f"{name}{place} is an empty text", name)
    return text


def _ids(value: Any, name: str, index: int | None) -> npt.NDArray[np.int64]:
    place = name if index is None else f"{name}[{index}]"
    if not isinstance(value, list):
        raise invalid(f"{place} is not an array of token ids as those before it are", name)
    if not value:
        raise Refused(Reason.EMPTY, f"{place} is empty", name)
    if set(map(type, value)) != {int}:
        wrong = next(which for which, one in enumerate(value) if type(one) is not int)
        raise invalid(f"{place}[{wrong}] is {quote(value[wrong])}; expected a token id", name)
    try:
        return np.fromiter(value, np.int64, len(value))
    except OverflowError:
        raise invalid(f"{place} has a number that no token has", name) from None


def read_text(value: Any, name: str) -> str:
    """Read one text."""
    if not isinstance(value, str):
        raise invalid(f"{name} must be a text", name)
    return _text(value, name, None)


def read_word(value: Any, name: str) -> str | int | npt.NDArray[np.float32]:
    """Read a word, the id of a row, or a vector."""
    if isinstance(value, str):
        return _text(value, name, None)
    if type(value) is int:
        return int(_ids([value], name, None)[0])
    if not isinstance(value, list) or not value or not set(map(type, value)) <= {int, float}:
        raise invalid(f"{name} must be a word, the id of a row, or a vector of numbers", name)
    try:
        with np.errstate(over="ignore"):
            return np.array(value, np.float64).astype(np.float32)
    except OverflowError:
        raise invalid(f"{name} has a number that is not finite", name) from None


def read_bool(value: Any, name: str) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise invalid(f"{name} must be true or false", name)
    return value


def read_count(value: Any, name: str) -> int:
    """Read a whole number from 1 on."""
    if type(value) is not int or not 1 <= value < 1 << 31:
        raise invalid(f"{name} is {quote(value)}; expected a whole number from 1 on", name)
    return value


def one_of(*choices: str) -> tuple[Schema, Callable[[Any, str], str]]:
    """Return the schema and the reader of a word that is one of some."""

    def read(value: Any, name: str) -> str:
        if not isinstance(value, str) or value not in choices:
            raise invalid(f"{name} is {quote(value)}; expected one of {', '.join(choices)}", name)
        return value

    return {"type": "string", "enum": list(choices)}, read


# ------------------------------------------------------------------------------------- fields of several

TEXT: Schema = {"type": "string", "minLength": 1}
IDS: Schema = {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0}}
_TEXTS: Schema = {"type": "array", "minItems": 1, "items": TEXT}
INPUTS: Schema = {"anyOf": [TEXT, _TEXTS, IDS, {"type": "array", "minItems": 1, "items": IDS}]}
TEXT_INPUTS: Schema = {"anyOf": [TEXT, _TEXTS]}
ID_INPUTS: Schema = {"anyOf": [IDS, {"type": "array", "minItems": 1, "items": IDS}]}
BOOL: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 1}
WORD: Schema = {
    "anyOf": [
        TEXT,
        {"type": "integer", "minimum": 0},
        {"type": "array", "minItems": 1, "items": {"type": "number"}},
    ]
}

MODEL = Field(
    "model", "The name of a model of this server; the first without.", {"type": "string"}, read_text
)
INPUT = Field(
    "input", "A text, an array of texts, token ids, or arrays of those.", INPUTS, read_inputs, REQUIRED
)
DIMENSIONS = Field("dimensions", "Keep this many numbers of a vector, the first ones.", COUNT, read_count)
ENCODING = Field(
    "encoding_format",
    "Vectors as arrays of numbers, or as base64 of little-endian float32.",
    *one_of("float", "base64"),
    "float",
)
METRIC = Field("metric", "What is compared.", *one_of(*METRICS), "cosine")
DTYPE = Field("dtype", "The dtype of the rows.", *one_of(*OUTPUT_TYPES), "bfloat16")
