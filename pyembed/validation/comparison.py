"""Two files side by side: what they have in common, by token, by row, by metadata and by tensor."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from typing import Any

from ..core.handle import Source
from ..core.paths import Path
from ..core.progress import Progress, report_to
from ..files.metadata import Metadata, StringArray, Tensors
from ..safe_text import json_text, printable
from .pinned import Pinned
from .reference import EVIDENCE, NotCompared, open_reference
from .reference import compare as compare_references
from .reference.rules import ROWS_UNREAD
from .report import Conclusion, Finding, Findings, Report
from .report_text import count
from .text import EVIDENCE as TEXT
from .text import compare_files as compare_texts

_SHOWN = 20
#: Keys that the comparison of the vocabularies judges.
_IGNORED = (
    "tokenizer.ggml.tokens",
    "tokenizer.ggml.merges",
    "tokenizer.ggml.scores",
    "tokenizer.ggml.token_type",
)


@dataclass(frozen=True)
class TensorDifference:
    """A tensor that only one of two files has, or that has another shape or type in the other.

    Attributes
    ----------
    name : str
    shapes : pair of tuple of int
        Rows first; None where a file has no such tensor.
    types : pair of str
        Likewise.
    """

    name: str
    shapes: tuple[tuple[int, ...] | None, tuple[int, ...] | None]
    types: tuple[str | None, str | None]


@dataclass(frozen=True)
class Comparison:
    """What two files have in common and where they differ, from `pyembed.compare`.

    ``bool()`` of it is `same`; ``str()`` is a summary in a few lines.

    Attributes
    ----------
    path, reference : str
        The two files.
    findings : tuple of Finding
        How tokens and rows differ: at most 20 of a rule.
    omitted : mapping of str to int
        By rule, how many findings more there were.
    conclusions : tuple of Conclusion
        What the comparison came to, in sentences.
    metadata : mapping of str to (object, object)
        Keys whose values differ, except those that describe the file (``general.*``) or that `findings`
        cover. None where a file has no such key; of long arrays 20 elements are shown, from the first on
        that differs.
    tensors : tuple of TensorDifference
        By names, shapes and types. Of tensors other than the token table the bytes are not compared.
    not_compared : tuple of NotCompared
        What both have and what was not compared, with the reason.
    """

    path: str
    reference: str
    findings: tuple[Finding, ...]
    omitted: Mapping[str, int]
    conclusions: tuple[Conclusion, ...]
    metadata: Mapping[str, tuple[Any, Any]]
    tensors: tuple[TensorDifference, ...]
    not_compared: tuple[NotCompared, ...]

    @property
    def differ(self) -> bool:
        """Whether a difference was found."""
        found = any(finding.rule != ROWS_UNREAD.name for finding in self.findings)
        return found or bool(self.metadata or self.tensors)

    @property
    def same(self) -> bool:
        """Whether the files are known to be the same up to quantisation.

        False also where no difference was found and something that both have was not compared. Of tensors
        other than the token table it is names, shapes and types that are the same.
        """
        # Whether texts could be cut as well says nothing about tokens, rows and tensors.
        seen = all(c.has_evidence for c in self.conclusions if c.evidence != TEXT.name)
        return seen and not (self.differ or self.not_compared)

    def __bool__(self) -> bool:
        return self.same

    def __str__(self) -> str:
        lines = [conclusion.text for conclusion in self.conclusions]
        lines += [
            f"{finding.severity.value}: {finding.message} ({finding.rule})" for finding in self.findings
        ]
        if self.metadata:
            lines.append(
                f"{len(self.metadata)} metadata keys differ: {', '.join(list(self.metadata)[:_SHOWN])}"
            )
        if self.tensors:
            names = ", ".join(tensor.name for tensor in self.tensors[:_SHOWN])
            lines.append(f"{len(self.tensors)} tensors differ: {names}")
        return "\n".join(map(printable, [*lines, self.summary]))

    @property
    def summary(self) -> str:
        """``"the same"``, ``"different"``, or ``"not known to be the same"`` and what was not compared."""
        if self.same:
            return "the same"
        if self.differ:
            return "different"
        parts = ", ".join(part.part for part in self.not_compared)
        why = f"{parts} were not compared" if parts else "there was nothing to compare"
        return f"not known to be the same: {why}"

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as plain values, as `to_json` writes it."""
        return {
            "path": self.path,
            "reference": self.reference,
            "same": self.same,
            "not_compared": [asdict(part) for part in self.not_compared],
            "metadata": {key: list(values) for key, values in self.metadata.items()},
            "tensors": [
                {
                    "name": tensor.name,
                    "shapes": [None if shape is None else list(shape) for shape in tensor.shapes],
                    "types": list(tensor.types),
                }
                for tensor in self.tensors
            ],
            "findings": [
                {**asdict(finding), "severity": finding.severity.value, "llama_cpp": finding.llama_cpp.value}
                for finding in self.findings
            ],
            "omitted": dict(self.omitted),
            "verdicts": [asdict(conclusion) for conclusion in self.conclusions],
        }

    def to_json(self) -> str:
        """Return the comparison as a JSON object."""
        return json_text(self.to_dict(), indent=2)


def compare(a: Path, b: Path, *, progress: Progress | None = None) -> Comparison:
    """Compare two models, a model and a tokenizer's files, or two tokenizers.

    Parameters
    ----------
    a : path-like
        A GGUF, safetensors or ``.npy`` file, a tokenizer's file, or a directory that holds such files.
    b : path-like
        Likewise; or a vocabulary's digest, ``"sha256:..."``.
    progress : callable, optional
        Called with what is being done and the share of it that is done, from 0 to 1. A false answer other
        than None stops the comparison.

    Returns
    -------
    Comparison
        Findings are about `a`, with `b` as the reference.

    Raises
    ------
    OSError
        If a file cannot be read.
    FormatError
        If one is damaged, a Git LFS pointer, or of an unknown kind.
    ValueError
        If the ids of `a` have gaps: swap the two.
    LoadCancelledError
        If `progress` asked to stop.
    """
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(open_reference(path)) for path in (a, b))
        tokens = ours.file.tokens
        if tokens is not None and tokens.ids and tokens.ids[-1] != len(tokens) - 1:
            raise ValueError(f"{ours.file.path}: its ids have gaps; give the complete list first")
        n_tokens = 0 if tokens is None else len(tokens)
        report = Report(ours.file.path, "full", pinned=Pinned(n_tokens))
        tell = report_to(progress)
        skipped = compare_references(ours, theirs, Findings(report, EVIDENCE), tell)
        if ours.file.tokens is not None and theirs.file.tokens is not None:
            compare_texts(ours.file.path, theirs.file.path, Findings(report, TEXT), tell)
        paths = (ours.file.path, theirs.file.path)
        sides = Sides.of(*paths) if ours.is_model and theirs.is_model else None
        conclusions = [*report.verdicts, *([] if sides is None else [sides.conclusion])]
    return Comparison(
        path=paths[0],
        reference=paths[1],
        findings=tuple(report.findings),
        omitted=dict(report.omitted),
        conclusions=tuple(conclusions),
        metadata={} if sides is None else sides.metadata,
        tensors=() if sides is None else sides.tensors,
        not_compared=skipped,
    )


@dataclass(frozen=True)
class Sides:
    """How metadata and tensors of two model files of one format differ."""

    metadata: dict[str, tuple[Any, Any]]
    tensors: tuple[TensorDifference, ...]
    n_tensors: int

    @property
    def conclusion(self) -> Conclusion:
        """What was looked at."""
        parts = f"names, shapes and types of {count(self.n_tensors, 'tensor')} were compared"
        return Conclusion("tensor", True, f"{parts}, and values of the token table only")

    @classmethod
    def of(cls, a: str, b: str) -> Sides | None:
        """Return how two files differ; None if they are of two formats."""
        with closing(Source(a)) as ours, closing(Source(b)) as theirs:
            if ours.format != theirs.format:
                return None
            metadata = _metadata(Metadata(ours), Metadata(theirs)) if ours.format == "gguf" else {}
            names = {*Tensors(ours), *Tensors(theirs)}
            return cls(metadata, _tensors(Tensors(ours), Tensors(theirs)), len(names))


def _metadata(ours: Metadata, theirs: Metadata) -> dict[str, tuple[Any, Any]]:
    keys = [key for key in (*ours, *(key for key in theirs if key not in ours)) if _matters(key)]
    found = {}
    for key in keys:
        values = [_plain(side[key]) if key in side else None for side in (ours, theirs)]
        if values[0] != values[1] or isinstance(values[0], bool) != isinstance(values[1], bool):
            found[key] = _shown(values[0], values[1])
    return found


def _matters(key: str) -> bool:
    return key not in _IGNORED and (not key.startswith("general.") or key == "general.architecture")


def _plain(value: Any) -> Any:
    """Return a value that equals exactly what is stored alike, NaN too."""
    if isinstance(value, StringArray):
        return list(value)
    if hasattr(value, "tolist"):
        return [repr(item) if isinstance(item, float) else item for item in value.tolist()]
    return str(value) if isinstance(value, float | list) else value


def _shown(ours: Any, theirs: Any) -> tuple[Any, Any]:
    """Return two values to show: of lists a few elements, from the first on that differs."""
    first = 0
    if isinstance(ours, list) and isinstance(theirs, list):
        pairs = enumerate(zip(ours, theirs, strict=False))
        first = next((k for k, (a, b) in pairs if a != b), min(len(ours), len(theirs)))
    return _abridged(ours, first), _abridged(theirs, first)


def _abridged(value: Any, first: int) -> Any:
    if not isinstance(value, list):
        return value
    if len(value) <= _SHOWN:
        return f"[{', '.join(map(str, value))}]"
    shown = ", ".join(map(str, value[first : first + _SHOWN]))
    return f"{len(value)} elements, [{first}:] is {shown}" + (", ..." if first + _SHOWN < len(value) else "")


def _tensors(ours: Tensors, theirs: Tensors) -> tuple[TensorDifference, ...]:
    facts = [{info.name: (info.shape, info.type) for info in side.values()} for side in (ours, theirs)]
    names = [*facts[0], *(name for name in facts[1] if name not in facts[0])]
    differing = []
    for name in names:
        (shape_a, type_a), (shape_b, type_b) = (side.get(name, (None, None)) for side in facts)
        if (shape_a, type_a) != (shape_b, type_b):
            differing.append(TensorDifference(name, (shape_a, shape_b), (type_a, type_b)))
    return tuple(differing)
