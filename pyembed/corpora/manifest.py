"""A run's folder: what is in it, and how far the run came.

``_manifest.json`` says what makes the parts: the model, the options, the inputs. A line of ``_parts.jsonl``
belongs to each part, and is on the disk before the part gets its name: so a part without a line is not from
this run, and a last line without its part is one that was not finished. Names that begin with an underscore
are left out by those who read a folder of Parquet.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, BinaryIO, NamedTuple

from ..core.paths import Path, file_name
from ..core.reading import read_at_most
from ..core.system import lock
from ..errors import LockError
from ..files.atomic_write import place_of, replacing, replacing_together
from ..safe_text import json_text, quote
from .blocks import Position
from .sources import ends_digest

MANIFEST, PARTS = "_manifest.json", "_parts.jsonl"
_FORMAT_KEY, _FORMAT = "pyembed_corpus", 1
_MAX_MANIFEST = 1 << 28


class Part(NamedTuple):
    """A part that was written.

    Attributes
    ----------
    files : dict of str to str
        The digest of each of its files, by name.
    read, rows, vectors, failed : int
        Rows of the input, those of them that are in the part, their vectors, and rows that failed.
    next : Position
        Where the part after it begins.
    """

    files: dict[str, str]
    read: int
    rows: int
    vectors: int
    failed: int
    next: Position


class Folder:
    """The folder that a run writes, which no other process writes meanwhile. See `opened`."""

    def __init__(self, path: str, log: BinaryIO) -> None:
        self.path = path
        self._log = log
        self.parts: list[Part] = []

    # ------------------------------------------------------------------------------------- beginning

    def begin(self, manifest: Mapping[str, Any], resume: bool) -> None:
        """Take a folder: a new one, or with `resume` one that the same run has begun.

        Raises
        ------
        ValueError
            If it holds something else, or a run that `resume` does not continue.
        LockError
            If that run has another model; other options or inputs are a ValueError.
        """
        before = self._read_manifest()
        if before is None:
            other = [
                name for name in sorted(os.listdir(self.path)) if name != PARTS and not _is_temporary(name)
            ]
            if other:
                raise ValueError(
                    f"{self.path} holds {quote(other[0])}, which no run wrote: choose a new or empty folder"
                )
            self._clean()
            self._truncate(0)
            with replacing(os.path.join(self.path, MANIFEST)) as file:
                file.write((json_text(manifest, indent=1) + "\n").encode("ascii"))
            return
        if not resume:
            raise ValueError(f"{self.path} holds a run already: resume it, or choose another folder")
        self._compare(before, json.loads(json_text(manifest)))
        self._read_parts(len(manifest["inputs"]))
        self._clean()

    def _read_manifest(self) -> dict[str, Any] | None:
        path = os.path.join(self.path, MANIFEST)
        try:
            with open(path, "rb") as file:
                data = read_at_most(file, _MAX_MANIFEST)
        except FileNotFoundError:
            return None
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or found.get(_FORMAT_KEY) != _FORMAT:
            raise ValueError(f"{path} is not the manifest of a run: choose another folder")
        return found

    def _compare(self, before: dict[str, Any], now: dict[str, Any]) -> None:
        differences = list(_differences(before, now))
        if not differences:
            return
        lines = "; ".join(f"{name} is {quote(new)}, was {quote(old)}" for name, old, new in differences[:5])
        kind = LockError if any(name.startswith("model.") for name, _, _ in differences) else ValueError
        what = "the model" if kind is LockError else "the run"
        raise kind(f"{what} is not the one that {self.path} was begun with: {lines}")

    def _read_parts(self, n_inputs: int) -> None:
        """Read the parts that are whole. The last line may have been cut off, or its part not be there."""
        self._log.seek(0)
        lines = self._log.read().splitlines(keepends=True)
        parts = [part for part in map(_part_of, lines) if part is not None]
        if len(parts) < len(lines) - 1 or not _follow(parts, n_inputs):
            raise ValueError(f"{os.path.join(self.path, PARTS)} is damaged: begin anew in another folder")
        for number, part in enumerate(parts):
            there = [name for name in part.files if os.path.lexists(os.path.join(self.path, name))]
            for name in there:
                if ends_digest(os.path.join(self.path, name)) != part.files[name]:
                    raise self._foreign(name)
            if len(there) == len(part.files):
                self.parts.append(part)
            elif number < len(parts) - 1:
                gone = sorted(set(part.files) - set(there))[0]
                raise ValueError(f"{self.path}: {quote(gone)} is gone; begin anew in another folder")
            else:
                for name in there:
                    os.unlink(os.path.join(self.path, name))
        self._truncate(sum(map(len, lines[: len(self.parts)])))

    def _clean(self) -> None:
        """Remove what a killed run left; raise ValueError for a file that is nobody's."""
        known = {MANIFEST, PARTS, *(name for part in self.parts for name in part.files)}
        for name in sorted(os.listdir(self.path)):
            if _is_temporary(name) or name == rejects_name(len(self.parts)):
                os.unlink(os.path.join(self.path, name))
            elif name not in known:
                raise self._foreign(name)

    def _foreign(self, name: str) -> ValueError:
        return ValueError(
            f"{os.path.join(self.path, name)} is not what this run wrote: another process did; move it, or "
            "begin anew in another folder"
        )

    def _truncate(self, size: int) -> None:
        self._log.truncate(size)
        self._log.seek(size)

    # ---------------------------------------------------------------------------------------- writing

    @contextmanager
    def part(self, names: list[str]) -> Iterator[list[BinaryIO]]:
        """Open the files of the next part, which get their names when `add` was called and the block ends.

        Raises
        ------
        OSError
            If they cannot be written, such as to a full disk.
        """
        with replacing_together([os.path.join(self.path, name) for name in names]) as files:
            self._files = dict(zip(names, files, strict=True))
            yield files

    def add(self, part: Part, rejects: bytes) -> None:
        """Say that the part that is open is whole; `rejects` are its lines about rows that failed."""
        digests = dict(part.files)
        for name, file in self._files.items():
            file.flush()
            written = place_of(file)
            assert written is not None
            digests[name] = ends_digest(written)
        if rejects:
            name = rejects_name(len(self.parts))
            path = os.path.join(self.path, name)
            with replacing(path) as file:
                file.write(rejects)
            digests[name] = ends_digest(path)
        part = part._replace(files=digests)
        try:
            self._log.write(json_text(part._asdict()).encode("ascii") + b"\n")
            self._log.flush()
            os.fsync(self._log.fileno())
        except OSError as error:
            raise OSError(error.errno, error.strerror, os.path.join(self.path, PARTS)) from None
        self.parts.append(part)


def rejects_name(number: int) -> str:
    """Return the name of the file of the rows of a part that failed."""
    return f"_rejects-{number:05d}.jsonl"


@contextmanager
def opened(path: Path) -> Iterator[Folder]:
    """Take a folder, which is made if it is not there, for the time of a run.

    Raises
    ------
    OSError
        If it cannot be made or written.
    ValueError
        If another process writes it, or it holds what no run wrote.
    """
    folder = file_name(path)
    os.makedirs(folder, exist_ok=True)
    names = os.listdir(folder)
    if names and not {MANIFEST, PARTS} & set(names):
        raise ValueError(
            f"{folder} holds {quote(sorted(names)[0])}, which no run wrote: choose a new or empty folder"
        )
    descriptor = os.open(os.path.join(folder, PARTS), os.O_RDWR | os.O_CREAT, 0o666)
    with open(descriptor, "r+b") as log:
        if not lock(log):
            raise ValueError(f"another process writes into {folder}")
        yield Folder(folder, log)


def _is_temporary(name: str) -> bool:
    return name.startswith(".pyembed-") and name.endswith(".tmp")


def _part_of(line: bytes) -> Part | None:
    """Return the part that a line says of; None if the line was not written to its end."""
    try:
        found = json.loads(line)
        files = {str(name): str(digest) for name, digest in found["files"].items()}
        read, rows, vectors, failed = (int(found[name]) for name in ("read", "rows", "vectors", "failed"))
        file, row = map(int, found["next"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    is_inside = bool(files) and all(os.path.basename(name) == name for name in files)
    if not line.endswith(b"\n") or not is_inside or min(read, rows, vectors, failed, file, row) < 0:
        return None
    return Part(files, read, rows, vectors, failed, Position(file, row))


def _follow(parts: Sequence[Part], n_inputs: int) -> bool:
    """Return whether each part ends behind the one before it, and in one of the inputs."""
    ends = [Position(0, 0), *(part.next for part in parts)]
    return all(end.file < n_inputs and begin < end for begin, end in pairwise(ends))


def _differences(before: Any, now: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield where two trees differ: the name of the place, and what each has there."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            yield from _differences(before.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for number, (old, new) in enumerate(zip(before, now, strict=True)):
            yield from _differences(old, new, f"{name}[{number}]")
    elif before != now:
        yield name, before, now
