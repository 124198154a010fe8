"""What earlier processes learned about engines, in the user's cache folder.

For each vocabulary a file named by a digest, with a verdict for each engine in each version; and what some
engines make of a large vocabulary, as files named by their own digests. ``PYEMBED_CACHE`` names another
folder, or is ``off``. Whatever is wrong with the folder or a file costs the time of a check, nothing else:
what another user can write, is damaged, or is not a plain file counts as absent. What was not used for
longest goes when there is too much.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from ..core.reading import read_at_most
from ..core.system import cache_base, is_private, open_at_once
from ..files.atomic_write import replacing

_MAX_BYTES = 1 << 16
#: Of an engine's own form of a vocabulary.
_MAX_FORM_BYTES = 64 << 20
_MAX_FILES, _MAX_FOLDER_BYTES = 512, 256 << 20
_SUFFIXES = (".json", ".form", ".tmp")


class Verdict(NamedTuple):
    """What a comparison with `tokenizers` showed."""

    #: Which texts the engine may cut: "all", "plain", those of printable ASCII, or "none".
    texts: str
    #: What it cuts differently, or on what it gave the same ids.
    reason: str
    #: The digest of the engine's own form of the vocabulary; "" where none is kept.
    form: str = ""


class Verdicts(NamedTuple):
    """What is known of a vocabulary: in how many spellings engines are given it, and verdicts by engine."""

    n_spellings: int
    of: dict[str, Verdict]


def cache_folder() -> str | None:
    """Return where verdicts are kept; None where nothing is to be kept."""
    named = os.environ.get("PYEMBED_CACHE")
    if named:
        return None if named == "off" else os.path.join(named, "engines")
    base = cache_base()
    return os.path.join(base, "pyembed", "engines") if os.path.isabs(base) else None


def read_verdicts(digest: str) -> Verdicts:
    """Return what is known of engines and a vocabulary."""
    folder = cache_folder()
    if folder is not None:
        with suppress(OSError, ValueError, RecursionError, TypeError, AttributeError, KeyError):
            data = _read(os.path.join(folder, f"{digest}.json"), _MAX_BYTES)
            checksum, _, text = data.partition(b"\n")
            if checksum.decode("ascii") == hashlib.sha256(text).hexdigest():
                return _parsed(json.loads(text))
    return Verdicts(0, {})


def _parsed(found: Mapping[str, object]) -> Verdicts:
    n, listed = found["n_spellings"], found["verdicts"]
    if type(n) is not int or not 0 < n <= 8 or not isinstance(listed, dict):
        raise ValueError
    verdicts = {str(key): Verdict(*map(str, parts)) for key, parts in listed.items()}
    if not all(verdict.texts in ("all", "plain", "none") for verdict in verdicts.values()):
        raise ValueError
    return Verdicts(n, verdicts)


def write_verdicts(digest: str, verdicts: Verdicts) -> None:
    """Keep the verdicts about a vocabulary, if that is possible."""
    folder = cache_folder()
    text = json.dumps({"n_spellings": verdicts.n_spellings, "verdicts": verdicts.of}).encode()
    if folder is not None and len(text) < _MAX_BYTES - 65:
        _write(folder, f"{digest}.json", hashlib.sha256(text).hexdigest().encode() + b"\n" + text)


def find_form(digest: str) -> str | None:
    """Return the path of an engine's own form of a vocabulary; None where it is not, or is another one."""
    folder = cache_folder()
    if folder is None or not digest:
        return None
    path = os.path.join(folder, f"{digest}.form")
    with suppress(OSError, ValueError):
        if hashlib.sha256(_read(path, _MAX_FORM_BYTES)).hexdigest() == digest:
            os.utime(path)
            return path
    return None


def write_form(data: bytes) -> str:
    """Keep an engine's own form of a vocabulary, if that is possible, and return its digest."""
    folder = cache_folder()
    if folder is None or not 0 < len(data) <= _MAX_FORM_BYTES:
        return ""
    digest = hashlib.sha256(data).hexdigest()
    _write(folder, f"{digest}.form", data)
    return digest


def remove_form(digest: str) -> None:
    """Keep an engine's own form no longer."""
    path = find_form(digest)
    if path is not None:
        with suppress(OSError):
            os.unlink(path)


def _read(path: str, most: int) -> bytes:
    """Return the bytes of a file that only this user can have written.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is not such a file.
    """
    descriptor = open_at_once(path, follow=False)
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or not is_private(facts) or facts.st_size > most:
            raise ValueError
        return read_at_most(file, most)


def _write(folder: str, name: str, data: bytes) -> None:
    with suppress(OSError):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with replacing(os.path.join(folder, name)) as file:
            file.write(data)
        _make_room(folder)


def _make_room(folder: str) -> None:
    """Remove the files that were not used for longest, if there are too many or too large ones."""
    with os.scandir(folder) as entries:
        files = [entry for entry in entries if entry.name.endswith(_SUFFIXES)]
    used = []
    for entry in files:
        with suppress(OSError):
            facts = entry.stat(follow_symlinks=False)
            used.append((facts.st_mtime, facts.st_size, entry.path))
    n_bytes = 0
    for number, (_, size, path) in enumerate(sorted(used, reverse=True)):
        n_bytes += size
        if number >= _MAX_FILES or n_bytes > _MAX_FOLDER_BYTES:
            with suppress(OSError):
                os.unlink(path)
