"""torch beside a table: tensors in and out on the same memory, and the stand-in for nn.Embedding."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from tests.helpers.model_files import TOKEN_TABLE, rows_of_floats, write_model
from tests.helpers.oracles import TYPES, ggml_quantize

torch = pytest.importorskip("torch", reason="torch is not installed: make test-integrations installs it")
pytestmark = pytest.mark.integration

from pyembed.integrations.torch import Embedding, NgramEmbedding, as_tensor  # noqa: E402
from tests.helpers.ngram_files import write_small  # noqa: E402

N, WIDTH = 100, 256
IDS = [[3, 99, 0], [7, 7, 5]]
DTYPES = ["float32", "float16", "bfloat16"]


@pytest.fixture(scope="module", params=["F32", "Q4_K"])
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[pyembed.Model]:
    rows = rows_of_floats(N, WIDTH)
    path = tmp_path_factory.mktemp("torch") / "m.gguf"
    if request.param == "F32":
        write_model(path, tensors={TOKEN_TABLE: rows})
    else:
        blocks = ggml_quantize(request.param, rows)
        if blocks is None:
            pytest.skip("there is no ggml library to quantise with")
        import gguf

        kind = gguf.GGMLQuantizationType(TYPES[request.param][0])

        def add(writer: gguf.GGUFWriter) -> None:
            writer.add_tensor(TOKEN_TABLE, blocks.reshape(N, -1), raw_dtype=kind)

        write_model(path, add=add)
    with pyembed.load_model(path, validate="off") as opened:
        yield opened


def peer(model: pyembed.Model, dtype: str) -> Any:
    """Return nn.Embedding over the whole table, decoded."""
    weight = torch.from_numpy(model.table.gather(np.arange(N))).to(getattr(torch, dtype))
    return torch.nn.Embedding.from_pretrained(weight)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("id_dtype", ["int64", "int32", "uint8"])
def test_the_module_equals_nn_embedding(model: pyembed.Model, dtype: str, id_dtype: str) -> None:
    ours, theirs = Embedding(model.table, dtype=getattr(torch, dtype)), peer(model, dtype)
    for ids in (torch.tensor(IDS), torch.tensor(5), torch.zeros(2, 0, dtype=torch.int64)):
        rows = ours(ids.to(getattr(torch, id_dtype)))
        expected = theirs(ids)
        assert rows.dtype == expected.dtype
        assert rows.shape == expected.shape
        assert torch.equal(rows, expected)
    assert ours(torch.tensor(IDS).t()).is_contiguous()
    assert (ours.num_embeddings, ours.embedding_dim) == (N, WIDTH)


def test_the_module_in_a_model(model: pyembed.Model) -> None:
    torch.manual_seed(1)
    layers = torch.nn.Sequential(Embedding(model.table), torch.nn.Linear(WIDTH, 8))
    layers(torch.tensor(IDS)).sum().backward()
    assert layers[1].weight.grad is not None
    assert list(layers.state_dict()) == ["1.weight", "1.bias"]
    layers.to(torch.float64).to("cpu").eval()
    assert f"Embedding({N}, {WIDTH}, type={model.table.type}, dtype=torch.float32)" in repr(layers)


def test_the_module_refuses(model: pyembed.Model) -> None:
    module = Embedding(model.table)
    with pytest.raises(IndexError, match=r"id 100 at position \(0, 1\) is not a row: the table has 100 rows"):
        module(torch.tensor([[1, 100]]))
    with pytest.raises(TypeError, match="ids must be integers, got float32"):
        module(torch.zeros(3))
    with pytest.raises(ValueError, match=r"ids is a tensor on meta; expected one on the CPU"):
        module(torch.zeros(3, dtype=torch.int64, device="meta"))
    with pytest.raises(ValueError, match="rows come out as"):
        Embedding(model.table, dtype=torch.float64)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")
def test_ids_on_a_gpu(model: pyembed.Model) -> None:
    ids = torch.tensor(IDS, device="cuda")
    with pytest.raises(ValueError, match=r"ids is a tensor on cuda:0"):
        Embedding(model.table)(ids)
    rows = Embedding(model.table, follow_ids=True)(ids)
    assert rows.device == ids.device
    assert torch.equal(rows.cpu(), peer(model, "float32")(ids.cpu()))


@pytest.mark.parametrize("dtype", DTYPES)
def test_out_is_a_tensor(model: pyembed.Model, dtype: str) -> None:
    out = torch.full((2, 3, WIDTH + 8), 7.0, dtype=getattr(torch, dtype))
    part = out[..., 4:-4]
    address = out.data_ptr()
    assert model.embed(torch.tensor(IDS), out=part, dtype=out.dtype) is part
    assert out.data_ptr() == address
    assert torch.equal(part, peer(model, dtype)(torch.tensor(IDS)))
    assert (out[..., :4] == 7).all()
    assert (out[..., -4:] == 7).all()
    with pytest.raises(ValueError, match="the rows of out are not contiguous"):
        model.embed([1, 2], out=torch.empty((WIDTH, 2), dtype=out.dtype).t(), dtype=dtype)
    with pytest.raises(ValueError, match="out is a tensor on meta"):
        model.embed([1, 2], out=torch.empty((2, WIDTH), dtype=out.dtype, device="meta"), dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_become_tensors_without_a_copy(model: pyembed.Model, dtype: str) -> None:
    rows = model.embed(IDS, dtype=dtype)
    tensor = as_tensor(rows)
    assert tensor.dtype == getattr(torch, dtype)
    assert tensor.data_ptr() == rows.ctypes.data
    assert torch.equal(tensor, peer(model, dtype)(torch.tensor(IDS)))


class OnlyDLPack:
    """An array of a library that NumPy has not heard of."""

    def __init__(self, tensor: Any) -> None:
        self._tensor = tensor

    def __dlpack__(self, **options: Any) -> Any:
        return self._tensor.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._tensor.__dlpack_device__()


def test_ids_through_dlpack(model: pyembed.Model) -> None:
    ids = torch.tensor(IDS)
    np.testing.assert_array_equal(model.embed(OnlyDLPack(ids)), model.embed(IDS))
    np.testing.assert_array_equal(model.embed(OnlyDLPack(ids.t())), model.embed(np.array(IDS).T))
    with pytest.raises(TypeError, match="ids must be integers, got float32"):
        model.embed(OnlyDLPack(torch.zeros(3)))

    class Elsewhere(OnlyDLPack):
        def __dlpack__(self, **options: Any) -> Any:
            raise BufferError("on a device of its own")

    with pytest.raises(
        ValueError, match=r"ids is a Elsewhere that NumPy cannot share, .* on a device of its own"
    ):
        model.embed(Elsewhere(ids))


@pytest.mark.parametrize("given", DTYPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_spliced_tensors(model: pyembed.Model, given: str, dtype: str) -> None:
    torch.manual_seed(3)
    vectors = torch.randn(2, WIDTH).to(getattr(torch, given)).requires_grad_()
    out = torch.empty(4, WIDTH, dtype=getattr(torch, dtype))
    model.embed([1, -1, -1, 2], out=out, dtype=dtype, replace={1: vectors})
    assert torch.equal(out[1:3], vectors.detach().to(out.dtype))
    assert torch.equal(out[[0, 3]], peer(model, dtype)(torch.tensor([1, 2])))
    with pytest.raises(ValueError, match=r"replace\[1\] is a tensor on meta"):
        model.embed([1, 2], replace={1: torch.zeros(WIDTH, device="meta")})


def test_masks_and_padding_with_tensors(model: pyembed.Model) -> None:
    ids = torch.tensor([[1, 2, -100], [3, -100, -100]])
    mask = ids >= 0
    expected = peer(model, "float32")(ids.clamp(min=0)) * mask[..., None]
    assert torch.equal(torch.from_numpy(model.embed(ids, mask=mask)), expected)
    assert torch.equal(torch.from_numpy(model.embed(ids, mask=mask.to(torch.int64))), expected)
    padded = model.embed_padded([row[row >= 0] for row in ids], length=3)
    assert torch.equal(torch.from_numpy(padded.rows), expected)
    offsets = torch.tensor([0, 2, 3])
    padded = model.embed_padded(torch.tensor([1, 2, 3]), offsets=offsets, length=3)
    assert torch.equal(torch.from_numpy(padded.rows), expected)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_module_pickles(model: pyembed.Model, dtype: str) -> None:
    module = Embedding(model.table, dtype=getattr(torch, dtype), threads=1)
    copy = pickle.loads(pickle.dumps(module))
    ids = torch.tensor([[1, 2], [3, 4]])
    assert torch.equal(copy(ids), module(ids))
    assert repr(copy) == repr(module)
    copy.table.close()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_out_says_the_dtype(model: pyembed.Model, dtype: str) -> None:
    out = torch.zeros((2, model.n_embd), dtype=getattr(torch, dtype))
    assert model.embed([5, 6], out=out) is out
    assert torch.equal(out, torch.from_numpy(model.embed([5, 6])).to(out.dtype))


def test_hashed_rows_that_are_read_ahead(tmp_path: Path, rng: np.random.Generator) -> None:
    ngram = pyembed.open_ngram(write_small(tmp_path, rng)[1])
    with pytest.raises(ValueError, match="layer is needed"):
        NgramEmbedding(ngram)
    module = NgramEmbedding(ngram, 14)
    history, stream = ngram.history(), rng.integers(0, 40, 60)
    expected = torch.from_numpy(ngram.embed(stream, layer=14).reshape(60, -1)).bfloat16()
    for _ in range(12):  # more than are kept: the first are dropped
        module.prefetch(stream[:10], history)
    assert torch.equal(module(stream[:10], history), expected[:10])
    history.advance(stream[:10])
    assert torch.equal(module(stream[10:], history), expected[10:]), "also of what nobody asked for ahead"
    rows = NgramEmbedding(ngram, 14, dtype=torch.float32)(torch.from_numpy(stream))
    assert rows.shape == (60, module.embedding_dim) == (60, 32)
    assert torch.equal(rows.bfloat16(), expected)
    assert list(module.parameters()) == []
    assert repr(module) == "NgramEmbedding(engram, layer=14, 32, dtype=torch.bfloat16)"
    with pytest.raises(IndexError):
        module.prefetch([40])
    with pytest.raises(ValueError, match="not as"):
        NgramEmbedding(ngram, 14, dtype=torch.int8)
