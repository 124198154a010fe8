"""What a mending is: a change to a draft, with what it does in words and what proves it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .draft import Draft

#: What many mendings would need.
REFERENCE = "a reference: a model or a tokenizer's file with the right tokens"


class CannotMend(Exception):
    """A mending does not apply to this model; the message says what would be needed, if anything is known."""


class NothingToMend(CannotMend):
    """What a mending is for is as it should be."""


class OfAnotherFamily(CannotMend):
    """A mending is for other kinds of tokenizers, and would need nothing that this model could have."""

    def __init__(self) -> None:
        super().__init__("a tokenizer of another family")


@dataclass(frozen=True)
class Mending:
    """One way to mend a model.

    Attributes
    ----------
    name : str
        In one or two words.
    text : str
        What it does, and by what that is proven.
    change : callable
        Makes the change in a draft. It raises `CannotMend` where it does not apply.
    """

    name: str
    text: str
    change: Callable[[Draft], None]
