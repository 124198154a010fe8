"""Where the tensors of one file lie: next to each other, in order, and aligned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.records import Shard
from ...safe_text import quote
from ..report import Findings
from .rules import GAP, MISALIGNED_DATA, MISALIGNED_TENSOR, OVERLAP, TENSOR_ORDER, TRAILING

Numbers = npt.NDArray[np.int64]

# What ggml asks of the address of a tensor; a mapping begins at a page, so of its offset too.
_GGML_ALIGNMENT = 32


@dataclass
class Extents:
    """The tensors of one file, in the order of its header.

    Attributes
    ----------
    starts, sizes : array of int64
        Byte offsets in the file, and bytes; 0 bytes for a tensor of an unknown type.
    is_known : array of bool
        Whether the size is known.
    name_of : callable
        Returns the name of a tensor by its position here.
    path : str or None
        The file, if it is not the one that was opened.
    """

    shard: Shard
    starts: Numbers
    sizes: Numbers
    is_known: npt.NDArray[np.bool_]
    name_of: Callable[[int], str]
    path: str | None

    def examine(self, findings: Findings) -> None:
        """Report what is wrong with where the tensors lie."""
        if len(self.starts):
            self._find_misaligned(findings)
            self._find_disorder(findings)
            self._find_overlaps_and_gaps(findings)
        self._find_trailing(findings)

    def _at(self, position: int, message: str) -> Mapping[str, Any]:
        name = self.name_of(position)
        offset = int(self.starts[position])
        return {
            "message": f"tensor {quote(name)} {message}",
            "tensor": name,
            "offset": offset,
            "path": self.path,
        }

    def _padded(self, ends: Numbers) -> Numbers:
        """Return where the data may go on after tensors that end there."""
        first, alignment = self.shard.data_offset, self.shard.alignment
        return first - (first - ends) // alignment * alignment

    def _find_misaligned(self, findings: Findings) -> None:
        first, alignment = self.shard.data_offset, self.shard.alignment
        wrong = np.flatnonzero((self.starts - first) % alignment)
        findings.add_many(
            MISALIGNED_TENSOR,
            len(wrong),
            lambda which: self._at(
                int(wrong[which]),
                f"begins {int(self.starts[wrong[which]]) - first} bytes into the data, no multiple of the "
                f"alignment {alignment}",
            ),
        )
        start = int(self.starts.min())
        past = (start - self.shard.first) % _GGML_ALIGNMENT
        if past:
            findings.add(
                MISALIGNED_DATA,
                f"the first tensor begins at byte {start}, {past} past a multiple of "
                f"{_GGML_ALIGNMENT}: llama.cpp aborts when it maps the file",
                offset=start,
                path=self.path,
            )

    def _find_disorder(self, findings: Findings) -> None:
        wrong = np.flatnonzero(self.starts[1:] < self.starts[:-1]) + 1
        findings.add_many(
            TENSOR_ORDER,
            len(wrong),
            lambda which: self._at(
                int(wrong[which]),
                f"lies before {quote(self.name_of(int(wrong[which]) - 1))}, which the header lists before it",
            ),
        )

    def _find_overlaps_and_gaps(self, findings: Findings) -> None:
        order = np.lexsort((self.sizes, self.starts))
        starts, ends = self.starts[order], (self.starts + self.sizes)[order]
        reached = np.maximum.accumulate(ends)
        longest = order[_positions_of_maxima(ends)]
        shared = np.flatnonzero((starts[1:] < reached[:-1]) & (self.sizes[order][1:] > 0)) + 1

        def overlap(which: int) -> Mapping[str, Any]:
            at = int(shared[which])
            n_bytes = int(min(ends[at], reached[at - 1]) - starts[at])
            other = self.name_of(int(longest[at - 1]))
            return self._at(int(order[at]), f"shares {n_bytes} bytes with tensor {quote(other)}")

        findings.add_many(OVERLAP, len(shared), overlap)
        # After a tensor of unknown size any number of bytes may be its own.
        allowed = np.concatenate(([self.shard.data_offset], self._padded(reached[:-1])))
        is_told = np.concatenate(([True], self.is_known[order][:-1]))
        gaps = np.flatnonzero((starts > allowed) & is_told)

        def gap(which: int) -> Mapping[str, Any]:
            at = int(gaps[which])
            n_bytes, offset = int(starts[at] - allowed[at]), int(allowed[at])
            name = self.name_of(int(order[at]))
            message = f"{n_bytes} bytes before tensor {quote(name)} belong to no tensor"
            return {"message": message, "tensor": name, "offset": offset, "path": self.path}

        findings.add_many(GAP, len(gaps), gap)

    def _find_trailing(self, findings: Findings) -> None:
        end = self.shard.data_offset
        if len(self.starts):
            ends = self.starts + self.sizes
            end = int(ends.max())
            if not self.is_known[ends == end].all():
                return
            end = int(self._padded(np.array([end]))[0])
        if self.shard.end > end:
            findings.add(
                TRAILING,
                f"{self.shard.end - end} bytes follow the end of the tensors",
                offset=end,
                path=self.path,
            )


def _positions_of_maxima(values: Numbers) -> Numbers:
    """Return where the largest value up to each position stands first."""
    is_new = np.concatenate(([True], values[1:] > np.maximum.accumulate(values)[:-1]))
    return np.maximum.accumulate(np.where(is_new, np.arange(len(values)), 0))
