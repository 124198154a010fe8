"""Opening a vocabulary: time and memory, in a new process each time, with the file in the page cache."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from .. import ceilings, peers
from .. import tables as made
from ..measure import Json, Spread
from ..show import Table, number, spread, times
from . import Settings

GEMMA = "ggml-vocab-gemma-4.gguf"
OURS, GGUF_PY, LLAMA = "pyembed", "gguf-py", "llama.cpp"
STEPS = {
    "open": "open with validate='off', first in the process",
    "open again": "the same, later",
    "checked": "open with the order checked, first in the process",
    "checked again": "the same, later",
    "vocabulary": "model.vocabulary, first",
    "first id": "text to id, first: builds the index",
    "later id": "text to id, later",
    "digest": "digest of all tokens",
}


def run(settings: Settings) -> Json:
    """Open the Gemma 4 vocabulary, or a made-up one as large, with every rival."""
    found = settings.data / "vocab" / GEMMA if settings.data else None
    with tempfile.TemporaryDirectory(prefix="pyembed-bench-") as folder:
        files = []
        if found is not None and found.is_file():
            files.append((found, "Gemma 4"))
        else:
            files.append((made.vocabulary_file(Path(folder) / "large.gguf", 262_144), "made up"))
        if settings.quick:
            # gguf-py takes half a minute for a large one.
            files.append((made.vocabulary_file(Path(folder) / "small.gguf", 32_768), "made up"))
        return {"files": [_measure(path, name, settings.quick) for path, name in files]}


def _measure(path: Path, name: str, quick: bool) -> Json:
    path.read_bytes()  # into the page cache
    rounds = 5 if quick else 11
    slow_rounds = 0 if quick and path.stat().st_size > 4 << 20 else 1
    peers_there = {LLAMA: peers.has_llama(), GGUF_PY: peers.gguf_py() is not None}
    missing = [f"{peer} is missing here" for peer, there in peers_there.items() if not there]
    runs: dict[str, list[Json]] = {who: [] for who in (OURS, *peers_there) if peers_there.get(who, True)}
    for index in range(rounds):
        for peer in list(runs):
            if peer == GGUF_PY and index >= slow_rounds:
                continue
            try:
                runs[peer].append(_open(peer, path))
            except subprocess.CalledProcessError:
                if peer == OURS:
                    raise
                missing.append(f"{peer} fails here")
                del runs[peer]
    ours = runs[OURS]
    return {
        "file": name,
        "tokens": ours[0]["tokens"],
        "file bytes": path.stat().st_size,
        "rivals": {
            peer: {
                "ms": Spread.of(1e3 * one["seconds"]["open"] for one in many).json(),
                "opened": len(many),
                "memory": many[-1]["memory"],
                "against": _ratio(ours, many),
            }
            for peer, many in runs.items()
            if many
        },
        "steps": {
            step: Spread.of(1e3 * one["seconds"][step] for one in ours).json()
            for step in STEPS
            if step in ours[0]["seconds"]
        },
        "with vocabulary": ours[-1]["with vocabulary"],
        "index": ours[-1]["index"],
        "missing": missing,
    }


def _open(who: str, path: Path) -> Json:
    # The module's own name: it is `tools.bench` or `bench`, whichever way it was started.
    module = f"{__package__.rpartition('.')[0]}.opened"
    result = subprocess.run(
        [sys.executable, "-m", module, who, str(path)],
        cwd=ceilings.ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    opened: Json = json.loads(result.stdout)
    return opened


def _ratio(ours: list[Json], theirs: list[Json]) -> Json:
    times, rival = ([one["seconds"]["open"] for one in many] for many in (ours, theirs))
    if len(rival) < len(times):
        times = [Spread.of(times).median] * len(rival)
    return Spread.of(b / a for a, b in zip(times, rival, strict=True)).json()


def tables(data: Json) -> list[Table]:
    """Lay the figures out."""
    return [table for file in data["files"] for table in _tables(file)]


def _tables(file: Json) -> list[Table]:
    title = f"{file['file']}, {file['tokens']:,} tokens, {number(file['file bytes'] / 1e6)} MB"
    note = "".join(f" {text}." for text in file["missing"])
    rivals = Table(
        f"Opening a vocabulary: {title}",
        ["who", "ms", "takes x ours", "times opened", "private memory, MB", "resident, MB"],
        note=f"In a new process each time; the file is in the page cache.{note}",
    )
    for peer, figures in file["rivals"].items():
        rivals.rows.append(
            [
                peer,
                spread(figures["ms"]),
                "-" if peer == OURS else times(figures["against"]),
                str(figures["opened"]),
                _megabytes(figures["memory"], "RssAnon"),
                _megabytes(figures["memory"], "VmRSS"),
            ]
        )
    steps = Table(f"What follows: {title}", ["step", "ms"])
    steps.rows += [
        [text, spread(file["steps"][step])] for step, text in STEPS.items() if step in file["steps"]
    ]
    steps.note = (
        f"Memory grows by {_megabytes(file['with vocabulary'], 'RssAnon')} MB of its own and "
        f"{_megabytes(file['with vocabulary'], 'VmRSS')} MB resident up to `model.vocabulary`; the index of "
        f"texts takes {_megabytes(file['index'], 'RssAnon')} MB of its own."
    )
    return [rivals, steps]


def _megabytes(memory: Json, field: str) -> str:
    return number(memory[field] / 1e6) if field in memory else "-"
