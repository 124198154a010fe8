"""Changes to an open model, collected and checked before anything is written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..core.constants import ValueType
from ..core.dtypes import TensorType, tensor_type
from ..core.handle import Source
from ..core.strings import encode_text
from ..errors import GGUFError, NotFoundError, UnsupportedTypeError, nearest_names
from ..files.byte_ranges import FileRange, tensor_range
from ..files.copying import Piece, n_bytes_of
from ..files.gguf_encoding import Encoder
from ..files.metadata import near_tensors
from ..safe_text import quote
from .later_metadata import number_in
from .layout import Layout, StoredTensor, layouts_of
from .values import Value, typed

ALIGNMENT_KEY = "general.alignment"
_DEFAULT_ALIGNMENT = 32
_MOST_ALIGNMENT = 1 << 20
_MOST_KEY_BYTES = 65_535
_SPLIT = "split."
_SET_COUNT = "split.tensors.count"


@dataclass(frozen=True)
class FilePlan:
    """What one file will consist of.

    Attributes
    ----------
    layout : Layout
        Of the file as it is.
    head : list of Piece
        All before the padding that precedes the data.
    data : list of list of Piece
        Tensors; each begins at a multiple of the alignment; where they stay in their places, all of
        them as one.
    alignment : int
    is_changed : bool
        Whether it will differ from the file as it is.
    keeps_data : bool
        Whether all bytes of tensors stay as they are and where they are among each other.
    """

    layout: Layout
    head: list[Piece]
    data: list[list[Piece]]
    alignment: int
    is_changed: bool
    keeps_data: bool

    @property
    def n_bytes(self) -> int:
        """Bytes without padding."""
        return sum(map(n_bytes_of, self.head)) + sum(
            n_bytes_of(part) for parts in self.data for part in parts
        )


@dataclass
class _Entry:
    """A metadata entry of the new file: a new value, or a stored entry, perhaps under a new key."""

    stored: FileRange | None
    stored_key: str
    value: Value | None = None


@dataclass
class _Tensor:
    """A tensor of the new file; `parts` are its bytes where they are not the stored ones."""

    stored: StoredTensor
    name: str
    shape: tuple[int, ...]
    type_id: int
    parts: list[Piece] | None = None


class Edit:
    """Changes to a GGUF model.

    Every method checks what it is given and raises ValueError, or NotFoundError (a KeyError) for a key or a
    tensor that is not there; nothing is written before `pyembed.editing.writing` is asked to.

    Parameters
    ----------
    source : Source
        The open model, which must stay open until the files are written.

    Raises
    ------
    GGUFError
        For a file of version 1.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self._layouts = layouts_of(source)
        self._entries = {key: _Entry(place, key) for key, place in self._layouts[0].entries}
        self._tensors = [
            [
                _Tensor(stored, stored.info.name, stored.info.shape, stored.type_id)
                for stored in layout.tensors
            ]
            for layout in self._layouts
        ]
        self._later: dict[int, list[Piece]] = {}
        self._changed: set[int] = set()
        self._moved: set[int] = set()

    # ------------------------------------------------------------------------------------ metadata

    def set(self, key: str, value: Value) -> None:
        """Give a key a value, in its place; a new key comes last."""
        self._check_key(key)
        if key == ALIGNMENT_KEY:
            self._check_alignment(value)
            self._moved.add(0)
        entry = self._entries.get(key)
        self._entries[key] = _Entry(None, key, value) if entry is None else replace(entry, value=value)
        self._changed.add(0)

    def set_typed(self, key: str, type_name: str, value: Any) -> None:
        """Give a key a value of a type such as ``"u32"`` or ``"string[]"``."""
        self.set(key, typed(type_name, value))

    def unset(self, key: str) -> None:
        """Remove a key."""
        self._check_key(key)
        self._entry(key)
        del self._entries[key]
        self._changed.add(0)
        if key == ALIGNMENT_KEY:
            self._moved.add(0)

    def rename(self, old: str, new: str) -> None:
        """Give a value another key."""
        for key in (old, new):
            self._check_key(key)
            if key == ALIGNMENT_KEY:
                raise ValueError(f"{ALIGNMENT_KEY} decides where tensors lie: set or unset it")
        self._entry(old)
        if new in self._entries:
            raise ValueError(f"{self.source.path}: there is a key {quote(new)} already")
        self._entries = {new if key == old else key: entry for key, entry in self._entries.items()}
        self._changed.add(0)

    def has(self, key: str) -> bool:
        """Return whether the new file will have a key."""
        return key in self._entries

    def _entry(self, key: str) -> _Entry:
        if key not in self._entries:
            raise NotFoundError(
                f"{self.source.path}: no metadata key {quote(key)}", lambda: nearest_names(key, self._entries)
            )
        return self._entries[key]

    def _check_key(self, key: str) -> None:
        data = encode_text(key)
        if not data or len(data) > _MOST_KEY_BYTES:
            raise ValueError(f"{quote(key)} cannot be a key: keys have 1 to {_MOST_KEY_BYTES} bytes")
        if key.startswith(_SPLIT) and len(self._layouts) > 1:
            raise ValueError(
                f"{quote(key)} says how this set of files belongs together and cannot be changed"
            )

    def _check_alignment(self, value: Value) -> None:
        n = value.value
        is_u32 = value.kind == ValueType.U32 and not value.is_array
        if not is_u32 or not 0 < n <= _MOST_ALIGNMENT or n & (n - 1):
            raise ValueError(f"{ALIGNMENT_KEY} is a power of two of type u32, at most {_MOST_ALIGNMENT}")

    # ------------------------------------------------------------------------------------- tensors

    def drop_tensor(self, name: str) -> None:
        """Leave a tensor out."""
        number, tensor = self._find(name)
        self._tensors[number].remove(tensor)
        self._changed.add(number)
        self._moved.add(number)
        if len(self._layouts) > 1:
            self._count_again()

    def rename_tensor(self, old: str, new: str) -> None:
        """Give a tensor another name."""
        number, tensor = self._find(old)
        data = encode_text(new)
        if not data or len(data) >= 64:
            raise ValueError(f"{quote(new)} cannot be a tensor's name: llama.cpp takes 1 to 63 bytes")
        if any(new == other.name for others in self._tensors for other in others):
            raise ValueError(f"{self.source.path}: there is a tensor {quote(new)} already")
        tensor.name = new
        self._changed.add(number)

    def replace_tensor(self, name: str, shape: tuple[int, ...], kind: TensorType, parts: list[Piece]) -> None:
        """Give a tensor another shape (rows first), type and bytes, in its place."""
        number, tensor = self._find(name)
        if tensor.parts is not None:
            raise ValueError(f"{quote(name)} is changed twice; make one change, then the other to its result")
        wanted = kind.n_bytes(math.prod(shape[:-1]), shape[-1])
        if wanted != sum(map(n_bytes_of, parts)):
            raise ValueError(f"{quote(name)}: the parts do not add up to {wanted} bytes")
        tensor.shape, tensor.type_id, tensor.parts = shape, kind.id, parts
        self._changed.add(number)
        self._moved.add(number)

    def _find(self, name: str) -> tuple[int, _Tensor]:
        for number, tensors in enumerate(self._tensors):
            for tensor in tensors:
                if tensor.name == name:
                    return number, tensor
        raise NotFoundError(
            f"{self.source.path}: no tensor is named {quote(name)}", near_tensors(self.source, name)
        )

    def _count_again(self) -> None:
        """State how many tensors a split set has, in all files: each counts those of all."""
        n = sum(map(len, self._tensors))
        stored = self.source.metadata_value(_SET_COUNT)
        if stored is not None:
            kind = ValueType(stored.type)
            self._entries[_SET_COUNT] = replace(self._entries[_SET_COUNT], value=Value(kind, n))
            self._changed.add(0)
        for number, layout in enumerate(self._layouts[1:], 1):
            ((_, metadata),) = layout.entries
            place = number_in(layout.shard, metadata, layout.shard.n_metadata, _SET_COUNT)
            if place is not None:
                data = Encoder(big_endian=layout.shard.big_endian).number(place.code, n)
                self._later[number] = _with_bytes(metadata, place.place, data)
                self._changed.add(number)

    # --------------------------------------------------------------------------------------- plans

    def plans(self) -> list[FilePlan]:
        """Return what each file of the model will consist of."""
        return [self._plan(number) for number in range(len(self._layouts))]

    def _plan(self, number: int) -> FilePlan:
        layout, tensors = self._layouts[number], self._tensors[number]
        shard = layout.shard
        encoder = Encoder(big_endian=shard.big_endian)
        if number == 0:
            metadata = [
                piece for key, entry in self._entries.items() for piece in _pieces(encoder, key, entry)
            ]
            n_metadata, alignment = len(self._entries), self._alignment()
        else:
            metadata = self._later.get(number) or [place for _, place in layout.entries]
            n_metadata, alignment = shard.n_metadata, shard.alignment
        if number in self._moved:
            offsets, data = _arranged(tensors, alignment, shard.n_bytes)
        else:
            offsets = [tensor.stored.info.offset - shard.data_offset for tensor in tensors]
            data = [[layout.data]]
        infos = [
            encoder.tensor(encode_text(tensor.name) or b"", tensor.shape, tensor.type_id, offset)
            for tensor, offset in zip(tensors, offsets, strict=True)
        ]
        head: list[Piece] = [
            encoder.counts(shard.version, len(infos), n_metadata),
            *metadata,
            b"".join(infos),
        ]
        return FilePlan(
            layout,
            head,
            data,
            alignment if tensors else 1,
            number in self._changed,
            number not in self._moved,
        )

    def _alignment(self) -> int:
        """Return the alignment of the first file's tensors."""
        entry = self._entries.get(ALIGNMENT_KEY)
        if entry is None:
            return _DEFAULT_ALIGNMENT
        return self._layouts[0].shard.alignment if entry.value is None else int(entry.value.value)


def _pieces(encoder: Encoder, key: str, entry: _Entry) -> Sequence[Piece]:
    """Return the bytes of a metadata entry, which are copied where they are stored as they shall be."""
    data = encode_text(key) or b""
    if entry.value is not None:
        return (entry.value.encoded(encoder, data),)
    assert entry.stored is not None
    if key == entry.stored_key:
        return (entry.stored,)
    old = 8 + len(encode_text(entry.stored_key) or b"")
    value = FileRange(entry.stored.path, entry.stored.offset + old, entry.stored.n_bytes - old)
    return (encoder.string(data), value)


def _with_bytes(whole: FileRange, part: FileRange, data: bytes) -> list[Piece]:
    """Return a range of a file with other bytes in place of a part of it."""
    behind = part.offset + part.n_bytes
    return [
        FileRange(whole.path, whole.offset, part.offset - whole.offset),
        data,
        FileRange(whole.path, behind, whole.offset + whole.n_bytes - behind),
    ]


def _arranged(tensors: list[_Tensor], alignment: int, file_bytes: int) -> tuple[list[int], list[list[Piece]]]:
    """Return offsets of tensors that follow each other, as llama.cpp asks for, and their bytes.

    Raises
    ------
    UnsupportedTypeError
        If the size of a tensor is unknown.
    GGUFError
        If tensors share bytes, so that a copy of each would be larger than the file.
    """
    offsets, data, position, copied = [], [], 0, 0
    for tensor in tensors:
        parts = tensor.parts
        if parts is None:
            stored = tensor_range(tensor.stored.info)
            copied += stored.n_bytes
            parts = [stored]
        offsets.append(position)
        data.append(parts)
        n_bytes = sum(map(n_bytes_of, parts))
        position += n_bytes + -n_bytes % alignment
    if copied > file_bytes:
        path = tensors[0].stored.info.path
        raise GGUFError(f"{path}: its tensors share bytes, and cannot be laid out one after the other", path)
    return offsets, data


def type_of(name: str) -> TensorType:
    """Return a tensor type by its name; ValueError for one that is unknown."""
    try:
        return tensor_type(name)
    except UnsupportedTypeError as error:
        raise ValueError(str(error)) from None
