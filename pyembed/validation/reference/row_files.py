"""Finds the rows in a directory as Hugging Face keeps models: one file, shards, or none that can be read."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from ...core.handle import Source
from ...files.metadata import Tensors
from ...tables.tensor_names import is_token_table, parse_name
from .model_file import rows_of
from .reference import Rows

#: Best first. Mistral's own repositories have both kinds of names.
_WHOLE = (
    "model.safetensors.index.json",
    "model.safetensors",
    "consolidated.safetensors.index.json",
    "consolidated.safetensors",
)
_SHARD = re.compile(r"(model|consolidated)-(\d{5})-of-(\d{5})\.safetensors")
#: Weights of other kinds, whose rows cannot be compared.
_UNREADABLE = re.compile(
    r"(pytorch_model|consolidated|model|tf_model|flax_model|rust_model|weights|adapter_model|params).*"
    r"\.(bin|pth|pt|ckpt|h5|msgpack|ot|npz|onnx|safetensors)(\.index\.json)?"
)
#: What download tools append to the names of files that they have not finished.
_UNFINISHED = re.compile(r".*\.(safetensors|bin|pth)\.(part|partial|incomplete|aria2|crdownload|tmp)")


def rows_in(directory: str) -> Rows | None:
    """Return the rows that a directory holds, or why they cannot be read; None where it has no weights.

    Raises
    ------
    FormatError
        If the file with the rows is damaged, or a Git LFS pointer.
    """
    names, dangling = _files_in(directory)
    for name in _WHOLE:
        if name in names:
            return _whole(os.path.join(directory, name))
        if name in dangling:
            return Rows(unread=f"{os.path.join(directory, name)}: a link to a file that is missing")
    shards = [match for match in map(_SHARD.fullmatch, names) if match]
    if shards:
        first = next((m for m in shards if m[1] == "model"), shards[0])
        same = [m[0] for m in shards if (m[1], m[3]) == (first[1], first[3])]
        return _of_shards(directory, same, int(first[3]))
    others = [name for name in names if name.endswith(".safetensors") and not name.startswith("adapter_")]
    if len(others) == 1:
        return _whole(os.path.join(directory, others[0]))
    return _unread(directory, names, dangling, others)


def _unread(
    directory: str, names: Sequence[str], dangling: Sequence[str], others: Sequence[str]
) -> Rows | None:
    """Return why the weights of a directory cannot be read; None where it has none."""
    weights = [name for name in names if name in others or _UNREADABLE.fullmatch(name)]
    if weights:
        shown = ", ".join(weights[:3]) + (", ..." if len(weights) > 3 else "")
        kind = "files of that kind are not read"
        why = "which of them has the token table is unknown" if len(others) > 1 else kind
        return Rows(unread=f"the directory's weights are in {shown}: {why}")
    for name in dangling:
        if _SHARD.fullmatch(name) or _UNREADABLE.fullmatch(name):
            return Rows(unread=f"{os.path.join(directory, name)}: a link to a file that is missing")
    for name in names:
        if _UNFINISHED.fullmatch(name):
            return Rows(unread=f"{os.path.join(directory, name)}: an unfinished download")
    return None


def _files_in(directory: str) -> tuple[list[str], list[str]]:
    """Return the names of a directory's files in order, and those of links to files that are missing."""
    names: list[str] = []
    dangling: list[str] = []
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        if os.path.isfile(path):
            names.append(name)
        elif not os.path.exists(path):
            dangling.append(name)
    return names, dangling


def _whole(path: str) -> Rows:
    try:
        source = Source(path)
    except FileNotFoundError as error:
        return Rows(unread=f"a part of the set is missing: {error}")
    return _rows_or_close(source)


def _of_shards(directory: str, names: Sequence[str], n: int) -> Rows:
    """Return the rows of shards without an index: of the one that holds the token table."""
    unread = Rows(unread="none of the shards holds a known token table")
    for name in names:
        source = Source(os.path.join(directory, name))
        if n > 1 and not _names_table(source):
            source.close()
            continue
        found = _rows_or_close(source)
        if found.table is not None:
            return found
        unread = found
    if len(names) < n:
        return Rows(unread=f"{n - len(names)} of {n} shards are missing, and {unread.unread}")
    return unread


def _names_table(source: Source) -> bool:
    """Return whether a shard has a token table by name: its only matrix may be anything."""
    return any(is_token_table(parse_name(info.name).stem) for info in Tensors(source).values())


def _rows_or_close(source: Source) -> Rows:
    try:
        rows = rows_of(source)
    except BaseException:
        source.close()
        raise
    if rows.table is None:
        source.close()
    return rows
