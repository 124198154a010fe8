"""What fuzzing found worth keeping, and what it starts from, run again under AddressSanitizer and UBSan."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools import fuzz_corpus
from tools.native import FUZZ, Build, clean_environment, targets


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeds")
    subprocess.run([sys.executable, FUZZ / "seeds.py", folder], check=True)
    return folder


@pytest.mark.parametrize("target", targets())
def test_inputs_do_no_harm(target: str, asan_build: Build, seeds: Path, tmp_path: Path) -> None:
    inputs = fuzz_corpus.unpack(target, tmp_path / "corpus") + sorted((seeds / target).glob("*"))
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
    assert {path.stem for path in fuzz_corpus.CORPUS.iterdir()} <= set(targets())
    sizes = [len(content) for target in targets() for content in fuzz_corpus.read(target).values()]
    assert 100_000 < sum(sizes) < 300_000


def test_an_archive_says_only_what_its_inputs_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same inputs are the same bytes, whoever wrote them and in whatever order."""
    [target, *_] = targets()
    inputs = fuzz_corpus.read(target)
    before = fuzz_corpus.archive(target).read_bytes()
    monkeypatch.setattr(fuzz_corpus, "CORPUS", tmp_path)
    fuzz_corpus.write(target, dict(reversed(inputs.items())))
    assert fuzz_corpus.archive(target).read_bytes() == before
    (tmp_path / "a-bug").write_bytes(b"GGUF")
    fuzz_corpus.add(target, [tmp_path / "a-bug"])
    assert fuzz_corpus.read(target) == {**inputs, "a-bug": b"GGUF"}
    with pytest.raises(ValueError, match="cannot name an input"):
        fuzz_corpus.write(target, {"../a": b""})
