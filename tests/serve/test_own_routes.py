"""Rows, neighbours and prompts over HTTP."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest

import pyembed
from pyembed.integrations.prompt_embeds import decode_rows
from tools.servers import Server


def test_rows(server: Server) -> None:
    ids = [5, 0, 5, 300]
    with pyembed.load_model(pyembed.demo_model()) as model:
        wanted = model.embed(ids)
    answer = server.post("/v1/rows", {"ids": ids})
    assert [one["id"] for one in answer.value["data"]] == ids
    found = np.array([one["embedding"] for one in answer.value["data"]], np.float32)
    np.testing.assert_array_equal(found, wanted)
    answer = server.post("/v1/rows", {"ids": ids, "encoding_format": "base64"})
    texts = [base64.b64decode(one["embedding"]) for one in answer.value["data"]]
    np.testing.assert_array_equal(np.array([np.frombuffer(text, "<f4") for text in texts]), wanted)
    assert server.post("/v1/rows", {"ids": [3], "model": "rows"}).status == 422


@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_nearest(server: Server, metric: str) -> None:
    with pyembed.load_model(pyembed.demo_model()) as model:
        vector = model.embed([7])[0].tolist()
        for query in ("file", 12, vector):
            answer = server.post("/v1/nearest", {"input": query, "k": 4, "metric": metric})
            wanted = model.nearest(query, 4, metric)  # type: ignore[arg-type]
            found = [(one["id"], one["text"], one["score"]) for one in answer.value["data"]]
            assert found == [tuple(one) for one in wanted]
        without = server.post("/v1/nearest", {"input": "file", "k": 3, "leave_out_variants": True})
        wanted = model.nearest("file", 3, leave_out_variants=True)
        assert [one["id"] for one in without.value["data"]] == [one.id for one in wanted]
    rows = server.post("/v1/nearest", {"input": 1, "model": "rows", "k": 500}).value["data"]
    assert len(rows) == 8, "neither the row itself nor the one that is not finite"
    assert rows[0]["text"] is None


def test_prompts(server: Server, plain_rows: Path) -> None:
    prompts = ["read the file", "a string"]
    answer = server.post("/v1/prompt_embeds", {"input": prompts, "dtype": "float32"})
    with pyembed.load_model(pyembed.demo_model()) as model:
        for prompt, one in zip(prompts, answer.value["data"], strict=True):
            ids = model.tokenize(prompt, add_special=True)
            np.testing.assert_array_equal(decode_rows(one["prompt_embeds"]), model.embed(ids))
            assert one["n_tokens"] == len(ids)
        ids = model.tokenize(prompts[0])
        plain = server.post("/v1/prompt_embeds", {"input": prompts[0], "add_special_tokens": False})
        np.testing.assert_array_equal(
            decode_rows(plain.value["data"][0]["prompt_embeds"]), model.embed(ids, dtype="bfloat16")
        )
        assert plain.value["usage"] == {"prompt_tokens": len(ids), "total_tokens": len(ids)}
    answer = server.post("/v1/prompt_embeds", {"input": [[4, 5], [6]], "model": "rows", "dtype": "float16"})
    found = [decode_rows(one["prompt_embeds"]) for one in answer.value["data"]]
    np.testing.assert_array_equal(np.concatenate(found), np.load(plain_rows)[[4, 5, 6]].astype(np.float16))
    assert server.post("/v1/prompt_embeds", {"input": "a", "model": "rows"}).status == 422


def test_prompts_of_a_folder(server: Server, word_model: Path) -> None:
    answer = server.post("/v1/prompt_embeds", {"input": "the cat", "model": "words", "dtype": "float32"})
    with pyembed.load_encoder(word_model) as encoder:
        wanted = encoder.table.gather(encoder.tokenize(["the cat"])[0])
    np.testing.assert_array_equal(decode_rows(answer.value["data"][0]["prompt_embeds"]), wanted)
    assert server.post("/v1/prompt_embeds", {"input": "zz9", "model": "words"}).status == 400


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/v1/nearest", {"input": "no such word"}, "not a single token"),
        ("/v1/nearest", {"input": [1.0, 2]}, "the vector has 2 numbers"),
        ("/v1/nearest", {"input": [1e300] * 128}, "not finite"),
        ("/v1/nearest", {"input": [10**400] * 128}, "not finite"),
        ("/v1/nearest", {"input": True}, "must be a word"),
        ("/v1/nearest", {"input": 10**6}, "id 1000000"),
        ("/v1/nearest", {"input": 10**30}, "no token has"),
        ("/v1/nearest", {"input": "a", "model": "rows"}, "no vocabulary"),
        ("/v1/nearest", {"input": 1, "k": 0}, "k is 0"),
        ("/v1/nearest", {"input": 1, "k": 1001}, "at most 1000"),
        ("/v1/nearest", {"input": 1, "metric": "euclid"}, "cosine"),
        ("/v1/rows", {"ids": [[1], [2]]}, "one array"),
        ("/v1/rows", {"ids": [512000]}, "id 512000"),
        ("/v1/prompt_embeds", {"input": "a", "dtype": "raw"}, "expected one of"),
    ],
)
def test_refusals(server: Server, path: str, body: object, message: str) -> None:
    answer = server.post(path, body)
    assert answer.status == 400
    assert set(answer.value["error"]) == {"message", "type", "param", "code"}
    assert message in answer.value["error"]["message"]
    assert "rows.npy" not in answer.value["error"]["message"]
