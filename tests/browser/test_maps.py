"""The maps: all tokens by WebGL and without it, chosen words, and what is saved of them."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from tests.browser.conftest import Page

N_LARGE = 262_144


def opened(explorer: Page, query: str = "", model: str = "large") -> Page:
    explorer.open(query=query, model=model).go("map")
    explorer.page.wait_for_selector("canvas[data-points]")
    explorer.page.wait_for_timeout(400)
    return explorer


def covered(explorer: Page) -> float:
    """Return the share of the map that is not of its background's colour, as a person sees it."""
    from PIL import Image

    picture = Image.open(io.BytesIO(explorer.page.locator("#cloud-view .stage").screenshot())).convert("RGB")
    counts = [n for n, _ in picture.getcolors(1 << 24) or []]
    return 1 - max(counts) / sum(counts)


def saved(explorer: Page, button: str) -> bytes:
    with explorer.page.expect_download() as download:
        explorer.page.click(button)
    return Path(download.value.path()).read_bytes()


@pytest.mark.parametrize("query", ["?renderer=webgl", "?renderer=2d"])
def test_all_tokens_are_drawn_searched_and_chosen(explorer: Page, query: str) -> None:
    opened(explorer, query)
    canvas = explorer.page.locator("canvas.points")
    assert canvas.get_attribute("data-points") == str(N_LARGE)
    name = str(canvas.get_attribute("data-renderer"))
    assert name.startswith("Canvas 2D" if "2d" in query else "WebGL, ")
    assert name in explorer.text("#cloud-facts")
    assert covered(explorer) > 0.03
    explorer.page.fill("#cloud-search", "berlin")
    explorer.page.click("#cloud-results .token-link >> nth=0")
    token = explorer.page.get_attribute("#cloud-results .token-link", "data-id")
    explorer.page.wait_for_selector(f".inspected-head:has-text('#{token}')")
    explorer.page.wait_for_timeout(300)
    canvas.focus()
    canvas.press("Enter")  # the token that was found is in the middle
    explorer.settle()
    box = canvas.bounding_box()
    explorer.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    explorer.page.wait_for_selector(f".tip:has-text('#{token}')")


def test_moving_zooming_and_choosing_by_pointer_and_keys(explorer: Page) -> None:
    opened(explorer)
    canvas = explorer.page.locator("canvas.points")
    box = canvas.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    shots = [explorer.page.locator("#cloud-view .stage").screenshot()]

    def changed() -> None:
        explorer.page.wait_for_timeout(350)
        shots.append(explorer.page.locator("#cloud-view .stage").screenshot())
        assert shots[-1] != shots[-2]

    explorer.page.mouse.move(*middle)
    explorer.page.mouse.wheel(0, -600)
    changed()
    explorer.page.mouse.down()
    explorer.page.mouse.move(middle[0] + 90, middle[1] + 40, steps=4)
    explorer.page.mouse.up()
    changed()
    canvas.focus()
    for key in ("ArrowLeft", "+", "ArrowUp", "-", "0"):
        canvas.press(key)
        changed()
    explorer.page.fill("#cloud-search", "berlin")
    explorer.page.click("#cloud-results .token-link >> nth=0")
    token = explorer.page.get_attribute("#cloud-results .token-link", "data-id")
    explorer.page.wait_for_selector(f".inspected-head:has-text('#{token}')")
    box = canvas.bounding_box()  # it moved as results came
    explorer.page.mouse.click(box["x"] + box["width"] / 2 + 25, box["y"] + box["height"] / 2)
    explorer.page.wait_for_selector(f".inspected-head:not(:has-text('#{token}'))")


def test_colours_and_legend(explorer: Page) -> None:
    opened(explorer)
    for colouring, entry in (("type", "control"), ("training", "known unused"), ("script", "Han")):
        explorer.page.click(f"#cloud-view button[data-value={colouring}]")
        button = explorer.page.locator(f".legend-entry:has-text('{entry}')").first
        n = int(explorer.number(r"([\d,]+)\s*$", button.inner_text()))
        assert 0 < n < N_LARGE
        button.click()
        pressed = explorer.page.locator(".legend-entry[aria-pressed=true]")
        assert pressed.count() == 1
        assert entry in pressed.inner_text()
    explorer.page.click("#cloud-view button[data-value=norm]")
    assert "norm" in explorer.text(".cloud-legend")
    explorer.page.click("#cloud-view button[data-value=random]")
    explorer.page.wait_for_selector("#cloud-facts:has-text('Random directions')")


def test_what_is_saved_of_all_tokens(explorer: Page) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    opened(explorer)
    png = saved(explorer, "#cloud-png")
    assert png.startswith(b"\x89PNG")
    root = ElementTree.fromstring(saved(explorer, "#cloud-svg"))
    dots = sum(path.attrib["d"].count("M") for path in root)
    assert dots > 0.99 * N_LARGE, "all of them are in view"
    table = parquet.read_table(io.BytesIO(saved(explorer, "#cloud-parquet")))
    assert table.num_rows == N_LARGE
    assert np.isfinite(table["projection_x"].to_numpy()).all()
    assert {"text", "projection_x", "projection_y", "script"} <= set(table.column_names)


@pytest.mark.parametrize("query", ["?renderer=webgl", "?renderer=2d"])
def test_frames_are_measured_and_named(
    explorer: Page, query: str, capsys: pytest.CaptureFixture[str]
) -> None:
    opened(explorer, query)
    explorer.page.click("#cloud-measure")
    explorer.page.wait_for_selector("canvas[data-frames]", timeout=120_000)
    found = json.loads(str(explorer.page.locator("canvas.points").get_attribute("data-frames")))
    assert found["renderer"] in explorer.text("#cloud-frames")
    assert found["all"]["points"] == N_LARGE
    assert 20_000 <= found["moving"]["points"] <= N_LARGE
    with capsys.disabled():
        print(f"\n{explorer.text('#cloud-frames')}")
    assert found["moving"]["between"]["median"] < 50, "smooth while it moves"


def test_points_that_came_while_the_map_was_hidden_are_in_view(explorer: Page) -> None:
    explorer.open(model="demo").go("map").page.click("#map-words")
    explorer.page.wait_for_timeout(3000)
    explorer.page.click("#map-all")
    explorer.page.wait_for_selector("canvas[data-points]")
    explorer.page.wait_for_timeout(500)
    assert covered(explorer) > 0.03


def test_maps_of_words(explorer: Page) -> None:
    explorer.open().go("map").page.click("#map-words")
    explorer.page.wait_for_selector("svg.word-map")
    explorer.settle()
    assert explorer.page.locator(".word-point").count() >= 30
    assert len(explorer.all(".groups > li")) == 5
    assert "What a map cannot tell" in explorer.text("#words-view")
    explorer.page.click("#words-view button[data-value=pca]")
    explorer.page.wait_for_selector("svg.word-map text:has-text('of the variance')")
    explorer.page.click("#words-view button[data-value=near]")
    explorer.page.wait_for_selector(".groups:has-text('near king')")
    explorer.settle()
    assert explorer.page.locator(".word-point").count() == 22
    explorer.page.click(".groups .token-link >> nth=0")
    token = explorer.page.get_attribute(".groups .token-link", "data-id")
    explorer.page.wait_for_selector(f".inspected-head:has-text('#{token}')")
    explorer.page.click("#words-view button[data-value=sentence]")
    explorer.page.wait_for_selector(".groups:has-text('sentence')")
    assert saved(explorer, "#words-png").startswith(b"\x89PNG")
    root = ElementTree.fromstring(saved(explorer, "#words-svg"))
    assert (
        len(root.findall(".//{http://www.w3.org/2000/svg}g")) == explorer.page.locator(".word-point").count()
    )
    explorer.page.click("#words-view button[data-value=groups]")
    explorer.page.fill("#map-groups", "few: king")
    explorer.page.wait_for_selector("#word-map .problem:has-text('3 to 500')")
