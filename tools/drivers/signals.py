"""Signals at random moments: what the handler raises arrives, files are old or new, and work goes on."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import pyembed
from pyembed.export import export

from . import Tally
from .models import chance, pick, sample

MOST_SECONDS = 2.0
#: Where Python itself has nobody to raise to: in finalizers, callbacks of weak references, and imports.
DROPPED = "dropped by the interpreter"
_PACKAGE = str(Path(pyembed.__file__).parent)


class Interruption(BaseException):
    """What the handler raises."""


def case(rng: np.random.Generator, folder: Path, tally: Tally) -> None:
    """Interrupt ten calls on a model."""
    made = sample(rng, folder)
    before = made.contents()
    model = pyembed.load_model(made.path, validate="off") if made.format in ("gguf", "split") else None
    table = model.table if model is not None else pyembed.open_table(made.path)
    everything = table.gather(np.arange(made.shape[0]))
    large = folder / "large.bin"
    with large.open("wb") as file:
        file.truncate(64 << 20)
    wide = pyembed.open_table(large, shape=(-1, 1024), dtype="float16")
    out = folder / "out"
    out.mkdir()
    raised: dict[str, float] = {}
    dropped: list[str] = []
    tally[DROPPED] += 0  # stated also where there are none

    def handler(number: int, frame: object) -> None:
        raised["when"] = time.monotonic()
        raise Interruption

    def unraisable(lost: Any) -> None:
        """Note what Python cannot raise: a finalizer's or a weak reference's callback was interrupted."""
        files = [frame.filename for frame in traceback.extract_tb(lost.exc_traceback)]
        dropped.append(f"{type(lost.exc_value).__name__} in {lost.object!r} of {files}")

    previous, hook = signal.signal(signal.SIGALRM, handler), sys.unraisablehook
    sys.unraisablehook = unraisable
    try:
        for _ in range(10):
            name, call = _call(rng, made, model, table, wide, out)
            files = _contents(out)
            raised.clear()
            dropped.clear()
            delay = float(rng.choice([0.0002, 0.002, 0.02, 0.1])) * rng.random()
            tally[_interrupted(name, call, delay, raised, dropped)] += 1
            _check_outputs(name, call, files, out, "when" in raised)
            rows = table.gather(np.arange(made.shape[0]), threads=pick(rng, [1, 2]))
            assert rows.tobytes() == everything.tobytes(), f"rows after {name} was interrupted"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        sys.unraisablehook = hook
        (model or table).close()
        wide.close()
    assert made.contents() == before


def _interrupted(
    name: str, call: Callable[[], Any], delay: float, raised: dict[str, float], dropped: list[str]
) -> str:
    """Interrupt a call; return what came of it."""
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, delay + 1e-6)
            call()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Interruption:
        seconds = time.monotonic() - raised["when"]
        assert seconds < MOST_SECONDS, f"{name} ended {seconds:.1f} s after it was interrupted"
        return "interrupted"
    except Exception as error:
        # While Python imports: until 3.12, what ends a class statement there is a RuntimeError's cause.
        if isinstance(error, RuntimeError) and isinstance(error.__cause__, Interruption):
            return DROPPED
        raise AssertionError(
            f"{name}: the handler's exception came as {type(error).__name__}: {error}"
        ) from error
    finally:
        ours = [text for text in dropped if _PACKAGE in text]
        assert not ours, f"{name}: Python dropped {'; '.join(ours)}"
    if "when" not in raised:
        return "finished"
    assert any(text.startswith("Interruption in ") for text in dropped), (
        f"{name}: the handler's exception was lost"
    )
    return DROPPED


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _check_outputs(
    name: str, call: Callable[[], Any], before: dict[str, bytes], out: Path, was_interrupted: bool
) -> None:
    after = _contents(out)
    left = [name for name in after if name.endswith(".tmp")]
    assert not left, f"{name} left {left}"
    if was_interrupted and after != before:  # then it was over already
        call()
        assert after == _contents(out), f"{name}: half an output"


def _load(path: Path) -> None:
    """Load with everything that is read and looked at; that the model is wrong does not matter here."""
    with contextlib.suppress(pyembed.FormatError):
        pyembed.load_model(path, validate="order", load_mode="none").close()


def _call(
    rng: np.random.Generator, made: Any, model: Any, table: Any, wide: Any, out: Path
) -> tuple[str, Callable[[], Any]]:
    ids = rng.integers(0, made.shape[0], 300)
    query = np.ones(1024, np.float32)
    threads = pick(rng, [1, 2, 4])
    progress = (lambda text, done: None) if chance(rng, 0.5) else None
    vocabulary = None if model is None else model.vocabulary
    calls: dict[str, Callable[[], Any]] = {
        "gather": lambda: [table.gather(ids, threads=threads) for _ in range(300)],
        "large gather": lambda: wide.gather(np.arange(8192), threads=threads),
        "scan": lambda: wide.top(query, 5, threads=threads, progress=progress),
        "scan by cosine": lambda: pyembed.open_table(wide.path, shape=(-1, 1024), dtype="float16").top(
            query, 5, "cosine", threads=threads, progress=progress
        ),
        "digest": wide.digest,
        "check_rows": lambda: wide.check_rows(0, len(wide), key=bytes(16)),
        "export": lambda: export(table, out / "x.npy", vocabulary=vocabulary, progress=progress),
        "export to .npz": lambda: export(table, out / "x.npz", vocabulary=vocabulary),
        "large export": lambda: export(wide, out / "y.npy", ids=range(4096), progress=progress),
        "open": lambda: pyembed.open_table(made.path).close(),
        "health": lambda: pyembed.health.examine(table, progress=progress),
    }
    if model is not None:
        calls |= {
            "validate": lambda: model.validate("full", progress=progress),
            "validate_all": lambda: pyembed.validate_all([made.path] * 3, level="full", progress=progress),
            "compare": lambda: pyembed.compare(made.path, made.path, progress=progress),
            "load": lambda: _load(made.path),
            "lock": lambda: pyembed.make_lock(model),
            "extract": lambda: pyembed.extract.extract(made.path, out / "z.gguf", progress=progress),
        }
    name = pick(rng, calls)
    return name, calls[name]
