"""What is checked of a repaired model before it is kept."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import closing

from ..core.handle import Source
from ..editing.layout import Layout, layouts_of
from ..errors import PyembedError
from ..files.byte_ranges import FileRange, same_bytes, tensor_range
from ..safe_text import quote
from ..validation import Finding, Report
from .trial import badness, counts_of, is_gone


class RepairError(PyembedError, ValueError):
    """A repair whose result is not what it was to be: nothing of it was kept.

    Attributes
    ----------
    report : pyembed.Report or None
        What validation found in the result, where that was the reason.
    """

    def __init__(self, message: str, report: Report | None = None) -> None:
        super().__init__(message)
        self.report = report


def require_unchanged(
    source: Source, places: Sequence[str], keys: Collection[str], tensors: Collection[str]
) -> None:
    """Raise RepairError unless a new model has all of an open one, but for some keys and tensors."""
    with closing(Source(list(places) if len(places) > 1 else places[0], format="gguf")) as new:
        old_layouts, new_layouts = layouts_of(source), layouts_of(new)
        old_keys, new_keys = _entries(old_layouts), _entries(new_layouts)
        for key in {*old_keys, *new_keys} - set(keys):
            if key not in old_keys or key not in new_keys or not same_bytes(old_keys[key], new_keys[key]):
                raise RepairError(f"the metadata key {quote(key)} changed, which was not to change")
        old_tensors, new_tensors = _tensors(old_layouts), _tensors(new_layouts)
        if old_tensors.keys() != new_tensors.keys():
            raise RepairError("tensors came or went, which was not to happen")
        for name in old_tensors.keys() - set(tensors):
            old, other = old_tensors[name], new_tensors[name]
            if old[0] != other[0] or (old[1] is None) != (other[1] is None):
                raise RepairError(f"the tensor {quote(name)} changed, which was not to change")
            if old[1] is not None and other[1] is not None and not same_bytes(old[1], other[1]):
                raise RepairError(f"bytes of the tensor {quote(name)} changed, which were not to change")


def _entries(layouts: Sequence[Layout]) -> dict[str, FileRange]:
    """Return where the metadata lie, those of later files as a whole."""
    return {
        f"{number}:{key}" if number else key: place
        for number, layout in enumerate(layouts)
        for key, place in layout.entries
    }


def _tensors(layouts: Sequence[Layout]) -> dict[str, tuple[object, FileRange | None]]:
    return {
        stored.info.name: (
            (stored.info.shape, stored.type_id),
            None if stored.info.n_bytes is None else tensor_range(stored.info),
        )
        for layout in layouts
        for stored in layout.tensors
    }


def require_better(before: Report, after: Report, mended: Sequence[Finding]) -> None:
    """Raise RepairError unless findings are gone, and no error came in their place."""
    left = [finding for finding in mended if not is_gone(finding, before, after)]
    if left:
        raise RepairError(f"the result still has: {left[0].message} ({left[0].rule})", after)
    had, has = counts_of(before), counts_of(after)
    new = [
        finding
        for finding in after.findings
        if finding.severity == "error" and has[finding.rule] > had[finding.rule]
    ]
    if new:
        raise RepairError(f"the result would have: {new[0].message} ({new[0].rule})", after)
    if badness(after) >= badness(before):
        raise RepairError("the result would be no better by what validation finds", after)
