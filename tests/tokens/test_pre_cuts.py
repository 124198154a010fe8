"""The patterns by which vocabularies of bytes cut texts, read by another library of regular expressions."""

from __future__ import annotations

import pytest

from tests.helpers.oracles.patterns import cut_by_regex
from tools import compare_patterns
from tools.compare_patterns import ALL_CUTS

pytest.importorskip("tokenizers")
pytest.importorskip("regex")


@pytest.mark.parametrize("name", ALL_CUTS)
def test_patterns_mean_the_same_to_another_library(name: str) -> None:
    n_compared, wrong = compare_patterns.differences(name, n_texts=150, seed=7)
    assert n_compared > 100
    assert wrong == []


def test_a_pattern_that_differs_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    other = ALL_CUTS["qwen2"]
    monkeypatch.setattr(compare_patterns, "cut_by_regex", lambda cuts, text: cut_by_regex(other, text))
    _, wrong = compare_patterns.differences("llama-bpe", n_texts=150, seed=7)
    assert wrong
