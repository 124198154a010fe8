"""Tables whose codes, scales and biases lie apart: made, written as safetensors, and read by the oracle."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .oracles.scaled import ScaledRow

Rng = np.random.Generator
F32 = npt.NDArray[np.float32]

#: The dtypes of safetensors that scales and biases have.
DTYPES = {"f32": "F32", "f16": "F16", "bf16": "BF16", "f64": "F64", "e8m0": "F8_E8M0", "e4m3": "F8_E4M3"}


@dataclass(frozen=True)
class Stored:
    """A tensor as a file holds it."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


def save(path: Path, tensors: Mapping[str, Stored]) -> Path:
    """Write a safetensors file."""
    header, at = {}, 0
    for name, tensor in tensors.items():
        end = at + len(tensor.data)
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    data = b"".join(tensor.data for tensor in tensors.values())
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def save_set(folder: Path, files: Sequence[Mapping[str, Stored]]) -> Path:
    """Write a folder of safetensors files with an index."""
    weight_map = {}
    for i, tensors in enumerate(files):
        name = f"model-{i + 1:05d}-of-{len(files):05d}.safetensors"
        save(folder / name, tensors)
        weight_map |= dict.fromkeys(tensors, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


# ------------------------------------------------------------------------------------------ random parts


def numbers(rng: Rng, kind: str, n: int) -> bytes:
    """Return `n` finite scales of a kind, as stored, of sizes that real ones have."""
    values = (rng.uniform(0.01, 2.0, n) * rng.choice([-1.0, 1.0], n)).astype(np.float32)
    if kind == "e8m0":
        return rng.integers(110, 140, n, np.uint8).tobytes()
    if kind == "e4m3":
        return (rng.integers(0, 127, n, np.uint8) | rng.choice(np.array([0, 128], np.uint8), n)).tobytes()
    if kind == "bf16":
        return (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    return values.astype({"f32": "<f4", "f16": "<f2", "f64": "<f8"}[kind]).tobytes()


def codes(rng: Rng, row: ScaledRow) -> bytes:
    """Return a row's codes: any but those of NaN and infinity."""
    n = row.part_bytes()[0]
    data = rng.integers(0, 256, n, np.uint8)
    if row.code == "e4m3":
        data = np.where(data % 128 == 127, np.uint8(1), data)
    if row.code == "e5m2":
        data = np.where(data % 128 >= 124, np.uint8(1), data)
    return data.astype(np.uint8).tobytes()


@dataclass(frozen=True)
class ScaledTable:
    """A table of such rows, and how its tensors are shaped.

    Attributes
    ----------
    row : ScaledRow
        What all rows are like.
    sharing : str
        ``""``, ``"table"``, ``"row"`` or ``"group"``.
    dtype : str
        The type that the codes' tensor has.
    columns : int
        Its second dimension.
    """

    row: ScaledRow
    sharing: str
    rows: tuple[ScaledRow, ...]
    dtype: str
    columns: int

    def weights(self) -> F32:
        """Return what the oracle makes of the table."""
        return np.stack([row.weights() for row in self.rows])

    def codes(self) -> Stored:
        """Return the tensor of codes."""
        return Stored(self.dtype, (len(self.rows), self.columns), self._joined(0))

    def beside(self, part: int, shape: tuple[int, ...] | None = None) -> Stored:
        """Return the tensor of scales (1) or of biases (2)."""
        kind = (self.row.scales, self.row.biases)[part - 1]
        assert kind is not None
        n_groups = self.row.n_columns // self.row.group if self.row.group else 1
        if self.sharing == "table":
            return Stored(DTYPES[kind], (1,) if shape is None else shape, self.rows[0].parts[part])
        usual = (len(self.rows), n_groups)
        return Stored(DTYPES[kind], usual if shape is None else shape, self._joined(part))

    def _joined(self, part: int) -> bytes:
        return b"".join(row.parts[part] for row in self.rows)

    def part(self, first: int, end: int) -> ScaledTable:
        """Return some of its rows."""
        return replace(self, rows=self.rows[first:end])


#: The types that tensors of codes have.
_CODE_DTYPES = {"e4m3": "F8_E4M3", "e5m2": "F8_E5M2", "I8": "I8", "e2m1": "U8", "bits": "U32"}


def make_table(
    row: ScaledRow, n_rows: int, sharing: str, seed: int = 0, dtype: str | None = None
) -> ScaledTable:
    """Return a table of random rows."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n_rows):
        _, scale_bytes, bias_bytes = row.part_bytes()
        scales = numbers(rng, row.scales, _count(row)) if row.scales else b""
        biases = numbers(rng, row.biases, _count(row)) if row.biases else b""
        assert (len(scales), len(biases)) == (scale_bytes, bias_bytes)
        if sharing == "table" and rows:
            scales = rows[0].parts[1]
        rows.append(replace(row, parts=(codes(rng, row), scales, biases)))
    n_bytes = row.part_bytes()[0]
    dtype = _CODE_DTYPES[row.code] if dtype is None else dtype
    columns = {"U32": n_bytes // 4, "F4": row.n_columns}.get(dtype, n_bytes)
    return ScaledTable(row, sharing, tuple(rows), dtype, columns)


def _count(row: ScaledRow) -> int:
    return row.n_columns // row.group if row.group else 1
