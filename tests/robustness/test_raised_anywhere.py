"""What is raised wherever Python code is entered during a call, as a signal's handler may, arrives."""

from __future__ import annotations

import gc
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np
import pytest

import pyembed
from tests.helpers.children import SANITIZED
from tools.drivers.models import sample

pytestmark = pytest.mark.skipif(SANITIZED, reason="a thousand calls take long")

#: A function that is entered, and the place it is entered from.
Place = tuple[CodeType, CodeType | None, int]


class Raised(BaseException):
    pass


def _run(call: Callable[[], object], enters: Callable[[Place], None]) -> None:
    """Make a call, and say of each function in Python where it is entered."""

    def profile(frame: FrameType, event: str, argument: object) -> None:
        # A generator that is closed counts as entered, though no handler is run there.
        if event == "call" and not frame.f_code.co_flags & inspect.CO_GENERATOR:
            caller = frame.f_back
            enters((frame.f_code, caller.f_code if caller else None, caller.f_lasti if caller else 0))

    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)


def _lost(call: Callable[[], object], place: Place) -> bool | None:
    """Return whether what is raised at a place did not arrive; None if the place was not come by."""
    met: list[Place] = []

    def enters(here: Place) -> None:
        if here == place and not met:
            met.append(here)
            raise Raised

    try:
        _run(call, enters)
    except Raised:
        return False
    return True if met else None


def _name(place: Place) -> str:
    code, caller, _ = place
    return f"{code.co_filename}: {code.co_qualname}, from {caller.co_qualname if caller else 'C'}"


@pytest.fixture
def calls(tmp_path: Path) -> dict[str, Callable[[], Any]]:
    made = sample(np.random.default_rng(1), tmp_path, ("gguf",))
    model = pyembed.load_model(made.path, validate="off")
    return {
        "validate": lambda: model.validate("full", progress=lambda text, done: None),
        "compare": lambda: pyembed.compare(made.path, made.path),
        "health": lambda: pyembed.health.examine(model.table),
        "top": lambda: model.table.top(model.table[:2], 3),
    }


@pytest.mark.parametrize("name", ["validate", "compare", "health", "top"])
def test_what_is_raised_where_a_function_is_entered_arrives(
    name: str, calls: dict[str, Callable[[], Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    call = calls[name]
    call()  # imports what is imported late
    dropped: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", dropped.append)
    gc.disable()  # it enters finalizers of others, anywhere
    try:
        places: dict[Place, None] = {}
        _run(call, lambda place: places.setdefault(place))
        came = {place: _lost(call, place) for place in places}
    finally:
        gc.enable()
    assert [_name(place) for place, lost in came.items() if lost] == []
    assert dropped == []
    assert list(came.values()).count(False) > 0.9 * len(places) > 30
