"""The site as a reader has it, in Chromium: questions find pages, and axe looks at what they find."""

from __future__ import annotations

import functools
import http.server
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
# Two kinds of layout, all kinds of content.
LOOKED_AT = [
    "index.html",
    "first-steps.html",
    "published-examples.html",
    "performance.html",
    "rules.html",
    "reference/tables.html",
    "reference/c.html",
    "reference/commands.html",
]
#: What users ask in public trackers, in few words, and the pages that answer it.
QUESTIONS = {
    "token embeddings without loading the model": {"index", "first-steps", "reference/opening"},
    "embedding scale applied twice llama.cpp batch.embd": {"serving"},
    "table larger than memory page faults": {"cold-rows"},
    "FP8 table scales safetensors shards": {"conditional-memory"},
    "special token typed as normal text": {"rules", "text", "comparing"},
    "duplicate token llama.cpp aborts": {"rules"},
    "compare two gguf files": {"comparing"},
    "validate models in CI SARIF": {"deploying-validation", "reference/commands"},
    "resize vocabulary new tokens": {"repair"},
    "vLLM prompt_embeds": {"serving", "reference/integrations"},
    "truncated while mapped SIGBUS": {"project/security", "reference/c", "architecture", "cold-rows"},
    "bfloat16 rows as torch tensor": {"serving", "first-steps", "reference/integrations"},
}
#: Titles of public issues as their authors wrote them, chosen before anybody looked what the search finds.
TITLES = {
    "How do I get input embeddings?": {"index", "first-steps", "serving", "questions"},
    "Generate answer from embedding vectors": {"serving", "guides/programs", "questions"},
    "SafetensorError: File does not contain tensor embeddings": {"encoders", "questions"},
    "Tokenizer vocabulary size is not equal to the embedding_size": {
        "repair",
        "rules",
        "comparing",
        "questions",
    },
    "Encoding 100 million record throws OOM": {"corpora", "questions"},
    "Old GGUF have broken tokenization and there is no warning": {"text", "rules", "comparing", "questions"},
    "Reduce vocab size for BPE tokenizer": {"repair", "questions"},
    "Word2Vec model Export in TSV for Google's Embedding Projector Visualizer": {"exporting", "questions"},
    "Offload the Engram part of the model to SSD": {"cold-rows", "conditional-memory", "questions"},
    "Can the embedding model be deployed using the openai interface?": {"server", "questions"},
    "Memory Issues when Attempting to Load GGUF Tensors in transformers": {
        "serving",
        "cold-rows",
        "questions",
    },
    "How can I prune the pretrained word embeddings?": {"repair", "exporting", "questions"},
    "Code Llama HF tokenizer length is 32004 whereas vocab_size is 32000": {"repair", "rules", "questions"},
    "Best practice to encode huge dataset": {"corpora", "questions"},
    "API for manipulating token-level input embeddings": {"serving", "questions"},
    "Gemma4 GGUF tokenizer mismatch with fixed Transformers tokenizer": {"text", "comparing", "questions"},
    "Is PLE offloading to GPU supported?": {"conditional-memory", "serving", "cold-rows", "questions"},
    "Export word embeddings": {"exporting", "questions"},
    "Embedding layer Pruning implementation": {"repair", "questions"},
    "How to create tsv file from trained data ?": {"exporting", "questions"},
}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Build the site, serve it, and return its address."""
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def page(request: pytest.FixtureRequest, site: str, chromium: Any) -> Iterator[Any]:
    """Return a page that may ask the site alone; what goes wrong in it fails the test."""
    wrong: list[str] = []
    scheme = getattr(request, "param", "light")
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda text: wrong.append(text.text) if text.type == "error" else None)
    opened.on("request", lambda asked: wrong.append(asked.url) if not asked.url.startswith(own) else None)
    own = (site, "data:", "blob:")
    yield opened
    context.close()
    assert wrong == []


@pytest.mark.parametrize("name", LOOKED_AT)
@pytest.mark.parametrize("page", ["light", "dark"], indirect=True)
def test_looks(page: Any, site: str, name: str, request: pytest.FixtureRequest) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    page.goto(f"{site}/{name}", wait_until="networkidle")
    shown = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (shown == "rgb(255, 255, 255)") == (request.node.callspec.params["page"] == "light")
    found = axe.Axe().run(page).response
    assert len(found["passes"]) > 15, "axe has looked"
    serious = [
        (one["id"], [node["target"] for node in one["nodes"]][:3])
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []
    missing = "[...document.images].filter(one => !one.naturalWidth && one.offsetParent).length"
    assert page.evaluate(missing) == 0
    page.set_viewport_size({"width": 380, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 380, "it overflows a narrow window"


def found(page: Any, site: str, question: str) -> list[str]:
    """Return the pages that the search shows for a question, the first one first, each once."""
    page.goto(f"{site}/index.html")
    page.wait_for_selector(".md-search-result__meta:has-text('Type to start')", state="attached")
    page.fill("[data-md-component=search-query]", question)
    page.press("[data-md-component=search-query]", "End")  # the theme searches when a key comes up
    page.wait_for_selector(".md-search-result__link")
    links = page.locator(".md-search-result__link").evaluate_all("links => links.map(one => one.pathname)")
    return list(dict.fromkeys(re.sub(r"^/|\.html$", "", link) or "index" for link in links))


@pytest.mark.parametrize(("questions", "among"), [(QUESTIONS, 4), (TITLES, 3)], ids=["tasks", "titles"])
def test_questions(page: Any, site: str, questions: dict[str, set[str]], among: int) -> None:
    pages = {question: found(page, site, question)[:among] for question in questions}
    assert {one: pages[one] for one in questions if not questions[one] & set(pages[one])} == {}
