"""Writing an edited model: to new files, or over its own."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, TypeAlias

from ..core.handle import Source
from ..core.progress import Progress, part_of, report_to
from ..core.system import HOLDS_OPEN_FILES
from ..errors import FormatError, GGUFError
from ..files.atomic_write import OutPath, check_is_not_read, place_of, replacing_together
from ..files.byte_ranges import FileRange
from ..files.copying import PieceWriter
from ..safe_text import printable
from .edit import Edit, FilePlan
from .in_place import HeaderPatch, patch_of
from .set_record import SetRecord

_FIRST = re.compile(r"(?P<prefix>.*)-00001-of-(?P<count>\d{5})\.gguf", re.DOTALL)
#: Called with the names under which the new files can be read before they are kept; what it raises discards
#: them.
Judge: TypeAlias = Callable[[Sequence[str]], None]


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes
    ----------
    path : str
        The new model, of a split set its first file.
    files : tuple of str
        The files that were written.
    n_bytes : int
        Bytes that were written.
    in_header : bool
        Whether only bytes of a header were changed where they lie.
    """

    path: str
    files: tuple[str, ...]
    n_bytes: int
    in_header: bool = False


def write(
    edit: Edit, out: OutPath, *, judge: Judge | None = None, progress: Progress | None = None
) -> Written:
    """Write an edited model to new files.

    Everything that was not changed is copied as it lies there: the kernel does so where it can. Of a split
    set all files are written, since a set is opened by the names of its files.

    Parameters
    ----------
    edit : Edit
    out : path-like
        The new file; of a split set the first, whose name ends in ``-00001-of-0000N.gguf``. What is there is
        replaced once the new files are whole and were judged.
    judge : callable, optional
    progress : callable, optional
        As everywhere: called with what is being done and the share that is done.

    Raises
    ------
    OSError
        If a file cannot be read or written.
    GGUFError
        If the result does not open, or the model was changed meanwhile: nothing is kept.
    ValueError
        If `out` is a file of the model, or its name cannot be that of a split set.
    """
    plans = edit.plans()
    names = _names(os.fspath(out), len(plans))
    first = names[0] if len(names) > 1 else None
    n_bytes = _write(edit, plans, names, first, judge, progress, edit.source)
    return Written(names[0], tuple(names), n_bytes)


def overwrite(edit: Edit, *, judge: Judge | None = None, progress: Progress | None = None) -> Written:
    """Change a model where it lies: in its header where that has room, else by replacing files.

    Of a split set only the files that change are written. On Windows, where a file that is open cannot be
    replaced, the model is closed before.

    Raises
    ------
    OSError, GGUFError
        As `write` does; the model then is as it was.
    ValueError
        If nothing would change, or the model lies in an archive.
    """
    plans = edit.plans()
    changed = [plan for plan in plans if plan.is_changed]
    if not changed:
        raise ValueError(f"{printable(edit.source.path)}: nothing would change")
    if any(plan.layout.shard.first for plan in plans):
        raise ValueError(f"{printable(edit.source.path)} lies in an archive; write to another file")
    patch = patch_of(changed[0]) if len(changed) == 1 and judge is None else None
    if patch is not None:
        return _patch(edit, patch)
    shards = [plan.layout.shard.path for plan in plans]
    names = [path for plan, path in zip(plans, shards, strict=True) if plan.is_changed]
    first = shards[0] if len(names) > 1 else None
    n_bytes = _write(edit, changed, names, first, judge, progress, None)
    return Written(shards[0], tuple(names), n_bytes)


def _patch(edit: Edit, patch: HeaderPatch) -> Written:
    _refuse_changed(edit.source)
    paths = [shard.path for shard in edit.source.shards()]
    patch.apply(lambda: _check_opens(paths, unfinished=True))
    return Written(paths[0], (patch.path,), patch.n_bytes, True)


def _write(
    edit: Edit,
    plans: Sequence[FilePlan],
    names: Sequence[str],
    first: str | None,
    judge: Judge | None,
    progress: Progress | None,
    reading: Source | None,
) -> int:
    """Write some files of a model under `names` and return their sizes together.

    `first` is the first file of their set, where they are several.
    """
    for name in names:
        check_is_not_read(name, reading)
    report = part_of(report_to(progress), "writing")
    total = max(1, sum(plan.n_bytes for plan in plans))
    written = done = 0

    def end_reading() -> None:
        _refuse_changed(edit.source)
        if reading is None and HOLDS_OPEN_FILES:
            edit.source.close()

    record = None if first is None else SetRecord(first, end_reading)
    with replacing_together(names, reading, record) as files:
        for plan, file in zip(plans, files, strict=True):

            def tell(share: float, done: int = done, size: int = plan.n_bytes) -> None:
                report(min(1.0, (done + share * size) / total))

            written += _write_file(plan, file, tell)
            done += plan.n_bytes
            file.flush()
        places = _places(edit.source, plans, files)
        if places is not None:
            _check_opens(places)
            if judge is not None:
                judge(places)
        if record is None:
            end_reading()
    return written


def _write_file(plan: FilePlan, file: BinaryIO, tell: Callable[[float], None]) -> int:
    writer = PieceWriter(file, plan.n_bytes, tell)
    if not plan.is_changed and plan.layout.shard.first == 0:
        writer.put(FileRange(plan.layout.shard.path, 0, plan.layout.shard.n_bytes))
        return writer.written
    writer.put_all(plan.head)
    for parts in plan.data:
        writer.pad(plan.alignment)
        writer.put_all(parts)
    if plan.data and not plan.keeps_data:
        writer.pad(plan.alignment)
    return writer.written


def _names(out: str | bytes, n: int) -> list[str]:
    """Return the names of all files of a model whose first is `out`."""
    name = os.fsdecode(out)
    if n == 1:
        return [name]
    match = _FIRST.fullmatch(name)
    if match is None or int(match["count"]) != n:
        raise ValueError(f"{printable(name)}: the name of a set of {n} files ends in -00001-of-{n:05d}.gguf")
    return [f"{match['prefix']}-{number:05d}-of-{n:05d}.gguf" for number in range(1, n + 1)]


def _places(source: Source, plans: Sequence[FilePlan], files: Sequence[BinaryIO]) -> list[str] | None:
    """Return where all files of the new model can be read; None where one cannot, such as a pipe."""
    new = {plan.layout.shard.path: place_of(file) for plan, file in zip(plans, files, strict=True)}
    places = [new.get(shard.path, shard.path) for shard in source.shards()]
    return None if None in places else [place for place in places if place is not None]


def _check_opens(places: Sequence[str], *, unfinished: bool = False) -> None:
    """Raise GGUFError if a model that was just written does not open."""
    try:
        Source(places if len(places) > 1 else places[0], format="gguf", unfinished=unfinished).close()
    except FormatError as error:
        reason = str(error).removeprefix(f"{error.path}: ")
        raise GGUFError(f"the result would not open: {reason}", None, error.offset) from None


def _refuse_changed(source: Source) -> None:
    change = source.change()
    if change is not None:  # bytes are read by path: they may be of two files
        raise GGUFError(f"{change} and cannot be copied; try again", change.path)
