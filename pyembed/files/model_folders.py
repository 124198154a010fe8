"""Which models are in a folder: all of them, or the reason why some may not have been seen."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

from ..core.paths import pass_on_foreign

_SUFFIX = ".gguf"
_LATER_SHARD = re.compile(
    r"(?P<prefix>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.gguf)", re.DOTALL | re.IGNORECASE
)


@dataclass
class Found:
    """What a path stands for.

    Attributes
    ----------
    models : list of str
        Files, of a split set the first.
    failures : list of (str, str)
        Paths that could not be looked into, each with the reason.
    """

    models: list[str] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)


def find_models(path: str) -> Found:
    """Return the models that a path stands for: the file itself, or all ``.gguf`` files in a folder.

    Links are followed, to files and to folders. A folder is looked into once, however many links lead to it,
    so that circles end: folders are known by device and inode, or by real paths where a drive of Windows has
    no such numbers.
    """
    found = Found()
    if not os.path.isdir(path):
        found.models.append(path)
        return found
    _walk(path, found, set())
    known = set(found.models)
    found.models = [file for file in found.models if not _is_later_shard(file, known)]
    if not found.models and not found.failures:
        found.failures.append((path, "no .gguf file is in this folder"))
    return found


def _walk(top: str, found: Found, seen: set[tuple[int, int] | str]) -> None:
    pending = [top]
    while pending:
        folder = pending.pop()
        try:
            status = os.stat(folder)
            place = (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(folder)
            if place in seen:
                continue
            seen.add(place)
            names = sorted(os.listdir(folder))
        except OSError as error:
            pass_on_foreign(error)
            found.failures.append((folder, f"cannot look into this folder: {error.strerror or error}"))
            continue
        folders = []
        for name in names:
            inside = os.path.join(folder, name)
            if os.path.isdir(inside):
                folders.append(inside)
            elif name.lower().endswith(_SUFFIX):
                found.models.append(inside)
            elif os.path.islink(inside) and (problem := _problem_of_link(inside)):
                found.failures.append((inside, problem))
        pending += reversed(folders)


def _problem_of_link(path: str) -> str | None:
    """Return why a link leads nowhere: what it was meant to lead to may be a folder of models."""
    try:
        os.stat(path)
    except OSError as error:
        pass_on_foreign(error)
        return f"cannot follow this link: {error.strerror or error}"
    return None


def _is_later_shard(path: str, known: set[str]) -> bool:
    """Return whether a file belongs to a set whose first file is there too."""
    shard = _LATER_SHARD.fullmatch(path)
    return (
        shard is not None
        and int(shard["number"]) > 1
        and f"{shard['prefix']}-00001-of-{shard['count']}{shard['suffix']}" in known
    )
