"""Hashed rows in the background: one ticket for names, reads and decoding of a layer, or of all layers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

import pyembed
from pyembed.ngram import Ngram
from pyembed.tables.ticket import Tickets
from tests.helpers import ngram_files as files
from tests.ngram.test_ngram_folders import folder

STREAM = np.random.default_rng(5).integers(0, 40, 200)


@pytest.fixture
def engram(tmp_path: Path, rng: np.random.Generator) -> Ngram:
    return pyembed.open_ngram(files.write_small(tmp_path, rng)[1])


def test_a_ticket_of_one_layer_gives_what_embed_does(engram: Ngram) -> None:
    history = engram.history()
    history.advance(STREAM[:50])
    ticket = engram.submit(STREAM[50:], history, layer=14)
    history.advance([1, 2, 3])  # it was read when the ticket was made
    history.rewind(3)
    expected = engram.embed(STREAM[50:], history, layer=14)
    np.testing.assert_array_equal(ticket.wait(), expected)
    out = np.zeros((2, 4, 8), np.float16)
    assert engram.submit(STREAM[50:52], [history], out, offsets=[0, 2], layer=14).wait() is out
    np.testing.assert_array_equal(out, expected[:2].astype(np.float16))


def test_a_ticket_of_all_layers(engram: Ngram) -> None:
    ticket = engram.submit(STREAM, dtype="bfloat16")
    assert isinstance(ticket, Tickets)
    for _ in range(2):
        rows = ticket.wait()
        assert list(rows) == [1, 14]
        for layer in engram.layers:
            np.testing.assert_array_equal(rows[layer], engram.embed(STREAM, layer=layer, dtype="bfloat16"))
    assert ticket.done()
    assert repr(ticket) == "<Tickets: 2 of 2 done>"
    out = {1: np.zeros((200, 4, 8), np.float32)}
    assert engram.submit(STREAM, out=out).wait()[1] is out[1]
    np.testing.assert_array_equal(out[1], engram.embed(STREAM, layer=1))

    async def collect() -> dict[int, np.ndarray]:
        return await engram.submit(STREAM)

    np.testing.assert_array_equal(asyncio.run(collect())[14], engram.embed(STREAM, layer=14))


def test_what_cannot_be_submitted(engram: Ngram) -> None:
    with pytest.raises(IndexError, match="id 40 at position 1"):
        engram.submit([1, 40])
    with pytest.raises(ValueError, match="layer is 2; there are 1, 14"):
        engram.submit([1], layer=2)
    with pytest.raises(TypeError, match="mapping of layers to outputs"):
        engram.submit([1], out=np.zeros((1, 4, 8), np.float32))
    with pytest.raises(ValueError, match="shape"):
        engram.submit([1], out=np.zeros((2, 4, 8), np.float32), layer=1)
    ticket = engram.submit(STREAM)
    engram.close()
    assert len(ticket.wait()) == 2, "what was submitted finishes"
    with pytest.raises(pyembed.ClosedError):
        engram.submit([1])


def test_columns_with_tables_of_their_own(tmp_path: Path, rng: np.random.Generator) -> None:
    config = {"vocab_size": 10, "emb_neighbor_num": 3, "emb_split_num": 2, "ngram_vocab_size_ratio": 7}
    rows = [rng.standard_normal((70 + 2 * i + 1, 4)).astype(np.float32) for i in range(4)]
    tensors = {f"model.ngram_embeddings.embedders.{i}.weight": table for i, table in enumerate(rows)}
    with pyembed.open_ngram(folder(tmp_path, config, tensors)) as ngram:
        stream = STREAM % 10
        np.testing.assert_array_equal(ngram.submit(stream).wait(), ngram.embed(stream))
        out = np.zeros((200, 4, 4), np.float16)
        assert ngram.submit(stream, out=out).wait() is out
        np.testing.assert_array_equal(out, ngram.embed(stream, dtype="float16"))


def test_one_of_several_that_fails_says_so_when_all_are_done(engram: Ngram) -> None:
    good, bad = engram.tables[1].submit([0, 1]), engram.tables[14].submit([2, 10**6])
    both = Tickets([bad, good], lambda: None)
    for _ in range(2):
        with pytest.raises(IndexError):
            both.wait()
        assert both.done()

    async def collect() -> None:
        await both

    with pytest.raises(IndexError):
        asyncio.run(collect())
    both.cancel()
    assert good.wait().shape == (2, 8), "it was done before"
