"""A small GGUF file with the vocabulary and the tables of a model of any size."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ..core.handle import Source
from ..core.paths import Path
from ..core.progress import Progress, part_of, report_to
from ..core.records import Shard, TensorInfo
from ..errors import GGUFError, NotFoundError
from ..safe_text import quote
from .atomic_write import check_is_not_read, replacing
from .gguf_writer import GGUFWriter
from .metadata import Tensors, near_tensors

KEPT = (
    "token_embd.weight",
    "token_types.weight",
    "position_embd.weight",
    "token_embd_norm.weight",
    "token_embd_norm.bias",
    "output_norm.weight",
    "output_norm.bias",
    "output.weight",
    "output.bias",
)
"""Tensors that are kept where a model has them: all that the way from ids into the first layer takes, and the
way from the last hidden state to logits, but the tables per layer, which may be larger than all else."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """What was written.

    Attributes
    ----------
    path : str
        The new file.
    n_bytes : int
        Its size.
    tensors : tuple of str
        Names of its tensors, in its order.
    """

    path: str
    n_bytes: int
    tensors: tuple[str, ...]


def extract(
    path: Path,
    out: str | os.PathLike[str],
    *,
    tensors: Iterable[str] = (),
    progress: Progress | None = None,
) -> Extracted:
    """Write a GGUF file with only the vocabulary, the metadata and the tables of a model.

    The tensors' bytes are copied as they are, so rows are the same bits, and the token list has the same
    digest. All metadata is kept but ``split.*``: of a split set one file comes out. The byte order is the
    tensors', the version 3. Memory does not grow with the model.

    Parameters
    ----------
    path : path-like
        The model, or the first file of a split set.
    out : path-like
        The new file; what is there is replaced once the new one is whole.
    tensors : iterable of str, optional
        Tensors to keep beside `KEPT`: names, or patterns such as ``"per_layer_*"``.
    progress : callable, optional
        Called with what is being done and the share of it that is done, between 0 and 1; a false answer that
        is not None cancels.

    Returns
    -------
    Extracted

    Raises
    ------
    OSError
        If a file cannot be read or written.
    GGUFError
        If the model is damaged, its tensors are not all of one byte order, or its files were replaced or
        written to meanwhile.
    NotFoundError
        (a KeyError) if a name in `tensors` matches nothing, or the model has no token table.
    UnsupportedTypeError
        If a tensor that is to be kept is of an unknown type.
    ValueError
        If `out` is a file of the model itself.
    """
    name = os.fspath(out)
    source = Source(path, format="gguf")
    try:
        shards = source.shards()
        check_is_not_read(name, source)
        kept = _chosen(source, tensors)
        orders = {shard.path: shard.big_endian for shard in shards}
        big_endian = orders[kept[0].path]
        other = next((info for info in kept if orders[info.path] != big_endian), None)
        if other is not None:
            raise GGUFError(
                f"{other.path}: {quote(other.name)} and {quote(kept[0].name)} lie in files of different byte "
                "order; one file cannot hold both",
                other.path,
            )
        _refuse_growth(kept, shards)
        writer = GGUFWriter(source, big_endian=big_endian, alignment=shards[0].alignment)
        for key in source.metadata_keys():
            if not key.startswith("split."):
                writer.copy_metadata(key)
        for info in kept:
            writer.add_tensor(info)
        with replacing(name, source) as file:
            n_bytes = writer.write(file, part_of(report_to(progress), "copying"))
            change = source.change()
            if change is not None:  # bytes are read by path: they may be of two files
                raise GGUFError(f"{change} and cannot be copied; try again", change.path)
    except NotFoundError as error:
        error.settle()
        raise
    finally:
        source.close()
    return Extracted(name, n_bytes, tuple(info.name for info in kept))


def _refuse_growth(kept: list[TensorInfo], shards: list[Shard]) -> None:
    """Raise GGUFError if tensors lie over each other, so that a copy of each is more than there is."""
    n_bytes, most = sum(info.n_bytes or 0 for info in kept), sum(shard.n_bytes for shard in shards)
    if n_bytes > most:
        raise GGUFError(
            f"{kept[0].path}: the {len(kept)} tensors share bytes: copied one by one they would take "
            f"{n_bytes} bytes, and the model has {most}; name fewer",
            kept[0].path,
        )


def _chosen(source: Source, patterns: Iterable[str]) -> list[TensorInfo]:
    """Return the tensors to keep, in the order of the files."""
    everything = Tensors(source)
    if KEPT[0] not in everything and "output.weight" not in everything:
        raise NotFoundError(f"{source.path}: no {KEPT[0]} to extract", near_tensors(source, KEPT[0]))
    names = {name for name in KEPT if name in everything}
    for pattern in patterns:
        matching = {name for name in everything if name == pattern or fnmatchcase(name, pattern)}
        if not matching:
            raise NotFoundError(
                f"{source.path}: no tensor is named {quote(pattern)}", near_tensors(source, pattern)
            )
        names |= matching
    return [info for name, info in everything.items() if name in names]
