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
    ["validating"],
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


#: What only one kind of system has, or says which kind it is. The functions of `os` that Windows lacks are
#: asked for with `hasattr` where they are no more than faster.
OF_ONE_SYSTEM = {
    "fcntl",
    "resource",
    "msvcrt",
    "winreg",
    "_winapi",
    "ctypes",
    "pwd",
    "grp",
    "termios",
    "platform",
}
NAMES_OF_ONE_SYSTEM = {
    "os": {
        *(
            "name",
            "uname",
            "fork",
            "register_at_fork",
            "getuid",
            "geteuid",
            "fchown",
            "fchmod",
            "chown",
            "umask",
        ),
        *("pread", "preadv", "pwrite", "pwritev", "startfile", "add_dll_directory"),
        *("O_CLOEXEC", "O_NONBLOCK", "O_NOFOLLOW", "O_DIRECTORY", "O_BINARY", "O_NOINHERIT"),
    },
    "sys": {"platform", "getwindowsversion", "winver"},
    "signal": {
        "SIGHUP",
        "SIGBREAK",
        "SIGALRM",
        "SIGKILL",
        "SIGUSR1",
        "SIGBUS",
        "CTRL_C_EVENT",
        "alarm",
        "setitimer",
    },
    "socket": {"SO_REUSEADDR", "SO_EXCLUSIVEADDRUSE", "AF_UNIX"},
    "mmap": {"MAP_PRIVATE", "MAP_ANONYMOUS", "ACCESS_COPY"},
}


@pytest.mark.parametrize("module", MODULES)
def test_what_differs_between_systems_is_in_one_place(module: str) -> None:
    met = of_one_system(ast.parse(MODULES[module].read_text("utf-8")))
    is_the_place = module.startswith("core.system.")
    assert bool(met) <= is_the_place, f"goes into core/system: {sorted(met)}"


def of_one_system(tree: ast.Module) -> set[str]:
    """Return the names in a module that not every system has, or that ask which it is."""
    met = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            met |= {alias.name for alias in node.names} & OF_ONE_SYSTEM
        elif isinstance(node, ast.ImportFrom) and not node.level:
            met |= {node.module} & OF_ONE_SYSTEM
            met |= {alias.name for alias in node.names} & NAMES_OF_ONE_SYSTEM.get(node.module or "", set())
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            met |= {node.attr} & NAMES_OF_ONE_SYSTEM.get(node.value.id, set())
    return met


def test_both_systems_have_the_same_names() -> None:
    of = {name: _public(MODULES[f"core.system.{name}"]) for name in ("posix", "windows")}
    assert of["posix"] == of["windows"]
    own = _public(MODULES["core.system.__init__"]) - {"STDOUT"}
    assert own == of["posix"]


def _public(path: Path) -> set[str]:
    names = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {
                name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)
            }
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("validation.")])
def test_kinds_of_evidence_do_not_know_each_other(module: str) -> None:
    own = module.split(".")[1]
    if own in EVIDENCE:
        parts = [name.split(".") for name in imports_of(module, at_once=False)]
        known = {part[1] for part in parts if part[0] == "validation" and len(part) > 1}
        assert (known & EVIDENCE) - {own} == set()
