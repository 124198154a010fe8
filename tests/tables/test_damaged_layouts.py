"""Codes whose scales are missing, doubled or of another shape or type are an error that says why."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from tests.helpers.oracles.compare import assert_bit_equal
from tests.helpers.oracles.scaled import ScaledRow
from tests.helpers.scaled_tables import DTYPES, Stored, make_table, save, save_set

NAME = "model.embed"
Tensors = dict[str, Stored]
Change = Callable[[Tensors], None]

FP8 = ScaledRow(160, "e4m3", scales="f32", group=32)
INT8 = ScaledRow(160, "I8", scales="bf16")
NVFP4 = ScaledRow(160, "e2m1", scales="e4m3", group=16, factor_kind="multiplies", factor=2.0)
MXFP4 = ScaledRow(160, "e2m1", scales="e8m0", group=32)
MLX = ScaledRow(160, "bits", 4, scales="bf16", biases="bf16", group=32)
ONE = Stored("F32", (1,), np.float32(2).tobytes())


def tensors_of(row: ScaledRow, scales: str = "weight_scale") -> Tensors:
    table = make_table(row, 6, "group" if row.group else "row")
    found = {f"{NAME}.weight": table.codes(), f"{NAME}.{scales}": table.beside(1)}
    if row.biases:
        found[f"{NAME}.biases"] = table.beside(2)
    if row.factor_kind:
        found[f"{NAME}.weight_scale_2"] = ONE
    return found


def drop(name: str) -> Change:
    return lambda tensors: tensors.__delitem__(f"{NAME}.{name}")


def add(name: str, tensor: Stored) -> Change:
    return lambda tensors: tensors.update({f"{NAME}.{name}": tensor})


def zeros(dtype: str, *shape: int) -> Stored:
    bits = {
        "U8": 8,
        "I8": 8,
        "I16": 16,
        "I32": 32,
        "I64": 64,
        "U32": 32,
        "F4": 4,
        "F16": 16,
        "F32": 32,
        "BF16": 16,
    }
    return Stored(dtype, shape, bytes(int(np.prod(shape)) * bits.get(dtype, 8) // 8))


def dtype(name: str, kind: str) -> Change:
    def change(tensors: Tensors) -> None:
        tensors[f"{NAME}.{name}"] = replace(tensors[f"{NAME}.{name}"], dtype=kind)

    return change


BAD = pyembed.SafetensorsError
UNKNOWN = pyembed.UnsupportedTypeError
CASES: dict[str, tuple[ScaledRow, Change, type[Exception], str]] = {
    "too few rows of scales": (FP8, add("weight_scale", zeros("F32", 5, 5)), BAD, "neither one scale"),
    "too many rows of scales": (FP8, add("weight_scale", zeros("F32", 7)), BAD, "neither one scale"),
    "groups that do not divide": (FP8, add("weight_scale", zeros("F32", 6, 3)), BAD, "neither one scale"),
    "groups of 8 columns": (FP8, add("weight_scale", zeros("F32", 6, 20)), BAD, "not a multiple of 16"),
    "groups of no columns": (FP8, add("weight_scale", zeros("F32", 6, 0)), BAD, "neither one scale"),
    "a scale a column": (FP8, add("weight_scale", zeros("F32", 160)), BAD, "neither one scale"),
    "a scale a tile": (FP8, add("weight_scale", zeros("F32", 1, 2)), BAD, "a block of several rows"),
    "scales of three dimensions": (FP8, add("weight_scale", zeros("F32", 6, 5, 1)), BAD, "neither one scale"),
    "no scale at all": (FP8, add("weight_scale", zeros("F32", 0)), BAD, "neither one scale"),
    "scales that are whole numbers": (FP8, dtype("weight_scale", "I32"), BAD, "not hold scales of a type"),
    "scales of E4M3": (FP8, add("weight_scale", zeros("F8_E4M3", 6, 10)), BAD, "not hold scales of a type"),
    "scales of another FP8": (
        FP8,
        add("weight_scale", zeros("F8_E5M2", 6, 5)),
        BAD,
        "not hold scales of a type",
    ),
    "exponents of another group": (FP8, add("weight_scale", zeros("U8", 6, 10)), BAD, "every 32 columns"),
    "two kinds of scales": (FP8, add("weight_scale_inv", zeros("F32", 6, 5)), BAD, "which are the scales"),
    "two names of scales": (INT8, add("scales", zeros("F32", 6, 1)), BAD, "which are the scales"),
    "biases of FP8": (FP8, add("biases", zeros("F32", 6, 5)), BAD, "is of no use"),
    "a factor of FP8": (FP8, add("weight_scale_2", ONE), BAD, "is of no use"),
    "codes of three dimensions": (
        FP8,
        add("weight", zeros("F8_E4M3", 2, 3, 160)),
        BAD,
        "does not have two dimensions",
    ),
    "floats with a scale": (FP8, add("weight", zeros("F16", 6, 160)), BAD, "holds floats and not codes"),
    "zero points": (INT8, add("weight_zero_point", zeros("I8", 6, 1)), UNKNOWN, "cannot be decoded"),
    "a code book": (FP8, add("weight.codebook", zeros("F32", 16)), UNKNOWN, "cannot be decoded"),
    "wide codes": (INT8, add("weight", zeros("I16", 6, 160)), UNKNOWN, "cannot be decoded"),
    "int8 with exponents of 16": (
        INT8,
        add("weight_scale", zeros("F8_E8M0", 6, 10)),
        BAD,
        "four bits or of eight",
    ),
    "no factor": (NVFP4, drop("weight_scale_2"), BAD, "weight_scale_2 or weight_global_scale is missing"),
    "two factors": (NVFP4, add("weight_global_scale", ONE), BAD, "which are the factor"),
    "a factor of many": (NVFP4, add("weight_scale_2", zeros("F32", 6)), BAD, "is not one F32 number"),
    "a whole factor": (NVFP4, dtype("weight_scale_2", "I32"), BAD, "is not one F32 number"),
    "blocks of 32 of NVFP4": (NVFP4, add("weight_scale", zeros("F8_E4M3", 6, 5)), BAD, "every 16 columns"),
    "one block scale of NVFP4": (NVFP4, add("weight_scale", zeros("F8_E4M3", 1)), BAD, "every 16 columns"),
    "floats in place of block scales": (NVFP4, add("weight_scale", zeros("F32", 6, 10)), BAD, "four bits"),
    "biases of NVFP4": (NVFP4, add("biases", zeros("F32", 6, 10)), BAD, "is of no use"),
    "a factor of MXFP4": (
        MXFP4,
        add("weight_scale_2", ONE),
        BAD,
        "is of no use",
    ),
    "U8 without scales": (MXFP4, drop("weight_scale"), UNKNOWN, "of type 'U8', which cannot be decoded"),
    "F4 of odd width": (MXFP4, add("weight", zeros("F4", 6, 161)), BAD, "end inside a byte"),
    "no biases": (MLX, drop("biases"), BAD, "biases that go with it are missing"),
    "biases alone": (MLX, drop("scales"), BAD, "scales that go with it are missing"),
    "biases of another type": (MLX, dtype("biases", "F16"), BAD, "not of the type and shape of the scales"),
    "fewer biases": (MLX, add("biases", zeros("BF16", 6, 4)), BAD, "not of the type and shape of the scales"),
    "fewer rows of biases": (MLX, add("biases", zeros("BF16", 5, 5)), BAD, "not of the type and shape"),
    "fewer rows of MLX's scales": (MLX, add("scales", zeros("BF16", 5, 5)), BAD, "same number of scales"),
    "a group of no MLX": (MLX, add("scales", zeros("BF16", 6, 1)), BAD, "not of the type and shape"),
    "words that do not divide": (MLX, add("scales", zeros("BF16", 6, 3)), BAD, "same number of scales"),
    "biases of an fp mode": (MLX, add("scales", zeros("U8", 6, 5)), BAD, "go without biases"),
    "a factor of MLX": (MLX, add("weight_scale_2", ONE), BAD, "is of no use"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_does_not_fit_is_refused(case: str, tmp_path: Path) -> None:
    row, change, kind, message = CASES[case]
    (tmp_path / "config.json").write_text(json.dumps({"quantization": {"bits": 4, "group_size": 32}}))
    tensors = tensors_of(row, "scales" if row is MLX else "weight_scale")
    path = save(tmp_path / "m.safetensors", tensors)
    with pyembed.open_table(path, tensor=f"{NAME}.weight") as table:
        assert len(table) == 6
    change(tensors)
    with pytest.raises(kind, match=message) as caught:
        pyembed.open_table(save(path, tensors), tensor=f"{NAME}.weight")
    assert isinstance(caught.value, pyembed.FormatError)
    assert f"{NAME}." in str(caught.value)
    assert caught.value.path == str(path)


@pytest.mark.parametrize("row", [FP8, INT8], ids=["fp8", "int8"])
def test_a_scale_that_others_have(row: ScaledRow, tmp_path: Path) -> None:
    """A cast without scales and a table that lost them look alike, but for the rest of the file."""
    tensors = tensors_of(row)
    del tensors[f"{NAME}.weight_scale"]
    path = save(tmp_path / "m.safetensors", tensors)
    with pyembed.open_table(path, tensor=f"{NAME}.weight") as table:
        assert table.layout.scales is None
    code = tensors[f"{NAME}.weight"].dtype
    for scale in ("weight_scale", "weight_scale_inv", "scale_weight", "scale"):
        others = {"a.q.weight": zeros(code, 4, 4), f"a.q.{scale}": ONE}
        with pytest.raises(BAD, match=r"no scale of its lies beside it.*a\.q\.weight"):
            pyembed.open_table(save(path, tensors | others), tensor=f"{NAME}.weight")
    apart = tmp_path / "set"
    apart.mkdir()
    with pytest.raises(BAD, match=r"no scale of its lies beside it"):
        pyembed.open_table(save_set(apart, [tensors, others]), tensor=f"{NAME}.weight")
    others["a.q.weight"] = zeros("F16", 4, 4)
    with pyembed.open_table(save(path, tensors | others), tensor=f"{NAME}.weight") as table:
        assert table.layout.scales is None


def test_codes_without_a_module(tmp_path: Path) -> None:
    """Tensors at the top have names without a dot."""
    table = make_table(INT8, 6, "row")
    path = save(tmp_path / "m.safetensors", {"weight": table.codes(), "weight_scale": table.beside(1)})
    with pyembed.open_table(path, tensor="weight") as opened:
        assert_bit_equal(opened[:], table.weights())
    others = {"q.weight": table.codes(), "q.weight_scale": table.beside(1)}
    for name in ("weight", "e.table"):
        with pytest.raises(BAD, match="no scale of its lies beside it"):
            pyembed.open_table(save(path, {name: table.codes()} | others), tensor=name)
    save(path, {"weight": table.codes(), "weight_scale": table.beside(1), "e.table": table.codes()})
    with pytest.raises(BAD, match=r"no scale of its lies beside it, though others .*'weight'"):
        pyembed.open_table(path, tensor="e.table")
    for name, scale in (
        ("weight", "weight_zero_point"),
        ("e.table", "e.table_scale"),
        ("table", "table_zeros"),
    ):
        tensors = {name: table.codes(), scale: table.beside(1)}
        with pytest.raises(UNKNOWN, match=f"'{scale}' belongs to them"):
            pyembed.open_table(save(path, tensors), tensor=name)
    with pyembed.open_table(
        save(path, {"e.table": table.codes(), "e.table_norm": ONE}), tensor="e.table"
    ) as opened:
        assert opened.layout.scales is None


def test_an_mlx_table_without_its_config_says_what_it_may_be(tmp_path: Path) -> None:
    path = save(tmp_path / "m.safetensors", tensors_of(MLX, "scales"))
    with pytest.raises(BAD, match=r"2 bits in groups of 64 or 4 bits in groups of 32, and config\.json"):
        pyembed.open_table(path, tensor=f"{NAME}.weight")


def test_a_config_that_is_a_folder_or_cannot_be_read(tmp_path: Path) -> None:
    path = save(tmp_path / "m.safetensors", tensors_of(MLX, "scales"))
    (tmp_path / "config.json").mkdir()
    with pytest.raises((OSError, pyembed.FormatError), match=r"config\.json"):
        pyembed.open_table(path, tensor=f"{NAME}.weight")


DTYPE_NAMES = [*DTYPES.values(), "U8", "I8", "U32", "I32", "F4", "I64", "NEW"]
SUFFIXES = [
    "weight",
    "weight_packed",
    "weight_scale",
    "scales",
    "biases",
    "weight_scale_2",
    "scale",
    "absmax",
]


def use(path: Path, name: str) -> None:
    """Do with a table what reads its rows."""
    with pyembed.open_table(path, tensor=name) as table:
        assert table.gather(np.arange(len(table))).shape == table.shape
        assert table.gather(np.arange(len(table)), dtype="raw").shape == (len(table), table.raw_stride)
        assert table.layout.n_shards <= 3
        table.check_rows(0, len(table), key=bytes(16))
        table.scores(np.zeros(table.shape[1], np.float32))
        table.digest()


@pytest.mark.parametrize("seed", range(8))
def test_headers_that_were_changed_at_random(seed: int, tmp_path: Path) -> None:
    """Whatever becomes of names, types and shapes: rows of the right shape, or a documented error."""
    rng = np.random.default_rng(seed)
    path = tmp_path / "m.safetensors"
    n_opened = 0
    for _ in range(150):
        row = (FP8, INT8, NVFP4, MXFP4, MLX)[rng.integers(5)]
        tensors: dict[str, Any] = {}
        for name, tensor in tensors_of(row, "scales" if row is MLX else "weight_scale").items():
            for copy in range(int(rng.integers(1, 4))):
                tensors[name.replace("embed", f"embed.shard_{copy}")] = tensor
            tensors[name] = tensor
        for name in rng.permutation(list(tensors))[: rng.integers(0, 3)]:
            tensor = tensors.pop(name)
            change = rng.integers(5)
            if change == 0:
                tensor = replace(tensor, dtype=str(rng.choice(DTYPE_NAMES)))
            elif change == 1:
                name = f"{name.rpartition('.')[0]}.{rng.choice(SUFFIXES)}"
            elif change == 2:
                tensor = replace(tensor, shape=tuple(rng.permutation([*tensor.shape, 1]).tolist()))
            elif change == 3:
                name = name.replace("shard_1", str(rng.choice(["shard_01", "shard_9", "shards.1", "shard_"])))
            if change < 4:
                tensors[name] = tensor
        with contextlib.suppress(pyembed.FormatError):
            save(path, tensors)
            for name in (f"{NAME}.weight", NAME, f"{NAME}.shard_1.weight"):
                with contextlib.suppress(pyembed.FormatError, KeyError):
                    use(path, name)
                    n_opened += 1
    assert n_opened > 20


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        ("embeddings", "scales"),
        ("table", "weight_scale"),
        ("e.qweight", "e.scales"),
        ("e.codes", "e.scale"),
        ("e.weight", "scale"),
        ("e.weight", "e_scale"),
        ("e.weight", "e.quantizer.scale"),
        ("e._data", "e._scale"),
    ],
)
def test_scales_that_may_belong_to_codes(tmp_path: Path, name: str, scale: str) -> None:
    """Codes do not come out as plain numbers while something near them is named as a scale is."""
    table = make_table(INT8, 6, "row")
    with pytest.raises(UNKNOWN, match=f"nothing says whether '{scale}' belongs to them"):
        pyembed.open_table(
            save(tmp_path / "m.safetensors", {name: table.codes(), scale: table.beside(1)}), tensor=name
        )
    others = {"bias": table.beside(1), "a.b.scale": table.beside(1), "e.input_scale": ONE}
    with pyembed.open_table(
        save(tmp_path / "m.safetensors", {name: table.codes()} | others), tensor=name
    ) as opened:
        assert opened.layout.scales is None


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        ("e.q", "e.s"),
        ("e.weight", "e.s"),
        ("e.weight", "e_s"),
        ("e.weight", "e.Delta"),
        ("e.weight", "e.weight.0.s"),
        ("weight_q", "weight_s"),
        ("e.weight_q", "e.weight_s"),
        ("shared.weight:q", "shared.weight:s"),
        ("e.parametrizations.weight.original", "e.parametrizations.weight.0.s"),
        ("parametrizations.weight.original0", "parametrizations.weight.original1"),
        ("e.q.weight", "e.s.weight"),
        ("w_q.weight", "w_scales.weight"),
        ("m.wte.weight", "m.scale.weight"),
        ("emb", "emb_s"),
        ("emb_q", "emb_s"),
        ("e.shard_0.weight", "e.shard_0.s"),
        ("e.shard_0.weight", "e.s"),
        ("e.shard_0.weight", "e.shard_0.1.0.s"),
    ],
)
@pytest.mark.parametrize("group", ["row", 32, None], ids=["rows", "groups", "one"])
def test_what_has_the_shape_of_scales_under_any_name(
    tmp_path: Path, name: str, scale: str, group: str | int | None
) -> None:
    table = make_table(INT8, 6, "row")
    parts = {"row": table.beside(1), 32: zeros("BF16", 6, 2), None: ONE}
    if group is None and scale.count(".") > name.count(".") and "original" not in name:
        pytest.skip("one number in a module of its own is that module's")
    path = save(tmp_path / "m.safetensors", {name: table.codes(), scale: parts[group]})
    for wanted in {name, name.removesuffix(".shard_0.weight")}:
        with pytest.raises(UNKNOWN, match=f"'{scale}' beside it has the shape of their scales"):
            pyembed.open_table(path, tensor=wanted)


def test_tensors_side_by_side_in_a_file_are_their_own(tmp_path: Path) -> None:
    table = make_table(INT8, 6, "row")
    path = save(tmp_path / "m.safetensors", {"t3": table.codes(), "t0": table.beside(1), "q": ONE})
    with pyembed.open_table(path, tensor="t3") as opened:
        assert opened.layout.scales is None


def test_every_shard_is_looked_beside(tmp_path: Path) -> None:
    table = make_table(INT8, 6, "row")
    tensors = {f"e.shard_{k}.weight": table.codes() for k in range(3)}
    with pyembed.open_table(save(tmp_path / "a.safetensors", tensors), tensor="e") as opened:
        assert opened.shape[0] == 18
    path = save(tmp_path / "b.safetensors", {**tensors, "e.shard_2.s": table.beside(1)})
    with pytest.raises(UNKNOWN, match=r"'e.shard_2.weight' holds codes, and 'e.shard_2.s' beside it"):
        pyembed.open_table(path, tensor="e")


def test_what_lies_beside_plain_casts(tmp_path: Path) -> None:
    """Biases, norms, tables of positions, scales of inputs and whole numbers are not scales of codes."""
    table = make_table(INT8, 6, "row")
    rows, columns = table.codes().shape

    def floats(*shape: int) -> Stored:
        return zeros("F32", *shape)

    others = {
        "bias": floats(rows),
        "temperature": floats(1),
        "token_counts": floats(rows),
        "idf": floats(rows),
        "token_frequencies": floats(rows),
        "labels": zeros("U8", rows),
        "lora_magnitude_vector": floats(rows),
        "cluster_size": floats(rows),
        "epoch": floats(1),
        "norm.weight": floats(columns),
        "norm.bias": floats(columns),
        "input_scale": floats(1),
        "output_scale": floats(1),
        "embed_scale": floats(1),
        "position_embeddings.weight": floats(4, columns),
        "token_type_embeddings.weight": floats(2, columns),
        "proj.weight": floats(columns, columns),
        "position_ids": zeros("I32", rows),
    }
    for module in ("e.", "m.embeddings."):
        path = save(
            tmp_path / "m.safetensors",
            {f"{module}weight": table.codes(), **{module + name: part for name, part in others.items()}},
        )
        with pyembed.open_table(path, tensor=f"{module}weight") as opened:
            assert (opened.layout.scales, opened.shape) == (None, (rows, columns))
    for other in ("m.prior.weight", "m.wte_norm.weight", "m.scaled.weight", "s.weight"):  # another module
        path = save(tmp_path / "m.safetensors", {"m.wte.weight": table.codes(), other: floats(rows, 1)})
        pyembed.open_table(path, tensor="m.wte.weight").close()


@pytest.mark.parametrize("name", ["m.ids", "m.token_ids", "m.neighbours"])
@pytest.mark.parametrize("dtype", ["I64", "I32", "I16"])
def test_ids_are_not_codes(dtype: str, name: str, tmp_path: Path) -> None:
    """Lists of ids with a score each, or one number: nothing is packed into 64 bits, or is called ids."""
    ids = zeros(dtype, 6, 4)
    for other in (zeros("F32", 6), zeros("F32", 6, 1), zeros("F32", 1)):
        path = save(tmp_path / "m.safetensors", {name: ids, "m.s": other})
        if dtype != "I64" and name == "m.neighbours":
            with pytest.raises(UNKNOWN, match=r"'m.s' beside it has the shape of their scales"):
                pyembed.open_table(path, tensor=name)
            continue
        with pyembed.open_table(path, tensor=name) as opened:
            assert (opened.type, opened.shape) == (dtype, (6, 4))


@pytest.mark.parametrize(("dtype", "name"), [("I64", "m.neighbours"), ("I32", "m.ids")])
@pytest.mark.parametrize("beside", ["m.scale", "m.logit_scale", "m.scale.weight", "scale"])
def test_ids_beside_what_is_called_a_scale(dtype: str, name: str, beside: str, tmp_path: Path) -> None:
    tensors = {name: zeros(dtype, 6, 4), beside: zeros("F32", 6)}
    path = save(tmp_path / "model-00001-of-00002.safetensors", tensors)
    with pyembed.open_table(path, tensor=name) as opened:
        assert opened.type == dtype


def test_a_number_that_is_no_number_of_a_shard(tmp_path: Path) -> None:
    table = make_table(INT8, 6, "row")
    path = save(
        tmp_path / "a.safetensors", {"e.shard_0.weight": table.codes(), "e.shard_0.1.0.weight": table.codes()}
    )
    with pytest.raises(pyembed.SafetensorsError, match="named as a shard, but its number is not"):
        pyembed.open_table(path, tensor="e")
    tensors = {"e.shard_0.1.0.weight": table.codes(), "e.shard_0.1.0.weight_scale": table.beside(1)}
    with pyembed.open_table(
        save(tmp_path / "b.safetensors", tensors), tensor="e.shard_0.1.0.weight"
    ) as opened:
        assert opened.layout.scales is not None


def test_one_file_of_a_set(tmp_path: Path) -> None:
    """Codes without scales may have them in another file: one file of a set does not show that."""
    table = make_table(INT8, 6, "row")
    path = save(tmp_path / "model-00001-of-00002.safetensors", {"e.weight": table.codes()})
    with pytest.raises(UNKNOWN, match="its scale may lie in another file of the set"):
        pyembed.open_table(path, tensor="e.weight")
    alone = save(tmp_path / "model-00001-of-00001.safetensors", {"e.weight": table.codes()})
    pyembed.open_table(alone, tensor="e.weight").close()


@pytest.mark.parametrize("module", ["m.ple.ple_embedding.ngram_embedding", "layers.1.engram.embed"])
@pytest.mark.parametrize("part", ["weight", "shard_0.weight"])
def test_hashed_rows_always_have_scales(tmp_path: Path, module: str, part: str) -> None:
    codes = make_table(FP8, 6, "group").codes()
    path = save(tmp_path / "m.safetensors", {f"{module}.{part}": codes})
    with pytest.raises(BAD, match="whose scales are not in the file"):
        pyembed.open_table(path, tensor=module if "shard" in part else f"{module}.{part}")
