"""Which tensor of a file holds the token embeddings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..core.handle import Source
from ..core.layouts import sharded_tables
from ..core.records import TensorInfo
from ..errors import FormatError, NotFoundError, UnsupportedTypeError
from ..files.byte_ranges import same_bytes, tensor_range
from ..files.gguf_kind import kind_of_gguf
from ..files.metadata import Metadata, Tensors, near_tensors
from ..safe_text import quote
from .tensor_names import Named, is_output, is_something_else, is_token_table, parse_name

#: What llama.cpp calls the token table and the output projection in GGUF files.
TOKEN_TABLE = "token_embd.weight"
OUTPUT_TABLE = "output.weight"

#: What compressed-tensors calls codes that share bytes.
_PACKED = "weight_packed"
#: The names that model2vec gives a table: its `mapping` and `weights` are found through them.
_MAPPED = frozenset({"embeddings", "embedding.weight"})
_INTEGERS = frozenset({"I8", "I16", "I32", "I64"})
_MAX_LISTED = 20
# Copies are compared byte by byte; a file could name as many, and as large ones, as it likes.
_MAX_COPIES = 8
_MAX_COMPARED_BYTES = 16 << 30
_PART_OF_A_SET = re.compile(r"-\d{5}-of-\d{5}\.safetensors$")


@dataclass(frozen=True, slots=True)
class TokenTable:
    """The table that holds a file's token embeddings.

    Attributes
    ----------
    name : str
        Of a tensor, or what comes before the numbers of a table's shards.
    copies : tuple of str
        Other tensors of the file that are named like token tables and hold the same bytes.
    """

    name: str
    copies: tuple[str, ...] = ()


def find_token_table(source: Source) -> TokenTable:
    """Return the table that holds an open file's token embeddings.

    In a GGUF file that is ``token_embd.weight``. Without it, and in safetensors, it is the tensor that is
    named like a token table: by the end of its name, see ``tensor_names``. The only tensor of two dimensions
    of a safetensors file is taken under any name that is not known to be something else's. Whether the scales
    that may lie beside it are as they should be shows when the table is opened.

    Raises
    ------
    NotFoundError
        (a KeyError) if a GGUF file has none.
    UnsupportedTypeError
        If the table is stored as codes that cannot be decoded here.
    FormatError
        (a ValueError) if the names leave open which tensor it is; the message lists the candidates.
    """
    if source.format not in ("gguf", "safetensors"):
        return TokenTable("data")
    is_gguf = source.format == "gguf"
    if is_gguf and source.tensor(TOKEN_TABLE) is not None:
        return TokenTable(TOKEN_TABLE)
    infos = list(Tensors(source).values())
    named = [(info, parse_name(info.name)) for info in infos]
    known = [(info, name) for info, name in named if is_token_table(name.stem)]
    rows = [info for info, name in known if name.is_rows and _has_rows(info)]
    if not is_gguf:
        rows += [info for info, name in known if name.part == _PACKED]
    sharded = [] if is_gguf else [name for name in sharded_tables(source) if is_token_table(name)]
    opened = set() if is_gguf else {*(parse_name(info.name).stem for info in rows), *sharded}
    _refuse_coded(source, {name.stem for _, name in known if not name.is_rows} - opened, infos)
    if sharded:
        found = _only_sharded(source, sharded, rows)
    elif rows:
        found = _only_one(source, rows, infos)
    elif is_gguf:
        raise _no_table_in_gguf(source)
    else:
        found = TokenTable(_only_matrix(source, named, [info for info, _ in known]).name)
    if source.tensor(found.name) is not None:
        _refuse_codes(source, found.name, infos)
    return found


def refuse_scaled_integers(source: Source, tensor: str) -> None:
    """Raise UnsupportedTypeError if a tensor of a GGUF file holds integers whose scales lie beside it."""
    info = source.tensor(tensor) if source.format == "gguf" else None
    if info is not None and info.type in _INTEGERS:
        name = parse_name(tensor)
        if name.is_rows:
            _refuse_coded(source, [name.stem], list(Tensors(source).values()))


def find_output_table(source: Source, table: TensorInfo) -> str | None:
    """Return the output projection of a GGUF file whose token table is `table`; None where that is tied.

    Raises
    ------
    FormatError
        If several tensors are named like one.
    """
    if source.tensor(OUTPUT_TABLE) is not None:
        return OUTPUT_TABLE
    if table.name == TOKEN_TABLE:
        return None
    found = [
        info.name
        for info in Tensors(source).values()
        if info.shape == table.shape and info.name != table.name and is_output(parse_name(info.name).stem)
    ]
    if len(found) > 1:
        raise FormatError(
            f"{source.path}: which tensor is the output projection? {_listed(map(quote, found))}",
            source.path,
        )
    return found[0] if found else None


# ------------------------------------------------------------------------------------- one of several


def _only_one(source: Source, tables: Sequence[TensorInfo], infos: Sequence[TensorInfo]) -> TokenTable:
    """Return the table that all candidates are copies of, under the shortest of their names."""
    first, *others = sorted(tables, key=lambda info: (len(re.split(r"[./]", info.name)), info.name))
    if not _are_copies(first, others) or not _have_same_parts([first, *others], infos):
        raise _which(source, tables, "these are named like token tables and do not hold the same bytes")
    return TokenTable(first.name, tuple(info.name for info in others))


def _only_sharded(source: Source, names: Sequence[str], others: Sequence[TensorInfo]) -> TokenTable:
    """Return the only table of shards that is named like a token table."""
    if len(names) == 1 and not others:
        return TokenTable(names[0])
    listed = _listed(map(quote, [*names, *(info.name for info in others)]))
    raise FormatError(
        f"{source.path}: which is the token table? Say tensor=...; these are named like one: {listed}",
        source.path,
    )


def _are_copies(first: TensorInfo, others: Sequence[TensorInfo]) -> bool:
    if any((info.shape, info.type) != (first.shape, first.type) for info in others):
        return False
    if not others:
        return True
    n_bytes = first.n_bytes
    if n_bytes is None or len(others) > _MAX_COPIES or n_bytes * len(others) > _MAX_COMPARED_BYTES:
        return False
    return all(
        (info.path, info.offset) == (first.path, first.offset)
        or same_bytes(tensor_range(first), tensor_range(info))
        for info in others
    )


def _have_same_parts(tables: Sequence[TensorInfo], infos: Sequence[TensorInfo]) -> bool:
    """Return whether what lies beside codes, such as their scales, is the same for all of some tables."""
    beside: dict[str, dict[str, TensorInfo]] = {parse_name(table.name).stem: {} for table in tables}
    for info in infos:
        name = parse_name(info.name)
        if name.stem in beside and not name.is_rows and name.part != _PACKED:
            beside[name.stem][name.part] = info
    first, *others = beside.values()
    return all(
        parts.keys() == first.keys() and all(_are_copies(first[part], [parts[part]]) for part in parts)
        for parts in others
    )


def _only_matrix(
    source: Source, named: Sequence[tuple[TensorInfo, Named]], misshapen: Sequence[TensorInfo]
) -> TensorInfo:
    """Return the only tensor of two dimensions, unless its name is that of something else."""
    matrices = [(info, name) for info, name in named if len(info.shape) == 2]
    if misshapen:
        why = "has the name of a token table, and not two dimensions"
        raise _which(source, misshapen, f"{quote(misshapen[0].name)} {why}")
    if len(matrices) == 1 and not is_something_else(matrices[0][1].stem):
        return matrices[0][0]
    infos = [info for info, _ in matrices]
    raise _which(source, infos, "none is named like a token table" if infos else "")


def _has_rows(info: TensorInfo) -> bool:
    """Return whether a tensor is a matrix, dimensions of 1 before it not counted."""
    return len(info.shape) >= 2 and all(n == 1 for n in info.shape[:-2])


def _which(source: Source, candidates: Sequence[TensorInfo], why: str) -> FormatError:
    if not candidates:
        text = f"{source.path}: it has no tensor of two dimensions, and so no token table"
        return FormatError(text + _set_hint(source.path), source.path)
    listed = _listed(
        f"{quote(info.name)} ({' x '.join(map(str, info.shape))}, {info.type})" for info in candidates
    )
    text = f"{source.path}: which tensor is the token table? Say tensor=...; {why}: {listed}"
    return FormatError(text + _set_hint(source.path), source.path)


def _set_hint(path: str) -> str:
    if _PART_OF_A_SET.search(path) is None:
        return ""
    return "; the file is one of a set: open its *.index.json or its directory to find the table"


def _no_table_in_gguf(source: Source) -> NotFoundError:
    kind = kind_of_gguf(Metadata(source), Tensors(source))
    if kind is not None:
        return NotFoundError(f"{source.path}: this is {kind}, it has no token table")
    return NotFoundError(
        f"{source.path}: no tensor is named {TOKEN_TABLE!r}, and none like a token table of another program",
        near_tensors(source, TOKEN_TABLE),
    )


# ------------------------------------------------------------------------------------------ coded rows


def _refuse_codes(source: Source, name: str, infos: Sequence[TensorInfo]) -> None:
    """Raise UnsupportedTypeError unless the tensor `name` holds weights, one row a token."""
    stem, part = parse_name(name)
    is_coded = any(parse_name(info.name).stem == stem and info.name != name for info in infos)
    if source.format == "gguf":
        _refuse_coded(source, [stem], infos)
    beside = {info.name: info for info in infos}
    is_dotless = "." not in stem and "/" not in stem
    if is_dotless and name not in _MAPPED and (mapping := beside.get("mapping")) is not None:
        parts = [mapping.name, *(["weights"] if "weights" in beside else [])]
        raise _coded_error(source, stem, [name, *parts], "the row of a token is found through a mapping")
    info = beside[name]
    if info.type in _INTEGERS and not is_coded and part != _PACKED:
        raise UnsupportedTypeError(
            f"{source.path}: {quote(name)} holds whole numbers ({info.type}) and no scale lies beside it; "
            f"say tensor={quote(name)} to read them as they are",
            info.path,
        )


def _refuse_coded(source: Source, stems: Iterable[str], infos: Sequence[TensorInfo]) -> None:
    wanted = set(stems)
    if not wanted:
        return
    names = [parse_name(info.name) for info in infos]
    coded = sorted({name.stem for name in names if name.stem in wanted and not name.is_rows})
    if coded:
        stem = coded[0]
        parts = [info.name for info in infos if info.name == stem or info.name.startswith(stem + ".")]
        raise _coded_error(source, stem, parts, "its rows are codes that others scale")


def _coded_error(source: Source, stem: str, parts: Sequence[str], why: str) -> UnsupportedTypeError:
    return UnsupportedTypeError(
        f"{source.path}: the table {quote(stem)} is stored as {_listed(map(quote, parts))}: {why}, which "
        "cannot be decoded here; use a version of the model with float weights, or a GGUF file",
        source.path,
    )


def _listed(names: Iterable[str]) -> str:
    all_names = list(names)
    return ", ".join(all_names[:_MAX_LISTED]) + (", ..." if len(all_names) > _MAX_LISTED else "")
