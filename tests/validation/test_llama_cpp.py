"""What the findings say llama.cpp makes of a file is what it makes of it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

import pyembed
from pyembed.llama_cpp import architectures
from pyembed.llama_cpp.architectures import ARCHITECTURES
from pyembed.llama_cpp.pre_tokenizers import (
    MARKED_PRE_TOKENIZERS,
    PRE_TOKENIZERS,
    PRE_TOKENIZERS_WITHOUT_MERGES,
)
from tests.helpers import llama_models, llama_vocabularies
from tests.helpers.llama_models import Case, model
from tests.helpers.llama_vocabularies import pre_tokenizer
from tools.native import clean_environment

CASES = {**llama_models.CASES, **llama_vocabularies.CASES}
#: What 0.7.0-dev knows and 0.5.0-dev, that of llama-cpp-python 0.3.36, does not.
NEWER_ARCHITECTURES = {
    *("beam", "clef", "gemma-embedding2", "k2-horizon"),
    *("kolibri1", "maion-coder", "muse-spark", "vllm-decision2"),
}
NEWER_PRE_TOKENIZERS = {"k2-horizon", "mmbert"}
CHILD = Path(__file__).parents[1] / "helpers" / "llama_outcome.py"


def outcomes(paths: list[Path]) -> dict[str, tuple[str, str]]:
    """Ask llama.cpp, in a child process, which a sanitizer of ours would stop from aborting."""
    if importlib.util.find_spec("llama_cpp") is None:
        pytest.skip("llama-cpp-python is not installed")
    command = [sys.executable, str(CHILD), *map(str, paths)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=300, env=clean_environment()
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {Path(line["path"]).name: (line["outcome"], line["said"]) for line in lines}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    paths = {name: folder / f"{number}.gguf" for number, name in enumerate(CASES)}
    for name, path in paths.items():
        path.write_bytes(bytes(CASES[name].build()))
    return paths


@pytest.mark.parametrize("name", CASES)
def test_the_finding(name: str, files: dict[str, Path]) -> None:
    case: Case = CASES[name]
    report = pyembed.validate(files[name])
    found = {finding.rule: finding for finding in report.findings}
    assert report.llama_cpp == case.outcome, report.findings
    if case.rule is None:
        bad = [finding for finding in report.findings if finding.severity == "error"]
        assert bad == []
        return
    assert case.rule in found, report.findings
    finding = found[case.rule]
    assert finding.message
    for field, value in case.facts.items():
        assert getattr(finding, field) == value, field


def test_llama_cpp_agrees(files: dict[str, Path]) -> None:
    real = outcomes(list(files.values()))
    wrong = {
        name: (real[path.name], pyembed.validate(path).llama_cpp.value)
        for name, path in files.items()
        if real[path.name][0] != pyembed.validate(path).llama_cpp.value
    }
    assert wrong == {}
    assert {outcome for outcome, _ in real.values()} == {"load", "refuse", "abort"}


def test_the_architectures_that_it_knows(tmp_path: Path) -> None:
    paths = {}
    for name in [*sorted(ARCHITECTURES), "nope", "clip", "lama"]:
        paths[name] = tmp_path / f"{name}.gguf"
        paths[name].write_bytes(bytes(model(architecture=name, without=["token_embd.weight"])))
    said = {name: outcome[1] for name, outcome in outcomes(list(paths.values())).items()}
    unknown = {
        name
        for name, path in paths.items()
        if "unknown model architecture" in said[path.name] or "CLIP cannot" in said[path.name]
    }
    assert unknown - NEWER_ARCHITECTURES == {"nope", "clip", "lama"}
    assert unknown & NEWER_ARCHITECTURES in (set(), NEWER_ARCHITECTURES)


def test_the_pre_tokenizers_that_it_knows(tmp_path: Path) -> None:
    paths = {}
    for number, name in enumerate([*sorted(PRE_TOKENIZERS), "nope", "Qwen2", "llama"]):
        paths[name] = tmp_path / f"{number}.gguf"
        paths[name].write_bytes(bytes(pre_tokenizer(name)))
    real = outcomes(list(paths.values()))
    refused = {name for name, path in paths.items() if real[path.name][0] != "load"}
    assert refused - NEWER_PRE_TOKENIZERS == {"nope", "Qwen2", "llama"}
    assert refused & NEWER_PRE_TOKENIZERS in (set(), NEWER_PRE_TOKENIZERS)


def test_sets_of_architectures_name_none_that_is_unknown() -> None:
    tied = (architectures.ALWAYS_TIED, architectures.NEVER_TIED, architectures.WITHOUT_PROJECTION)
    other = (architectures.OTHER_OUTPUT, architectures.OTHER_PER_LAYER, architectures.WIDTH_KEYS)
    for names in (*tied, *other):
        assert ARCHITECTURES.keys() >= set(names)
    assert not architectures.ALWAYS_TIED & architectures.NEVER_TIED
    assert PRE_TOKENIZERS >= MARKED_PRE_TOKENIZERS | PRE_TOKENIZERS_WITHOUT_MERGES
