"""Operations of ``pyembed edit`` as words: a name and an argument each, made in their order."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ..safe_text import printable, quote
from .model_edit import ModelEdit
from .resize import FILLS
from .values import Value, parsed

_NPY = b"\x93NUMPY"
_TYPED = re.compile(r"(?P<type>[a-z0-9]+(\[\])?)(?P<mark>[:@])(?P<value>.*)", re.DOTALL)


def apply(edit: ModelEdit, words: Sequence[str]) -> None:
    """Make operations given as words, such as ``["set", "general.name=string:x", "unset", "a.b"]``.

    Raises
    ------
    ValueError
        For words that are no operation, or an argument that one does not take.
    NotFoundError
        For a key or a tensor that is not there.
    OSError
        If a file that an argument names cannot be read.
    """
    if len(words) % 2:
        raise ValueError(f"{quote(words[-1])} stands alone: each operation is followed by one argument")
    for name, argument in zip(words[::2], words[1::2], strict=True):
        if name not in OPERATIONS:
            raise ValueError(f"unknown operation {quote(name)}; known: {', '.join(OPERATIONS)}")
        OPERATIONS[name](edit, argument)


def _halves(argument: str, wanted: str) -> tuple[str, str]:
    left, sign, right = argument.partition("=")
    if not sign or not left or not right:
        raise ValueError(f"{quote(argument)} is not {wanted}")
    return left, right


def assignment(argument: str) -> tuple[str, Value]:
    """Return what ``KEY=TYPE:VALUE`` or ``KEY=TYPE@FILE`` says."""
    key, right = _halves(argument, "KEY=TYPE:VALUE")
    match = _TYPED.fullmatch(right)
    if match is None:
        raise ValueError(f"{quote(argument)} is not KEY=TYPE:VALUE or KEY=TYPE@FILE, such as a.b=u32:7")
    text = match["value"]
    if match["mark"] == "@":
        with open(text, encoding="utf-8", errors="surrogateescape", newline="") as file:
            text = file.read()
    return key, parsed(match["type"], text)


def _set(edit: ModelEdit, argument: str) -> None:
    edit.set(*assignment(argument))


def _rename(edit: ModelEdit, argument: str) -> None:
    edit.rename(*_halves(argument, "OLD=NEW"))


def _rename_tensor(edit: ModelEdit, argument: str) -> None:
    edit.rename_tensor(*_halves(argument, "OLD=NEW"))


_RESIZE = re.compile(r"(?P<rows>[0-9]{1,4000})(=(?P<fill>[a-z]+)(@(?P<file>.+))?)?", re.DOTALL)


def _resize(edit: ModelEdit, argument: str) -> None:
    match = _RESIZE.fullmatch(argument)
    fill = next((fill for fill in FILLS if match is not None and fill == (match["fill"] or "mean")), None)
    if match is None or fill is None:
        fills = ", ".join(FILLS)
        raise ValueError(
            f"{quote(argument)} is not ROWS, ROWS=FILL or ROWS=FILL@FILE; FILL is one of {fills}"
        )
    edit.resize(int(match["rows"]), fill, () if match["file"] is None else read_names(match["file"]))


def read_names(path: str) -> list[str]:
    """Return the names of tokens in a file: one a line, or in a ``.json`` file a list of texts.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it holds anything else.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            text = file.read()
        if not path.endswith(".json"):
            return text.removesuffix("\n").replace("\r\n", "\n").split("\n")
        found = json.loads(text)
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
            raise ValueError
    except (ValueError, RecursionError):
        what = "a JSON list of texts" if path.endswith(".json") else "UTF-8 with a name a line"
        raise ValueError(f"{printable(path)} is not {what}") from None
    return found


def _trim(edit: ModelEdit, argument: str) -> None:
    edit.trim(read_ids(argument))


def read_ids(path: str) -> npt.NDArray[np.int64]:
    """Return the ids in a text file, with blanks or commas between them, or in an ``.npy`` file.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it holds anything else.
    """
    with open(path, "rb") as file:
        is_npy = file.read(len(_NPY)) == _NPY
        file.seek(0)
        try:
            if is_npy:
                found = np.load(file, allow_pickle=False)
                if found.dtype.kind not in "iu":
                    raise ValueError
                ids: npt.NDArray[np.int64] = found.astype(np.int64).reshape(-1)
                return ids
            words = file.read().replace(b",", b" ").split()
            return np.array([int(word) for word in words], np.int64)
        except (ValueError, OverflowError):
            raise ValueError(f"{printable(path)} is not a list of ids") from None


def _requantise(edit: ModelEdit, argument: str) -> None:
    edit.requantise(*_halves(argument, "TABLE=TYPE"))


OPERATIONS: Mapping[str, Callable[[ModelEdit, str], object]] = {
    "set": _set,
    "unset": ModelEdit.unset,
    "rename": _rename,
    "drop-tensor": ModelEdit.drop_tensor,
    "rename-tensor": _rename_tensor,
    "resize": _resize,
    "reorder": ModelEdit.reorder,
    "trim": _trim,
    "trim-to-text": ModelEdit.trim_to_text,
    "requantise": _requantise,
}
