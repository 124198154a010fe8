"""Prompts as vectors: the payload is what torch.load reads, and nothing else gets in."""

from __future__ import annotations

import base64
import io
import pickle
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import pyembed

torch = pytest.importorskip("torch", reason="torch is not installed: make test-integrations installs it")
pytestmark = pytest.mark.integration

from pyembed.integrations.prompt_embeds import decode, encode  # noqa: E402


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_payload_is_a_saved_tensor(dtype: str) -> None:
    with pyembed.load_model(pyembed.demo_model()) as model:
        rows = model.embed([5, 6, 7], dtype=dtype)
        text = encode(rows)
        expected = torch.from_numpy(model.embed([5, 6, 7])).to(getattr(torch, dtype))
    assert isinstance(text, str)
    loaded = torch.load(io.BytesIO(base64.b64decode(text, validate=True)), weights_only=True)
    assert loaded.dtype == getattr(torch, dtype)
    assert torch.equal(loaded, expected)
    assert torch.equal(decode(text), expected)
    assert torch.equal(decode(text.encode()), expected)


def test_tensors_and_views() -> None:
    whole = torch.randn(1000, 32, requires_grad=True)
    part = whole[10:13]
    text = encode(part)
    assert torch.equal(decode(text), part)
    assert len(text) < 5000  # not the memory that it is a view of
    assert torch.equal(decode(encode(whole.t()[:4])), whole.t()[:4])
    bits = np.ones((2, 8), ml_dtypes.bfloat16)
    assert decode(encode(bits)).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (np.zeros(8, np.float32), ValueError, r"shape \(8,\); expected \(tokens, n_embd\)"),
        (np.zeros((1, 2, 8), np.float32), ValueError, r"shape \(1, 2, 8\)"),
        (np.zeros((0, 8), np.float32), ValueError, r"shape \(0, 8\)"),
        (torch.zeros((2, 8), dtype=torch.float64), TypeError, r"dtype torch.float64; expected float32"),
        (torch.zeros((2, 8), dtype=torch.uint16), TypeError, r"dtype torch.uint16"),
    ],
)
def test_rows_that_are_refused(rows: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        encode(rows)


def saved(value: Any) -> str:
    file = io.BytesIO()
    torch.save(value, file)
    return base64.b64encode(file.getvalue()).decode()


class Evil:
    """Unpickled, this would run a command."""

    def __reduce__(self) -> Any:
        return (pytest.fail, ("it was unpickled",))


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ("not base64!", "is not base64"),
        ("", "not a tensor that torch.save wrote"),
        (base64.b64encode(b"some bytes").decode(), "not a tensor that torch.save wrote"),
        (base64.b64encode(pickle.dumps(Evil())).decode(), "not a tensor that torch.save wrote"),
        (saved(torch.zeros(2, 8))[:400], "not a tensor that torch.save wrote"),
        (saved({"a": torch.zeros(2, 8)}), "which no plain tensor has"),
        (saved(torch.eye(4).to_sparse()), "which no plain tensor has|expected a plain tensor"),
        (saved(torch.nn.Parameter(torch.zeros(2, 8))), "expected a plain tensor"),
        (saved(torch.zeros(1, 8).expand(1000, 8)), "does not lie in its storage"),
        (saved(torch.zeros(8)), r"shape \(8,\)"),
    ],
)
def test_payloads_that_are_refused(payload: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode(payload)


def test_a_payload_that_would_run_code() -> None:
    with pytest.raises(ValueError, match="plain tensor"):
        decode(saved(Evil()))


@pytest.mark.parametrize("make", ["plain", "view", "gradient", "transposed", "large", "contiguous rows"])
def test_what_torch_saves_is_read_as_torch_reads_it(make: str) -> None:
    whole = torch.randn(70, 90)
    tensor = {
        "plain": whole,
        "view": whole[3:9, 5:50],
        "gradient": whole.clone().requires_grad_(),
        "transposed": whole.t(),
        "large": torch.randn(400, 300),
        "contiguous rows": whole[10:20],
    }[make]
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        given = tensor.to(dtype)
        read = decode(saved(given))
        theirs = torch.load(io.BytesIO(base64.b64decode(saved(given))), weights_only=True)
        assert read.dtype == theirs.dtype == dtype
        assert torch.equal(read, theirs.detach())


def test_what_is_written_loads_at_every_size() -> None:
    for shape in ((1, 1), (1, 256), (3, 70000), (300, 128)):
        rows = np.random.default_rng(0).standard_normal(shape, np.float32)
        loaded = torch.load(io.BytesIO(base64.b64decode(encode(rows))), weights_only=True)
        assert torch.equal(loaded, torch.from_numpy(rows))
        assert loaded.is_contiguous()


def test_a_payload_of_another_dtype() -> None:
    with pytest.raises(TypeError, match=r"dtype torch\.float64"):
        decode(saved(torch.zeros((2, 8), dtype=torch.float64)))
