"""Fixtures that several files of tests share."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

# On small matrices a BLAS with many threads is slower, by far so where others use the cores too.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from tests.helpers.installed import Installed
from tests.helpers.model_files import MakeVocabulary, write_model
from tools import test_data
from tools.native import (
    INSTALLED,
    KINDS,
    ROOT,
    Build,
    build_with_cmake,
    clean_environment,
    compiler_of,
    find_cmake,
    shared_build,
)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of real vocabularies and models, which a clone of the project does not have."""
    folder = test_data.find()
    if folder is None:
        pytest.skip(test_data.MISSING)
    return folder


# ------------------------------------------------------------------------------------ the C library by itself

_compiling: list[subprocess.Popen[str]] = []  # while tests run that need none of it
_compiled: set[str] = set()


def _kind_of(item: pytest.Item) -> str:
    names = getattr(item, "fixturenames", ())
    wanted = {kind: f"{kind}_build" for kind in KINDS} | {INSTALLED: INSTALLED}
    return next((kind for kind, fixture in wanted.items() if fixture in names), "")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests of C programs behind all others, and skip those that need POSIX where it is missing."""
    items.sort(key=_kind_of)
    if not hasattr(os, "fork"):
        for item in items:
            if item.get_closest_marker("posix"):
                item.add_marker(pytest.mark.skip("needs POSIX"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin to compile what the tests that were chosen need; of several workers, the first one does."""
    wanted = sorted({_kind_of(item) for item in session.items} - {""})
    kinds = [kind for kind in wanted if compiler_of(kind) and (kind != INSTALLED or find_cmake())]
    if os.environ.get("PYTEST_XDIST_WORKER", "gw0") != "gw0":
        return
    if kinds and not session.config.option.collectonly:
        nice = ["nice", "-n", "5"] if shutil.which("nice") else []
        command = [*nice, sys.executable, "-m", "tools.native", *kinds]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        _compiling.append(process)


def pytest_unconfigure() -> None:
    """Stop compiling if nobody waits for it any more."""
    for process in _compiling:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.communicate()


def _wait_for(kind: str) -> None:
    """Wait until the library is compiled in this way, or its compilation failed."""
    for process in _compiling:
        while kind not in _compiled and (line := process.stdout.readline() if process.stdout else ""):
            _compiled.add(line.strip())


def _build(kind: str) -> Build:
    """Return the library compiled in this way; where that failed before, it is tried again and says why."""
    if compiler_of(kind) is None:
        pytest.skip(f"none of {', '.join(KINDS[kind].compilers)} is installed")
    _wait_for(kind)
    return shared_build(kind)


@pytest.fixture(scope="session")
def asan_build() -> Build:
    """Return the C library compiled with AddressSanitizer and UBSan."""
    return _build("asan")


@pytest.fixture(scope="session")
def neon_build() -> Build:
    """Return the C library compiled for 64-bit ARM, by a cross compiler."""
    return _build("neon")


@pytest.fixture(scope="session")
def plain_build() -> Build:
    """Return the C library compiled as fast as programs need it."""
    return _build("plain")


@pytest.fixture(scope="session")
def tsan_build() -> Build:
    """Return the C library compiled with ThreadSanitizer."""
    return _build("tsan")


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Return the C library as CMake installs it."""
    cmake = find_cmake()
    if cmake is None or compiler_of(INSTALLED) is None:
        pytest.skip("cmake or a C compiler is not installed")
    _wait_for(INSTALLED)
    prefix = tmp_path_factory.mktemp("prefix")
    command = [cmake, "--install", str(build_with_cmake()), "--prefix", str(prefix)]
    subprocess.run(command, check=True, capture_output=True, env=clean_environment())
    return Installed(prefix)


@pytest.fixture
def rng() -> np.random.Generator:
    """Return random numbers that are the same in every run."""
    return np.random.default_rng(20240229)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[MakeVocabulary]:
    """Return what writes a model of given tokens and opens its vocabulary, for the time of the test."""
    models: list[pyembed.Model] = []

    def made(model: str | None, tokens: list[str | bytes], **options: Any) -> pyembed.Vocabulary:
        path = write_model(tmp_path / f"{len(models)}.gguf", model=model, tokens=tokens, **options)
        models.append(pyembed.load_model(path))
        return models[-1].vocabulary

    yield made
    for model in models:
        model.close()
