"""What mkdocs calls: adds the pages that are written from the code, and sets the order of all."""

from __future__ import annotations

from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from tools.site import keywords, links, sections

#: What is looked up by name, and has the words of all tasks; security is a matter of its users too.
_LOOKED_UP = ("reference/", "project/", "guides/programs", "rules", "architecture")
_ASKED_FOR = ("project/security.md",)
_DOCUMENT_OF = {page: name for name, page in sections.DOCUMENTS.items()}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Set the navigation."""
    config.nav = list(sections.navigation())
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that no file in ``docs`` holds."""
    for place, text in sections.generated().items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Make links between files of the repository links between pages."""
    place = page.file.src_uri
    if place.startswith(_LOOKED_UP) and place not in _ASKED_FOR:
        page.meta["search"] = {"boost": 0.2}  # behind pages that explain
    document = _DOCUMENT_OF.get(place, f"docs/{place}")
    page.meta["tags"] = keywords.of_document(
        document.removeprefix("docs/")
    )  # the theme's search looks there first
    return links.rewrite(markdown, document, place, {**sections.DOCUMENTS, **sections.SHOWN})
