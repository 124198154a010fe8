"""What the documents and docstrings name exists: modules, members, commands, flags, C names, files."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

import pyembed
from pyembed.cli import main

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
SOURCES = sorted((ROOT / "pyembed").rglob("*.py"))
HEADER = (ROOT / "csrc/include/pyembed.h").read_text("utf-8")
# Written in another language, or names of files and of the distribution.
NO_MODULES = {"pyembed.h", "pyembed.so", "pyembed.pc", "pyembed.gguf"}


def texts() -> list[tuple[str, str]]:
    found = [(path.name, path.read_text("utf-8")) for path in DOCUMENTS]
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
                found.append((str(path.relative_to(ROOT)), ast.get_docstring(node) or ""))
    return found


TEXTS = texts()


def named(pattern: str) -> dict[str, str]:
    """Return what a pattern finds in all texts, with the first text that has it."""
    found: dict[str, str] = {}
    for where, text in TEXTS:
        for match in re.finditer(pattern, text, re.MULTILINE):
            found.setdefault(match[0], where)
    return found


def resolve(name: str) -> object:
    """Return what a dotted name stands for, importing modules on the way."""
    value: object = pyembed
    path = "pyembed"
    for part in name.split(".")[1:]:
        path += f".{part}"
        try:
            value = getattr(value, part)
        except AttributeError:
            value = importlib.import_module(path)
    return value


@pytest.mark.parametrize("name", sorted(set(named(r"\bpyembed(?:\.[A-Za-z_]\w*)+")) - NO_MODULES))
def test_dotted_names(name: str) -> None:
    if not name.startswith("pyembed.so"):
        if name.startswith("pyembed.integrations.torch"):
            pytest.importorskip("torch", reason="torch is not installed: make test-integrations installs it")
        if name.startswith("pyembed.integrations.ray"):
            pytest.importorskip("ray", reason="ray is not installed: make test-integrations installs it")
        resolve(name)


@pytest.mark.parametrize("statement", sorted(named(r"^ *from pyembed[\w.]* import [\w, ]+")))
def test_imports(statement: str) -> None:
    module, _, names = statement.strip().removeprefix("from ").partition(" import ")
    if module.startswith("pyembed.integrations") and not module.endswith("prompt_embeds"):
        pytest.importorskip("torch", reason="torch is not installed: make test-integrations installs it")
    if module.endswith(".ray"):
        pytest.importorskip("ray", reason="ray is not installed: make test-integrations installs it")
    for name in names.split(","):
        assert hasattr(importlib.import_module(module), name.strip()), name


@pytest.mark.parametrize("name", sorted(named(r"(?<![\w`.])`(?:[A-Z]\w+\.\w+|[A-Z]\w+[a-z]\w+)`(?!`)")))
def test_members_of_public_classes(name: str) -> None:
    owner, _, member = name.strip("`").partition(".")
    if hasattr(pyembed, owner) and member:
        found = getattr(pyembed, owner)
        assert hasattr(found, member) or member in getattr(found, "__annotations__", {}), name


@pytest.mark.parametrize("name", sorted(named(r"\bpye_[a-z_]+[a-z]\b|\bPYE_[A-Z_]+[A-Z]\b")))
def test_names_of_c(name: str) -> None:
    internal = any(
        re.search(rf"\b{name}\b", path.read_text("utf-8")) for path in (ROOT / "csrc").rglob("*.h")
    )
    assert internal or name in ("pye_test", "pye_bench"), name


@pytest.mark.parametrize("call", sorted(named(r"\bpyembed (?:[a-z]+)(?: [^\n`|)]*)?")))
def test_commands_and_flags(call: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = call.split()
    main(["--help"])
    if words[1] not in re.findall(r"^    (\w+) ", capsys.readouterr().out, re.MULTILINE):
        return  # a sentence
    main([words[1], "--help"])
    help_ = capsys.readouterr().out
    kinds = re.findall(r"^    (\w+) ", help_, re.MULTILINE) if words[1] == "plot" else []
    for kind in kinds:
        main([words[1], kind, "--help"])
        help_ += capsys.readouterr().out
    for flag in re.findall(r"(?<!\S)--[a-z][a-z-]+", call):
        assert flag in help_, flag


@pytest.mark.parametrize(
    "name",
    sorted(named(r"(?:csrc|pyembed|tests|tools|docs|examples)/[\w./-]*\.(?:py|md|h|c|cpp|def|json|yaml)\b")),
)
def test_files(name: str) -> None:
    assert (ROOT / name).exists(), name


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text("utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), target
