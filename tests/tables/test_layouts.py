"""Tables of several tensors: codes with scales, biases and factors beside them, against an oracle."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pyembed
from pyembed._native import ffi, lib
from pyembed.errors import Status
from pyembed.tables.checking import RowFault
from tests.helpers.oracles.compare import assert_bit_equal
from tests.helpers.oracles.scaled import ScaledRow
from tests.helpers.scaled_tables import DTYPES, ScaledTable, Stored, make_table, save

NAME = "model.layers.1.embed"
FACTORS = {"multiplies": "weight_scale_2", "divides": "weight_global_scale"}


def one(value: float, dtype: str = "F32") -> Stored:
    """Return a tensor of one number."""
    bits = struct.pack("<f", value)
    return Stored(dtype, (1,), bits if dtype == "F32" else bits[2:])


def tensors_of(table: ScaledTable, scales: str = "weight_scale", weight: str = "weight") -> dict[str, Stored]:
    """Return the tensors of a table under their usual names."""
    found = {f"{NAME}.{weight}": table.codes()}
    if table.row.scales:
        found[f"{NAME}.{scales}"] = table.beside(1)
    if table.row.biases:
        found[f"{NAME}.biases"] = table.beside(2)
    if table.row.factor_kind:
        found[f"{NAME}.{FACTORS[table.row.factor_kind]}"] = one(table.row.factor)
    return found


def eight_bits() -> Iterator[ScaledTable]:
    """Return FP8 and INT8 with every kind of scale, shared in every way that a width allows."""
    for code in ("e4m3", "e5m2", "I8"):
        for kind in ("f32", "f16", "bf16", "f64", "e8m0"):
            for width, group in ((160, 0), (160, 32), (160, 16), (160, 80), (100, 0), (7, 0), (256, 128)):
                row = ScaledRow(width, code, scales=kind, group=group)
                if (code, kind, group) == ("I8", "e8m0", 16):
                    continue  # could be MXFP4 as well
                for sharing in ("group",) if group else ("table", "row"):
                    yield make_table(row, 9, sharing, seed=width + group)


def four_bits() -> Iterator[ScaledTable]:
    for width in (160, 64, 544):
        for kind, factor in (("multiplies", 0.0125), ("divides", 80.0)):
            row = ScaledRow(
                width, "e2m1", scales="e4m3", group=16, factor_kind=kind, factor=np.float32(factor)
            )
            for dtype in ("U8", "I8", "F4"):
                yield make_table(row, 6, "group", dtype=dtype)
        row = ScaledRow(width, "e2m1", scales="e8m0", group=32)
        for dtype in ("U8", "F4"):
            yield make_table(row, 6, "group", dtype=dtype)


def label(table: ScaledTable) -> str:
    row = table.row
    return (
        f"{table.dtype}-{row.code}-{row.scales}-{table.sharing}-{row.n_columns}-{row.group}-{row.factor_kind}"
    )


@pytest.mark.parametrize("table", [*eight_bits(), *four_bits()], ids=label)
def test_rows_are_codes_times_scales(table: ScaledTable, tmp_path: Path) -> None:
    path = save(tmp_path / "m.safetensors", tensors_of(table))
    row = table.row
    with pyembed.open_table(path, tensor=f"{NAME}.weight") as opened:
        assert_bit_equal(opened[:], table.weights())
        assert opened.shape == (len(table.rows), row.n_columns)
        layout = opened.layout
        assert row.scales is not None
        assert layout.scales == DTYPES[row.scales]
        assert layout.sharing == table.sharing
        assert layout.group == (row.group or row.n_columns)
        assert (layout.code_bytes, layout.scale_bytes, layout.bias_bytes) == row.part_bytes()
        assert layout.factor == (row.factor if row.factor_kind else None)
        assert layout.divides == (row.factor_kind == "divides")
        assert sorted(layout.tensors) == sorted(tensors_of(table))
        assert opened.n_bytes == sum(len(stored.data) for stored in tensors_of(table).values())
        assert opened.type == layout.codes
        assert layout.codes in str(layout)
        assert layout.scales in str(layout)


LARGE = [
    ScaledRow(160, "e4m3", scales="bf16"),
    ScaledRow(100, "e5m2", scales="f32"),
    ScaledRow(7, "I8", scales="f16"),
    ScaledRow(1056, "e4m3", scales="e8m0", group=32),
    ScaledRow(544, "e2m1", scales="e4m3", group=16, factor_kind="multiplies", factor=0.5),
]


@pytest.mark.parametrize("row", LARGE, ids=lambda row: f"{row.code}-{row.n_columns}")
def test_large_outputs(row: ScaledRow, tmp_path: Path) -> None:
    """Outputs that are written past the caches, in steps, by several threads."""
    table = make_table(row, 200, "group" if row.group else "row")
    expected = table.weights()
    ids = np.random.default_rng(0).integers(0, 200, 16_000_000 // row.n_columns)
    with pyembed.open_table(
        save(tmp_path / "m.safetensors", tensors_of(table)), tensor=f"{NAME}.weight"
    ) as opened:
        for threads in (1, 3):
            found = opened.gather(ids, threads=threads)
            assert np.array_equal(found.view(np.uint32), expected.view(np.uint32)[ids])
        with np.errstate(over="ignore"):
            rounded = expected.astype(np.float16).view(np.uint16)
        assert np.array_equal(opened.gather(ids, dtype="float16").view(np.uint16), rounded[ids])


def test_exponents_stored_as_bytes(tmp_path: Path) -> None:
    """Of 32 bytes a scale: MXFP8, whatever the type of the codes; of 16: MXFP4."""
    mxfp8 = make_table(ScaledRow(160, "e4m3", scales="e8m0", group=32), 5, "group")
    mxfp4 = make_table(ScaledRow(160, "e2m1", scales="e8m0", group=32), 5, "group")
    for table, dtype in ((mxfp8, "F8_E4M3"), (mxfp8, "U8"), (mxfp4, "U8"), (mxfp4, "F4")):
        tensors = tensors_of(table)
        shape = (5, 160) if dtype == "F4" else tensors[f"{NAME}.weight"].shape
        tensors[f"{NAME}.weight"] = replace(tensors[f"{NAME}.weight"], dtype=dtype, shape=shape)
        for scales in ("U8", "F8_E8M0"):
            tensors[f"{NAME}.weight_scale"] = replace(tensors[f"{NAME}.weight_scale"], dtype=scales)
            path = save(tmp_path / "m.safetensors", tensors)
            with pyembed.open_table(path, tensor=f"{NAME}.weight") as opened:
                assert_bit_equal(opened[:], table.weights())


@pytest.mark.parametrize("name", ["weight_scale", "weight_scale_inv", "scale", "scales", "scale_weight"])
@pytest.mark.parametrize("shape", [(9, 1), (9,)])
def test_names_of_scales(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    table = make_table(ScaledRow(100, "e4m3", scales="bf16"), 9, "row")
    tensors = tensors_of(table, name)
    tensors[f"{NAME}.{name}"] = table.beside(1, shape)
    with pyembed.open_table(save(tmp_path / "m.safetensors", tensors), tensor=f"{NAME}.weight") as opened:
        assert_bit_equal(opened[:], table.weights())


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_shapes_of_one_scale(shape: tuple[int, ...], tmp_path: Path) -> None:
    table = make_table(ScaledRow(7, "I8", scales="f32"), 9, "table")
    tensors = tensors_of(table) | {f"{NAME}.weight_scale": table.beside(1, shape)}
    with pyembed.open_table(save(tmp_path / "m.safetensors", tensors), tensor=f"{NAME}.weight") as opened:
        assert_bit_equal(opened[:], table.weights())
        assert opened.layout.sharing == "table"
        scale = np.frombuffer(table.beside(1, shape).data, np.float32)[0]
        assert (opened.layout.scale, opened.raw_bytes) == (scale, (7, 0))
        codes = opened.gather(np.arange(9), dtype="raw").view(np.int8)
        assert_bit_equal(codes * scale, table.weights())


def test_packed_weights_have_their_own_name(tmp_path: Path) -> None:
    row = ScaledRow(160, "e2m1", scales="e4m3", group=16, factor_kind="divides", factor=300.0)
    table = make_table(row, 5, "group")
    path = save(tmp_path / "m.safetensors", tensors_of(table, weight="weight_packed"))
    with pyembed.open_table(path, tensor=f"{NAME}.weight_packed") as opened:
        assert_bit_equal(opened[:], table.weights())
    with pytest.raises(KeyError, match="weight_packed"):
        pyembed.open_table(path, tensor=f"{NAME}.weight")


@pytest.mark.parametrize(("code", "dtype"), [("e4m3", "F8_E4M3"), ("e5m2", "F8_E5M2"), ("I8", "I8")])
def test_codes_without_scales_in_a_file_without_any(code: str, dtype: str, tmp_path: Path) -> None:
    table = make_table(ScaledRow(33, code), 5, "")
    others = {"norm.weight": one(1.0), "norm.scale": one(2.0)}
    path = save(tmp_path / "m.safetensors", {f"{NAME}.weight": table.codes(), **others})
    with pyembed.open_table(path, tensor=f"{NAME}.weight") as opened:
        assert_bit_equal(opened[:], table.weights())
        assert opened.type == dtype
        assert opened.layout.scales is None
        assert str(opened.layout) == dtype


def test_every_row_of_a_table_of_blocks_is_its_own_layout(tmp_path: Path) -> None:
    with pyembed.open_table(pyembed.demo_model()) as table:
        assert str(table.layout) == table.type == table.layout.codes
        assert table.layout.tensors == (table.name,)
        assert table.layout.n_stored_rows == len(table)


# ------------------------------------------------------------------------------------------------- MLX


def mlx_tensors(table: ScaledTable) -> dict[str, Stored]:
    found = tensors_of(table, "scales")
    if not table.row.biases:
        found[f"{NAME}.scales"] = replace(found[f"{NAME}.scales"], dtype="U8")
    return found


def write_config(folder: Path, quantization: object) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "x", "quantization": quantization}))


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16"])
@pytest.mark.parametrize("group", [32, 64, 128])
@pytest.mark.parametrize("n_bits", [2, 3, 4, 5, 6, 8])
def test_affine_codes_of_mlx(n_bits: int, group: int, kind: str, tmp_path: Path) -> None:
    row = ScaledRow(5 * group, "bits", n_bits, scales=kind, biases=kind, group=group)
    table = make_table(row, 6, "group")
    write_config(tmp_path, {"bits": n_bits, "group_size": group})
    path = save(tmp_path / "m.safetensors", mlx_tensors(table))
    with pyembed.open_table(path, tensor=f"{NAME}.weight") as opened:
        assert_bit_equal(opened[:], table.weights())
        assert opened.type == f"U{n_bits}"
        assert opened.layout.biases == DTYPES[kind]
    for other in (
        {"bits": n_bits + 1, "group_size": group},
        {"bits": n_bits, "group_size": group, "mode": "mxfp4"},
    ):
        write_config(tmp_path, other)
        with pytest.raises(pyembed.SafetensorsError, match=r"config\.json says"):
            pyembed.open_table(path, tensor=f"{NAME}.weight")
    (tmp_path / "config.json").unlink()
    alone = [
        bits
        for bits in (2, 3, 4, 5, 6, 8)
        if n_bits * group % bits == 0 and n_bits * group // bits in (32, 64, 128)
    ]
    if alone == [n_bits]:
        with pyembed.open_table(path, tensor=f"{NAME}.weight") as opened:
            assert_bit_equal(opened[:], table.weights())
    else:
        with pytest.raises(
            pyembed.SafetensorsError, match=rf"{n_bits} bits in groups of {group}.*config\.json"
        ):
            pyembed.open_table(path, tensor=f"{NAME}.weight")


@pytest.mark.parametrize(
    ("mode", "row"),
    [
        ("mxfp4", ScaledRow(160, "e2m1", scales="e8m0", group=32)),
        ("mxfp8", ScaledRow(160, "e4m3", scales="e8m0", group=32)),
        ("nvfp4", ScaledRow(160, "e2m1", scales="e4m3", group=16)),
    ],
)
def test_float_codes_of_mlx(mode: str, row: ScaledRow, tmp_path: Path) -> None:
    table = make_table(row, 6, "group", dtype="U32")
    path = save(tmp_path / "m.safetensors", mlx_tensors(table))
    settings = {"bits": 8 if mode == "mxfp8" else 4, "group_size": row.group, "mode": mode}
    for config in (None, settings):
        if config is not None:
            write_config(tmp_path, config)
        with pyembed.open_table(path, tensor=f"{NAME}.weight") as opened:
            assert_bit_equal(opened[:], table.weights())
    write_config(tmp_path, {**settings, "mode": "affine"})
    with pytest.raises(pyembed.SafetensorsError, match="contradict"):
        pyembed.open_table(path, tensor=f"{NAME}.weight")


def test_a_module_may_have_its_own_quantization(tmp_path: Path) -> None:
    table = make_table(ScaledRow(128, "bits", 8, scales="f16", biases="f16", group=32), 4, "group")
    path = save(tmp_path / "m.safetensors", mlx_tensors(table))
    common = {"bits": 4, "group_size": 64}
    own = {"bits": 8, "group_size": 32, "mode": "affine"}
    write_config(tmp_path, {**common, "other": {"bits": 2, "group_size": 128}, NAME: own})
    with pyembed.open_table(path, tensor=f"{NAME}.weight") as opened:
        assert_bit_equal(opened[:], table.weights())
    write_config(tmp_path, {**common, NAME: False})
    with pytest.raises(pyembed.SafetensorsError, match="not quantised"):
        pyembed.open_table(path, tensor=f"{NAME}.weight")
    write_config(tmp_path, common)
    with pyembed.open_table(path, tensor=f"{NAME}.weight") as opened:
        assert opened.type == "U4"
    for text in (
        "",
        "[]",
        "{",
        '{"quantization": {"bits": -1}}',
        '{"quantization": {}, "quantization": {}}',
        "\x00",
    ):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(pyembed.FormatError, match=r"config\.json"):
            pyembed.open_table(path, tensor=f"{NAME}.weight")


# --------------------------------------------------------------------------- what works on any table


def test_a_layout_has_a_size() -> None:
    """A caller of another version, whose struct is of another size, is refused."""
    with pyembed.open_table(pyembed.demo_model()) as table:
        layout, none = ffi.new("pye_table_layout *"), ffi.NULL
        assert lib.pye_table_get_layout(table._table, layout, none) == Status.ARGUMENT
        layout.struct_bytes = ffi.sizeof("pye_table_layout")
        assert lib.pye_table_get_layout(table._table, layout, none) == Status.OK
        assert lib.pye_table_tensor_at(table._table, 1, ffi.new("pye_tensor *"), none) == Status.ARGUMENT


def test_faults_of_rows_with_scales(tmp_path: Path) -> None:
    row = ScaledRow(64, "e4m3", scales="f32", group=32)
    table = make_table(row, 6, "group")
    parts = [list(one_row.parts) for one_row in table.rows]
    parts[1][0] = b"\x7f" + parts[1][0][1:]
    parts[2][1] = struct.pack("<ff", 1.0, float("nan"))
    parts[3][1] = struct.pack("<ff", 1.0, -0.0)
    parts[4][1] = bytes(8)
    parts[5][1] = struct.pack("<ff", float("inf"), 1.0)
    parts[5][0] = b"\x01" * 64
    rows = tuple(replace(row, parts=tuple(part)) for part in parts)
    table = replace(table, rows=rows)
    path = save(tmp_path / "m.safetensors", tensors_of(table))
    with pyembed.open_table(path, tensor=f"{NAME}.weight") as opened:
        faults, hashes = opened.check_rows(0, 6, key=bytes(16))
        assert faults.tolist() == [
            0,
            RowFault.NAN,
            RowFault.NAN,
            RowFault.ZERO_SCALE,
            RowFault.ZERO | RowFault.EQUAL,
            RowFault.INFINITE,
        ]
        assert len(set(hashes.tolist())) == 6


def test_hashes_and_digests_see_every_part(tmp_path: Path) -> None:
    row = ScaledRow(64, "bits", 8, scales="f16", biases="f16", group=32)
    table = make_table(row, 4, "group")
    write_config(tmp_path, {"bits": 8, "group_size": 32})
    alike = replace(table, rows=(table.rows[0],) * 4)

    def facts(rows: tuple[ScaledRow, ...]) -> tuple[list[int], str]:
        path = save(tmp_path / "m.safetensors", mlx_tensors(replace(table, rows=rows)))
        with pyembed.open_table(path, tensor=f"{NAME}.weight") as opened:
            return opened.check_rows(0, 4, key=bytes(16))[1].tolist(), opened.digest()

    hashes, digest = facts(alike.rows)
    assert len(set(hashes)) == 1
    for part in range(3):
        changed = list(table.rows[0].parts)
        changed[part] = bytes([changed[part][0] ^ 1]) + changed[part][1:]
        rows = (*alike.rows[:3], replace(row, parts=(changed[0], changed[1], changed[2])))
        other_hashes, other_digest = facts(rows)
        assert other_hashes[:3] == hashes[:3]
        assert other_hashes[3] != hashes[3]
        assert other_digest != digest


def test_a_factor_is_in_the_digest(tmp_path: Path) -> None:
    digests = set()
    for factor in (1.0, 2.0):
        row = ScaledRow(32, "e2m1", scales="e4m3", group=16, factor_kind="multiplies", factor=factor)
        path = save(tmp_path / "m.safetensors", tensors_of(make_table(row, 3, "group")))
        with pyembed.open_table(path, tensor=f"{NAME}.weight") as opened:
            digests.add(opened.digest())
    assert len(digests) == 2


@pytest.mark.parametrize("table", [next(four_bits()), list(eight_bits())[3]], ids=label)
def test_scores_norms_and_types_of_output(table: ScaledTable, tmp_path: Path) -> None:
    path = save(tmp_path / "m.safetensors", tensors_of(table))
    expected = table.weights()
    query = np.random.default_rng(1).normal(size=(2, expected.shape[1])).astype(np.float32)
    with pyembed.open_table(path, tensor=f"{NAME}.weight") as opened:
        exact = query.astype(np.float64) @ expected.T.astype(np.float64)
        np.testing.assert_allclose(opened.scores(query), exact, rtol=1e-5, atol=1e-4 * np.abs(exact).max())
        np.testing.assert_allclose(
            opened.norms, np.linalg.norm(expected.astype(np.float64), axis=1), rtol=1e-6
        )
        best = opened.top(query, 2)
        np.testing.assert_array_equal(best.ids, np.argsort(-exact, axis=1, kind="stable")[:, :2])
        np.testing.assert_array_equal(opened.gather([1], dtype="float16"), expected[[1]].astype(np.float16))
