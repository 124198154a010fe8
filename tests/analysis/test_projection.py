"""All rows of a table as points, compared with the plain way to compute them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pyembed
from pyembed.analysis.projection import project
from pyembed.analysis.sums import parse_sum
from pyembed.tokens.scripts import SCRIPTS, script_of


def table_of(tmp_path: Path, rows: np.ndarray) -> pyembed.EmbeddingTable:
    np.save(tmp_path / "rows.npy", rows.astype(np.float32))
    return pyembed.open_table(tmp_path / "rows.npy")


@pytest.mark.parametrize("shape", [(700, 24), (40, 200), (9, 1), (5, 2)])
def test_pca_is_that_of_all_rows_where_the_sample_holds_them(tmp_path: Path, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    rows = rng.standard_normal(shape) * np.linspace(3, 0.1, shape[1]) + 0.5
    with table_of(tmp_path, rows) as table:
        flat = project(table, "pca")
        again = project(table, "pca")
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    centred = units - units.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    n = min(2, len(s))
    wanted = (u * s)[:, :n]
    signs = np.sign((wanted * flat.points[:, :n]).sum(axis=0))
    np.testing.assert_allclose(flat.points[:, :n], wanted * signs, atol=2e-5)
    total = max(float((s**2).sum()), 1e-300)
    np.testing.assert_allclose(flat.shares[:n], (s**2)[:n] / total, atol=1e-5)
    np.testing.assert_array_equal(flat.points, again.points)
    assert flat.n_sample == shape[0]


def test_random_directions_keep_rows_that_are_alike_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((2, 64))
    rows = np.repeat(centres, 50, axis=0) + 0.01 * rng.standard_normal((100, 64))
    with table_of(tmp_path, rows) as table:
        points = project(table, "random").points
    inside = max(points[:50].std(axis=0).max(), points[50:].std(axis=0).max())
    assert np.linalg.norm(points[:50].mean(axis=0) - points[50:].mean(axis=0)) > 10 * inside


def test_rows_without_a_direction_have_no_place(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((30, 8))
    rows[4], rows[7, 2], rows[9, 1] = 0, np.nan, np.inf
    with table_of(tmp_path, rows) as table:
        points = project(table).points
    assert np.flatnonzero(np.isnan(points).any(axis=1)).tolist() == [4, 7, 9]
    with table_of(tmp_path, np.zeros((30, 8))) as table, pytest.raises(ValueError, match="3 or more"):
        project(table)


def test_scripts() -> None:
    texts = {
        "Latin": "▁king",
        "Cyrillic": " мир",
        "Han": "日本",
        "Kana": "の",
        "Hangul": "한국",
        "Arabic": "سلام",
        "Indic": "नमस्ते",
        "other letters": "ไทย",
        "digits": " 2024",
        "signs": "->",
        "no text": "\n\t",
    }
    found = {text: SCRIPTS[script_of(text.encode())] for text in texts.values()}
    assert found == {text: name for name, text in texts.items()}
    assert SCRIPTS[script_of(b"\xe6\x97")] == "no text", "a part of a character"
    assert SCRIPTS[script_of(b"(1")] == "digits"
    assert SCRIPTS[script_of(b"")] == "no text"


def test_sums() -> None:
    assert parse_sum("king - man + woman") == (["king", "woman"], ["man"])
    assert parse_sum("- man") == ([], ["man"])
    for text in ("king man", "king -", "", "king - + man"):
        with pytest.raises(ValueError, match=r"missing|end with"):
            parse_sum(text)
