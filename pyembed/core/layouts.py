"""What tables are made of: of one tensor, or of several that belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .._native import ffi, lib
from ..errors import CData, Status
from .handle import Source
from .strings import decode_string

_SHARING: Mapping[int, str | None] = {
    lib.PYE_SCALES_NONE: None,
    lib.PYE_SCALES_A_TABLE: "table",
    lib.PYE_SCALES_A_ROW: "row",
    lib.PYE_SCALES_A_GROUP: "group",
}


@dataclass(frozen=True, slots=True)
class TableLayout:
    """What a table is made of; as a text, the same in words.

    With q the number that a code stands for, s its scale, b its bias and g the factor, a weight is q, q s,
    q s + b, (q s) g or (q s) / g, in float32, each step rounded to nearest even.

    Attributes
    ----------
    codes : str
        How weights are stored: the name of a tensor type, such as ``"Q4_K"`` or ``"I8"``, or ``"F8_E4M3"``,
        ``"F8_E5M2"``, ``"F4"``, or ``"U2"`` to ``"U8"`` for whole numbers of that many bits.
    scales, biases : str or None
        How those are stored, such as ``"BF16"`` or ``"F8_E8M0"``; None where there are none.
    sharing : {"table", "row", "group"} or None
        What shares a scale, and a bias: all rows (of a shard, if each has its own), a row, or a group.
    group : int or None
        Columns that share a scale: all of a row, unless `sharing` is ``"group"``.
    factor : float or None
        A number that all weights are multiplied with, or divided by.
    divides : bool
        Whether they are divided by it.
    code_bytes, scale_bytes, bias_bytes : int
        Of a row.
    n_shards, shard_rows : int
        How many tensors the rows are cut into, and the rows of each but the last, which may have fewer.
    n_stored_rows : int
        Rows of codes. Where `mapping` is true a table's row may be any of these.
    mapping, weights : bool
        Whether the table is model2vec's: with a mapping from tokens to rows, with a weight for each token.
        `scales` then says how the weights are stored.
    scale : float or None
        The one scale of all rows, where they share it: raw rows do not have it.
    tensors : tuple of str
        The names of all tensors that belong to it.
    """

    codes: str
    scales: str | None
    biases: str | None
    sharing: str | None
    group: int | None
    factor: float | None
    divides: bool
    code_bytes: int
    scale_bytes: int
    bias_bytes: int
    n_shards: int
    shard_rows: int
    n_stored_rows: int
    mapping: bool
    weights: bool
    tensors: tuple[str, ...]
    scale: float | None = None

    def __str__(self) -> str:
        words = [self.codes]
        if self.weights:
            words.append(f"{self.scales} weights, one a row")
        elif self.scales is not None:
            what = f"{self.scales} scales" if self.biases is None else f"{self.scales} scales and biases"
            words.append(f"{what}, {self._shared()}")
        if self.factor is not None:
            words.append(f"{'divided by' if self.divides else 'times'} {self.factor:g}")
        if self.n_shards > 1:
            words.append(f"in {self.n_shards} shards of {self.shard_rows} rows")
        if self.mapping:
            words.append(f"mapped to {self.n_stored_rows} stored rows")
        return "; ".join(words)

    def _shared(self) -> str:
        if self.sharing == "group":
            return f"one for {self.group} columns"
        return "one a row" if self.sharing == "row" else "one for all rows"


def layout_of(source: Source, table: CData) -> TableLayout:
    """Return what an open table of a file is made of."""
    layout, error = ffi.new("pye_table_layout *"), ffi.new("pye_error *")
    layout.struct_bytes = ffi.sizeof("pye_table_layout")
    source.check(lib.pye_table_get_layout(table, layout, error), error)
    tensor, names = ffi.new("pye_tensor *"), []
    for index in range(layout.n_tensors):
        source.check(lib.pye_table_tensor_at(table, index, tensor, error), error)
        names.append(decode_string(tensor.name))
    source.ensure_intact(source._handle())
    scales, biases = (ffi.string(name).decode("ascii") or None for name in (layout.scales, layout.biases))
    return TableLayout(
        codes=ffi.string(layout.codes).decode("ascii"),
        scales=scales,
        biases=biases,
        sharing=_SHARING[layout.sharing],
        group=None if scales is None else layout.group,
        factor=layout.factor_value if layout.factor else None,
        divides=layout.factor == 2,
        code_bytes=layout.code_bytes,
        scale_bytes=layout.scale_bytes,
        bias_bytes=layout.bias_bytes,
        n_shards=layout.n_shards,
        shard_rows=layout.shard_rows,
        n_stored_rows=layout.n_stored_rows,
        mapping=bool(layout.has_mapping),
        weights=bool(layout.has_weights),
        tensors=tuple(names),
        scale=layout.scale_value if layout.has_scale_value else None,
    )


def sharded_tables(source: Source) -> list[str]:
    """Return the names of the tables of an open file that are cut into shards, in order."""
    model, name, error = source._handle(), ffi.new("pye_string *"), ffi.new("pye_error *")
    position, names = ffi.new("size_t *"), []
    while (status := lib.pye_sharded_table_next(model, position, name, error)) == Status.OK:
        names.append(decode_string(name[0]))
    if status != Status.NOT_FOUND:
        source.check(status, error)
    source.ensure_intact(model)
    return names
