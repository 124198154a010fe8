"""What fuzzing found worth keeping, and what it starts from, run again under AddressSanitizer and UBSan."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools.native import FUZZ, Build, clean_environment, targets


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeds")
    subprocess.run([sys.executable, FUZZ / "seeds.py", folder], check=True)
    return folder


@pytest.mark.parametrize("target", targets())
def test_inputs_do_no_harm(target: str, asan_build: Build, seeds: Path, tmp_path: Path) -> None:
    inputs = sorted((FUZZ / "corpus" / target).glob("*")) + sorted((seeds / target).glob("*"))
    assert inputs, f"{target} has neither a corpus nor seeds"
    sources = [FUZZ / f"{name}.c" for name in (target, "harness", "replay")]
    program = asan_build.program(f"replay-{target}", sources)
    done = subprocess.run(
        [program, *inputs],
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment(PYEMBED_FUZZ_FOLDER=str(tmp_path)),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(inputs)} inputs" in done.stdout


def test_the_corpus_stays_small() -> None:
    files = [path for path in (FUZZ / "corpus").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 300_000
