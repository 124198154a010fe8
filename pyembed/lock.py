"""Locks: what a deployment was tested with, so that it refuses a model that is another one.

A lock is a JSON object. What it does not hold is not compared, so leaving fields out loosens it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from .core.paths import file_name
from .core.reading import read_at_most
from .errors import LockError, NotFoundError
from .model import Model
from .safe_text import plain, printable, quote
from .tables.table import EmbeddingTable

Lock: TypeAlias = Mapping[str, Any]

FORMAT = 1
_FORMAT_KEY = "pyembed_lock"
_SAMPLED_ROWS = 512
_MAX_LOCK_BYTES = 1 << 20
#: The fields of a lock by section; every section but the first may be missing or null.
_FIELDS: Mapping[str, frozenset[str]] = {
    "": frozenset({_FORMAT_KEY, "architecture", "vocabulary", "table", "output_table"}),
    "vocabulary": frozenset({"model", "pre", "n_tokens", "digest", "special"}),
    "table": frozenset({"name", "shape", "type", "sample_step", "sample", "rows"}),
    "output_table": frozenset({"name", "shape", "type", "sample_step", "sample", "rows"}),
}
_OF_ONE_QUANTISATION = ("type", "sample_step", "sample", "rows")


def make_lock(model: Model, *, any_quantisation: bool = False) -> dict[str, Any]:
    """Return the lock of a model. It reads every row of its tables once, about 200 MB a second.

    Parameters
    ----------
    model : Model
        The model that was tested.
    any_quantisation : bool, optional
        Leave out how the tables are stored and what their bytes are, so that the same vocabulary and shapes
        in another quantisation satisfy the lock.

    Returns
    -------
    dict
        Plain values, to be written as JSON.
    """
    lock: dict[str, Any] = {_FORMAT_KEY: FORMAT, "architecture": model.architecture}
    if model.has_vocabulary:
        vocabulary = model.vocabulary
        lock["vocabulary"] = {
            "model": vocabulary.model,
            "pre": vocabulary.pre,
            "n_tokens": len(vocabulary),
            "digest": vocabulary.digest,
            "special": dict(vocabulary.special),
        }
    for section, table in _tables(model):
        lock[section] = _table_lock(table)
        if any_quantisation:
            for field in _OF_ONE_QUANTISATION:
                del lock[section][field]
    return lock


def _tables(model: Model) -> Iterator[tuple[str, EmbeddingTable]]:
    try:
        table = model.table
    except NotFoundError:
        return
    yield "table", table
    try:
        output = model.output_table
    except NotFoundError:
        return
    if output is not table:
        yield "output_table", output


def _table_lock(table: EmbeddingTable) -> dict[str, Any]:
    step = max(1, len(table) // _SAMPLED_ROWS)
    return {
        "name": table.name,
        "shape": list(table.shape),
        "type": table.type,
        "sample_step": step,
        "sample": table.digest(step),
        "rows": table.digest(),
    }


def read_lock(lock: str | os.PathLike[str] | Lock) -> Lock:
    """Return a lock that is given as a file's path or as the object itself, its form checked.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not a lock; the message says where it differs.
    """
    if isinstance(lock, Mapping):
        name, value = "the lock", lock
    else:
        name = printable(os.fsdecode(lock))
        with open(file_name(lock), "rb") as file:
            data = read_at_most(file, _MAX_LOCK_BYTES + 1)
        if len(data) > _MAX_LOCK_BYTES:
            raise ValueError(f"{name} is larger than a lock can be")
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{name} is not a lock: it is not JSON: {error}") from None
    if not isinstance(value, Mapping) or value.get(_FORMAT_KEY) != FORMAT:
        raise ValueError(f'{name} is not a lock: it has no "{_FORMAT_KEY}": {FORMAT}')
    for section, known in _FIELDS.items():
        part = value if section == "" else value.get(section)
        if part is None:
            continue
        if not isinstance(part, Mapping):
            raise ValueError(f"{name} is not a lock: {section} is not an object")
        if unknown := sorted(map(str, set(part) - known)):
            raise ValueError(f"{name} holds {quote(unknown[0])} in {section or 'it'}, which no lock has")
    special = (value.get("vocabulary") or {}).get("special")
    if isinstance(special, Mapping) and not all(isinstance(token, str) for token in special):
        raise ValueError(f"{name} is not a lock: the names in vocabulary.special are not all texts")
    return value


def check_lock(
    model: Model, lock: str | os.PathLike[str] | Lock, *, every_row: bool = False
) -> list[tuple[str, object, object]]:
    """Return the fields in which a model differs from a lock, each with the lock's value and the model's.

    Parameters
    ----------
    model : Model
    lock : path-like or mapping
        What `make_lock` returned, or a JSON file of it.
    every_row : bool, optional
        Compare the bytes of all rows, about 200 MB a second, and not only those of a sample.

    Raises
    ------
    OSError, ValueError
        If the lock cannot be read, or is none.
    """
    value = read_lock(lock)
    return [
        (field, wanted, found)
        for field, wanted, found in _compared(model, value, every_row)
        if plain(wanted) != plain(found)  # a lock that was written as JSON holds escapes
    ]


def require_lock(model: Model, lock: str | os.PathLike[str] | Lock) -> None:
    """Raise LockError if a model differs from a lock; of the rows a sample is compared."""
    differences = check_lock(model, lock)
    if differences:
        lines = "; ".join(
            f"{field} is {quote(found)}, locked as {quote(wanted)}" for field, wanted, found in differences
        )
        raise LockError(
            f"{model.path} is not the model that was locked: {lines}",
            model.path,
            differences=tuple(differences),
        )


def _compared(model: Model, lock: Lock, every_row: bool) -> Iterator[tuple[str, object, object]]:
    if "architecture" in lock:
        yield "architecture", lock["architecture"], model.architecture
    vocabulary = lock.get("vocabulary")
    if vocabulary:
        yield from _compared_vocabulary(model, vocabulary)
    tables = dict(_tables(model))
    for section in ("table", "output_table"):
        if lock.get(section):
            yield from _compared_table(section, tables.get(section), lock[section], every_row)


def _compared_vocabulary(model: Model, wanted: Lock) -> Iterator[tuple[str, object, object]]:
    if not model.has_vocabulary:
        yield "vocabulary", dict(wanted), None
        return
    vocabulary = model.vocabulary
    found: dict[str, object] = {"model": vocabulary.model, "pre": vocabulary.pre, "n_tokens": len(vocabulary)}
    if "digest" in wanted:
        found["digest"] = vocabulary.digest
    for field in [field for field in found if field in wanted]:
        yield f"vocabulary.{field}", wanted[field], found[field]
    special = dict(vocabulary.special)
    locked = wanted.get("special")
    if isinstance(locked, Mapping):
        for name in sorted(locked.keys() | special.keys()):
            yield f"vocabulary.special.{name}", locked.get(name), special.get(name)
    elif locked is not None:
        yield "vocabulary.special", locked, special


def _compared_table(
    section: str, table: EmbeddingTable | None, wanted: Lock, every_row: bool
) -> Iterator[tuple[str, object, object]]:
    if table is None:
        yield section, dict(wanted), None
        return
    found: dict[str, object] = {"name": table.name, "shape": list(table.shape), "type": table.type}
    for field in [field for field in found if field in wanted]:
        yield f"{section}.{field}", wanted[field], found[field]
    if any(wanted.get(field, found[field]) != found[field] for field in found):
        return  # the bytes of another table differ, which says nothing more
    step = wanted.get("sample_step")
    if "sample" in wanted:
        if not isinstance(step, int) or isinstance(step, bool) or not 1 <= step < 2**63:
            raise ValueError(f"the lock's {section}.sample_step is {quote(step)}; expected a number of rows")
        yield f"{section}.sample", wanted["sample"], table.digest(step)
    if every_row and "rows" in wanted:
        yield f"{section}.rows", wanted["rows"], table.digest()
