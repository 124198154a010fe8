"""Arguments of a kind that makes no sense: an error that says so, never another's."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import pyembed
from pyembed.core.system import HOLDS_OPEN_FILES


@pytest.fixture(scope="module")
def model() -> Iterator[pyembed.Model]:
    with pyembed.load_model(pyembed.demo_model()) as model:
        yield model


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda m: m.table.check_rows(0, 1, key=b""), ValueError, "expected 16 bytes"),
        (lambda m: m.table.check_rows(0, 1, key=bytes(15)), ValueError, "expected 16 bytes"),
        (lambda m: m.table.check_rows(0, 1, key=bytes(32)), ValueError, "expected 16 bytes"),
        (lambda m: m.table.check_rows(0, 1, key="a" * 16), ValueError, "expected 16 bytes"),
        (lambda m: m.table.check_rows(0.5, 1), TypeError, "first is a float; expected an int"),
        (lambda m: m.table.check_rows(0, True), TypeError, "n is a bool; expected an int"),
        (lambda m: m.table.check_rows(np.int8(-1), 2**70), IndexError, "not all there"),
        (lambda m: m.table.digest(0.5), TypeError, "step is a float; expected an int"),
        (lambda m: m.table.digest(np.int8(-1)), ValueError, "step is -1"),
        (lambda m: m.embed([1], replace=5), TypeError, "replace is of type int"),
        (lambda m: m.embed([1], replace=[(0, 1)]), TypeError, "replace is of type list"),
        (lambda m: m.validate("order", ignore=[1]), TypeError, "ignore holds 1"),
        (lambda m: m.validate("order", ignore=range(10**20)), TypeError, "ignore holds 0"),
        (
            lambda m: pyembed.load_model(m.path, kv_overrides=[("a", 1)]),
            TypeError,
            "kv_overrides is of type list",
        ),
        (
            lambda m: pyembed.open_table(m.path, shape=(float("inf"), 2), dtype="float16"),
            ValueError,
            r"expected \(rows, columns\)",
        ),
        (
            lambda m: pyembed.load_model(
                m.path, lock={"pyembed_lock": 1, "vocabulary": {"special": {1: 2, "a": 3}}}
            ),
            ValueError,
            "vocabulary.special",
        ),
        (lambda m: pyembed.open_table(m.path, tensor=np.int8(1)), TypeError, "a tensor's name is a str"),
        (lambda m: pyembed.check_lock(m, b"no such lock"), FileNotFoundError, "no such lock"),
        (lambda m: pyembed.check_lock(m, {"pyembed_lock": 1, 5: 6, "x": 7}), ValueError, "which no lock has"),
    ],
)
def test_wrong_kinds(model: pyembed.Model, call: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        call(model)


# On Windows half a character may stand in a name; the error then comes from opening it.
@pytest.mark.parametrize("name", ["a\0b", pytest.param("a\ud800b", marks=pytest.mark.posix)])
@pytest.mark.parametrize(
    "use",
    [
        pyembed.load_model,
        pyembed.validate,
        lambda name: pyembed.validate(pyembed.demo_model(), level="order", reference=name),
        lambda name: pyembed.load_model(pyembed.demo_model(), lock=name),
    ],
)
def test_names_that_no_file_can_have(use: Callable[[str], object], name: str) -> None:
    with pytest.raises(ValueError, match=r"a path cannot hold a NUL|no file can have this name") as caught:
        use(name)
    assert str(caught.value).isprintable()


@pytest.mark.skipif(not HOLDS_OPEN_FILES, reason="half a character may stand in names of Windows alone")
@pytest.mark.parametrize("use", [pyembed.load_model, pyembed.validate])
def test_half_a_character_in_a_name(use: Callable[[str], object]) -> None:
    with pytest.raises(OSError, match="rename the file") as caught:
        use("a\ud800b")
    assert caught.value.errno == errno.EILSEQ
