"""Which pages the site has, in which order, and which files of the repository they are made from."""

from __future__ import annotations

from pathlib import Path

from . import commands, header, programs, python_reference

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
INDEX = "index.md"

#: Pages of ``docs``, under the headings of the site. A page that stands nowhere here is an error.
SECTIONS: dict[str, tuple[str, ...]] = {
    "Start here": ("first-steps.md", "questions.md", "published-examples.md", "platforms.md"),
    "Guides": (
        "text.md",
        "encoders.md",
        "explorer.md",
        "corpora.md",
        "serving.md",
        "server.md",
        "deploying-validation.md",
        "comparing.md",
        "repair.md",
        "exporting.md",
        "conditional-memory.md",
        "cold-rows.md",
        "embedding-in-c.md",
    ),
    "Reference": ("rules.md",),
    "Explanations": ("architecture.md", "validation.md", "performance.md"),
}

#: Documents beside ``docs``, and the pages that they become.
DOCUMENTS = {
    "README.md": INDEX,
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CODE_OF_CONDUCT.md": "project/code-of-conduct.md",
    "RELEASE.md": "project/release.md",
    "SECURITY.md": "project/security.md",
}

#: What else documents link to, and where the site shows it.
SHOWN = {
    "csrc/include/pyembed.h": "reference/c.md",
    "examples/c": "guides/programs.md",
    "examples/python": "guides/programs.md",
    "LICENSE": "project/licence.md",
}


def docs_pages() -> list[str]:
    """Return the pages in ``docs``, as names in that folder."""
    return sorted(path.name for path in DOCS.glob("*.md"))


def homeless() -> list[str]:
    """Return pages of ``docs`` that stand under no heading."""
    placed = {name for names in SECTIONS.values() for name in names}
    return [name for name in docs_pages() if name not in placed]


def generated() -> dict[str, str]:
    """Return pages that are written from the code, or from documents beside ``docs``, by their place."""
    pages = {page: (ROOT / name).read_text("utf-8") for name, page in DOCUMENTS.items()}
    pages["project/licence.md"] = "# Licence\n\n```text\n" + (ROOT / "LICENSE").read_text("utf-8") + "```\n"
    pages["reference/c.md"] = header.page(ROOT / "csrc" / "include" / "pyembed.h")
    pages["reference/commands.md"] = commands.page()
    pages["guides/programs.md"] = programs.page(ROOT / "examples")
    pages.update(python_reference.pages())
    return pages


def navigation() -> list[dict[str, list[str]]]:
    """Return what stands under which heading, as mkdocs wants it."""
    if lost := homeless():
        raise ValueError(f"pages without a place in SECTIONS of tools/site/sections.py: {', '.join(lost)}")
    there = set(docs_pages())
    under = {heading: [name for name in names if name in there] for heading, names in SECTIONS.items()}
    under["Start here"].insert(0, INDEX)
    under["Guides"].append("guides/programs.md")
    under["Reference"] = [
        *python_reference.pages(),
        "reference/c.md",
        "reference/commands.md",
        *under["Reference"],
    ]
    under["Project"] = [page for page in DOCUMENTS.values() if page != INDEX] + ["project/licence.md"]
    return [{heading: pages} for heading, pages in under.items()]
