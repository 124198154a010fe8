"""A server of three models, and pages of it in Chromium. Run by ``make test-browser``."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pyembed
from tests.helpers.explored_model import write_explored_model
from tests.helpers.model_files import TOKEN_TABLE, rows_of_floats, write_model
from tools.native import ROOT
from tools.servers import Server, running

#: Written once: it takes half a minute.
LARGE = ROOT / "build" / "explored.gguf"
HOSTILE = [
    "<img src=x onerror=document.title='owned'>",
    "▁<script>alert(1)</script>",
    "\x1b[31m",
    "▁\u202eevil",
]
#: As the page writes negative numbers.
MINUS = "\u2212"
_PATIENCE = 60_000


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", metavar="DIR", help="a folder for pictures of the page")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def large_model(data_dir: Path) -> Path:
    """Return a Q8_0 table of 262,144 x 640 around the vocabulary of Gemma 4."""
    if not LARGE.exists():
        LARGE.parent.mkdir(exist_ok=True)
        write_explored_model(LARGE.with_suffix(".part"), data_dir / "vocab/ggml-vocab-gemma-4.gguf").rename(
            LARGE
        )
    return LARGE


@pytest.fixture(scope="session")
def server(large_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    hostile = tmp_path_factory.mktemp("hostile") / "hostile.gguf"
    tokens = [*HOSTILE, "▁king", "[CLS]", "[SEP]", "[UNK]"]
    options: dict[str, Any] = {"model": "bert", "tokens": tokens, "types": [1, 1, 1, 1, 1, 3, 3, 2]}
    write_model(hostile, architecture="bert", tensors={TOKEN_TABLE: rows_of_floats(8, 64)}, **options)
    with running(f"large={large_model}", "demo", f"hostile={hostile}") as started:
        yield started


class Page:
    """A page of the explorer: what it says, and what went wrong in it."""

    def __init__(self, page: Any, server: Server) -> None:
        self.page, self.server = page, server
        self.wrong: list[str] = []
        page.set_default_timeout(_PATIENCE)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", lambda text: self._hear(text.type, text.text))
        page.on("request", self._check)

    def _hear(self, kind: str, text: str) -> None:
        is_answer = text.startswith("Failed to load resource") and "status of 4" in text
        if kind == "error" and not is_answer:  # the browser says so of words that are not tokens
            self.wrong.append(text)

    def _check(self, request: Any) -> None:
        if not request.url.startswith((self.server.url, "blob:", "data:")):
            self.wrong.append(f"asked elsewhere: {request.url}")

    def open(self, view: str = "text", query: str = "", model: str = "large") -> Page:
        self.page.goto(f"{self.server.url}/{query}#/{view}")
        if model != "large":
            self.page.wait_for_selector("html[data-ready=large]")
            self.page.select_option("#model", model)
        self.page.wait_for_selector(f"html[data-ready={model}]")
        return self.settle()

    def go(self, view: str) -> Page:
        self.page.click(f".tabs a[data-view={view}]")
        return self.settle()

    def settle(self) -> Page:
        """Wait until nothing that can be seen is still being computed."""
        self.page.wait_for_selector("section:not([hidden]) .busy, aside .busy", state="detached")
        return self

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))

    def all(self, selector: str) -> list[str]:
        return [str(text) for text in self.page.locator(selector).all_inner_texts()]

    def number(self, pattern: str, text: str) -> float:
        found = re.search(pattern, text)
        assert found is not None, (pattern, text)
        return float(found[1].replace(MINUS, "-").replace(",", ""))


@pytest.fixture
def explorer(chromium: Any, server: Server) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1400, "height": 900}, accept_downloads=True)
    page = Page(context.new_page(), server)
    yield page
    context.close()
    assert page.wrong == []


@pytest.fixture(scope="session")
def demo() -> Iterator[pyembed.Model]:
    with pyembed.load_model(pyembed.demo_model()) as model:
        yield model
