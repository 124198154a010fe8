"""``pyembed diff``: what two files have in common, by token, by row and by tensor."""

from __future__ import annotations

import argparse
from contextlib import ExitStack, closing
from typing import Any

from ..core.handle import Source
from ..files.metadata import Metadata, StringArray, Tensors
from ..safe_text import printable
from ..validation import Report
from ..validation.reference import EVIDENCE, compare, open_reference
from ..validation.report import Findings
from .arguments import add_json
from .files import model_path
from .progress import progress_bar
from .show import print_json, print_table

_SHOWN = 20
#: Keys whose values say how a file was made, or that the vocabulary's comparison judges.
_IGNORED = (
    "tokenizer.ggml.tokens",
    "tokenizer.ggml.merges",
    "tokenizer.ggml.scores",
    "tokenizer.ggml.token_type",
)


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "diff",
        help="compare two files: vocabulary, rows, metadata, tensors",
        description="Compare two models, or a model and a tokenizer's files. Exits 0 if they are the "
        "same up to "
        "quantisation, 1 if they differ.",
        epilog="example: pyembed diff model-q4_0.gguf tokenizer.json",
    )
    kinds = "a model, tokenizer.json, .model, vocab.txt, vocab.json, tiktoken ranks, or a directory of them"
    parser.add_argument("a", metavar="A", help=f"{kinds}; or: demo")
    parser.add_argument("b", metavar="B", help="likewise; or a vocabulary's digest, sha256:...")
    add_json(parser, "print all differences as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    paths = [model_path(arguments.a), model_path(arguments.b)]
    report = Report(paths[0], "full")
    findings = Findings(report, EVIDENCE)
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(open_reference(path)) for path in paths)
        if ours.tokens is not None and ours.tokens.ids and ours.tokens.ids[-1] != len(ours.tokens) - 1:
            raise ValueError(f"{ours.path}: its ids have gaps; give the complete list first")
        tell = stack.enter_context(progress_bar())
        compare(ours, theirs, findings, tell)
        models = ours.is_model and theirs.is_model
    facts = report.to_dict()
    differences = {
        "path": paths[0],
        "reference": paths[1],
        "metadata": _metadata(*paths) if models else {},
        "tensors": _tensors(*paths) if models else [],
        "findings": facts["findings"],
        "verdicts": facts["verdicts"],
    }
    differences["same"] = not (differences["metadata"] or differences["tensors"] or _differ(report))
    if arguments.json:
        print_json(differences)
    else:
        _print(differences)
    return 0 if differences["same"] else 1


def _differ(report: Report) -> bool:
    return bool(report.findings) or not all(verdict.has_evidence for verdict in report.verdicts)


def _metadata(a: str, b: str) -> dict[str, list[Any]]:
    """Return the keys whose values differ: only of scalars and texts, and none that describe the file."""
    values = []
    for path in (a, b):
        with closing(Source(path)) as source:
            if source.format != "gguf":
                return {}
            metadata = Metadata(source)
            values.append({key: _value(metadata[key]) for key in metadata if _matters(key)})
    ours, theirs = values
    keys = [*ours, *(key for key in theirs if key not in ours)]
    return {key: [ours.get(key), theirs.get(key)] for key in keys if ours.get(key) != theirs.get(key)}


def _matters(key: str) -> bool:
    return key not in _IGNORED and (not key.startswith("general.") or key == "general.architecture")


def _value(value: Any) -> Any:
    if isinstance(value, StringArray):
        value = list(value[:_SHOWN])
    elif hasattr(value, "tolist"):
        value = value[:_SHOWN].tolist()
    return str(value) if isinstance(value, float | list) else value


def _tensors(a: str, b: str) -> list[dict[str, Any]]:
    """Return the tensors that are not in both, or of another shape or type."""
    found = []
    for path in (a, b):
        with closing(Source(path)) as source:
            if source.format != "gguf":
                return []
            found.append({t.name: (list(t.shape), t.type) for t in Tensors(source).values()})
    ours, theirs = found
    names = [*ours, *(name for name in theirs if name not in ours)]
    differing = []
    for name in names:
        shapes, types = zip(*(side.get(name, (None, None)) for side in found), strict=True)
        if ours.get(name) != theirs.get(name):
            differing.append({"name": name, "shapes": list(shapes), "types": list(types)})
    return differing


def _print(differences: dict[str, Any]) -> None:
    for verdict in differences["verdicts"]:
        print(printable(verdict["text"]))
    if differences["findings"]:
        print()
        findings = differences["findings"]
        print_table(
            ["", "rule", "what differs"], [[f["severity"], f["rule"], f["message"]] for f in findings], left=3
        )
    if differences["metadata"]:
        print()
        lines = [[key, _short(a), _short(b)] for key, (a, b) in differences["metadata"].items()]
        print_table(["metadata", "A", "B"], _abridged(lines), left=3)
    if differences["tensors"]:
        print()
        lines = [
            [t["name"], *(_tensor(t["shapes"][side], t["types"][side]) for side in (0, 1))]
            for t in differences["tensors"]
        ]
        print_table(["tensor", "A", "B"], _abridged(lines), left=3)
    if differences["same"]:
        print("the same")


def _abridged(lines: list[list[str]]) -> list[list[str]]:
    more = len(lines) - _SHOWN
    return lines if more <= 0 else [*lines[:_SHOWN], [f"... and {more} more", "", ""]]


def _short(value: object) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _tensor(shape: list[int] | None, type: str | None) -> str:
    return "-" if shape is None else f"{' x '.join(map(str, shape))} {type}"
