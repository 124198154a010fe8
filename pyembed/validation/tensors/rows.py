"""The bytes of tensors: what is not finite, and rows of the token table that cannot be anybody's own."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.handle import Source
from ...core.records import TensorInfo
from ...errors import GGUFError, UnsupportedTypeError
from ...safe_text import quote
from ...tables.checking import RowFault
from ...tables.table import EmbeddingTable
from ...tokens.token_text import TokenType
from ..report import Findings
from ..report_text import count
from ..rules import Rule, Severity
from ..subject import Subject
from .rules import CONSTANT_ROWS, DUPLICATE_ROWS, NOT_FINITE, REFUSED, TABLE_PARTS, TIED_COPY, ZERO_ROWS
from .shared_bytes import apart

Ids = npt.NDArray[np.int64]

# Bytes that are looked at between two reports of progress.
_CHUNK_BYTES = 8 << 20
_MAX_ROWS_AT_ONCE = 1 << 20
_MAX_RANGES_SHOWN = 6
_OUTPUT = "output.weight"

#: Tokens that stand for nothing: what converters pad a vocabulary with, and what families keep in reserve.
_RESERVED = re.compile(r"\[PAD\d*\]|\[unused\d+\]|<unused\d+>|<\|?reserved_?(special_token_)?\d+\|?>")


@dataclass
class Faults:
    """What is wrong with the rows of one tensor.

    Attributes
    ----------
    n_rows : int
        Of the tensor.
    not_finite, refused : int
        How many rows hold something that is not finite, or are refused for another reason.
    rows : list of int
        The first and the last row of either kind.
    kinds : int
        All that was found, of `RowFault`.
    """

    n_rows: int
    not_finite: int = 0
    refused: int = 0
    rows: list[int] = field(default_factory=list)
    kinds: int = 0

    def add(self, first: int, faults: npt.NDArray[np.uint8]) -> None:
        """Count the faults of the rows from `first` on."""
        is_not_finite = (faults & int(RowFault.NAN | RowFault.INFINITE)) != 0
        is_bad = is_not_finite | ((faults & int(RowFault.REFUSED)) != 0)
        bad = np.flatnonzero(is_bad)
        if len(bad):
            self.not_finite += int(is_not_finite.sum())
            self.refused += int((is_bad & ~is_not_finite).sum())
            self.rows = [*self.rows[:1], *(first + bad[[0, -1]]).tolist()]
            self.kinds |= int(np.bitwise_or.reduce(faults[bad]))


def examine_rows(subject: Subject, findings: Findings) -> str:
    """Look at the bytes of every tensor, and return what was looked at in one sentence."""
    key = os.urandom(16)
    infos, n_sharing = apart(subject.tensors.values(), (subject.table_name, _OUTPUT))
    n_looked, hashes = 0, {}
    with _other_tensors(subject, findings) as open_table, _Progress(subject.report, infos) as progress:
        for info in infos:
            table = open_table(info)
            if table is None:
                continue
            is_of_tokens = info.name in (subject.table_name, _OUTPUT)
            faults, found = Faults(len(table)), []
            for first, n in _chunks(table):
                flags, some = table.check_rows(first, n, key=key if is_of_tokens else None)
                faults.add(first, flags)
                if is_of_tokens:
                    found.append((flags, some))
                progress.add(n * table.n_bytes // max(len(table), 1))
            _report_faults(subject, info, faults, findings)
            if found:
                hashes[info.name] = np.concatenate([some for _, some in found])
            if info.name == subject.table_name and found:
                flags = np.concatenate([flags for flags, _ in found])
                _examine_tokens(subject, table, flags, hashes[info.name], findings)
            n_looked += 1
    _compare_tied(subject, hashes, findings)
    n_other = len(infos) - n_looked
    left = f"; {n_other} of unknown type or without rows were not" if n_other else ""
    shared = f"; {n_sharing} that share bytes with others were not" if n_sharing else ""
    return f"the bytes of {count(n_looked, 'tensor')} were looked at{left}{shared}"


def check_tensors(subject: Subject, findings: Findings) -> None:
    """Report every tensor that llama.cpp refuses if it is asked to check tensors."""
    infos, n_sharing = apart(subject.tensors.values(), (subject.table_name, _OUTPUT))
    if n_sharing:
        message = f"{n_sharing} tensors share bytes with others, and were not looked at"
        findings.add(REFUSED, message, severity=Severity.ERROR)
    with _other_tensors(subject, findings) as open_table, _Progress(subject.report, infos) as progress:
        for info in infos:
            table = open_table(info)
            if table is None:
                continue
            faults = Faults(len(table))
            for first, n in _chunks(table):
                faults.add(first, table.check_rows(first, n)[0])
                progress.add(n * table.n_bytes // max(len(table), 1))
            _report_faults(subject, info, faults, findings, refused=Severity.ERROR)


# --------------------------------------------------------------------------------------- going through


@contextmanager
def _other_tensors(
    subject: Subject, findings: Findings
) -> Iterator[Callable[[TensorInfo], EmbeddingTable | None]]:
    """Yield what opens the table of a tensor; None for one that has no rows or cannot be decoded.

    What does not fit together is a finding.

    A load mode that reads, or locks, would keep every tensor in memory. There only the token table is taken
    as it was loaded, and the rest through a mapping of its own.
    """
    with ExitStack() as stack:
        source = subject.source
        if source.load_mode != "mmap":
            source = Source(source.path, format="gguf")
            stack.callback(source.close)

        def open_table(info: TensorInfo) -> EmbeddingTable | None:
            if not info.n_bytes or not info.shape:  # rows of no bytes may be as many as the file likes to say
                return None
            if info.name == subject.table_name:
                return subject.open_table(info.name)
            try:
                return EmbeddingTable(source, info.name)
            except UnsupportedTypeError:  # bytes that are codes of a kind unknown here
                return None
            except GGUFError as error:
                message = str(error).removeprefix(f"{error.path}: ")
                path = None if error.path == subject.source.path else error.path
                findings.add(TABLE_PARTS, message, tensor=info.name, path=path, offset=error.offset)
                return None

        yield open_table


def _chunks(table: EmbeddingTable) -> Iterator[tuple[int, int]]:
    """Yield (first row, number of rows) for as much of a table as is looked at in one call."""
    n_rows = len(table)
    row_bytes = max(table.n_bytes // max(n_rows, 1), 1)
    step = min(max(_CHUNK_BYTES // row_bytes, 1), _MAX_ROWS_AT_ONCE)
    for first in range(0, n_rows, step):
        yield first, min(step, n_rows - first)


class _Progress:
    """Turns bytes that were looked at into the share that is done."""

    def __init__(self, tell: Callable[[str, float], None], infos: Iterable[TensorInfo]) -> None:
        self._tell = tell
        self._n_bytes = max(sum(info.n_bytes or 0 for info in infos), 1)
        self._done = 0

    def add(self, n_bytes: int) -> None:
        self._done += n_bytes
        self._tell("looking at tensors", min(self._done / self._n_bytes, 1.0))

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, kind: object, exception: object, trace: object) -> None:
        if kind is None:
            self._tell("looking at tensors", 1.0)


# ------------------------------------------------------------------------------------------ not finite


def _report_faults(
    subject: Subject,
    info: TensorInfo,
    faults: Faults,
    findings: Findings,
    refused: Severity = Severity.WARNING,
) -> None:
    path = None if info.path == subject.source.path else info.path
    for rule, n, severity in (
        (NOT_FINITE, faults.not_finite, Severity.ERROR),
        (REFUSED, faults.refused, refused),
    ):
        if n == 0:
            continue
        first, last = faults.rows[0], faults.rows[-1]
        row_bytes = (info.n_bytes or 0) // max(faults.n_rows, 1)
        what = _kinds(faults.kinds) if rule is NOT_FINITE else "what llama.cpp refuses"
        findings.add(
            rule,
            f"tensor {quote(info.name)} of type {info.type} holds {what} in {n} of {faults.n_rows} rows, "
            + (f"row {first}" if first == last else f"rows {first} to {last}"),
            severity=severity,
            tensor=info.name,
            path=path,
            offset=info.offset + first * row_bytes,
            **_as_ids(info.name in (subject.table_name, _OUTPUT), first, last, n),
        )


def _kinds(kinds: int) -> str:
    words = [(RowFault.NAN, "NaN"), (RowFault.INFINITE, "infinity")]
    return " and ".join(word for kind, word in words if kind & kinds)


def _as_ids(is_of_tokens: bool, first: int, last: int, n: int) -> dict[str, Any]:
    return {"first_id": first, "last_id": last, "n_ids": n} if is_of_tokens else {}


# ------------------------------------------------------------------------------- rows of the token table


def _examine_tokens(
    subject: Subject,
    table: EmbeddingTable,
    flags: npt.NDArray[np.uint8],
    hashes: npt.NDArray[np.uint64],
    findings: Findings,
) -> None:
    is_zero = (flags & int(RowFault.ZERO)) != 0
    is_equal = (flags & int(RowFault.EQUAL)) != 0
    _report_rows(subject, ZERO_ROWS, "with nothing but zeros", np.flatnonzero(is_zero), findings)
    # A table of one column has nothing but such rows.
    if table.shape[1] > 1:
        constant = np.flatnonzero(is_equal & ~is_zero)
        _report_rows(subject, CONSTANT_ROWS, "with one number throughout", constant, findings)
    groups = [(group, _all_reserved(subject, group)) for group in _duplicates(table, hashes, is_zero)]
    for severity in (Severity.WARNING, Severity.NOTE):
        chosen = [group for group, is_reserved in groups if is_reserved is (severity is Severity.NOTE)]
        findings.add_many(
            DUPLICATE_ROWS,
            len(chosen),
            lambda which, chosen=chosen, severity=severity: {  # type: ignore[misc]
                "message": f"{len(chosen[which])} tokens share one row: {_named(subject, chosen[which])}",
                "severity": severity,
                "tensor": table.name,
                **_as_ids(True, int(chosen[which][0]), int(chosen[which][-1]), len(chosen[which])),
            },
        )


def _report_rows(subject: Subject, rule: Rule, what: str, rows: Ids, findings: Findings) -> None:
    """Report rows in one finding for those of reserved tokens and one for the others."""
    is_reserved = np.array([_is_reserved(subject, row) for row in rows.tolist()], np.bool_)
    for chosen, severity in ((rows[~is_reserved], rule.severity), (rows[is_reserved], Severity.NOTE)):
        if len(chosen):
            n = f"{len(chosen)} rows" if len(chosen) > 1 else "1 row"
            kind = "padding or reserved tokens" if severity is Severity.NOTE else "tokens"
            findings.add(
                rule,
                f"{n} of {kind} {what}: {_named(subject, chosen)}",
                severity=severity,
                tensor=subject.table_name,
                **_as_ids(True, int(chosen[0]), int(chosen[-1]), len(chosen)),
            )


def _duplicates(
    table: EmbeddingTable, hashes: npt.NDArray[np.uint64], is_left_out: npt.NDArray[np.bool_]
) -> list[Ids]:
    """Return the groups of rows that have the same bytes, each ascending, by their first row."""
    rows = np.flatnonzero(~is_left_out)
    order = rows[np.argsort(hashes[rows], kind="stable")]
    ends = np.flatnonzero(np.append(hashes[order][1:] != hashes[order][:-1], len(order) > 0)) + 1
    sizes = np.diff(ends, prepend=0)
    groups = [order[end - size : end] for end, size in zip(ends[sizes > 1], sizes[sizes > 1], strict=True)]
    groups = [same for group in groups if len(same := _really_same(table, group)) > 1]
    return sorted(groups, key=lambda group: int(group[0]))


def _really_same(table: EmbeddingTable, group: Ids) -> Ids:
    """Return the rows of a group that equal its first one, of the rare others there are none or few."""
    first = table.gather(group[:1]).view(np.uint32)
    step = max(_CHUNK_BYTES // (4 * max(table.shape[1], 1)), 1)
    same = [
        (table.gather(group[i : i + step]).view(np.uint32) == first).all(axis=1)
        for i in range(0, len(group), step)
    ]
    kept: Ids = group[np.concatenate(same)]
    return kept


def _is_reserved(subject: Subject, row: int) -> bool:
    """Return whether a row is of no token, or of one that stands for nothing."""
    vocabulary = subject.vocabulary
    if vocabulary is None:
        return False
    if row >= len(vocabulary):
        return True
    token = vocabulary[row]
    return (
        token.type == TokenType.UNUSED
        or row in (vocabulary.special.get("pad"), vocabulary.special.get("mask"))
        or _RESERVED.fullmatch(token.text) is not None
    )


def _all_reserved(subject: Subject, group: Ids) -> bool:
    return all(_is_reserved(subject, row) for row in group.tolist())


def _named(subject: Subject, rows: Ids) -> str:
    """Return rows as ranges of ids, with the text of the first token of each."""
    breaks = np.flatnonzero(np.diff(rows) != 1)
    starts = rows[np.concatenate(([0], breaks + 1))].tolist()
    ends = rows[np.concatenate((breaks, [len(rows) - 1]))].tolist()
    parts = []
    for start, end in list(zip(starts, ends, strict=True))[:_MAX_RANGES_SHOWN]:
        has_text = subject.vocabulary is not None and start < len(subject.vocabulary)
        text = f" {quote(subject.vocabulary[start].text)}" if has_text and subject.vocabulary else ""
        parts.append(f"{start}{text}" if start == end else f"{start}{text} to {end}")
    n_more = len(starts) - len(parts)
    return ", ".join(parts) + (f" and {n_more} more ranges" if n_more else "")


def _compare_tied(subject: Subject, hashes: dict[str, npt.NDArray[np.uint64]], findings: Findings) -> None:
    """Report an output projection that has the bytes of the token table."""
    if subject.table_name == _OUTPUT or len(hashes) < 2:
        return
    token_info, output_info = subject.tensors[subject.table_name], subject.tensors[_OUTPUT]
    same_kind = token_info.type == output_info.type and token_info.shape == output_info.shape
    # The hashes are of 64 bits under a key that the file's author cannot know.
    if same_kind and np.array_equal(hashes[subject.table_name], hashes[_OUTPUT]):
        message = f"{_OUTPUT} has the same {output_info.n_bytes} bytes as {subject.table_name}"
        findings.add(TIED_COPY, message, tensor=_OUTPUT, offset=output_info.offset)
