"""Tables that other programs wrote: their files, and what they make of them themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pyembed
from tests.helpers.oracles.compare import assert_bit_equal
from tests.helpers.oracles.scaled import ScaledRow

F32 = npt.NDArray[np.float32]
NAME = "model.embed_tokens"


def rows(path: Path, name: str = f"{NAME}.weight") -> F32:
    with pyembed.open_table(path, tensor=name) as table:
        return table[:]


# ----------------------------------------------------------------------------------------------- torch


def save_torch(path: Path, tensors: dict[str, Any]) -> Path:
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


@pytest.fixture
def torch() -> Any:
    pytest.importorskip("safetensors.torch", reason="safetensors is not installed with torch")
    return pytest.importorskip("torch", reason="torch is not installed")


@pytest.mark.parametrize("width", [160, 100, 7])
@pytest.mark.parametrize("code", ["float8_e4m3fn", "float8_e5m2", "int8"])
@pytest.mark.parametrize("scale", ["float32", "float16", "bfloat16", "float8_e8m0fnu"])
def test_quantised_by_torch(torch: Any, code: str, scale: str, width: int, tmp_path: Path) -> None:
    weights = torch.randn(50, width, generator=torch.Generator().manual_seed(width))
    kind, scale_kind = getattr(torch, code), getattr(torch, scale)
    largest = 127.0 if code == "int8" else torch.finfo(kind).max
    for groups in {1, 5 if width == 160 else 1}:
        parts = weights.reshape(50, groups, -1)
        scales = (parts.abs().amax(dim=2) / largest).to(scale_kind)
        wide = scales.float()
        ratio = (parts / wide[:, :, None]).clamp(-largest, largest)
        codes = (ratio.round() if code == "int8" else ratio).to(kind).reshape(50, width)
        expected = (codes.float().reshape(parts.shape) * wide[:, :, None]).reshape(50, width)
        path = save_torch(
            tmp_path / "m.safetensors", {f"{NAME}.weight": codes, f"{NAME}.weight_scale": scales}
        )
        assert_bit_equal(rows(path), expected.numpy())


@pytest.mark.parametrize("scale", ["float32", "bfloat16"])
def test_all_codes_and_one_scale_of_torch(torch: Any, scale: str, tmp_path: Path) -> None:
    codes = torch.arange(256, dtype=torch.uint8).reshape(8, 32)
    number = torch.tensor(0.000199, dtype=getattr(torch, scale))
    for kind in (torch.float8_e4m3fn, torch.float8_e5m2):
        tensors = {f"{NAME}.weight": codes.view(kind), f"{NAME}.weight_scale": number}
        expected = codes.view(kind).float() * number.float()
        found = rows(save_torch(tmp_path / "m.safetensors", tensors))
        np.testing.assert_array_equal(np.isnan(found), expected.isnan().numpy())
        finite = ~np.isnan(found)
        assert_bit_equal(found[finite], expected.numpy()[finite])


def test_codes_of_four_bits_of_torch(torch: Any, tmp_path: Path) -> None:
    """Their dtype is F4 in the file: a shape in numbers, not bytes."""
    if not hasattr(torch, "float4_e2m1fn_x2"):
        pytest.skip("this torch has no float4_e2m1fn_x2")
    generator = np.random.default_rng(0)
    packed = generator.integers(0, 256, (9, 80), np.uint8)
    block = generator.integers(0, 0x7F, (9, 10), np.uint8)
    tensors = {
        f"{NAME}.weight": torch.from_numpy(packed).view(torch.float4_e2m1fn_x2),
        f"{NAME}.weight_scale": torch.from_numpy(block).view(torch.float8_e4m3fn),
        f"{NAME}.weight_scale_2": torch.tensor(0.0125),
    }
    row = ScaledRow(
        160, "e2m1", scales="e4m3", group=16, factor_kind="multiplies", factor=float(np.float32(0.0125))
    )
    expected = np.stack(
        [
            ScaledRow(**{**vars_of(row), "parts": (packed[i].tobytes(), block[i].tobytes(), b"")}).weights()
            for i in range(9)
        ]
    )
    path = save_torch(tmp_path / "m.safetensors", tensors)
    with pyembed.open_table(path, tensor=f"{NAME}.weight") as table:
        assert table.shape == (9, 160)
        assert_bit_equal(table[:], expected)


def vars_of(row: ScaledRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__dataclass_fields__}


# ------------------------------------------------------------------------------------------------- MLX


@pytest.fixture
def mx() -> Any:
    return pytest.importorskip("mlx.core", reason="mlx is not installed")


def as_numpy(mx: Any, array: Any) -> F32:
    return np.array(array.astype(mx.float32))


def save_mlx(mx: Any, folder: Path, weights: Any, dims: int, **settings: Any) -> tuple[Path, list[Any]]:
    parts = mx.quantize(weights, **settings)
    names = ("weight", "scales", "biases")[: len(parts)]
    path = folder / "model.safetensors"
    mx.save_safetensors(
        str(path),
        {f"{NAME}.{name}": part for name, part in zip(names, parts, strict=True)},
        {"format": "mlx"},
    )
    (folder / "config.json").write_text(json.dumps({"quantization": settings, "hidden_size": dims}))
    return folder, parts


@pytest.mark.parametrize("n_bits", [2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("group", [32, 64, 128])
@pytest.mark.parametrize("kind", ["float32", "bfloat16", "float16"])
def test_affine_codes_of_mlx(mx: Any, n_bits: int, group: int, kind: str, tmp_path: Path) -> None:
    dims = 640 if group != 32 else 160
    mx.random.seed(n_bits * group)
    weights = mx.random.normal((40, dims)).astype(getattr(mx, kind))
    path, parts = save_mlx(mx, tmp_path, weights, dims, bits=n_bits, group_size=group)
    found = rows(path)
    short = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}[kind]
    row = ScaledRow(dims, "bits", n_bits, scales=short, biases=short, group=group)
    beside = [np.array(part.view(mx.uint16)) if kind != "float32" else np.array(part) for part in parts[1:]]
    codes = np.array(parts[0])
    for i in range(40):
        stored = (codes[i].tobytes(), beside[0][i].tobytes(), beside[1][i].tobytes())
        assert_bit_equal(found[i], ScaledRow(**{**vars_of(row), "parts": stored}).weights())
    own = as_numpy(mx, mx.dequantize(*parts, group_size=group, bits=n_bits))
    if kind == "float32":
        assert_bit_equal(found, own)
    else:  # it rounds the product and the sum to the type of the scales
        np.testing.assert_allclose(found, own, atol=0.02 if kind == "bfloat16" else 0.002)


@pytest.mark.parametrize(("mode", "n_bits", "group"), [("mxfp4", 4, 32), ("mxfp8", 8, 32), ("nvfp4", 4, 16)])
@pytest.mark.parametrize("dims", [160, 64, 544])
def test_float_codes_of_mlx(mx: Any, mode: str, n_bits: int, group: int, dims: int, tmp_path: Path) -> None:
    weights = mx.random.normal((40, dims))
    path, parts = save_mlx(mx, tmp_path, weights, dims, bits=n_bits, group_size=group, mode=mode)
    own = as_numpy(mx, mx.dequantize(*parts, group_size=group, bits=n_bits, mode=mode))
    assert_bit_equal(rows(path), own)
    (tmp_path / "config.json").unlink()
    assert_bit_equal(rows(path), own)
