"""Pages of the site that are written from the code hold what the code has; documents link to pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pyembed
from tools.site import header, keywords, links, programs, python_reference, sections

ROOT = Path(__file__).parents[2]
HEADER = ROOT / "csrc" / "include" / "pyembed.h"


def headings(text: str, level: int) -> list[str]:
    return re.findall(rf"^{'#' * level} (.*)$", text, re.MULTILINE)


def test_every_page_of_docs_has_a_place() -> None:
    assert sections.homeless() == []
    pages = [page for part in sections.navigation() for names in part.values() for page in names]
    assert len(pages) == len(set(pages))
    made = set(sections.generated()) | set(sections.docs_pages())
    assert set(pages) == made


def test_a_page_without_a_place_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sections.SECTIONS, "Explanations", ())
    with pytest.raises(ValueError, match=r"architecture\.md, performance\.md, validation\.md"):
        sections.navigation()


def test_all_of_the_header_is_on_its_page() -> None:
    text = HEADER.read_text("utf-8")
    page = header.page(HEADER)
    names = {name for heading in headings(page, 3) for name in heading.split(", ")}
    assert set(re.findall(r"\bPYE_API\b[^;(]*?\b(pye_\w+)\s*\(", text)) <= names
    types = re.findall(
        r"^(?:typedef (?:struct|enum) (\w+) \w+;|\} (\w+);|typedef .*\(\*(\w+)\))", text, re.MULTILINE
    )
    assert {name for found in types for name in found if name} <= names
    assert {name for name in names if not name.lower().startswith("pye_")} == set()
    assert all(
        block.count("{") == block.count("}") for block in re.findall(r"```c\n(.*?)```", page, re.DOTALL)
    )
    comments = re.findall(r"^/\*.*?\*/$", text[text.index("PYE_VERSION_MAJOR") :], re.MULTILINE | re.DOTALL)
    comments = [comment for comment in comments if "-----" not in comment]  # headings of sections
    words = [word for comment in comments for word in re.findall(r"\w{4,}", comment)]
    assert words, "the header has comments"
    assert [word for word in words if word not in page] == []


def test_every_public_name_is_in_the_reference() -> None:
    listed = [
        name
        for page in python_reference.pages().values()
        for name in re.findall("^::: (.*)$", page, re.MULTILINE)
    ]
    assert len(listed) == len(set(listed))
    assert {f"pyembed.{name}" for name in pyembed.__all__} - {"pyembed.__version__"} <= set(listed)
    modules = (ROOT / "pyembed" / "integrations").glob("[!_]*.py")
    assert {f"pyembed.integrations.{path.stem}" for path in modules} <= set(listed)


def test_every_command_is_on_its_page() -> None:
    page = sections.generated()["reference/commands.md"]
    assert {"pyembed", "pyembed info", "pyembed validate", "pyembed plot map"} <= set(headings(page, 2))
    assert page.count("example: pyembed ") == len(headings(page, 2))


def test_every_program_is_on_its_page() -> None:
    page = programs.page(ROOT / "examples")
    names = {path.name for path in (ROOT / "examples").glob("*/*") if path.suffix in (".c", ".cpp", ".py")}
    assert names <= set(headings(page, 2))


def test_links_lead_from_page_to_page() -> None:
    pages = {**sections.DOCUMENTS, **sections.SHOWN}

    def rewritten(text: str, document: str, page: str) -> str:
        return links.rewrite(text, document, page, pages)

    assert rewritten("[a](docs/text.md#bounds)", "README.md", "index.md") == "[a](text.md#bounds)"
    assert rewritten("[a](../SECURITY.md)", "docs/text.md", "text.md") == "[a](project/security.md)"
    assert rewritten("[a](docs/text.md)", "CONTRIBUTING.md", "project/contributing.md") == "[a](../text.md)"
    shown = rewritten("[a](../examples/c/cosine.cpp)", "docs/embedding-in-c.md", "embedding-in-c.md")
    assert shown == "[a](guides/programs.md#cosinecpp)"
    code = "`[a](no/such)`\n```\n[a](no/such)\n```\n"
    assert rewritten(code, "docs/text.md", "text.md") == code
    elsewhere = "[a](https://example.com/x) [b](#here)"
    assert rewritten(elsewhere, "docs/text.md", "text.md") == elsewhere
    with pytest.raises(ValueError, match=r"docs/text\.md links to \.\./setup\.py"):
        rewritten("[a](../setup.py)", "docs/text.md", "text.md")


def test_words_are_those_of_pages() -> None:
    known = {name for names in sections.SECTIONS.values() for name in names} | set(sections.DOCUMENTS)
    assert keywords.documents() <= known
