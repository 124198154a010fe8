"""The README's table of peers: each cell is what the peer itself was seen to do."""

from __future__ import annotations

import ctypes
import importlib
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import pyembed
from tests.helpers.complete_models import WIDTH, write_complete_model
from tests.helpers.encoders import save_model2vec, word_tokenizer
from tests.helpers.tokenizer_files import write_safetensors

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
IDS = np.array([3, 94, 7])
SCALES = np.array([[0.5], [2.0], [4.0], [1.0]], np.float32)
CODES = np.arange(16, dtype=np.int8).reshape(4, 4)


def cells() -> dict[tuple[str, str], str]:
    """Return the cells of the table, by what is asked and by the peer."""
    text = (ROOT / "README.md").read_text("utf-8")
    (table,) = re.findall(r"^\| \| pyembed \|.*\n(?:\|.*\n)+", text, re.MULTILINE)
    head, _, *lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {(line[0], peer): cell for line in lines for peer, cell in zip(head[1:], line[1:], strict=True)}


CELLS = cells()
ROWS = "rows of a quantised table by id, as floats"
SCALED = "tables of safetensors together with their scales"
FROM_C = "from C"
REFUSES = "refuses a table that does not belong to its tokens"
RUNS = "runs the model"


@pytest.fixture(scope="module")
def quantised(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a whole model of llama's architecture with the vocabulary of GPT-2 and a table of Q8_0."""
    with pyembed.load_model(data_dir / "vocab" / "ggml-vocab-gpt-2.gguf", vocab_only=True) as named:
        path = tmp_path_factory.mktemp("peers") / "q8.gguf"
        return write_complete_model(path, "llama", table_type="Q8_0", vocabulary=named)


@pytest.fixture(scope="module")
def moved(quantised: Path) -> Path:
    """Return the same with tokens that stand one row later: its merges say that they do."""
    out = quantised.with_name("moved.gguf")
    with pyembed.load_model(quantised) as model:
        tokens = list(model.metadata["tokenizer.ggml.tokens"])
    tokens[300:50000] = [tokens[49999], *tokens[300:49999]]
    with pyembed.edit(quantised) as changes:
        changes.set_typed("tokenizer.ggml.tokens", "string[]", tokens)
        changes.write(out)
    return out


@pytest.fixture(scope="module")
def scaled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scaled") / "model.safetensors"
    return write_safetensors(path, {"table.weight": ("I8", CODES), "table.weight_scale": ("F32", SCALES)})


@pytest.fixture
def static(tmp_path: Path) -> Path:
    tokenizer = word_tokenizer()
    table = np.random.default_rng(0).standard_normal((tokenizer.get_vocab_size(), 8)).astype(np.float32)
    weights = np.linspace(1, 2, len(table), dtype=np.float32)
    mapping = np.arange(len(table), dtype=np.int32)
    save_model2vec(tmp_path, table, tokenizer, {"normalize": False}, weights=weights, mapping=mapping)
    return tmp_path


def engine(path: Path) -> Any:
    from tests.helpers.llama_cpp_engine import Engine

    return Engine(path)


def only_python(module: ModuleType) -> bool:
    """Whether a package has no compiled code and no header."""
    assert module.__file__ is not None
    folder = Path(module.__file__).parent
    return not [path for path in folder.rglob("*") if path.suffix in (".so", ".h", ".a", ".dylib")]


def names_of(module: ModuleType) -> set[str]:
    """Return the words in all public names of a package."""
    public = {name for name in dir(module) if not name.startswith("_")}
    return {word.lower() for name in public for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)}


def expected(path: Path) -> np.ndarray:
    with pyembed.load_model(path, validate="off") as model:
        return np.asarray(model.embed(IDS))


def test_all_cells_are_looked_at() -> None:
    wanted = {key for key in CELLS if key[1] != "pyembed"}
    assert wanted == set(LOOKS)
    assert {key[0] for key in wanted} == {ROWS, SCALED, FROM_C, REFUSES, RUNS}


def test_what_pyembed_does(quantised: Path, moved: Path, scaled: Path) -> None:
    assert [CELLS[asked, "pyembed"] for asked in (ROWS, SCALED, FROM_C, REFUSES, RUNS)] == [
        *["yes"] * 4,
        "no",
    ]
    assert expected(quantised).dtype == np.float32
    with pyembed.open_table(scaled, tensor="table.weight") as table:
        np.testing.assert_array_equal(table[[1, 3]], (CODES * SCALES)[[1, 3]])
    with pytest.raises(pyembed.VocabularyError):
        pyembed.load_model(moved)


def rows_of_gguf_py(files: dict[str, Path]) -> str:
    gguf = importlib.import_module("gguf")
    (tensor,) = [
        one for one in gguf.GGUFReader(files["quantised"]).tensors if one.name == "token_embd.weight"
    ]
    by_hand = gguf.quants.dequantize(tensor.data[IDS], tensor.tensor_type)
    np.testing.assert_array_equal(by_hand, expected(files["quantised"]))
    assert not {"embed", "gather", "rows", "lookup"} & (names_of(gguf) | names_of(gguf.GGUFReader))
    return "in NumPy, by hand"


def rows_of_llama_cpp(files: dict[str, Path]) -> str:
    with engine(files["quantised"]) as opened:
        opened.run(ids=IDS)
        np.testing.assert_array_equal(opened.first_layer(len(IDS), WIDTH), expected(files["quantised"]))
    api = importlib.import_module("llama_cpp.llama_cpp")
    # Results of a run, widths, and what is given to it: no function returns rows of a table.
    asked = {
        name for name in dir(api) if re.match(r"llama_(get|model_get)_.*(embd|embedding|row|tensor)", name)
    }
    assert asked == {"llama_get_embeddings", "llama_get_embeddings_ith", "llama_get_embeddings_seq"}
    return "inside its graph"


def rows_of_safetensors(files: dict[str, Path]) -> str:
    safetensors = importlib.import_module("safetensors")
    with pytest.raises(safetensors.SafetensorError):
        safetensors.safe_open(files["quantised"], framework="numpy")
    with safetensors.safe_open(files["scaled"], framework="numpy") as opened:
        assert opened.get_slice("table.weight")[1:2].dtype == np.int8  # codes
    return "no"


def rows_of_torch(files: dict[str, Path]) -> str:
    torch = importlib.import_module("torch")
    with pytest.raises(Exception, match=r"(?i)pickle|zip|invalid|weights"):
        torch.load(files["quantised"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is going to move to another package
        table = torch.ao.nn.quantized.Embedding(100, 8)
        assert table(torch.tensor(IDS)).dtype == torch.float32
    return "of its own types, loaded"


def rows_of_model2vec(files: dict[str, Path]) -> str:
    model2vec = importlib.import_module("model2vec")
    small = model2vec.StaticModel.from_pretrained(files["static"], quantize_to="int8")
    assert small.embedding[IDS % 50].dtype == np.int8  # without their scale
    return "no"


def scaled_of_gguf_py(files: dict[str, Path]) -> str:
    with pytest.raises(ValueError, match="magic"):
        importlib.import_module("gguf").GGUFReader(files["scaled"])
    return "no"


def scaled_of_llama_cpp(files: dict[str, Path]) -> str:
    with pytest.raises(AssertionError, match="does not load"):
        engine(files["scaled"])
    return "no"


def scaled_of_safetensors(files: dict[str, Path]) -> str:
    safetensors = importlib.import_module("safetensors")
    with safetensors.safe_open(files["scaled"], framework="numpy") as opened:
        np.testing.assert_array_equal(opened.get_slice("table.weight")[1:2], CODES[1:2])
        np.testing.assert_array_equal(opened.get_slice("table.weight_scale")[1:2], SCALES[1:2])
    return "the tensors"


def scaled_of_torch(files: dict[str, Path]) -> str:
    tensors = importlib.import_module("torch").load(files["scaled"])
    np.testing.assert_array_equal(tensors["table.weight"].numpy(), CODES)
    np.testing.assert_array_equal(tensors["table.weight_scale"].numpy(), SCALES)
    return "the tensors, loaded"


def scaled_of_model2vec(files: dict[str, Path]) -> str:
    model2vec = importlib.import_module("model2vec")
    model = model2vec.StaticModel.from_pretrained(files["static"])
    (row,) = model.tokenize(["cat"])[0]
    wanted = model.embedding[row] * model.weights[row]
    np.testing.assert_allclose(model.encode("cat"), wanted, rtol=1e-6)
    with pytest.raises(Exception, match=r"Could not find"):
        model2vec.StaticModel.from_pretrained(files["scaled"].parent)
    return "its own models"


def c_of_gguf_py(_: dict[str, Path]) -> str:
    assert only_python(importlib.import_module("gguf"))
    return "no"


def c_of_llama_cpp(files: dict[str, Path]) -> str:
    """Parse and decode by ggml alone, a library of llama.cpp."""
    from tests.helpers.llama_cpp_engine import _BASE_LIBRARY

    base = ctypes.CDLL(str(_BASE_LIBRARY))
    base.gguf_init_from_file.restype = ctypes.c_void_p
    base.gguf_init_from_file.argtypes = [ctypes.c_char_p, ctypes.c_uint64 * 2]
    base.gguf_get_n_tensors.argtypes = [ctypes.c_void_p]
    base.gguf_get_n_tensors.restype = ctypes.c_int64
    parsed = base.gguf_init_from_file(str(files["quantised"]).encode(), (ctypes.c_uint64 * 2)(1, 0))
    with pyembed.load_model(files["quantised"], validate="off") as model:
        assert base.gguf_get_n_tensors(parsed) == len(model.tensors)
    assert base.ggml_get_type_traits
    assert base.dequantize_row_q8_0
    return "with ggml, by hand"


def c_of_safetensors(_: dict[str, Path]) -> str:
    module = importlib.import_module("safetensors._safetensors_rust")
    library = ctypes.CDLL(module.__file__)
    assert library.PyInit__safetensors_rust
    assert [name for name in ("safetensors_open", "safe_open", "deserialize") if hasattr(library, name)] == []
    return "no"


def c_of_torch(_: dict[str, Path]) -> str:
    torch = importlib.import_module("torch")
    folder = Path(torch.__file__).parent
    header = folder / "include/torch/csrc/api/include/torch/nn/functional/embedding.h"
    assert "namespace torch" in header.read_text("utf-8")  # C++
    assert list((folder / "lib").glob("libtorch_cpu.*"))
    return "C++, with libtorch"


def c_of_model2vec(_: dict[str, Path]) -> str:
    assert only_python(importlib.import_module("model2vec"))
    return "no"


def refusal_of_gguf_py(files: dict[str, Path]) -> str:
    assert importlib.import_module("gguf").GGUFReader(files["moved"]).tensors
    return "no"


def refusal_of_llama_cpp(files: dict[str, Path]) -> str:
    with engine(files["moved"]) as opened:
        assert np.isfinite(opened.run(ids=IDS)).all()
    return "no"


def refusal_of_safetensors(files: dict[str, Path]) -> str:
    assert not {"token", "tokens", "vocabulary", "tokenizer"} & names_of(
        importlib.import_module("safetensors")
    )
    return "no"


def refusal_of_torch(_: dict[str, Path]) -> str:
    torch = importlib.import_module("torch")
    assert torch.nn.Embedding.from_pretrained(torch.zeros(5, 2))(torch.tensor([4])).shape == (1, 2)
    assert not {"vocabulary", "tokenizer"} & names_of(torch.nn.Embedding)
    return "no"


def refusal_of_model2vec(files: dict[str, Path]) -> str:
    model2vec = importlib.import_module("model2vec")
    before = model2vec.StaticModel.from_pretrained(files["static"]).encode("cat")
    path = files["static"] / "tokenizer.json"
    text = path.read_text("utf-8")
    path.write_text(re.sub(r'"cat": *(\d+)', '"cat":0', re.sub(r'"\[PAD\]": *0', '"[PAD]":3', text)), "utf-8")
    after = model2vec.StaticModel.from_pretrained(files["static"]).encode("cat")
    assert not np.array_equal(before, after)  # another row, and nothing was said
    return "no"


def running_gguf_py(_: dict[str, Path]) -> str:
    gguf = importlib.import_module("gguf")
    assert not {"forward", "generate", "predict"} & {name.lower() for name in dir(gguf)}
    return "no"


def running_llama_cpp(files: dict[str, Path]) -> str:
    with engine(files["quantised"]) as opened:
        assert opened.run(ids=IDS).shape == (len(IDS), opened.n_vocab)
    return "yes"


def running_safetensors(_: dict[str, Path]) -> str:
    assert names_of(importlib.import_module("safetensors")) <= {
        *("safetensor", "error", "tensor", "spec", "safe", "open", "serialize", "deserialize", "file"),
        *("numpy", "torch"),  # modules that something imported
    }
    return "no"


def running_torch(_: dict[str, Path]) -> str:
    torch = importlib.import_module("torch")
    layer = torch.nn.TransformerEncoderLayer(8, 2, dim_feedforward=8, batch_first=True).eval()
    assert layer(torch.zeros(1, 3, 8)).shape == (1, 3, 8)
    return "yes"


def running_model2vec(files: dict[str, Path]) -> str:
    model2vec = importlib.import_module("model2vec")
    assert model2vec.StaticModel.from_pretrained(files["static"]).encode("the cat").shape == (8,)
    return "its own models"


#: What looks at each cell, and returns what has to stand in it.
LOOKS: dict[tuple[str, str], Callable[[dict[str, Path]], str]] = {
    (asked, peer): look
    for asked, looks in (
        (ROWS, (rows_of_gguf_py, rows_of_llama_cpp, rows_of_safetensors, rows_of_torch, rows_of_model2vec)),
        (
            SCALED,
            (
                scaled_of_gguf_py,
                scaled_of_llama_cpp,
                scaled_of_safetensors,
                scaled_of_torch,
                scaled_of_model2vec,
            ),
        ),
        (FROM_C, (c_of_gguf_py, c_of_llama_cpp, c_of_safetensors, c_of_torch, c_of_model2vec)),
        (
            REFUSES,
            (
                refusal_of_gguf_py,
                refusal_of_llama_cpp,
                refusal_of_safetensors,
                refusal_of_torch,
                refusal_of_model2vec,
            ),
        ),
        (RUNS, (running_gguf_py, running_llama_cpp, running_safetensors, running_torch, running_model2vec)),
    )
    for peer, look in zip(("gguf-py", "llama.cpp", "safetensors", "torch", "model2vec"), looks, strict=True)
}
MODULES = {"gguf-py": "gguf", "llama.cpp": "llama_cpp"}


@pytest.mark.parametrize("key", LOOKS, ids=lambda key: f"{key[1]}: {key[0]}")
def test_cell(key: tuple[str, str], quantised: Path, moved: Path, scaled: Path, static: Path) -> None:
    module = MODULES.get(key[1], key[1])
    pytest.importorskip(module, reason=f"{module} is not installed: make test-integrations installs it")
    seen = LOOKS[key]({"quantised": quantised, "moved": moved, "scaled": scaled, "static": static})
    assert CELLS[key] == seen
