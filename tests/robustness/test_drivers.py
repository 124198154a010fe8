"""The random drivers of ``make fuzz``, in small: the same cases in every run."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.children import SANITIZED
from tools import drivers
from tools.drivers import signals

CASES = {"api": 60, "commands": 6, "references": 12, "outputs": 2, "signals": 6, "forks": 5}

ON_EVERY_SYSTEM = ("api", "references")
on_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="links, signals and preloading as Linux has"
)
pytestmark = [
    pytest.mark.skipif(SANITIZED, reason="measures time, and preloads"),
    pytest.mark.filterwarnings("ignore"),  # requests at random may warn of overflows and the like
]


def test_every_driver_is_run() -> None:
    assert set(CASES) == set(drivers.NAMES)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in ON_EVERY_SYSTEM else on_linux) for name in drivers.NAMES]
)
def test_a_driver_finds_nothing(name: str) -> None:
    if name == "outputs" and shutil.which("cc") is None:
        pytest.skip("no C compiler is installed")
    if name == "commands":
        pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    result = drivers.run(name, 20240229, cases=CASES[name])
    assert result.findings == []
    assert result.n_cases == CASES[name]
    assert sum(result.tally.values()) >= result.n_cases


def test_a_broken_promise_is_found_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import pyembed

    gather = pyembed.EmbeddingTable.gather

    def wrong(self: pyembed.EmbeddingTable, ids: object, **options: object) -> object:
        rows = gather(self, ids, **options)  # type: ignore[call-overload]
        return rows + 1 if rows.size == rows.shape[-1] else rows

    monkeypatch.setattr(pyembed.EmbeddingTable, "gather", wrong)
    result = drivers.run("api", 1, cases=200, report=lambda text: None)
    assert len(result.findings) == drivers.MAX_FINDINGS
    assert "api, --seed 1 --only " in result.findings[0]


SWALLOWS = """
def call():
    try:
        time.sleep(0.2)
    except BaseException:
        pass
"""
IN_A_FINALIZER = """
class Dying:
    def __del__(self):
        time.sleep(0.2)
def call():
    Dying()
"""
IN_AN_IMPORT = """
class Field:
    def __set_name__(self, owner, name):
        time.sleep(0.2)
def call():
    class Owner:
        field = Field()
"""


@on_linux
@pytest.mark.parametrize(
    ("source", "inside", "finding"),
    [
        (SWALLOWS, False, "a call: the handler's exception was lost"),
        (IN_A_FINALIZER, False, None),
        (IN_A_FINALIZER, True, "a call: Python dropped Interruption in <function Dying.__del__"),
        (IN_AN_IMPORT, False, None),
    ],
    ids=["swallowed", "finalizer", "finalizer of ours", "import"],
)
def test_what_python_dropped_is_told_from_what_was_lost(
    source: str, inside: bool, finding: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyembed

    file = Path(pyembed.__file__).parent / "made_up.py" if inside else "made_up.py"
    names: dict[str, Any] = {"time": time, "__name__": "made_up"}
    exec(compile(source, file, "exec"), names)
    monkeypatch.setattr(signals, "_call", lambda *arguments: ("a call", names["call"]))
    result = drivers.run("signals", 1, cases=1, report=lambda text: None)
    if finding is None:
        assert result.findings == []
        if sys.version_info >= (3, 12) and source is IN_AN_IMPORT:
            assert result.tally[signals.DROPPED] == 0
        else:  # of ten, but on a busy machine a signal may come when the call has ended
            assert 0 < result.tally[signals.DROPPED] <= 10
    else:
        assert finding in result.findings[0]
