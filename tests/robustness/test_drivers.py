"""The random drivers of ``make fuzz``, in small: the same cases in every run."""

from __future__ import annotations

import shutil
import sys

import pytest

from tests.helpers.children import SANITIZED
from tools import drivers

CASES = {"api": 60, "commands": 6, "references": 12, "outputs": 2, "signals": 6, "forks": 5}

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="signals and preloading as Linux has"),
    pytest.mark.skipif(SANITIZED, reason="measures time, and preloads"),
    pytest.mark.filterwarnings("ignore"),  # requests at random may warn of overflows and the like
]


def test_every_driver_is_run() -> None:
    assert set(CASES) == set(drivers.NAMES)


@pytest.mark.parametrize("name", drivers.NAMES)
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
