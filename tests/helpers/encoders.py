"""Writes static embedding models as their libraries lay them out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.helpers.tokenizer_files import write_safetensors

Array = npt.NDArray[Any]

WORDS = (
    "the",
    "cat",
    "dog",
    "house",
    "a",
    "un",
    "##believ",
    "##able",
    "un##",
    ",",
    ".",
    "!",
    "1",
    "##2",
    "über",
)
TEXTS = [
    "the cat, a dog. the house!",
    "",
    "zz9 the zz8 cat dog",
    "unbelievable 12 The CAT\tüber\n the",
    "日本語 zzz",
    "the " * 700 + "dog",
    "[UNK] the [PAD] cat",
    "   ",
]

_NAMES = {"float16": "F16", "float32": "F32", "float64": "F64", "int8": "I8", "int32": "I32", "int64": "I64"}


def word_tokenizer() -> Any:
    """Return a WordPiece tokenizer of a few words, lower-casing as BERT's does."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

    words = ["[PAD]", "[UNK]", *WORDS, *(f"word{number}" for number in range(40))]
    tokenizer = Tokenizer(models.WordPiece({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens([AddedToken("[PAD]"), AddedToken("[UNK]"), AddedToken("[EXTRA]")])
    return tokenizer


def _tensor(array: Array) -> tuple[str, Array]:
    return _NAMES[array.dtype.name], array


def save_model2vec(
    folder: Path,
    table: Array,
    tokenizer: Any,
    config: dict[str, Any],
    weights: Array | None = None,
    mapping: Array | None = None,
) -> None:
    """Write a folder of model2vec."""
    tensors = {"embeddings": table, "weights": weights, "mapping": mapping}
    given = {name: _tensor(array) for name, array in tensors.items() if array is not None}
    write_safetensors(folder / "model.safetensors", given)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps(config), "utf-8")


def save_transformers(
    folder: Path,
    table: Array,
    tokenizer: Any,
    layout: str,
    normalize: bool,
    settings: dict[str, Any] | None = None,
) -> None:
    """Write a folder of sentence-transformers whose first module is a StaticEmbedding."""
    inside = "" if layout == "root" else "0_StaticEmbedding"
    home = folder / inside
    home.mkdir(exist_ok=True)
    write_safetensors(home / "model.safetensors", {"embedding.weight": _tensor(table)})
    tokenizer.save(str(home / "tokenizer.json"))
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings or {}), "utf-8")
    modules = [
        {"idx": 0, "name": "0", "path": inside, "type": "sentence_transformers.models.StaticEmbedding"}
    ]
    if normalize:
        kind = "sentence_transformers.base.modules.normalize.Normalize"
        modules.append({"idx": 1, "name": "1", "path": "1_Normalize", "type": kind})
    if "no modules.json" not in layout:
        (folder / "modules.json").write_text(json.dumps(modules), "utf-8")


#: Types of rows that models have.
DTYPES = ("float16", "float32", "float64", "int8")


def rows(dtype: str, n: int, width: int = 96, seed: int = 0) -> Array:
    """Return random rows, as a model may have."""
    rng = np.random.default_rng(seed)
    if dtype == "int8":
        return rng.integers(-127, 128, (n, width)).astype(np.int8)
    return rng.standard_normal((n, width)).astype(dtype)


def difference(found: Array, wanted: Array) -> float:
    """Return the largest difference of two arrays, of one dtype and shape."""
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    return float(np.abs(found.astype(np.float64) - wanted).max(initial=0))
