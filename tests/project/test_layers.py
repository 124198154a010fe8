"""Includes and imports point strictly downwards."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
C_MAY_INCLUDE = {
    "base": {"base"},
    "format": {"base", "format"},
    "decode": {"base", "decode"},
    "simd": {"base", "decode", "simd"},
    "vocabulary": {"base", "format", "vocabulary"},
    "table": {"base", "format", "simd", "table"},
}
# Each module may import those before it, and none of its own line.
PYTHON_LAYERS = [
    ["_native"],
    ["architectures", "errors", "outputs", "records"],
    ["dtypes", "source"],
    ["arrays", "gguf", "spelling"],
    ["scan"],
    ["table", "vocabulary"],
    ["naming", "words", "validation.rules"],
    ["validation.sarif"],
    ["geometry", "recipes", "splicing", "validation.report", "validation.facts"],
    ["validation.order", "validation.subject"],
    [
        "validation.placeholders",
        "validation.special",
        "validation.tokenizer",
        "validation.families.__init__",
        "validation.families.bpe",
        "validation.families.spm",
        "validation.families.unigram",
        "validation.families.wordpiece",
    ],
    ["validation.container_rules", "validation.tensor_rules"],
    ["validation.extents", "validation.value_types", "validation.tensor_rows"],
    ["validation.container", "validation.tensors", "validation.vocabulary"],
    ["validation.reference.rules", "validation.reference.tokens"],
    ["validation.reference.alignment", "validation.reference.model_file", "validation.reference.reading"],
    ["validation.reference.beside", "validation.reference.rows", "validation.reference.sentencepiece_model"],
    ["validation.reference.judging", "validation.reference.tokenizer_json"],
    ["validation.reference.vocabulary_files"],
    ["validation.reference.opening"],
    ["validation.reference.__init__"],
    ["validation.geometry.surface", "validation.geometry.rows"],
    ["validation.geometry.partners", "validation.geometry.score", "validation.geometry.structure"],
    ["validation.geometry.profile", "validation.geometry.search"],
    ["validation.geometry.segments"],
    ["validation.geometry.judge"],
    ["validation.geometry.__init__"],
    ["validation.__init__"],
    ["inputs"],
    ["model"],
    ["lock"],
    ["loader"],
    ["stored"],
    ["gguf_writer"],
    ["extract", "export.selection", "export.words"],
    ["duplicates"],
    ["health"],
    ["export.parquet", "export.safetensors"],
    ["export.tables"],
    ["export.numpy_files"],
    ["export.__init__"],
    ["plot.style"],
    ["plot.cells", "plot.heat", "plot.histogram", "plot.scatter"],
    ["plot.__init__"],
    ["__init__"],
    ["integrations.__init__", "integrations.prometheus", "integrations.torch"],
    ["integrations.prompt_embeds"],
    ["cli.show", "cli.files", "cli.progress"],
    ["cli.diff", "cli.embed", "cli.geometry", "cli.info", "cli.lock", "cli.size", "cli.validate"],
    ["cli.export", "cli.extract", "cli.health", "cli.plot"],
    ["cli.__init__"],
    ["__main__"],
]
LEVEL = {module: level for level, line in enumerate(PYTHON_LAYERS) for module in line}


def test_c_includes_point_downwards() -> None:
    wrong = []
    for path in sorted((ROOT / "csrc").glob("*/*.[ch]")):
        folder = path.parent.name
        for included in re.findall(r'^\s*#\s*include\s+"(\w+)/', path.read_text("utf-8"), re.MULTILINE):
            if included not in C_MAY_INCLUDE.get(folder, set()):
                wrong.append(f"{folder}/{path.name} includes {included}/")
    assert wrong == []


def imported(path: Path, module: str) -> set[str]:
    """Return the modules of the package that a file imports, by their names in `LEVEL`."""
    package = module.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            prefix = [part for part in base if part]
            for name in [alias.name for alias in node.names]:
                candidates = [[*prefix, name], [*prefix, name, "__init__"], prefix, [*prefix, "__init__"]]
                found.update([known for known in map(".".join, candidates) if known in LEVEL][:1])
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = (
                [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            )
            assert not any(name.split(".")[0] == "pyembed" for name in names), f"{path}: import it relatively"
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "pyembed").rglob("*.py")), ids=lambda path: path.stem)
def test_python_imports_point_downwards(path: Path) -> None:
    module = ".".join(path.relative_to(ROOT / "pyembed").with_suffix("").parts)
    assert module in LEVEL, f"say in PYTHON_LAYERS where {module} stands"
    level = LEVEL[module]
    assert {name for name in imported(path, module) if LEVEL[name] >= level} == set()
