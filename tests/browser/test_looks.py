"""Both themes and three widths: nothing overflows, axe finds nothing serious, pictures are taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Page
from tools.servers import Server

VIEWS = ("text", "neighbours", "map", "words", "file", "pair")
WIDTHS = {360: 780, 1400: 900, 2560: 1440}


def show(explorer: Page, view: str) -> None:
    explorer.go("map" if view == "words" else view)
    if view == "map":
        explorer.page.click("#map-all")
        explorer.page.wait_for_selector("canvas[data-points]")
        explorer.page.wait_for_timeout(500)
    if view == "words":
        explorer.page.click("#map-words")
        explorer.page.wait_for_selector("svg.word-map")
    explorer.settle()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_view_at_every_width(
    chromium: Any, server: Server, request: pytest.FixtureRequest, width: int, theme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    folder = request.config.getoption("--screenshots", None)
    context = chromium.new_context(viewport={"width": width, "height": WIDTHS[width]}, color_scheme=theme)
    explorer = Page(context.new_page(), server).open()
    explorer.page.check("#special")
    explorer.page.check("#show-bytes")
    assert explorer.page.get_attribute("html", "data-theme") == theme
    serious = []
    for view in VIEWS:
        show(explorer, view)
        wide = explorer.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{view} is {wide} pixels too wide"
        if folder is not None:
            Path(folder).mkdir(parents=True, exist_ok=True)
            explorer.page.screenshot(path=f"{folder}/{view}-{width}-{theme}.png")
        found = axe.Axe().run(explorer.page).response
        assert len(found["passes"]) > 15, "axe has looked"
        serious += [
            (view, one["id"], [node["html"][:120] for node in one["nodes"]][:3])
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]
    assert serious == []
    assert explorer.wrong == []
    context.close()


def test_the_theme_is_kept(explorer: Page) -> None:
    explorer.open(model="demo")
    before = explorer.page.get_attribute("html", "data-theme")
    explorer.page.click("#theme")
    after = explorer.page.get_attribute("html", "data-theme")
    assert {before, after} == {"light", "dark"}
    explorer.page.reload()
    explorer.page.wait_for_selector(f"html[data-theme={after}]")
