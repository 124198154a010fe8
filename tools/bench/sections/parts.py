"""Rows whose codes and scales lie apart, in the cache: against a plain copy and torch's conversion."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import pyembed
from tests.helpers.oracles.scaled import NUMBER_BYTES, ScaledRow

from .. import ceilings, machine, peers
from .. import tables as made
from ..measure import Json, Rival, race
from ..show import Table, median, number, spread, times
from . import Settings

WIDTHS = (4096, 256, 160)
OUTPUT_BYTES = 1 << 20

_DTYPES = {"f32": "F32", "bf16": "BF16", "e4m3": "F8_E4M3", "e8m0": "U8"}


@dataclass(frozen=True)
class Kind:
    """A format: what its rows are like, and the names and types of its tensors."""

    row: ScaledRow
    dtype: str
    scales: str = "weight_scale"
    factor: str = ""


KINDS = {
    "FP8": Kind(ScaledRow(0, "e4m3", scales="f32"), "F8_E4M3"),
    "INT8": Kind(ScaledRow(0, "I8", scales="f32"), "I8"),
    "MXFP8": Kind(ScaledRow(0, "e4m3", scales="e8m0", group=32), "F8_E4M3"),
    "NVFP4": Kind(
        ScaledRow(0, "e2m1", scales="e4m3", group=16, factor_kind="multiplies", factor=0.0125),
        "U8",
        factor="weight_scale_2",
    ),
    "NVFP4, divided": Kind(
        ScaledRow(0, "e2m1", scales="e4m3", group=16, factor_kind="divides", factor=384.7),
        "U8",
        factor="weight_global_scale",
    ),
    "MXFP4": Kind(ScaledRow(0, "e2m1", scales="e8m0", group=32), "U8"),
    "MLX 4 bits": Kind(
        ScaledRow(0, "bits", 4, scales="bf16", biases="bf16", group=64), "U32", scales="scales"
    ),
    "MLX 6 bits": Kind(
        ScaledRow(0, "bits", 6, scales="bf16", biases="bf16", group=64), "U32", scales="scales"
    ),
    "MLX 8 bits": Kind(
        ScaledRow(0, "bits", 8, scales="bf16", biases="bf16", group=64), "U32", scales="scales"
    ),
}


def run(settings: Settings) -> Json:
    """Measure every format at every width."""
    rounds = 9 if settings.quick else 41
    return {"isa": machine.isa(), "widths": [_width(columns, rounds) for columns in WIDTHS]}


def _width(columns: int, rounds: int) -> Json:
    n_rows = OUTPUT_BYTES // (4 * columns)
    ids = np.random.default_rng(1).permutation(n_rows)
    out = ceilings.aligned(n_rows * columns * 4).view(np.float32).reshape(n_rows, columns)
    source = ceilings.aligned(out.nbytes).view(np.float32).reshape(out.shape)
    copy, variant = ceilings.copy_rows(source, ids, out)
    kinds = []
    for name, kind in KINDS.items():
        row = kind.row
        if row.group and columns % row.group:
            row = replace(row, group=32)  # 160 columns of MLX
        parts = _parts(replace(row, n_columns=columns), n_rows)
        with made.scratch(sum(part.nbytes for part in parts)) as folder:
            assert folder is not None, "no room for a small table"
            with _open(folder, kind, row, parts) as table:
                assert table.shape == (n_rows, columns)
                rivals: dict[str, Rival] = {"own": f"gather(ids, out=out{machine.ONE_THREAD})", "copy": copy}
                torch = _torch(row, parts, out)
                if torch is not None:
                    rivals["torch"] = torch
                names = {"gather": table.gather, "ids": ids, "out": out}
                result = race(rivals, rounds=rounds, names=names)
        kinds.append(
            {
                "kind": name,
                "us a row": result.microseconds("own", n_rows),
                "copy us a row": result.microseconds("copy", n_rows),
                "torch us a row": result.microseconds("torch", n_rows) if torch is not None else None,
                "against copy": result.ratio("own", "copy"),
                "against torch": result.ratio("own", "torch"),
            }
        )
    return {"columns": columns, "rows": n_rows, "copy variant": variant, "kinds": kinds}


def _parts(row: ScaledRow, n_rows: int) -> list[made.U8]:
    """Return random codes, scales and biases: uint8 ``[n_rows, bytes of a row]`` each, all finite."""
    rng = np.random.default_rng(5)
    parts = [rng.integers(0, 256, (n_rows, n), np.uint8) for n in row.part_bytes()]
    if row.code == "e4m3":
        parts[0] &= 0xBF  # no NaN
    for part, kind in enumerate((row.scales, row.biases), 1):
        n = parts[part].shape[1] // NUMBER_BYTES[kind] if kind else 0
        if kind == "e4m3":
            parts[part] &= 0x3F
        elif kind == "e8m0":
            parts[part][:] = rng.integers(110, 130, (n_rows, n))
        elif kind:
            values = rng.uniform(0.01, 0.1, (n_rows, n)).astype("<f4").view("<u4")
            stored = values.view(np.uint8) if kind == "f32" else (values >> 16).astype("<u2").view(np.uint8)
            parts[part][:] = stored
    return parts


def _open(folder: Path, kind: Kind, row: ScaledRow, parts: list[made.U8]) -> pyembed.EmbeddingTable:
    """Write a safetensors file, with a config beside it where that says how codes are packed, and open it."""
    names = ("embed.weight", f"embed.{kind.scales}", "embed.biases")
    dtypes = (kind.dtype, _DTYPES[row.scales or "f32"], _DTYPES[row.biases or "f32"])
    item_bytes = {"F32": 4, "U32": 4, "BF16": 2}
    tensors: dict[str, tuple[str, tuple[int, ...], bytes]] = {}
    for name, dtype, part in zip(names, dtypes, parts, strict=True):
        if part.size:
            shape: tuple[int, ...] = (len(part), part.shape[1] // item_bytes.get(dtype, 1))
            tensors[name] = (dtype, shape, part.tobytes())
    if kind.factor:
        tensors[f"embed.{kind.factor}"] = ("F32", (1,), struct.pack("<f", row.factor))
    header, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path = folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(t[2] for t in tensors.values()))
    if row.code == "bits":
        config = {"quantization": {"bits": row.n_bits, "group_size": row.group}}
        (folder / "config.json").write_text(json.dumps({"model_type": "bench", **config}))
        return pyembed.open_table(folder, tensor=names[0])
    return pyembed.open_table(path, tensor=names[0])


def _torch(row: ScaledRow, parts: list[made.U8], out: ceilings.Array) -> Callable[[], object] | None:
    """Return torch's conversion of the same rows, which lie in order; None where torch is missing."""
    torch = peers.torch()
    if torch is None:
        return None
    types: dict[str, Any] = {
        "f32": torch.float32,
        "bf16": torch.bfloat16,
        "e4m3": torch.float8_e4m3fn,
        "e8m0": torch.float8_e8m0fnu,
    }
    codes, scales = torch.from_numpy(parts[0]), torch.from_numpy(parts[1]).view(types[row.scales or ""])
    n_rows, groups = len(parts[1]), scales.shape[1]
    to = torch.from_numpy(out).view(n_rows, groups, -1)
    if row.biases:
        biases = torch.from_numpy(parts[2]).view(types[row.biases])
    if row.code == "e4m3":
        codes = codes.view(torch.float8_e4m3fn)
    elif row.code == "I8":
        codes = codes.view(torch.int8)
    values = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
    shifts = torch.arange(0, 32, 4, dtype=torch.int32)

    def numbers() -> Any:
        if row.code == "e2m1":
            return values[torch.stack((codes & 15, codes >> 4), -1).to(torch.int32)]
        if row.code == "bits" and row.n_bits == 4:
            return ((codes.view(torch.int32)[:, :, None] >> shifts) & 15).to(torch.float32)
        return codes.to(torch.float32)

    def convert() -> None:
        torch.mul(numbers().view(n_rows, groups, -1), scales.to(torch.float32)[:, :, None], out=to)
        if row.biases:
            to.add_(biases.to(torch.float32)[:, :, None])
        if row.factor_kind == "multiplies":
            to.mul_(row.factor)
        elif row.factor_kind == "divides":
            to.div_(row.factor)

    return None if row.n_bits == 6 else convert


def tables(data: Json) -> list[Table]:
    """Lay the figures out."""
    found = []
    for width in data["widths"]:
        copies = float(np.median([kind["copy us a row"]["median"] for kind in width["kinds"]]))
        table = Table(
            f"Rows in parts, {data['isa']}: {width['rows']} hot rows of {width['columns']} to float32",
            ["format", "us a row", "torch us", "x copy", "x torch"],
            note=(
                f"A float32 row copy ({width['copy variant']}) takes {number(copies)} us a row. Columns with "
                "an x: how many times as fast as that rival the rows come. Torch's rows lie in order."
            ),
        )
        for kind in width["kinds"]:
            table.rows.append(
                [
                    kind["kind"],
                    spread(kind["us a row"]),
                    median(kind["torch us a row"]),
                    times(kind["against copy"]),
                    times(kind["against torch"]),
                ]
            )
        found.append(table)
    return found
