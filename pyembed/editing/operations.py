"""Operations of ``pyembed edit`` as words: a name and an argument each, made in their order."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from ..safe_text import quote
from .model_edit import ModelEdit
from .values import Value, parsed

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


OPERATIONS: Mapping[str, Callable[[ModelEdit, str], object]] = {
    "set": _set,
    "unset": ModelEdit.unset,
    "rename": _rename,
    "drop-tensor": ModelEdit.drop_tensor,
    "rename-tensor": _rename_tensor,
}
