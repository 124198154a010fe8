"""Writes the figures of a run into ``docs/performance.md``, between two marks."""

from __future__ import annotations

from pathlib import Path

from . import ceilings, targets
from .measure import Json
from .sections import all_sections
from .show import Table

DOCUMENT = ceilings.ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- figures: written by make bench ARGS=--markdown -->", "<!-- end of figures -->"


def update(result: Json, document: Path = DOCUMENT) -> Path:
    """Replace what stands between the marks with the figures of `result`."""
    text = document.read_text("utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{document} lacks the marks {BEGIN} and {END}")
    document.write_text(f"{head}{BEGIN}\n\n{figures(result)}\n{END}{tail}", "utf-8")
    return document


def figures(result: Json) -> str:
    """Return all tables of a run as Markdown."""
    facts = result["machine"]
    peers = ", ".join(f"{name} {version or 'missing'}" for name, version in facts["peers"].items())
    quick = ", in the quick mode" if result["quick"] else ""
    parts = [
        f"Measured {facts['date']}{quick} on {facts['processor']}, {facts['cores']} cores, "
        f"{facts['caches']}, {facts['memory']}, {facts['system']}; "
        f"huge pages: {facts['huge pages']}, in shared memory: "
        f"{facts['huge pages in shared memory']}; back end {facts['isa']}; "
        f"load {facts['load before']} before and {facts['load after']} after, "
        f"{facts['stolen']} of the time stolen.\n"
        f"{facts['compiler']}; Python {facts['python']}; {peers}.\n",
        targets.table([targets.Target(**target) for target in result["targets"]]).markdown(),
    ]
    known = all_sections()
    tables: list[Table] = []
    for section in result["sections"]:
        if section["section"] != "growth" and section["isa"] != "portable":  # long; they are in the JSON
            tables += known[section["section"]].tables(section["data"])
    return "\n".join([*parts, *(table.markdown() for table in tables)])
