"""``pyembed info``: what a file holds."""

from __future__ import annotations

import argparse
from collections import Counter
from contextlib import closing
from typing import Any

import numpy as np

from ..core.handle import Source
from ..core.records import TensorInfo
from ..errors import FormatError, NotFoundError, VocabularyError
from ..files.gguf_kind import kind_of_gguf
from ..files.metadata import StringArray, Tensors
from ..loader import load_model
from ..model import Model
from ..tables.table import EmbeddingTable
from ..tables.token_table import find_output_table, find_token_table
from ..tokens.token_text import TokenType
from ..tokens.vocabulary import Vocabulary
from .arguments import add_json, add_model
from .files import model_path
from .show import print_facts, print_json, print_table, size_text


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "info",
        help="header, tensors, vocabulary and sizes of a file",
        description="Show what a file holds: header, tensors, vocabulary, sizes, tied or not.",
        epilog="example: pyembed info demo",
    )
    add_model(parser)
    parser.add_argument("--tensors", action="store_true", help="list every tensor")
    add_json(parser, "print all facts as JSON, sizes in bytes")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    path = model_path(arguments.model)
    with closing(Source(path)) as source:
        facts = _file_facts(source)
        tensors = list(Tensors(source).values())
        facts["token_table"] = _table_facts(source)
        is_gguf = source.format == "gguf"
    facts["tensors"] = [_tensor_facts(tensor) for tensor in tensors]
    if is_gguf:
        with load_model(path, vocab_only=True, validate="off") as model:
            facts.update(_model_facts(model))
    if arguments.json:
        print_json(facts)
        return 0
    _print_file(facts, tensors)
    if is_gguf:
        _print_model(facts)
    if arguments.tensors:
        print()
        _print_tensors(tensors)
    return 0


# ------------------------------------------------------------------------------------------- facts


def _file_facts(source: Source) -> dict[str, Any]:
    shards = source.shards()
    return {
        "path": source.path,
        "format": source.format,
        "version": shards[0].version,
        "byte_order": "big" if shards[0].big_endian else "little",
        "alignment": shards[0].alignment,
        "load_mode": source.load_mode,
        "n_bytes": sum(shard.n_bytes for shard in shards),
        "files": [shard.path for shard in shards],
    }


def _table_facts(source: Source) -> dict[str, Any]:
    """Return which tensor is the token table, or why none is."""
    try:
        found = find_token_table(source)
    except (FormatError, NotFoundError) as error:
        why = str(error.args[0]).removeprefix(f"{source.path}: ")
        return {"name": None, "copies": [], "output": None, "why": why, "stored": None}
    try:
        output = find_output_table(source, Tensors(source)[found.name]) if source.format == "gguf" else None
    except FormatError:
        output = None
    stored, why = None, ""
    try:
        stored = _layout_facts(EmbeddingTable(source, found.name))
    except FormatError as error:  # a type unknown here, or parts that do not fit
        why = str(error.args[0]).removeprefix(f"{source.path}: ")
    copies = list(found.copies)
    return {"name": found.name, "copies": copies, "output": output, "why": why or None, "stored": stored}


def _layout_facts(table: EmbeddingTable) -> dict[str, Any]:
    layout = table.layout
    return {
        "shape": list(table.shape),
        "type": table.type,
        "n_bytes": table.n_bytes,
        "layout": str(layout),
        "tensors": list(layout.tensors),
    }


def _tensor_facts(tensor: TensorInfo) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "type": tensor.type,
        "n_bytes": tensor.n_bytes,
        "offset": tensor.offset,
        "path": tensor.path,
    }


def _model_facts(model: Model) -> dict[str, Any]:
    try:
        vocabulary: dict[str, Any] | None = _vocabulary_facts(model.vocabulary)
    except VocabularyError as error:
        vocabulary = {"error": str(error)} if model.has_vocabulary else None
    try:
        n_embd: int | None = model.n_embd
    except KeyError:
        n_embd = None
    return {
        "architecture": model.architecture,
        "kind": kind_of_gguf(model.metadata, model.tensors),
        "name": model.metadata.text("general.name"),
        "n_embd": n_embd,
        "tied": model.tied,
        "input_recipe": model.input_recipe.to_json(),
        "vocabulary": vocabulary,
        "hashed_rows": _hashed_facts(model),
        "metadata": {key: _json_value(value) for key, value in model.metadata.items()},
    }


def _hashed_facts(model: Model) -> dict[str, Any] | None:
    """Return how rows of n-gram tables are named, or why that is unknown; None where there are none."""
    try:
        names = model.ngram
    except FormatError as error:
        return {"error": str(error.args[0]).removeprefix(f"{model.path}: ")}
    if names is None:
        return None
    return {
        "scheme": names.scheme,
        "layers": list(names.layers),
        "longest_ngrams": names.constants.max_size,
        "names_a_token": names.columns,
        "tables": list(names.constants.tables),
        "n_rows": names.constants.n_used_rows,
        "digest": names.digest,
    }


def _vocabulary_facts(vocabulary: Vocabulary) -> dict[str, Any]:
    numbers, counts = np.unique(vocabulary.types, return_counts=True)
    names = {int(kind): kind.name for kind in TokenType}
    return {
        "model": vocabulary.model,
        "pre": vocabulary.pre,
        "n_tokens": len(vocabulary),
        "types": {
            names.get(number, str(number)): count
            for number, count in zip(numbers.tolist(), counts.tolist(), strict=True)
        },
        "special": dict(vocabulary.special),
        "special_texts": {name: vocabulary[token_id].text for name, token_id in vocabulary.special.items()},
        "digest": vocabulary.digest,
    }


def _json_value(value: object) -> object:
    """Return a metadata value; arrays, which may be huge, as what they are and how many."""
    if isinstance(value, np.ndarray):
        return {"array": value.dtype.name, "n": len(value)}
    if isinstance(value, StringArray):
        return {"array": "string", "n": len(value)}
    if isinstance(value, list):
        return {"array": "array", "n": len(value)}
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


# ------------------------------------------------------------------------------------------- print


def _print_file(facts: dict[str, Any], tensors: list[TensorInfo]) -> None:
    version = f" version {facts['version']}" if facts["version"] else ""
    order = ", big-endian" if facts["byte_order"] == "big" else ""
    n_files = len(facts["files"])
    types = Counter(tensor.type for tensor in tensors)
    weights = sum(tensor.n_bytes or 0 for tensor in tensors)
    print_facts(
        [
            ("file", facts["path"] + (f" and {n_files - 1} more" if n_files > 1 else "")),
            ("format", f"{facts['format']}{version}{order}"),
            ("size", size_text(facts["n_bytes"])),
            ("load mode", facts["load_mode"]),
            ("tensors", f"{len(tensors)}, {size_text(weights)}" if tensors else "none"),
            *([("types", ", ".join(f"{name} x {n}" for name, n in types.most_common()))] if types else []),
        ]
    )
    tables = [tensor for tensor in tensors if len(tensor.shape) == 2]
    if facts["format"] != "gguf":
        print_facts(_table_lines(facts))
    if facts["format"] != "gguf" and tables:
        print()
        _print_tensors(tables[:20])


def _print_model(facts: dict[str, Any]) -> None:
    print()
    lines = [("architecture", str(facts["architecture"] or "not said"))]
    if facts["name"] is not None:
        lines.append(("name", str(facts["name"])))
    if facts["kind"] is not None:
        lines.append(("kind", facts["kind"]))
    lines += _table_lines(facts)
    lines.append(("tied", "yes" if facts["tied"] else "no"))
    lines.append(("first layer", facts["input_recipe"]["words"]))
    lines += _hashed_lines(facts["hashed_rows"])
    print_facts(lines)
    vocabulary = facts["vocabulary"]
    print()
    if vocabulary is None or "error" in vocabulary:
        print_facts([("vocabulary", "none" if vocabulary is None else vocabulary["error"])])
        return
    texts = vocabulary["special_texts"]
    family = vocabulary["model"] or "family not said"
    pre = f" / {vocabulary['pre']}" if vocabulary["pre"] else ""
    print_facts(
        [
            ("vocabulary", f"{vocabulary['n_tokens']} tokens, {family}{pre}"),
            ("types", ", ".join(f"{name.lower()} x {n}" for name, n in vocabulary["types"].items())),
            ("special", ", ".join(f"{name} {n} {texts[name]}" for name, n in vocabulary["special"].items())),
            ("digest", vocabulary["digest"]),
        ]
    )


def _hashed_lines(hashed: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Return what there is to say of n-gram tables."""
    if hashed is None:
        return []
    if "error" in hashed:
        return [("hashed rows", f"unusable: {hashed['error']}")]
    layers = ("layers " if len(hashed["layers"]) > 1 else "layer ") + ", ".join(map(str, hashed["layers"]))
    return [
        (
            "hashed rows",
            f"{hashed['scheme']}, {layers}: {hashed['names_a_token']} a token, of n-grams up to "
            f"{hashed['longest_ngrams']}, of {max(hashed['n_rows']):,} rows a table",
        )
    ]


def _table_lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what there is to say of the token table and the output projection."""
    table = facts["token_table"]
    by_name = {tensor["name"]: tensor for tensor in facts["tensors"]}
    lines = []
    for title, name in (("token table", table["name"]), ("output table", table["output"])):
        of_tokens = table["stored"] if name == table["name"] else None
        stored = of_tokens or by_name.get(name)  # shards that do not fit together have no common tensor
        if stored is not None:
            shape = " x ".join(map(str, stored["shape"]))
            size = "unknown size" if stored["n_bytes"] is None else size_text(stored["n_bytes"])
            lines.append((title, f"{name}, {shape} {stored['type']}, {size}"))
            if of_tokens and of_tokens["layout"] != of_tokens["type"]:
                lines.append(("stored as", of_tokens["layout"]))
    if table["copies"]:
        lines.append(("copies of it", ", ".join(table["copies"])))
    if table["why"] is not None and facts["tensors"]:
        lines.append(("token table", f"{'none' if table['name'] is None else 'unusable'}: {table['why']}"))
    return lines


def _print_tensors(tensors: list[TensorInfo]) -> None:
    print_table(
        ["tensor", "shape", "type", "size"],
        [
            [
                tensor.name,
                " x ".join(map(str, tensor.shape)),
                tensor.type,
                "-" if tensor.n_bytes is None else size_text(tensor.n_bytes),
            ]
            for tensor in tensors
        ],
    )
