"""What earlier processes learned about engines, in the user's cache folder.

A file a vocabulary, named by a digest; in it a verdict for each engine in each version. Whatever is wrong
with the folder or a file costs the time of a check, nothing else. ``PYEMBED_CACHE`` names another folder, or
is ``off``.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from typing import NamedTuple

_MAX_BYTES = 1 << 16


class Verdict(NamedTuple):
    """What a comparison with `tokenizers` showed."""

    #: Which texts the engine may cut: "all", "plain", those of printable ASCII, or "none".
    texts: str
    #: What it cuts differently; "" for nothing.
    reason: str


def cache_folder() -> str | None:
    """Return where verdicts are kept; None where nothing is to be kept."""
    named = os.environ.get("PYEMBED_CACHE")
    if named:
        return None if named == "off" else os.path.join(named, "engines")
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "pyembed", "engines") if os.path.isabs(base) else None


def read_verdicts(digest: str) -> dict[str, Verdict]:
    """Return what is known of engines and a vocabulary, by engine and versions."""
    folder = cache_folder()
    if folder is None:
        return {}
    with suppress(OSError, ValueError, RecursionError, TypeError, AttributeError):
        with open(os.path.join(folder, f"{digest}.json"), encoding="utf-8") as file:
            found = json.loads(file.read(_MAX_BYTES))
        verdicts = {str(key): Verdict(str(texts), str(reason)) for key, (texts, reason) in found.items()}
        if all(verdict.texts in ("all", "plain", "none") for verdict in verdicts.values()):
            return verdicts
    return {}


def write_verdicts(digest: str, verdicts: dict[str, Verdict]) -> None:
    """Keep the verdicts about a vocabulary, if that is possible."""
    folder = cache_folder()
    if folder is None:
        return
    with suppress(OSError):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".", suffix=".json")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(verdicts, file)
            os.replace(temporary, os.path.join(folder, f"{digest}.json"))
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
