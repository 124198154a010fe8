"""Pictures: the colours, numbers and labels in them, read back from the files."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed")

import matplotlib
from matplotlib import image
from matplotlib.figure import Figure

import pyembed
from pyembed import plot
from pyembed.plot import style
from pyembed.plot.style import GROUPS, SLATE, signed_colours
from tests.helpers.model_files import rows_of_floats
from tests.helpers.pictures import texts

HOSTILE = [
    "$x^2$",
    "\\frac{",
    "_" * 500,
    "\x1b[31m",
    "汉字",
    "नमस्ते",
    "👍🏽",
    "\u202ertl",
    "\udcff",
    "a\nb",
    "",
    "שלום",
]


def pixels(figure: Figure) -> np.ndarray:
    """Return a picture as it is written, rows of RGB from top to bottom, 0 to 1."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=figure.dpi)
    file.seek(0)
    return np.asarray(image.imread(file))[..., :3]


def inside(figure: Figure, index: int) -> np.ndarray:
    """Return the pixels of one of a figure's axes."""
    picture = pixels(figure)
    height, width = picture.shape[:2]
    box = figure.axes[index].get_position()
    rows = slice(round((1 - box.y1) * height) + 2, round((1 - box.y0) * height) - 2)
    return picture[rows, round(box.x0 * width) + 2 : round(box.x1 * width) - 2]


def saved(figure: Figure, path: Path) -> list[str]:
    plot.save(figure, path)
    return texts(path)


# ---------------------------------------------------------------------------------------------- rows


def test_colours_of_signed_numbers() -> None:
    colours = signed_colours()(np.linspace(-1, 1, 201) / 2 + 0.5)[:, :3]
    light = colours @ np.array([0.2126, 0.7152, 0.0722])
    negative, positive = light[99::-1], light[101:]
    assert (np.diff(negative) > 0).all(), "lightness grows with magnitude"
    assert (np.diff(positive) > 0).all()
    assert np.abs(negative - positive).max() < 0.12, "and does not tell the sign"
    assert (colours[:90, 0] > colours[:90, 2]).all(), "warm below zero"
    assert (colours[111:, 2] > colours[111:, 0]).all(), "cyan above"
    np.testing.assert_allclose(
        colours[100], [int(SLATE[at : at + 2], 16) / 255 for at in (1, 3, 5)], atol=0.01
    )


def test_the_cells_of_rows() -> None:
    values = np.array([[1] * 8, [-1] * 8, [0] * 8, [np.nan] * 8, [0.5] * 8, [1] * 4 + [-1] * 4], np.float32)
    figure = plot.rows(values, list("abcdef"), range(6), "title")
    up, down, zero, nan, half, both = (inside(figure, index) for index in range(6))
    for one in (up, down, zero, nan, half):
        assert np.ptp(one.reshape(-1, 3), axis=0).max() < 0.01, "one value, one colour"
    assert up[0, 0, 2] > up[0, 0, 0]
    assert down[0, 0, 0] > down[0, 0, 2]
    assert zero.max() < 0.3
    assert nan.min() == 1
    assert zero.mean() < half.mean() < up.mean()
    np.testing.assert_allclose(both[0, 0], up[0, 0], atol=0.01)
    np.testing.assert_allclose(both[0, -1], down[0, 0], atol=0.01)


def test_cells_are_whole_pixels_of_the_same_size() -> None:
    values = np.tile(np.array([1, -1], np.float32), 192)[None]
    line = inside(plot.rows(values, ["a"], [0], ""), 0)[5]
    is_cyan = line[:, 2] > line[:, 0]
    runs = np.diff(np.flatnonzero(np.diff(is_cyan)))
    assert set(runs.tolist()) == {3}


def test_wide_rows_are_folded(tmp_path: Path) -> None:
    values = np.zeros((2, 4096), np.float32)
    values[0, :512] = 1
    values[1, -512:] = -1
    figure = plot.rows(values, ["a", "b"], [0, 1], "")
    first, second = inside(figure, 0), inside(figure, 1)
    assert first[0, :, 2].min() > 0.5 > first[-1].max()
    assert second[-1, :, 0].min() > 0.5 > second[0].max()
    assert any("each bar is 8 lines of 512" in text for text in saved(figure, tmp_path / "x.svg"))


def test_a_few_large_numbers_do_not_darken_the_rest(tmp_path: Path) -> None:
    values = np.ones((1, 400), np.float32)
    values[0, 3] = 1e6
    figure = plot.rows(values, ["a"], [7], "")
    assert inside(figure, 0).mean() > 0.5
    assert any("0.2 % of the numbers lie beyond" in text for text in saved(figure, tmp_path / "x.svg"))


@pytest.mark.parametrize("values", [np.zeros((1, 1)), np.full((1, 3), np.nan), np.full((2, 3), np.inf)])
def test_rows_without_a_scale(values: np.ndarray, tmp_path: Path) -> None:
    plot.save(
        plot.rows(values.astype(np.float32), ["a"] * len(values), range(len(values)), ""), tmp_path / "x.png"
    )


# ----------------------------------------------------------------------------------------------- map


def clusters(n: int = 10) -> np.ndarray:
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((3, 32))
    return np.repeat(centres, n, axis=0) + 0.2 * rng.standard_normal((3 * n, 32))


@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_neighbours_stay_together(method: str) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    points, names = plot.flatten(clusters().astype(np.float32), method)
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    group = np.repeat(range(3), 10)
    nearest = (distances + np.diag([np.inf] * 30)).argmin(axis=1)
    assert (group[nearest] == group).all()
    assert all(names) == (method == "pca")
    again, _ = plot.flatten(clusters().astype(np.float32), method)
    np.testing.assert_array_equal(points, again)


def test_pca_is_that_of_scikit_learn() -> None:
    decomposition = pytest.importorskip("sklearn.decomposition", reason="scikit-learn is not installed")
    units = clusters() / np.linalg.norm(clusters(), axis=1, keepdims=True)
    pca = decomposition.PCA(2).fit(units)
    points, names = plot.flatten(clusters().astype(np.float32), "pca")
    np.testing.assert_allclose(np.abs(points), np.abs(pca.transform(units)), atol=1e-5)
    shares = [f"{100 * share:.0f} %" for share in pca.explained_variance_ratio_]
    assert [share in name for share, name in zip(shares, names, strict=True)] == [True, True]


def test_a_map_has_every_label_and_group(tmp_path: Path) -> None:
    names = [plot.Point(f"word{index}", f"group{index % 10}", index == 3) for index in range(30)]
    points, axes = plot.flatten(clusters().astype(np.float32), "pca")
    figure = plot.places(points, names, axes, "A map")
    found = saved(figure, tmp_path / "x.svg")
    assert {point.label for point in names} | {point.group for point in names} | {"A map"} <= set(found)
    markers = {
        entry.get_facecolor()[0].tobytes() for entry in figure.axes[0].collections if len(entry.get_offsets())
    }
    assert len(markers) >= len(GROUPS)


def test_labels_do_not_overlap_where_there_is_room() -> None:
    rng = np.random.default_rng(0)
    names = [plot.Point(f"word{index}", "") for index in range(40)]
    figure = plot.places(rng.uniform(0, 1, (40, 2)), names, ("", ""), "")
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = [text.get_window_extent(renderer) for text in figure.texts if text.get_text().startswith("word")]
    overlaps = sum(a.overlaps(b) for index, a in enumerate(boxes) for b in boxes[:index])
    assert len(boxes) == 40
    assert overlaps == 0
    frame = figure.axes[0].bbox
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in boxes)


def test_labels_of_many_neighbours_do_not_overlap() -> None:
    with pyembed.load_model(pyembed.demo_model()) as model:
        found = {word: model.nearest(word, 40) for word in ("file", "string")}
        points = {one.id: plot.Point(f"{one.text}", word) for word in found for one in found[word]}
        flat, axes = plot.flatten(model.embed(list(points)), "pca")
    figure = plot.places(flat, list(points.values()), axes, "")
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = [text.get_window_extent(renderer) for text in figure.texts if text.get_text()]
    assert len(boxes) == len(points) > 70
    assert sum(a.overlaps(b) for index, a in enumerate(boxes) for b in boxes[:index]) == 0


# ------------------------------------------------------------------------------- norms, similarities


def test_norms_name_the_ends_and_the_middle(tmp_path: Path) -> None:
    norms = np.append(np.random.default_rng(0).normal(1, 0.1, 5000), [0.01, 9.5, np.nan])
    figure = plot.norms(norms, [("shorty", 0.01)], [("longy", 9.5)], "Norms", np.full(20, 0.8))
    found = saved(figure, tmp_path / "x.svg")
    assert {"shorty", "longy", "0.01", "9.5", "5002 rows", "20 known to be unused"} <= set(found)
    assert any("1 rows that are not finite left out" in text for text in found)
    assert any(text.startswith("median") for text in found)
    heights = [patch.get_height() for patch in figure.axes[0].patches]
    assert sum(heights) == 5002 + 20


def test_similarities_are_written_out(tmp_path: Path) -> None:
    scores = np.array([[1, 0.25, -0.5], [0.25, 1, 0.75], [-0.5, 0.75, 1]])
    figure = plot.similarity(scores, ["a", "b", "$c$"], "cosine", "")
    found = saved(figure, tmp_path / "x.svg")
    assert found.count("0.25") >= 2
    assert {"-0.50", "0.75", "1.00", "a", "$c$", "cosine"} <= set(found)
    cells = np.asarray(figure.axes[0].images[0].get_array())
    light = inside(figure, 0)
    side = light.shape[0] // 3
    corner = [light[row * side + 8, column * side + 8].mean() for row, column in ((0, 1), (1, 2), (0, 2))]
    assert corner[1] > corner[0] > corner[2], "lighter is more alike"
    assert np.isnan(np.diag(cells.astype(float))).all() or np.ma.is_masked(
        figure.axes[0].images[0].get_array()
    )


# ------------------------------------------------------------------------------------ labels, saving


def test_any_text_is_a_label(tmp_path: Path) -> None:
    n = len(HOSTILE)
    rows = rows_of_floats(n, 8)
    figures = [
        plot.rows(rows, HOSTILE, range(n), "".join(HOSTILE)),
        plot.similarity(rows @ rows.T, HOSTILE, "dot", "$"),
        plot.places(
            rows[:, :2].astype(float), [plot.Point(text, text) for text in HOSTILE], ("", ""), "\x00"
        ),
        plot.norms(
            np.arange(9.0), [(text, 0.0) for text in HOSTILE], [(text, 1.0) for text in HOSTILE], "$\n"
        ),
    ]
    for figure in figures:
        found = saved(figure, tmp_path / "x.svg")
        assert {"$x^2$", "\\x1b[31m", "\\frac{"} <= set(found)
        assert any(text in ("汉字", "\\u6c49\\u5b57") for text in found), (
            "drawn if a font has it, else escaped"
        )
        assert any(text.endswith("…") and len(text) < 30 for text in found)
        plot.save(figure, tmp_path / "x.png")


def test_the_same_picture_is_the_same_file(tmp_path: Path) -> None:
    for kind in ("png", "svg"):
        for name in "ab":
            plot.save(
                plot.rows(rows_of_floats(3, 20), list("abc"), range(3), ""), tmp_path / f"{name}.{kind}"
            )
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_no_room_keeps_the_old_picture(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="limits the size of files as POSIX does")
    old = tmp_path / "x.png"
    old.write_bytes(b"old")
    figure = plot.rows(rows_of_floats(30, 400), ["a"] * 30, range(30), "")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"x\.png"):
            plot.save(figure, old)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert old.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [old]


CHILD = """
import sys
import matplotlib
def settings():  # but the back end: to ask for it is to choose one
    return {key: matplotlib.rcParams[key] for key in matplotlib.rcParams if key != "backend"}

before = settings()
from pyembed.cli import main
for kind in (["rows", "demo", "file"], ["norms", "demo"], ["similarity", "demo", "file", "string"],
             ["map", "demo", "--near", "file", "--method", "pca"]):
    assert main(["plot", *kind, "--out", sys.argv[1]]) == 0
assert settings() == before
assert "matplotlib.pyplot" not in sys.modules
"""


def test_the_users_matplotlib_is_left_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", CHILD, str(tmp_path / "x.svg")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_threads_that_write_pictures_leave_the_settings_alone(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    figures = [style.new_figure(2, 1) for _ in range(6)]
    threads = [
        threading.Thread(target=style.save, args=(figure, tmp_path / f"{i}.svg"))
        for i, figure in enumerate(figures)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert dict(matplotlib.rcParams) == before
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
