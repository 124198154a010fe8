"""The pages of the Python reference: every public name, under the part of the package that it is from."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path

import pyembed

#: Headings for parts of the package; a part without one here has a page of its own name.
_HEADINGS = {
    "loader": "Opening",
    "model": "Models",
    "model_handle": "Models",
    "core": "Models",
    "files": "Models",
    "tables": "Tables",
    "tokens": "Vocabularies and texts",
    "encoders": "Encoders",
    "analysis": "What rows mean",
    "health": "What rows mean",
    "inputs": "Rows for engines",
    "ngram": "Hashed rows",
    "validation": "Validation",
    "lock": "Validation",
    "editing": "Editing and repair",
    "mending": "Editing and repair",
    "export": "Files for other tools",
    "extract": "Files for other tools",
    "errors": "Errors",
}
_INTEGRATIONS = "Integrations"


def pages() -> dict[str, str]:
    """Return the text of each page by its place on the site."""
    by_heading: dict[str, list[str]] = {heading: [] for heading in _HEADINGS.values()}
    for name in pyembed.__all__:
        if name != "__version__":
            by_heading.setdefault(_heading(getattr(pyembed, name)), []).append(f"pyembed.{name}")
    modules = Path(pyembed.__file__).parent.glob("integrations/[!_]*.py")
    by_heading[_INTEGRATIONS] = [f"pyembed.integrations.{path.stem}" for path in sorted(modules)]
    return {_place(heading): _page(heading, names) for heading, names in by_heading.items() if names}


def _heading(value: object) -> str:
    module = value.__name__ if inspect.ismodule(value) else str(getattr(value, "__module__", ""))
    part = module.split(".")[1]
    return _HEADINGS.get(part, part.replace("_", " ").capitalize())


def _place(heading: str) -> str:
    return f"reference/{heading.lower().replace(' ', '-')}.md"


def _page(heading: str, names: Iterable[str]) -> str:
    return "\n\n".join([f"# {heading}", *(f"::: {name}" for name in names)]) + "\n"
