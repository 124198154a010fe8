"""Tokens with NULs at their ends, and names that are not UTF-8, in the files that are exported."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import pyembed
from pyembed.export import FORMATS, export
from tests.helpers.gguf_bytes import ARRAY, STRING, Array, GGUFBytes


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    tokens: list[str | bytes] = ["\0", "a\0", "a\0b\0", "c", "", b"\xff\0", "\0\0\0"]
    builder = GGUFBytes().add("general.architecture", STRING, "llama")
    builder.add("tokenizer.ggml.tokens", ARRAY, Array(STRING, tokens))
    builder.tensor(b"bad\xffname", (8, 4), 0, bytes(128))
    (tmp_path / "odd.gguf").write_bytes(bytes(builder))
    return tmp_path / "odd.gguf"


def test_npz_keeps_nuls_at_the_end(odd: Path, tmp_path: Path) -> None:
    with pyembed.load_model(odd, validate="off") as model:
        table = model.open_table("bad\udcffname")
        export(table, tmp_path / "x.npz", vocabulary=model.vocabulary)
        with np.load(tmp_path / "x.npz") as arrays:
            pairs = zip(arrays["tokens"].tolist(), arrays["token_lengths"].tolist(), strict=True)
            found = [text.ljust(length, "\0") for text, length in pairs]
        assert found == [*model.vocabulary.tokens, ""]


@pytest.mark.parametrize("name", FORMATS)
def test_names_that_are_not_utf8_give_files_that_readers_open(name: str, odd: Path, tmp_path: Path) -> None:
    out = tmp_path / f"x{FORMATS[name].suffixes[0]}"
    if name == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    with pyembed.load_model(odd, validate="off") as model:
        export(model.open_table("bad\udcffname"), out, vocabulary=model.vocabulary, format=name)
    if name == "safetensors":
        safe_open = pytest.importorskip("safetensors", reason="safetensors is not installed").safe_open
        with safe_open(out, "numpy") as file:
            assert file.metadata()["tensor"] == "bad\\xffname"
            assert json.loads(file.metadata()["tokens"])[5] == "\udcff\0"
    if name == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        assert parquet.read_schema(out).metadata[b"tensor"] == b"bad\\xffname"
        assert parquet.read_table(out)["token"].to_pylist()[:3] == ["\0", "a\0", "a\0b\0"]
