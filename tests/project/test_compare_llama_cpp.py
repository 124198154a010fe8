"""The tool that compares the facts about llama.cpp with another version finds what differs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pyembed.core.dtypes import TENSOR_TYPES
from pyembed.llama_cpp.architectures import ARCHITECTURES
from pyembed.llama_cpp.pre_tokenizers import PRE_TOKENIZERS, TOKENIZER_MODELS
from tools.compare_llama_cpp import compared, known_keys, known_types
from tools.llama_cpp_probe import keys_among, names_among, texts_of
from tools.native import find_compiler

TOOL = Path(__file__).parents[2] / "tools" / "compare_llama_cpp.py"
LIBRARY = Path(__file__).with_name("small_llama.c")


def run(path: Path, *options: str, status: int) -> str:
    command = [sys.executable, str(TOOL), str(path), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout if status < 2 else done.stderr


def parts(path: Path, *, status: int) -> dict[str, Any]:
    found = json.loads(run(path, "--json", status=status))["parts"]
    return {part["title"]: part for part in found}


# ------------------------------------------------------------------------------------------- source


def table(prefix: str, names: list[str]) -> str:
    rows = "\n".join(f'    {{ {prefix}_{number}, "{name}" }},' for number, name in enumerate(names))
    return f"map = {{\n{rows}\n}};\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source tree that knows just what is known here."""
    for folder in ("src", "ggml/include"):
        (tmp_path / folder).mkdir(parents=True)
    names = table("LLM_ARCH", [*sorted(ARCHITECTURES), "clip", "(unknown)"])
    (tmp_path / "src/llama-arch.cpp").write_text(names + table("LLM_KV", sorted(known_keys())))
    asked = [f'tokenizer_model == "{name}"' for name in sorted(TOKENIZER_MODELS)]
    asked += [f'tokenizer_pre == "{name}"' for name in sorted(PRE_TOKENIZERS)]
    (tmp_path / "src/llama-vocab.cpp").write_text(" ||\n".join(asked))
    rows = [f"GGML_TYPE_{kind.name} = {number}," for number, kind in TENSOR_TYPES.items()]
    header = "enum ggml_type {\n" + "\n".join(rows) + "\n// GGML_TYPE_OLD = 4,\nGGML_TYPE_COUNT = 43,\n};"
    (tmp_path / "ggml/include/ggml.h").write_text(header)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_tree_with_nothing_new(tree: Path) -> None:
    found = parts(tree, status=0)
    assert all(part["new"] == part["gone"] == [] for part in found.values())
    assert found["architectures"]["same"] == len(ARCHITECTURES)
    assert "architectures: " in run(tree, status=0)


@pytest.mark.parametrize(
    ("path", "old", "new", "title", "gained", "lost"),
    [
        ("src/llama-arch.cpp", '"afmoe"', '"afmoe-2"', "architectures", "afmoe-2", "afmoe"),
        ("src/llama-arch.cpp", '"%s.vocab_size"', '"%s.new"', "metadata keys", "%s.new", "%s.vocab_size"),
        ("src/llama-vocab.cpp", '"rwkv"', '"rwkv8"', "tokenizer models", "rwkv8", "rwkv"),
        ("src/llama-vocab.cpp", '"tekken"', '"tekken2"', "pre-tokenizers", "tekken2", "tekken"),
        ("ggml/include/ggml.h", "Q4_K =", "Q4_X =", "tensor types", "12 Q4_X", "12 Q4_K"),
    ],
)
def test_what_differs(path: str, old: str, new: str, title: str, gained: str, lost: str, tree: Path) -> None:
    edit(tree / path, old, new)
    found = parts(tree, status=1)
    assert (found[title]["new"], found[title]["gone"]) == ([gained], [lost])
    assert all(part["new"] == part["gone"] == [] for part in found.values() if part["title"] != title)
    printed = run(tree, status=1)
    assert f"  + {gained}\n" in printed
    assert f"  - {lost}\n" in printed


def test_what_is_gone_alone_is_nothing_new(tree: Path) -> None:
    edit(tree / "src/llama-vocab.cpp", 'tokenizer_pre == "tekken"', "false")
    assert parts(tree, status=0)["pre-tokenizers"]["gone"] == ["tekken"]


def test_what_is_no_source_tree(tree: Path, tmp_path: Path) -> None:
    edit(tree / "ggml/include/ggml.h", "GGML_TYPE_", "TYPE_")
    (tree / "src/llama-vocab.cpp").write_text("")
    assert "nothing looks like" in run(tree, status=2)
    (tree / "src/llama-vocab.cpp").unlink()
    assert "it has no src/llama-vocab.cpp" in run(tree, status=2)
    assert "No such file" in run(tmp_path / "none.so", status=2)


# ------------------------------------------------------------------------------------------ library


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = find_compiler("cc", "gcc", "clang")
    if compiler is None:
        pytest.skip("there is no C compiler")
    path = tmp_path_factory.mktemp("library") / "libsmall.so"
    command = [*compiler, "-O0", "-shared", "-fPIC", "-o", str(path), str(LIBRARY)]
    subprocess.run(command, check=True)
    return path


def test_a_library(library: Path) -> None:
    found = parts(library, status=1)
    new = {title: part["new"] for title, part in found.items()}
    assert new["architectures"] == ["new-arch"]
    assert new["tokenizer models"] == ["new-model"]
    assert new["pre-tokenizers"] == ["it-aborts", "new-pre"]
    assert new["metadata keys"] == ["%s.new_key"]
    assert new["types of metadata"] == []
    assert new["tensor types"] == ["2 NEW_1, 32 in 9 bytes"]
    assert set(found["architectures"]["gone"]) == set(ARCHITECTURES) - {"llama"}
    assert "gpt-2" not in found["pre-tokenizers"]["gone"]
    read = {line for line in found["types of metadata"]["gone"] if "llama.context_length" in line}
    assert read == set(), "u32 is what the library reads"
    assert "llama.block_count as u32" in found["types of metadata"]["gone"]


def test_what_is_no_library(tmp_path: Path) -> None:
    path = tmp_path / "libnone.so"
    path.write_bytes(b"\x7fELF" + bytes(100))
    assert "cannot be asked" in run(path, status=2)


def test_the_ends_of_texts_are_tried() -> None:
    texts = texts_of(b"\0a text with new-name\0%s.some_key\0no end\xff\0x")
    assert texts == {"a text with new-name", "%s.some_key"}
    names = names_among(texts)
    assert {"new-name", "name", "key"} <= names
    assert not {"e", "-name", "with new-name", "%s.some_key"} & names
    assert keys_among([*texts, "tokenizer.ggml.x", "general.", "a.b"]) == {"%s.some_key", "tokenizer.ggml.x"}


def test_sets_are_compared_in_order() -> None:
    part = compared("x", ["b", "a", "c"], ["d", "c", "e"], "nothing")
    assert (part.new, part.gone, part.same) == (["d", "e"], ["a", "b"], 1)
    assert known_types()["llama.context_length"] == {"u32"}


@pytest.mark.slow
def test_a_real_library() -> None:
    path = os.environ.get("PYEMBED_LLAMA_CPP")
    if path is None:
        pytest.skip("PYEMBED_LLAMA_CPP names no library")
    found = parts(Path(path), status=0)
    assert found["architectures"]["same"] > 100
    assert found["pre-tokenizers"]["same"] > 50
