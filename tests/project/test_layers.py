"""Imports point strictly downwards."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Each package, or module at the top, may import those on lines before its own, and none of its own line.
FLOORS = [
    ["_native"],
    ["safe_text"],
    ["errors"],
    ["core", "llama_cpp"],
    ["files"],
    ["extract"],
    ["tables"],
    ["tokens"],
    ["inputs", "analysis"],
    ["ngram"],
    ["splicing", "validation"],
    ["model"],
    ["health", "lock", "model_handle", "editing"],
    ["loader"],
    ["export", "plot", "encoders", "mending"],
    ["corpora"],
    ["__init__"],
    ["integrations"],
    ["serve"],
    ["cli"],
    ["__main__"],
]
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
# Kinds of evidence do not know each other.
EVIDENCE = {"container", "tensors", "vocabulary", "ngram", "reference", "text", "row_order"}
FILES = sorted((ROOT / "pyembed").rglob("*.py"))
MODULES = {".".join(path.relative_to(ROOT / "pyembed").with_suffix("").parts): path for path in FILES}


def imports_of(module: str, *, at_once: bool) -> set[str]:
    """Return the modules that a module imports, all or those that it needs to be imported itself."""
    found = set()
    tree = ast.parse(MODULES[module].read_text("utf-8"))
    package = module.split(".")[:-1]
    for node in tree.body if at_once else ast.walk(tree):
        if isinstance(node, ast.Import):
            assert not any(name.name.split(".")[0] == "pyembed" for name in node.names), (
                "import it relatively"
            )
        if not isinstance(node, ast.ImportFrom):
            continue
        assert (node.module or "").split(".")[0] != "pyembed", f"{module}: import it relatively"
        if node.level:
            base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            prefix = [part for part in base if part]
            for name in [alias.name for alias in node.names]:
                places = [[*prefix, name], [*prefix, name, "__init__"], prefix, [*prefix, "__init__"]]
                found.update([known for known in map(".".join, places) if known in MODULES][:1])
    return found


@pytest.mark.parametrize("module", MODULES)
def test_python_imports_point_downwards(module: str) -> None:
    room = module.split(".")[0]
    assert room in FLOOR_OF, f"say in FLOORS where {room} stands"
    others = {name.split(".")[0] for name in imports_of(module, at_once=False)} - {room}
    assert {name for name in others if FLOOR_OF[name] >= FLOOR_OF[room]} == set()


def test_no_module_imports_itself_in_a_circle() -> None:
    TopologicalSorter({module: imports_of(module, at_once=True) for module in MODULES}).prepare()


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("validation.")])
def test_kinds_of_evidence_do_not_know_each_other(module: str) -> None:
    own = module.split(".")[1]
    if own in EVIDENCE:
        parts = [name.split(".") for name in imports_of(module, at_once=False)]
        known = {part[1] for part in parts if part[0] == "validation" and len(part) > 1}
        assert (known & EVIDENCE) - {own} == set()
