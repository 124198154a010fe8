"""Which tensors to look at, so that no byte of a file is read once a tensor that claims it.

A header of some kilobytes can lay thousands of tensors over the same bytes: looking at each would take the
square of the file's size.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ...core.records import TensorInfo


def apart(infos: Iterable[TensorInfo], always: Collection[str]) -> tuple[list[TensorInfo], int]:
    """Return tensors that share no byte with another, in their order, and how many were left out.

    Parameters
    ----------
    infos : iterable of TensorInfo
    always : collection of str
        Names of tensors, a few, that stay in whatever they share; others that share with them do not.
    """
    listed = list(infos)
    fixed = [info for info in listed if info.name in always]
    kept = {info.name for info in fixed}
    reached: dict[str, int] = {}  # by file, where the last tensor that is kept ends
    for info in sorted(listed, key=lambda info: info.offset):
        n_bytes = info.n_bytes or 0
        if info.name in kept:
            continue
        if n_bytes:
            shares = info.offset < reached.get(info.path, 0) or any(_share(info, other) for other in fixed)
            if shares:
                continue
            reached[info.path] = info.offset + n_bytes
        kept.add(info.name)
    return [info for info in listed if info.name in kept], len(listed) - len(kept)


def _share(a: TensorInfo, b: TensorInfo) -> bool:
    ends = a.offset + (a.n_bytes or 0), b.offset + (b.n_bytes or 0)
    return a.path == b.path and max(a.offset, b.offset) < min(ends)
