"""Text for people: escapes, widths, columns and tables of a page."""

from __future__ import annotations

import pytest

from pyembed.core.display import aligned, cell_width, encodable, fold, html_table


def test_encodable() -> None:
    assert encodable("▁a", "ascii") == "\\u2581a"
    assert encodable("▁a", "utf-8") == "▁a"


@pytest.mark.parametrize(
    ("text", "width"),
    [("abc", 3), ("漢字", 4), ("e\u0301", 1), ("한국", 4), ("ｱ", 1), ("▁a", 2), ("\u0e01\u0e34", 1)],
)
def test_cell_width(text: str, width: int) -> None:
    assert cell_width(text) == width


def test_fold() -> None:
    assert fold("one two three", 8) == ["one two", "three"]
    assert fold("abcdefghij", 4) == ["abcd", "efgh", "ij"]
    assert fold("a 漢字漢字", 4) == ["a", "漢字", "漢字"]
    assert fold("", 4) == [""]
    assert "".join(fold("x" * 1000, 7)) == "x" * 1000


def test_columns() -> None:
    rows = [["token", "id", "score"], ["漢字", "5", "0.5000"], ["a", "1234", "-0.2500"]]
    assert aligned(rows, 1) == ["token    id    score", "漢字      5   0.5000", "a      1234  -0.2500"]
    narrow = aligned(rows, 1, 14)
    assert narrow == [
        "token    id",
        "漢字      5",
        "a      1234",
        "",
        "token    score",
        "漢字    0.5000",
        "a      -0.2500",
    ]
    assert aligned([["a long text of some words", "1.5"]], 1, 20) == ["a long text of   1.5", "some words"]


def test_pages_get_escaped_text() -> None:
    page = html_table("<b>", ("a&b",), [("<script>\x1b", 5)])
    assert page.startswith("<table><caption>&lt;b&gt;</caption>")
    assert "<script>" not in page
    assert "\\x1b" in page
