"""What becomes of each finding, and what a repair came to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..core.paths import Files, file_name
from ..core.progress import Progress
from ..errors import FormatError
from ..safe_text import json_text, printable
from ..validation import Finding, Report
from ..validation.comparison import Comparison, compare


@dataclass(frozen=True)
class PlannedFinding:
    """A finding, and how it is mended or why it is not.

    Attributes
    ----------
    finding : Finding
    mending : str or None
        Which mending takes it away; None for one that is refused.
    text : str or None
        What the mending does, and what proves it.
    refused : str or None
        What would be needed, where it cannot be mended.
    """

    finding: Finding
    mending: str | None = None
    text: str | None = None
    refused: str | None = None

    @property
    def rule(self) -> str:
        """The rule that the finding is of."""
        return self.finding.rule

    def __str__(self) -> str:
        end = f"mended: {self.text}" if self.mending else f"refused: it needs {self.refused}"
        return printable(f"{self.finding.severity.value}: {self.finding.message} ({self.rule})\n    {end}")

    def to_dict(self) -> dict[str, Any]:
        """Return the finding and what becomes of it as plain values."""
        return {
            **asdict(self.finding),
            "severity": self.finding.severity.value,
            "llama_cpp": self.finding.llama_cpp.value,
            "mending": self.mending,
            "text": self.text,
            "refused": self.refused,
        }


@dataclass(frozen=True)
class Repaired:
    """What a repair came to; ``str()`` of it is readable.

    Attributes
    ----------
    path : str
        The repaired model.
    mended : tuple of PlannedFinding
        What is gone.
    report : Report
        What validation at level ``full`` finds in the result.
    keys, tensors : tuple of str
        Metadata and tensors that differ from the original's; all others are the same bytes.
    comparison : Comparison or None
        What `pyembed.compare` says of the original with the result as its reference; None where the original
        is too damaged for it.
    """

    path: str
    mended: tuple[PlannedFinding, ...]
    report: Report
    keys: tuple[str, ...]
    tensors: tuple[str, ...]
    comparison: Comparison | None = None

    @property
    def changed(self) -> str:
        """What differs from the original, in a line."""
        return f"changed: {', '.join((*self.keys, *self.tensors))}; all else is the same bytes"

    def __str__(self) -> str:
        difference = UNCOMPARED if self.comparison is None else str(self.comparison)
        head = f"{self.path}: {len(self.mended)} findings are mended"
        return "\n".join([printable(head), printable(self.changed), str(self.report), difference])

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {
            "path": self.path,
            "mended": [planned.to_dict() for planned in self.mended],
            "report": self.report.to_dict(),
            "keys": list(self.keys),
            "tensors": list(self.tensors),
            "comparison": None if self.comparison is None else self.comparison.to_dict(),
        }

    def to_json(self) -> str:
        """Return the result as a JSON object."""
        return json_text(self.to_dict(), indent=2)


UNCOMPARED = "not compared with the original, which is too damaged for it"


def compared(original: Files, path: str, progress: Progress | None) -> Comparison | None:
    """Compare an original with what it was repaired to, which is kept by now: nothing stops this."""

    def go_on(text: str, share: float) -> None:
        if progress is not None:
            progress(text, share)

    try:
        return compare(file_name(original), path, progress=go_on)
    except (FormatError, ValueError):
        return None
