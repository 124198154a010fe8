"""What tests of encoders share."""

from __future__ import annotations

import pytest


@pytest.fixture
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep nothing of a model, and use nothing that was kept, in the user's folder."""
    monkeypatch.setenv("PYEMBED_CACHE", "off")
