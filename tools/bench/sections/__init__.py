"""One module a question. Each measures with ``run`` and lays its figures out with ``tables``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..measure import Json
from ..show import Table


@dataclass(frozen=True)
class Settings:
    """How a section is to measure.

    Attributes
    ----------
    quick : bool
        Fewer rounds, fewer cases: everything in about a minute.
    data : Path or None
        The folder of real vocabularies.
    """

    quick: bool
    data: Path | None


@dataclass(frozen=True)
class Section:
    """A question: what measures, what lays the figures out, and whether it is asked of every back end."""

    run: Callable[[Settings], Json]
    tables: Callable[[Json], list[Table]]
    every_isa: bool = False


def all_sections() -> dict[str, Section]:
    """Return the sections by name, in the order in which they run."""
    from . import (
        call,
        cold,
        growth,
        half,
        hot,
        memory,
        names,
        opening,
        parts,
        pooling,
        scan,
        servers,
        serving,
        texts,
        threads,
    )

    return {
        "open": Section(opening.run, opening.tables),
        "hot": Section(hot.run, hot.tables, every_isa=True),
        "parts": Section(parts.run, parts.tables, every_isa=True),
        "memory": Section(memory.run, memory.tables),
        "half": Section(half.run, half.tables),
        "call": Section(call.run, call.tables),
        "servers": Section(servers.run, servers.tables),
        "threads": Section(threads.run, threads.tables),
        "scan": Section(scan.run, scan.tables),
        "pool": Section(pooling.run, pooling.tables),
        "text": Section(texts.run, texts.tables),
        "serve": Section(serving.run, serving.tables),
        "names": Section(names.run, names.tables),
        "cold": Section(cold.run, cold.tables),
        "growth": Section(growth.run, growth.tables),
    }
