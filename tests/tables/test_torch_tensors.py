"""Tensors of torch as ids and as outputs, on the CPU; any others are refused."""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pytest

import pyembed
from tests.helpers.float_rows import BFLOAT16_ROWS, ROWS, filled, write_rows


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory):
    with pyembed.open_table(write_rows(tmp_path_factory.mktemp("table") / "m.gguf")) as table:
        yield table


class FakeTensor:
    """What of a torch tensor is used here, over a NumPy array; torch itself is too large for these tests."""

    def __init__(self, array: np.ndarray, dtype: str, device: str = "cpu") -> None:
        self.array, self.dtype = array, dtype
        self.device = types.SimpleNamespace(type=device, __str__=lambda self: device)

    def detach(self) -> FakeTensor:
        return self

    def view(self, dtype: str) -> FakeTensor:
        return FakeTensor(self.array.view(np.int16), dtype)

    def numpy(self) -> np.ndarray:
        if self.dtype == "torch.bfloat16":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.array


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> Any:
    try:
        import torch
    except ImportError:
        torch = types.ModuleType("torch")
        torch.Tensor, torch.int16 = FakeTensor, "torch.int16"  # type: ignore[attr-defined]
        torch.from_numpy = lambda array: FakeTensor(array, f"torch.{array.dtype}")  # type: ignore[attr-defined]
        torch.bfloat16_of = lambda array: FakeTensor(array, "torch.bfloat16")  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "torch", torch)
    else:
        torch.bfloat16_of = lambda array: torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch


def test_tensors_of_torch(torch: Any, table: pyembed.EmbeddingTable) -> None:
    ids = torch.from_numpy(np.array([[1, 2], [3, 299]]))
    memory = filled((2, 2, 8))
    out = torch.from_numpy(memory)
    assert table.gather(ids, out=out) is out
    np.testing.assert_array_equal(memory, ROWS[[[1, 2], [3, 299]]])
    bits = filled((2, 2, 8), np.uint16)
    out = torch.bfloat16_of(bits)
    assert table.gather(ids, out=out, dtype="bfloat16") is out
    np.testing.assert_array_equal(bits, BFLOAT16_ROWS[[[1, 2], [3, 299]]])
    bits[...] = 7
    assert table.gather(ids, out=out) is out
    np.testing.assert_array_equal(bits, BFLOAT16_ROWS[[[1, 2], [3, 299]]])
    with pytest.raises(TypeError, match="float64; expected float32"):
        table.gather([1], out=torch.from_numpy(np.empty((1, 8))))
    with pytest.raises(ValueError, match="not contiguous"):
        table.gather([1, 2], out=torch.from_numpy(np.empty((8, 2), np.float32).T))
    with pytest.raises(TypeError, match="integers"):
        table.gather(torch.from_numpy(np.array([True])))
    with pytest.raises(TypeError, match="integers"):
        table.gather(torch.from_numpy(np.array([1.0])))


def test_tensors_elsewhere(monkeypatch: pytest.MonkeyPatch, table: pyembed.EmbeddingTable) -> None:
    torch = types.ModuleType("torch")
    torch.Tensor = FakeTensor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    away = FakeTensor(np.zeros((1, 8), np.float32), "torch.float32", "cuda")
    with pytest.raises(ValueError, match=r"out is a tensor on .*cuda.*; expected one on the CPU"):
        table.gather([1], out=away)
    with pytest.raises(ValueError, match="ids is a tensor on"):
        table.gather(away)
